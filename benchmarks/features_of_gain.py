"""Regression of what the estimate leaves of a gain on features of sources and target.

    python benchmarks/features_of_gain.py [--page docs/backtest/features.md]

Every target is predicted without its rows (`leave_targets_out`). The residual, gain − prediction, is regressed on each
feature with a slope that is shrunk to 0 (one observation of a slope of 0), again without the target that it is applied to.
The table has the correlation of the targets' means with its 95% interval (Fisher's z), and the mean absolute error with and
without the feature. A feature that does not lower the error has no place in the estimate. Run from a checkout.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import atanh, sqrt, tanh
from pathlib import Path

import numpy as np

from merginguriel import workspace
from merginguriel.decision import backtest, claim_rules
from merginguriel.decision.evidence import JOINT, Arm, Column, columns, observations
from merginguriel.knowledge.base import Knowledge, load
from merginguriel.knowledge.parse.rows import PAIRWISE

FEWEST = 6  # targets
CONTEXTS = ("home/e5-small", "home-few/e5-small", "home-far/e5-small")
MARKS = "<!-- table -->", "<!-- end of table -->"
WORDS = {"cosine": "cosine of the sources' task vectors", "cka": "CKA of the sources"}


def features_of(
    arm: Arm, column: Column, best: float | None, pairs: Mapping[tuple[str, frozenset[str]], float]
) -> dict[str, float]:
    """Return feature → value of an arm on its target, as far as it is known."""
    found = {}
    if best is not None:
        found["headroom: 100 − accuracy of the best single model"] = 100 * (1 - best)
    values = [column[source] for source in arm.sources if source in column]
    if len(values) == len(arm.sources) > 1:
        found["spread of the sources' accuracies"] = 100 * float(np.std(values))
    for name in PAIRWISE:
        every = [pairs.get((name, frozenset(pair))) for pair in combinations(arm.sources, 2)]
        if every and None not in every:
            found["mean " + WORDS.get(name, "weighted sign conflict of the sources")] = float(
                np.mean([one for one in every if one is not None])
            )
    return found


def errors(x: np.ndarray, residual: np.ndarray, targets: Sequence[str]) -> tuple[float, float]:
    """Return the mean absolute residual without and with a slope learned on the other targets."""
    names, left = np.array(targets), residual.copy()
    for target in set(targets):
        rest = names != target
        centred = x[rest] - x[rest].mean()
        slope = centred @ (residual[rest] - residual[rest].mean()) / (centred @ centred + x.var() + 1e-12)
        left[~rest] -= slope * (x[~rest] - x[rest].mean())
    return float(np.abs(residual).mean()), float(np.abs(left).mean())


def correlation(
    x: np.ndarray, residual: np.ndarray, targets: Sequence[str]
) -> tuple[float, float, float, int]:
    """Return the correlation of the targets' means, its 95% interval, and the number of targets."""
    names = np.array(targets)
    means = np.array([(x[names == t].mean(), residual[names == t].mean()) for t in sorted(set(targets))])
    r, n = float(np.corrcoef(means.T)[0, 1]), len(means)
    half = 1.96 / sqrt(n - 3)
    return r, tanh(atanh(r) - half), tanh(atanh(r) + half), n


def rows_of_table(knowledge: Knowledge, context: str, hidden: str) -> Iterator[str]:
    """Yield a row for each feature of the gains in a context, without one target."""
    vetoes = [
        v for v in claim_rules.vetoes(knowledge.claims, knowledge.standings) if claim_rules.names_a_method(v)
    ]
    gains = observations(
        knowledge.of_metric("accuracy").rows,
        "ExcTar",
        lambda arm: arm.method == JOINT or claim_rules.veto_of(arm, vetoes) is not None,
    )
    known = columns(knowledge.rows)
    pairs = {
        (row.metric, frozenset((row.target, *row.sources))): row.value
        for row in knowledge.rows if row.method == "compat" and row.context == context
    }  # fmt: skip
    best: dict[str, float] = {}
    for o in gains:
        if o.arm.context == context and o.kind == "gain" and o.row.baseline is not None:
            best[o.arm.target] = max(best.get(o.arm.target, 0.0), o.row.baseline)
    used = [o for o in gains if o.arm.context != context or o.arm.target != hidden]
    found: dict[str, list[tuple[str, float, float]]] = {}
    for one in backtest.leave_targets_out(used, context):
        if one.arm.method in backtest.COLLAPSING:
            continue
        column = known.get((context, one.arm.target), {})
        for name, value in features_of(one.arm, column, best.get(one.arm.target), pairs).items():
            found.setdefault(name, []).append((one.arm.target, value, one.gain_pp - one.estimate.mean_pp))
    for name, values in found.items():
        targets, x, residual = zip(*values, strict=True)
        if len(set(targets)) < FEWEST or np.std(x) == 0:
            continue
        r, low, high, n = correlation(np.array(x), np.array(residual), targets)
        before, after = errors(np.array(x), np.array(residual), targets)
        where = context + (f" without {hidden}" if hidden else "")
        text = f"| {where} | {name} | {len(x)} | {n} | {r:+.2f} [{low:+.2f} … {high:+.2f}] | {before:.2f} | {after:.2f} |"
        yield text.replace("-0.", "−0.")


def main() -> int:
    """Print the table, or write it into a page between its marks."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--page", type=Path, help="page whose table is replaced; default: print it")
    page = asked.parse_args().page
    knowledge = load(workspace.find())
    lines = [
        "| context | feature | gains | targets | correlation with the residual | error without, pp | with |",
        "|---|---|---|---|---|---|---|",
    ]
    for context, hidden in [(CONTEXTS[0], ""), (CONTEXTS[0], "da-DK"), *((c, "") for c in CONTEXTS[1:])]:
        lines += rows_of_table(knowledge, context, hidden)
    table = "\n".join(lines)
    if page is None:
        print(table)
        return 0
    text = page.read_text(encoding="utf-8")
    between = re.compile(f"{MARKS[0]}.*{MARKS[1]}", re.DOTALL)
    page.write_text(between.sub(lambda _: f"{MARKS[0]}\n{table}\n{MARKS[1]}", text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
