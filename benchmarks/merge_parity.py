"""Masks of random methods beside mergekit's, and the models that it merges wrongly or refuses.

    python benchmarks/merge_parity.py --mergekit OTHER_ENVIRONMENT/bin/mergekit-yaml

Two tables from one run, on small random models: what random methods keep and by how much they enlarge it, and a list
of architectures and awkward cases. mergekit runs as a process of its own; mergekit_equal.py compares the outputs of
all methods. Exit code 1 if one of our merges in the second table is wrong.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from merge_cases import cases
from mergekit_pairs import (
    PAIRS,
    mergekit_command,
    offline,
    our_recipe,
    ours_has,
    their_recipe,
    version,
    write_yaml,
)
from small_models import State, make, moved, weights

from merginguriel.errors import MuError
from merginguriel.merging.engine import merge
from merginguriel.merging.recipe import load_recipe


class Sides:
    """Both programs, with a folder to work in."""

    def __init__(self, mergekit: Path | None, work: Path) -> None:
        self.mergekit, self.work, self.count = mergekit, work, 0

    def fresh(self, name: str) -> Path:
        self.count += 1
        path = self.work / f"{self.count:03}-{name}"
        path.mkdir()
        return path

    def ours(self, table: dict) -> tuple[Path, str]:
        """Folder of the output and, if it was refused, why."""
        place = self.fresh("ours")
        try:
            return merge(load_recipe(write_yaml(place / "r.yaml", table)), place / "out"), ""
        except MuError as error:
            return place / "out", " ".join(f"{error.what} {error.hint or ''}".split())

    def theirs(self, table: dict, options: list[str] | None = None) -> tuple[Path, str]:
        assert self.mergekit
        place = self.fresh("theirs")
        config = write_yaml(place / "r.yaml", table)
        done = subprocess.run(
            mergekit_command(self.mergekit, config, place / "out", options),
            capture_output=True, text=True, check=False, env={**offline(), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        lines = [line for line in done.stderr.splitlines() if re.match(r"\S*(Error|Exception)\b", line)]
        why = lines[-1] if lines else (done.stderr.strip().splitlines() or ["no words"])[-1]
        return place / "out", why if done.returncode else ""


def statistics_of(base: State, source: State, merged: State) -> list[str]:
    """What one source's merge says about the mask: share kept, by magnitude, and how what is kept grew."""
    # Embeddings and dense layers: rows are long enough for shares to mean something.
    names = [name for name, tensor in base.items() if tensor.ndim == 2 and min(tensor.shape) > 8]
    before = [source[name] - base[name] for name in names]
    after = [merged[name] - base[name] for name in names]
    kept = [a.abs() > 1e-6 for a in after]
    ranks = [delta.abs().argsort(-1).argsort(-1) / (delta.shape[-1] - 1) for delta in before]

    def share(low: float, high: float) -> float:
        inside = [(rank >= low) & (rank <= high) for rank in ranks]
        found = sum((k & i).sum().item() for k, i in zip(kept, inside, strict=True))
        return found / sum(i.sum().item() for i in inside)

    growth = torch.cat([(a / b)[k] for a, b, k in zip(after, before, kept, strict=True)])
    total = sum(a.abs().sum().item() for a in after) / sum(b.abs().sum().item() for b in before)
    columns = (share(0, 1), share(0, 0.2), share(0.8, 1), growth.mean().item(), growth.std().item(), total)
    return [f"{value:.3f}" for value in columns]


def compare_masks(sides: Sides, root: Path, names: list[str], pool: ThreadPoolExecutor) -> list[list[str]]:
    rows = [
        [
            "method",
            "side",
            "kept",
            "smallest fifth",
            "largest fifth",
            "growth",
            "its spread",
            "Σ|δ| after/before",
        ]
    ]
    base = make(root / "masks" / "base", "BERT", "sequence classifier", 0)
    source = moved(base, root / "masks" / "m0", 3)
    jobs = {n: pool.submit(sides.theirs, their_recipe(n, base, [source])) for n in names}
    for name, job in jobs.items():
        for side, (out, why) in (
            ("ours", sides.ours(our_recipe(name, base, [source]))),
            ("mergekit", job.result()),
        ):
            found = [why] if why else statistics_of(*map(weights, (base, source, out)))
            rows.append([name, side, *found, *[""] * (6 - len(found))])
    return rows


def go_through(sides: Sides, root: Path, pool: ThreadPoolExecutor) -> tuple[list[list[str]], bool]:
    rows, fine = [["case", "mergekit", "ours"]], True
    prepared = cases(root)
    jobs = [
        pool.submit(sides.theirs, theirs, options) if theirs else None
        for _, _, theirs, _, options in prepared
    ]
    for (label, ours, _, verdict, _), job in zip(prepared, jobs, strict=True):
        mine = verdict(*sides.ours(ours))
        theirs_too = verdict(*job.result()) if job else "no such setting"
        expected = "refused" if label.endswith("60 labels and 3") else "right"
        fine = fine and mine.verdict == expected
        rows.append([label, str(theirs_too), str(mine)])
        print("  " + " | ".join(rows[-1]), file=sys.stderr, flush=True)
    return rows, fine


def show(title: str, rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--mergekit", type=Path, required=True, help="mergekit-yaml of an environment of its own"
    )
    parser.add_argument("--only", choices=["masks", "cases"])
    given = parser.parse_args()
    if not given.mergekit.is_file():
        raise SystemExit(f"there is no {given.mergekit}")
    torch.set_num_threads(1)
    print(version(given.mergekit))
    fine = True
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(os.cpu_count()) as pool:
        root = Path(place)
        sides = Sides(given.mergekit, root)
        if given.only in (None, "masks") and (names := [n for n in ours_has() if PAIRS[n].random]):
            show("random methods, one source, density 0.5", compare_masks(sides, root, names, pool))
        if given.only in (None, "cases"):
            rows, right = go_through(sides, root / "cases", pool)
            show("cases", rows)
            fine = fine and right
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
