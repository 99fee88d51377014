"""Rows, artefact and entry of the evidence."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from models import (
    DEV,
    REGIMES,
    SOURCES,
    TARGETS,
    TEST,
    Cell,
    Lab,
    upper,
)
from run import Run, bits_of
from scipy.stats import t as student

from merginguriel.evaluation import ensemble
from merginguriel.evaluation.baselines import Baseline
from merginguriel.evaluation.predictions import (
    scored,
)
from merginguriel.evaluation.significance import compare
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
        for name, method in ensemble.METHODS.items():
            weights = typology if method.weights == "URIEL" else run.dev_of(cell, row.sources)
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


def of_store(run: Run) -> tuple[Kept, dict[str, tuple[Sequence[str], Sequence[str]]]]:
    """Return what the arms of the evidence answer correctly, and the items."""
    kept = {
        f"{cell}|{arm}": (bits_of(line), line.get("dev", float("nan")))
        for (cell, arm), line in run.store.found.items()
    }
    tests = {target: run.lab.items(target)[1] for target in {name.split("/")[1] for name in kept}}
    return kept, {t: ([i.id for i in items], [i.group for i in items]) for t, items in tests.items()}


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


def travelled(lab: Lab, regime: str) -> list[float]:
    """Return the length of each source's task vector over that of the base, in the layers that are trained, %."""
    study = lab.study(regime)
    base = {
        name: array
        for name, array in lab.base(study.root).items()
        if upper(name) and "classifier" not in name
    }
    whole = np.sqrt(sum(float((array.astype(np.float64) ** 2).sum()) for array in base.values()))
    found = []
    for source in SOURCES:
        model = lab.tensors(study.model(source))
        apart = sum(
            float(((model[name] - array).astype(np.float64) ** 2).sum()) for name, array in base.items()
        )
        found.append(100 * np.sqrt(apart) / whole)
    return found


def cells(run: Run) -> list[Cell]:
    """Return the cells that have results, in the order of regimes and targets."""
    names = {name for name, arm in run.store.found if "|" in arm}
    found = [Cell(r, t, int(seed)) for r, t, seed in (name.split("/") for name in names)]
    return sorted(
        found, key=lambda cell: (list(REGIMES).index(cell.regime), cell.seed, TARGETS.index(cell.target))
    )


def counted(rows: Sequence[ResultRow]) -> int:
    """Return the number of arms: rows of different measurements, single models left out."""
    return len({row.measurement() for row in rows if row.method not in ("single", "compat")})


def over_targets(rows: Sequence[ResultRow], wanted: Callable[[ResultRow], bool]) -> str:
    """Return mean, 95% interval (Student's t over targets) and count of the gains over the best source."""
    gains = defaultdict(list)
    for row in rows:
        if (
            row.baseline_kind in ("best_single_source", "target_alone")
            and wanted(row)
            and row.gain_pp is not None
        ):
            gains[row.target].append(row.gain_pp)
    means = [float(np.mean(found)) for found in gains.values()]
    if len(means) < 3:
        return f"{len(means)} targets"
    half = float(student.ppf(0.975, len(means) - 1)) * float(np.std(means, ddof=1)) / len(means) ** 0.5
    text = f"{np.mean(means):+.1f} pp, 95% {np.mean(means) - half:+.1f} … {np.mean(means) + half:+.1f}, {len(means)} targets"
    return text.replace("-", "−")


def report(run: Run, rows: Sequence[ResultRow]) -> str:
    """Return what was found, a line for each regime and kind of arm."""
    lines = []
    for name, regime in REGIMES.items():
        part = [r for r in rows if r.context.startswith(f"{regime.context}/") and r.method != "compat"]
        if not part:
            continue
        sizes = travelled(run.lab, name)
        lines.append(
            f"- {regime.context}/e5-small ({regime.about}): {counted(part)} arms on {len({row.target for row in part})} targets; "
            f"task vectors are {min(sizes):.1f} to {max(sizes):.1f}% as long as the base."
        )
        kinds: dict[str, Callable[[ResultRow], bool]] = {
            "similarity REAL 3": lambda r: (
                r.method == "similarity" and r.similarity == "REAL" and r.k == 3 and r.mode == "ExcTar"
            ),
            "ensemble_soft REAL 3": lambda r: (
                r.method == "ensemble_soft" and r.similarity == "REAL" and r.k == 3 and r.mode == "ExcTar"
            ),
            "ties REAL": lambda r: r.method == "ties" and r.mode == "ExcTar",
            "average, all sets of sources": lambda r: r.method == "average" and r.mode == "ExcTar",
            "IncTar similarity REAL 3 over the own model": lambda r: (
                r.method == "similarity" and r.mode == "IncTar"
            ),
            "IncTar ensemble_soft over the own model": lambda r: (
                r.method == "ensemble_soft" and r.mode == "IncTar"
            ),
            "joint": lambda r: r.method == "joint" and r.mode == "ExcTar",
        }
        lines += [
            f"  - {kind}: {over_targets(part, wanted)}"
            for kind, wanted in kinds.items()
            if any(map(wanted, part))
        ]
    return "\n".join(lines)


def merged(run: Run) -> str:
    """Name the methods that were tried, each with its sets of sources: `ties (REAL-3)`."""
    sets = defaultdict(set)
    for _, arm in run.store.found:
        if "|" in arm:
            method, mode, chosen_by, _ = arm.split("|")
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


def write(run: Run, log: Path, plan: str, notes: Path | None, code: str, runs: Path | None) -> str:
    """Write the entry into the log, with the rows and the artefact, and return its id.

    notes  a Markdown file with further sections
    code   commit of the program that measured
    runs   folder of the runs of an earlier study, whose items are kept too
    """
    rows = [replace(row, code=code) for row in gathered(run)]
    space = find(explicit=log)
    folder = space.log / str(date.today().year)
    kept = artefact(*of_store(run), folder)
    if runs:
        kept += "\n\nThe same of the runs of the earlier study of sixteen locales: " + artefact(
            *of_runs(runs), folder
        )
    per = Counter((cell.regime, cell.seed) for cell in cells(run))
    tried = (
        "Models of " + ", ".join(SOURCES) + " were fine-tuned from one base in three regimes: "
        + "; ".join(f"{regime.context}/e5-small, {regime.about}" for regime in REGIMES.values())
        + f". Targets: {len({cell.target for cell in cells(run)})} locales, {TEST} test and {DEV} development items each, the same in every "
        "regime. Sources of a merge: the three or five best on development items, the three nearest by URIEL, and three at random. "
        "Merges, all at their defaults: " + merged(run)
        + ". Every set was combined by five ensembles too. Cells (regime, target) that were finished: "
        + ", ".join(f"{regime} (seed {seed}) {count}" for (regime, seed), count in sorted(per.items()))
        + f". {counted(rows)} arms, seed of the training in the rows."
    )  # fmt: skip
    more = []
    for part in re.split(r"^## ", notes.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:] if notes else []:
        heading, _, text = part.partition("\n")
        more.append((heading.strip(), text.strip()))
    draft = Draft(
        title=f"{counted(rows)} arms in three regimes of fine-tuning, embedded lab",
        type="Retrospective",
        date=date.today().isoformat(),
        summary="Gains of merges and ensembles over the best single source in three regimes of how far models travel, on the same test items.",
        metric="accuracy",
        answers=plan,
        tags="evidence,regimes,ensemble",
        origin="benchmarks/evidence",
        sections=(
            ("What was tried", tried),
            ("Findings", report(run, rows)),
            *more,
            ("Artefacts", f"Correct items of every arm and of every single model, one bit each: {kept}"),
        ),
    )
    return add(space.log, draft, more_rows=rows).id
