"""Findings of the evidence: gains by regime and seed, joint models and methods against the weighted mean of the same sources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
from models import REGIMES, SOURCES, Lab, upper
from scipy.stats import t as student

from merginguriel.knowledge.parse.rows import ResultRow

Wanted = Callable[[ResultRow], bool]


def exctar(method: str, similarity: str | None = None, k: int = 3) -> Wanted:
    """Return the condition of ExcTar rows of a method whose k sources were chosen by a similarity."""
    return lambda r: (r.mode, r.method, r.similarity, r.k) == ("ExcTar", method, similarity, k)


KINDS: dict[str, Wanted] = {
    "similarity REAL 3": exctar("similarity", "REAL"),
    "ensemble_soft REAL 3": exctar("ensemble_soft", "REAL"),
    "similarity URIEL 3": exctar("similarity", "URIEL"),
    "linear, three sources at random": exctar("linear"),
    "ties, the same sources as similarity REAL 3": exctar("ties"),
    "IncTar similarity REAL 3 over the own model": lambda r: (r.mode, r.method) == ("IncTar", "similarity"),
    "IncTar ensemble_soft over the own model": lambda r: (r.mode, r.method) == ("IncTar", "ensemble_soft"),
    **{
        f"joint model, equal {budget}": lambda r, budget=budget: (
            (r.mode, r.method, dict(r.params).get("budget")) == ("ExcTar", "joint", budget)
        )
        for budget in ("examples", "epochs")
    },
}


def counted(rows: Sequence[ResultRow]) -> int:
    """Return the number of arms: rows of different measurements, single models left out."""
    return len({row.measurement() for row in rows if row.method not in ("single", "compat")})


def gains(rows: Sequence[ResultRow], wanted: Wanted, seed: int | None = 0) -> dict[str, float]:
    """Return target → mean gain over the best single source, or the own model (IncTar), pp. seed: None for all."""
    found = defaultdict(list)
    for row in rows:
        if (
            row.baseline_kind in ("best_single_source", "target_alone")
            and seed in (None, row.seed)
            and row.gain_pp is not None
            and wanted(row)
        ):
            found[row.target].append(row.gain_pp)
    return {target: float(np.mean(values)) for target, values in found.items()}


def levels(rows: Sequence[ResultRow], wanted: Wanted) -> dict[str, float]:
    """Return target → accuracy with the first seed, %."""
    return {row.target: 100 * row.value for row in rows if row.seed == 0 and wanted(row)}


def over_targets(found: Mapping[str, float]) -> str:
    """Return mean, 95% interval (Student's t) and number of targets."""
    values = list(found.values())
    if len(values) < 3:
        return f"{len(values)} targets"
    half = float(student.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    mean = float(np.mean(values))
    text = f"{mean:+.1f} pp, 95% {mean - half:+.1f} … {mean + half:+.1f}, {len(values)} targets"
    return text.replace("-", "−")


def apart(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Return target → first − second, where both are known."""
    return {target: first[target] - second[target] for target in sorted(first.keys() & second.keys())}


def same_sources(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Return the rows whose sources are those of similarity REAL 3 in their cell, or the first two of them."""
    three = exctar("similarity", "REAL")
    best = {(r.context, r.target, r.seed): r.sources for r in rows if three(r)}
    return [
        r
        for r in rows
        if (r.k or 0) in (2, 3) and set(r.sources) == set(best.get((r.context, r.target, r.seed), ())[: r.k])
    ]


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
        away = sum(
            float(((model[name] - array).astype(np.float64) ** 2).sum()) for name, array in base.items()
        )
        found.append(100 * np.sqrt(away) / whole)
    return found


def report(lab: Lab, rows: Sequence[ResultRow]) -> str:
    """Return the findings: a line for each regime and kind of arm, with both seeds where there are two."""
    lines: list[str] = []
    means: dict[str, dict[str, float]] = {}
    for name, regime in REGIMES.items():
        part = [r for r in rows if r.context.startswith(f"{regime.context}/") and r.method != "compat"]
        if not part:
            continue
        sizes = travelled(lab, name)
        lines.append(
            f"- {regime.context}/e5-small ({regime.about}): {counted(part)} arms on {len({row.target for row in part})} targets; "
            f"task vectors are {min(sizes):.1f} to {max(sizes):.1f}% as long as the base."
        )
        similar = same_sources(part)
        for kind, wanted in KINDS.items():
            first, second = (
                gains(similar if wanted is KINDS[SAME] else part, wanted, seed) for seed in (0, 1)
            )
            if first:
                lines.append(f"  - {kind}: {over_targets(first)}{seeds(first, second)}")
        mean = means[name] = gains(part, KINDS["similarity REAL 3"])
        for kind in ("ensemble_soft REAL 3", *(kind for kind in KINDS if "joint" in kind)):
            both = apart(levels(part, KINDS[kind]), levels(part, KINDS["similarity REAL 3"]))
            if both:
                lines.append(f"  - {kind} minus similarity REAL 3: {over_targets(both)}")
        lines += methods(similar, mean)
    for first, second in combinations(means, 2):
        both = apart(means[second], means[first])
        lines.append(
            f"- similarity REAL 3, {REGIMES[second].context} minus {REGIMES[first].context}: {over_targets(both)}"
        )
    return "\n".join(lines)


SAME = "ties, the same sources as similarity REAL 3"


def seeds(first: Mapping[str, float], second: Mapping[str, float]) -> str:
    """Describe the gains with the second seed beside those with the first; empty without them."""
    both = apart(second, first)
    if len(both) < 3:
        return ""
    r = float(np.corrcoef([second[t] for t in both], [first[t] for t in both])[0, 1])
    return (
        f"; second seed {over_targets(second)}; second minus first {over_targets(both)}, "
        f"correlation over targets {r:.2f}".replace("-", "−")
    )


def methods(rows: Sequence[ResultRow], mean: Mapping[str, float]) -> list[str]:
    """Return a line for each method on the sources of similarity REAL 3: its gain, and the difference to `mean`."""
    names = sorted({r.method for r in rows if r.mode == "ExcTar"} - {"similarity", "linear"})
    found = {name: gains(rows, lambda r, name=name: (r.mode, r.method) == ("ExcTar", name)) for name in names}
    found = {
        name: values
        for name, values in found.items()
        if len(values) >= 6 and not name.startswith(("ensemble_", "joint"))
    }
    order = sorted(found, key=lambda name: -float(np.mean(list(found[name].values()))))
    return [
        f"  - {name}: {over_targets(found[name])}; minus similarity REAL 3 {over_targets(apart(found[name], mean))}"
        for name in order
    ]
