"""Tensor-for-tensor comparison of `mu merge --mergekit CONFIG` with mergekit, both reading the same configuration.

    python benchmarks/mergekit_equal.py --mergekit OTHER_ENVIRONMENT/bin/mergekit-yaml [--only karcher] [--rows FILE]

Every method that both programs have, on small random models whose fine-tunes share a step, and on fine-tunes without
anything in common, whose task vectors are at right angles or more: where definitions differ, they differ there. Methods
that draw random numbers are compared at density 1, where nothing is dropped. Each row is appended to --rows as soon as it
is measured, and one that is there is not measured again. Exit code 1 if a method differs without a reason in DIFFERS.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from merge_parity import Sides, show
from mergekit_pairs import version, write_yaml
from safetensors.torch import load_file, save_file
from small_models import State, make, moved, weights

from merginguriel.config.mergekit_file import METHODS, load_mergekit
from merginguriel.errors import MuError, UnavailableError
from merginguriel.merging.engine import merge

LIMIT = 2e-5  # of a tensor's largest entry: what float32 sums in another order may differ by
UNEVEN = (0.5, 0.3, 0.2)
PARAMETERS: dict[str, dict[str, Any]] = {
    "slerp": {"t": 0.4},
    "sce": {"select_topk": 0.2},
    "task_arithmetic": {"lambda": 0.7},
    "ties": {"density": 0.3, "lambda": 0.7},
    "breadcrumbs": {"density": 0.5, "gamma": 0.01},
    "breadcrumbs_ties": {"density": 0.5, "gamma": 0.01, "normalize": True},
    "dare_ties": {"normalize": True},
    "della": {"epsilon": 0.0},
    "della_linear": {"epsilon": 0.0},
}
# Models → reasons for a difference; none of them is an error of either side.
DIFFERS: dict[str, dict[str, str]] = {
    "shared step": {
        "slerp": "mergekit is linear above a cosine of 0.9995",
        "sce": "ours selects and weighs row by row",
    },
    "nothing shared": {
        "slerp": "mergekit is linear above a cosine of 0.9995",
        "sce": "ours selects and weighs row by row",
        "model_stock": "mean cosine below 0: ours stays at the base (paper: angles up to 90°), mergekit goes beyond it",
    },
}


def apart(base: Path, folder: Path, seed: int) -> Path:
    """A fine-tune that shares no step with others, with a head bias that points anywhere."""
    moved(base, folder, seed)
    state, draw = load_file(base / "model.safetensors"), torch.Generator().manual_seed(seed)
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = tensor + 0.02 * torch.randn(tensor.shape, generator=draw)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def configuration(method: str, base: Path, sources: list[Path]) -> dict[str, Any]:
    """The configuration that both programs read."""
    chosen = sources[1:2] if method == "slerp" else sources[:2] if method == "nuslerp" else sources
    models = [
        {"model": str(path), **({"parameters": {"weight": weight}} if METHODS[method].weights else {})}
        for path, weight in zip(chosen, UNEVEN, strict=False)
    ]
    table: dict[str, Any] = {"merge_method": method, "models": models, "dtype": "float32"}
    if method not in ("linear", "nuslerp", "karcher"):
        table["base_model"] = str(sources[0] if method == "slerp" else base)
    if PARAMETERS.get(method):
        table["parameters"] = dict(PARAMETERS[method])
    return table


def ours(sides: Sides, table: dict[str, Any]) -> tuple[Path, str]:
    """Folder of our output and, if the configuration was refused, why."""

    def no_hub(name: str) -> Path:
        raise UnavailableError(f"{name} is not a folder.")

    place = sides.fresh("ours")
    try:
        return merge(load_mergekit(write_yaml(place / "c.yaml", table), no_hub).recipe, place / "out"), ""
    except MuError as error:
        return place / "out", " ".join(f"{error.what} {error.hint or ''}".split())


def differences(a: State, b: State) -> dict[str, float]:
    """Largest difference of each tensor over its largest entry."""
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    return {
        name: ((a[name] - b[name]).abs().max() / b[name].abs().max().clamp(min=1e-12)).item() for name in b
    }


def compare(sides: Sides, kind: str, method: str, base: Path, sources: list[Path]) -> list[str]:
    """One row of the table: method, models, largest difference, tensors that differ, tensor of the largest, reason."""
    table = configuration(method, base, sources)
    (out, refused), (other, error) = ours(sides, table), sides.theirs(table)
    if refused or error:
        return [method, kind, "–", "–", "–", f"ours: {refused}" if refused else f"mergekit: {error}"]
    found = differences(weights(out), weights(other))
    most = max(found, key=lambda name: found[name])
    differ = sum(value > LIMIT for value in found.values())
    reason = DIFFERS[kind].get(method, "without a reason") if differ else "–"
    return [method, kind, f"{found[most]:.1e}", f"{differ} of {len(found)}", most if differ else "–", reason]


def main() -> int:
    """Compare every method on both kinds of models."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--mergekit", type=Path, required=True, help="mergekit-yaml of an environment of its own"
    )
    parser.add_argument("--only", action="append", choices=list(METHODS), help="a method; repeat")
    parser.add_argument(
        "--rows", type=Path, help="file of measured rows; a run that was stopped goes on from it"
    )
    given = parser.parse_args()
    if not given.mergekit.is_file():
        raise SystemExit(f"there is no {given.mergekit}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        store = given.rows or Path(place) / "rows.tsv"
        store.touch()
        rows = [line.split("\t") for line in store.read_text(encoding="utf-8").splitlines()]
        sides = Sides(given.mergekit, Path(place))
        for kind, fine_tune in (("shared step", moved), ("nothing shared", apart)):
            folder = Path(place) / kind.replace(" ", "-")
            base = make(folder / "base", "BERT", "sequence classifier", 0)
            sources = [fine_tune(base, folder / f"m{i}", 10 + i) for i in range(3)]
            for method in given.only or METHODS:
                if [method, kind] in [row[:2] for row in rows]:
                    continue
                rows.append(compare(sides, kind, method, base, sources))
                with store.open("a", encoding="utf-8") as file:
                    file.write("\t".join(rows[-1]) + "\n")
    print(version(given.mergekit))
    head = ["method", "models", "largest difference", "tensors that differ", "most in", "reason"]
    show(f"a tensor differs above {LIMIT:g} of its largest entry", [head, *rows])
    accepted = {"–", *(reason for reasons in DIFFERS.values() for reason in reasons.values())}
    return int(not all(row[5] in accepted for row in rows))


if __name__ == "__main__":
    sys.exit(main())
