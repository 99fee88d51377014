"""Rows, artefact and entry of the evidence."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from findings import counted, report
from models import (
    DEV,
    REGIMES,
    SOURCES,
    TARGETS,
    TEST,
    Cell,
)
from run import Run, bits_of

from merginguriel.evaluation import ensemble
from merginguriel.evaluation.baselines import Baseline
from merginguriel.evaluation.predictions import (
    scored,
)
from merginguriel.evaluation.significance import compare
from merginguriel.knowledge.base import load
from merginguriel.knowledge.log.append import Draft, add
from merginguriel.knowledge.parse.rows import ResultRow, items_cell
from merginguriel.merging.task_vector_measures import task_vectors
from merginguriel.runs.kinds.merge import ensemble_row
from merginguriel.similarity import uriel
from merginguriel.study import item_file, results
from merginguriel.study.compat_rows import pair_rows
from merginguriel.tasks.registry import Item
from merginguriel.workspace import find


def rows_of(run: Run, cell: Cell) -> list[ResultRow]:
    """Return the rows of a cell: single models, merges, ensembles of the same sources, and joint models."""
    context, done = f"{REGIMES[cell.regime].context}/e5-small", set(run.store.arms(cell))
    if not {f"single:{name}" for name in SOURCES} <= done:
        return []
    singles = sorted(arm[7:] for arm in done if arm.startswith("single:") and "joint" not in arm)
    test, dev = run.lab.items(cell.target)[1], run.dev_of(cell, singles)
    groups = [item.group for item in test]
    shared = {
        "context": context,
        "target": cell.target,
        "metric": "accuracy",
        "n": len(test),
        "seed": cell.seed,
    }

    def bits(name: str) -> np.ndarray:
        """Return which test items a single model answers correctly."""
        return run.store.right(cell, f"single:{name}")

    rows = [
        ResultRow(**shared, mode="-", method="single", value=float(bits(name).mean()), sources=(name,))
        for name in singles
    ]

    def beat(sources: Sequence[str], mode: str, whole: bool) -> dict[str, Baseline]:
        """Return the baselines of a set of sources, chosen on development items."""
        found = {}
        others = [name for name in singles if name != cell.target]
        for kind, names in (("best_single_source", sources), ("best_zero_shot", others)):
            names = sorted(set(names) - {cell.target})
            best = max(names, key=lambda name: dev[name])
            note = f"highest of {len(names)} on dev, {dev[best]:.4f}"
            right = bits(best)
            found[kind] = Baseline(kind, float(right.mean()), len(right), best, right, note)
        if found["best_zero_shot"].model == found["best_single_source"].model or mode == "IncTar":
            del found["best_zero_shot"]
        if whole:
            mean = float(np.mean([bits(name).mean() for name in sources]))
            found["source_mean"] = Baseline("source_mean", mean, len(test))
        if mode == "IncTar":
            right = bits(cell.target)
            found = {
                "target_alone": Baseline("target_alone", float(right.mean()), len(right), cell.target, right)
            }
        return found

    def compared(row: ResultRow, right: np.ndarray, against: Mapping[str, Baseline]) -> Iterator[ResultRow]:
        """Yield a row for each baseline."""
        for kind, baseline in against.items():
            paired = (
                None if baseline.correct is None else compare(right, baseline.correct, groups=groups, draws=0)
            )
            yield replace(
                row, baseline_kind=kind, baseline=baseline.value, wins=paired.wins if paired else None,
                losses=paired.losses if paired else None, se_pp=paired.se if paired else None,
                note=f"{baseline.model}, {baseline.note}" if kind.startswith("best") else "",
                **items_of(test, right, baseline.correct),
            )  # fmt: skip

    like: dict[tuple[str, ...], ResultRow] = {}
    for arm in run.planned(cell):
        if arm.key not in done:
            continue
        right, recipe = run.store.right(cell, arm.key), run.recipe(cell, arm)
        nothing = {"source_mean": Baseline("source_mean", 0.0, len(test))}
        row = replace(
            results.merge_rows(recipe, right, nothing, {}, context=context, run="")[0], run=None, code=None
        )
        against = beat(arm.sources, arm.mode, row.similarity == "REAL")
        rows += compared(row, right, against)
        if arm.method == "linear":
            chosen = {"URIEL-3": "URIEL", "random-3": None}.get(arm.chosen_by, "REAL")
            like[arm.mode, arm.chosen_by] = replace(row, similarity=chosen)
    answers = run.answers_of(cell) if like else {}
    for (mode, _), row in like.items():
        models = {name: answers[name] for name in row.sources}
        typology = uriel.column(cell.target, row.sources)
        for name in ("soft",) if cell.seed else ensemble.METHODS:
            by_typology = ensemble.METHODS[name].weights == "URIEL"
            weights = typology if by_typology else run.dev_of(cell, row.sources)
            right = scored(ensemble.combine(models, name, weights), test)
            together = ensemble_row(row, name, right)
            rows += compared(replace(together, code=None), right, beat(row.sources, mode, False))
    for name in sorted(done):
        if name.startswith("single:joint:"):
            mode = "IncTar" if cell.target in SOURCES else "ExcTar"
            right = run.store.right(cell, name)
            one = ResultRow(
                **shared, mode=mode, method="joint", value=float(right.mean()), k=len(SOURCES), sources=SOURCES,
                params=(("budget", name.rpartition(":")[2]),), saw="labels" if mode == "IncTar" else "nothing",
            )  # fmt: skip
            rows += compared(
                one, right, beat(SOURCES, mode, False) if mode == "ExcTar" or run.own(cell) else {}
            )
    return rows


def items_of(test: Sequence[Item], right: np.ndarray, baseline: np.ndarray | None) -> dict[str, str]:
    """Return the cell `items` of a row that is paired with a baseline."""
    if baseline is None:
        return {}
    return {"items": items_cell([item.id for item in test], right.tolist(), baseline.tolist())}


Kept = dict[
    str, tuple[np.ndarray, float]
]  # `regime/target/seed|arm` → bool [n], accuracy on development items or NaN


def artefact(kept: Kept, items: Mapping[str, tuple[Sequence[str], Sequence[str]]], folder: Path) -> str:
    """Write which items every arm answers correctly into one file, and return its name and sha256.

    ids:TARGET, groups:TARGET [n] of its test items; arms [A] `regime/target/seed|method|mode|set|sources` or `…|single:LOCALE`;
    dev [A] accuracy on development items of single models, else NaN; bits [A, ⌈n/8⌉], padded with zeros

    items  target → ids and groups
    """
    names = sorted(kept)
    packed = [np.packbits(kept[name][0]) for name in names]
    width = max(map(len, packed))
    arrays = {f"ids:{target}": np.array(ids) for target, (ids, _) in items.items()}
    arrays |= {f"groups:{target}": np.array(groups) for target, (_, groups) in items.items()}
    arrays["bits"] = np.stack([np.pad(bits, (0, width - len(bits))) for bits in packed])
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, arms=np.array(names), dev=np.array([kept[name][1] for name in names]), **arrays
    )
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    name = f"{date.today().isoformat()}-items-of-{len(names)}-arms-{sha256[:8]}.npz"
    (folder / name).write_bytes(buffer.getvalue())
    return f"{name} sha256:{sha256}"


def of_store(
    run: Run, logged: Collection[str]
) -> tuple[Kept, dict[str, tuple[Sequence[str], Sequence[str]]]]:
    """Return what the arms that are not logged answer correctly, with the single models of their cells, and the items."""
    lines = {f"{cell}|{arm}": line for (cell, arm), line in run.store.found.items()}
    fresh = {name.partition("|")[0] for name in lines.keys() - logged}
    kept = {
        name: (bits_of(line), line.get("dev", float("nan")))
        for name, line in lines.items()
        if name not in logged or (line["cell"] in fresh and line["arm"].startswith("single:"))
    }
    tests = {target: run.lab.items(target)[1] for target in {name.split("/")[1] for name in kept}}
    return kept, {t: ([i.id for i in items], [i.group for i in items]) for t, items in tests.items()}


def logged_arms(log: Path) -> set[str]:
    """Return the names of the arms in the artefacts of a log."""
    found: set[str] = set()
    for path in log.glob("*/*-items-of-*.npz"):
        with np.load(path) as stored:
            found |= set(stored["arms"].tolist())
    return found


def of_runs(folder: Path) -> tuple[Kept, dict[str, tuple[Sequence[str], Sequence[str]]]]:
    """Return the same of finished runs of kind `merge`: single models, the merge and the soft ensemble."""
    kept: Kept = {}
    items: dict[str, tuple[Sequence[str], Sequence[str]]] = {}
    for path in sorted(folder.glob("merge-*/items.npz")):
        result, stored = json.loads(path.with_name("result.json").read_text()), item_file.read(path)
        target, cell = result["target"], f"study/{result['target']}/{result['seed']}"
        items[target] = stored.ids, stored.groups
        arm = "|".join([result["mode"], f"{result['similarity']}-{result['k']}", "+".join(result["sources"])])
        for name in ("merge", "ensemble_soft"):
            method = "linear" if name == "merge" else name
            kept[f"{cell}|{method}|{arm}"] = stored.arms[name], float("nan")
        for source, values in result["singles"].items():
            kept[f"{cell}|single:{source}"] = stored.arms[f"single:{source}"], values["dev"]
    return kept, items


def cells(run: Run) -> list[Cell]:
    """Return the cells that have results, in the order of regimes and targets."""
    names = {name for name, arm in run.store.found if "|" in arm}
    found = [Cell(r, t, int(seed)) for r, t, seed in (name.split("/") for name in names)]
    return sorted(
        found, key=lambda cell: (list(REGIMES).index(cell.regime), cell.seed, TARGETS.index(cell.target))
    )


def merged(names: Iterable[str]) -> str:
    """List the methods of arms `cell|method|mode|set|sources`, each with its sets of sources: `ties (REAL-3)`."""
    sets = defaultdict(set)
    for name in names:
        if name.count("|") == 4:
            _, method, mode, chosen_by, _ = name.split("|")
            sets[method].add(chosen_by if mode == "ExcTar" else f"IncTar {chosen_by}")
    return ", ".join(f"{method} ({', '.join(sorted(found))})" for method, found in sorted(sets.items()))


def gathered(run: Run) -> list[ResultRow]:
    """Return the rows of every cell, and how well the models of new regimes fit each other."""
    rows = [row for cell in cells(run) for row in rows_of(run, cell)]
    for name in ("few", "far"):
        study = run.lab.study(name)
        if all((study.model(source) / "training.yaml").is_file() for source in SOURCES):
            found = task_vectors(
                {source: study.model(source) for source in SOURCES}, study.root / "base", threads=1
            )
            matrices = {m: found.matrix(m) for m in ("cosine", "weighted_sign_conflict")}
            rows += pair_rows(f"{REGIMES[name].context}/e5-small", SOURCES, matrices)
    return rows


def write(
    run: Run, log: Path, plan: str, notes: Path | None, code: str, runs: Path | None, title: str
) -> str:
    """Write an entry with the arms that the log does not have, their rows and an artefact, and return its id.

    notes  a Markdown file with further sections
    code   commit of the program that measured
    runs   folder of the runs of an earlier study, whose items are kept too
    """
    space = find(explicit=log)
    every = gathered(run)
    known = {row.measurement() for row in load(space).rows}
    rows = [replace(row, code=code) for row in every if row.measurement() not in known]
    kept, items = of_store(run, logged_arms(space.log))
    folder = space.log / str(date.today().year)
    files = artefact(kept, items, folder)
    if runs:
        files += "\n\nThe same of the runs of the earlier study of sixteen locales: " + artefact(
            *of_runs(runs), folder
        )
    per = Counter(tuple(cell.split("/")[::2]) for cell in {name.partition("|")[0] for name in kept})
    tried = (
        "Models of " + ", ".join(SOURCES) + " were fine-tuned from one base in three regimes: "
        + "; ".join(f"{regime.context}/e5-small, {regime.about}" for regime in REGIMES.values())
        + f". Targets: {len(items)} locales, {TEST} test and {DEV} development items each, the same in every "
        "regime. Sources of a merge: the three or five best on development items, the three nearest by URIEL, and three at random. "
        "Merges, all at their defaults: " + merged(kept)
        + ". Sets of sources that were merged by their weighted mean were combined by ensembles too. Cells (regime, target) with arms of "
        "this entry: " + ", ".join(f"{regime} (seed {seed}) {count}" for (regime, seed), count in sorted(per.items()))
        + f". {counted(rows)} arms, seed of the training in the rows."
    )  # fmt: skip
    more = []
    for part in re.split(r"^## ", notes.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:] if notes else []:
        heading, _, text = part.partition("\n")
        more.append((heading.strip(), text.strip()))
    draft = Draft(
        title=f"{counted(rows)} arms: {title}",
        type="Retrospective",
        date=date.today().isoformat(),
        summary="Gains of merges and ensembles over the best single source in three regimes of how far models travel, on the same test items.",
        metric="accuracy",
        answers=plan,
        tags="evidence,regimes,ensemble",
        origin="benchmarks/evidence",
        sections=(
            ("What was tried", tried),
            ("Findings", report(run.lab, every)),
            *more,
            ("Artefacts", f"Correct items of every arm and of every single model, one bit each: {files}"),
        ),
    )
    return add(space.log, draft, more_rows=rows).id
