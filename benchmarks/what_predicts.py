"""What separates synergy from interference: regress the gains of merges on what was known before them.

    python benchmarks/what_predicts.py --workspace . --page docs/what_predicts_a_gain.md

Reads the log through `merginguriel.frame`, replaces the tables of the page between its markers, and draws the figure beside it.
A gain is that of a merge over its best single source, which was chosen on development items. Rows of one target are one cluster.
"""

from __future__ import annotations

import argparse
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import merginguriel

BEST = ("best_single_source", "best_zero_shot")  # in this order of preference
FEATURES = {
    "headroom": "headroom: 100 − best source",
    "gap": "gap: best − mean source",
    "spread": "standard deviation of the sources",
    "k": "number of sources",
    "cosine": "mean cosine of task vectors",
    "conflict": "mean weighted sign conflict",
}
UNITS = {
    "headroom": 10.0,
    "gap": 1.0,
    "spread": 1.0,
    "k": 1.0,
    "cosine": 0.1,
    "conflict": 0.01,
}  # a slope is per so much
COLLAPSE = -10.0  # pp: a method with a lower mean gain in its context is reported apart
PERMUTATIONS = 999
FEWEST = 6  # targets of a regression
MARKS = "<!-- tables -->", "<!-- end of tables -->"


def arms(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per ExcTar merge or ensemble: its gain over the best source, its effect over their mean, and the features."""
    rows = rows[(rows.status == "current") & rows.value.notna()]
    rows = rows.assign(sources=rows.sources.map(lambda s: tuple(sorted(s or ()))), seed=rows.seed.fillna(0))
    alone = rows[(rows.kind == "single") & (rows.sources.map(len) == 1)]
    values = {(r.context, r.target, r.seed, r.sources[0]): 100 * r.value for r in alone.itertuples()}
    pairs = {
        (r.context, r.metric, frozenset((r.target, r.sources[0]))): r.value
        for r in rows[rows.kind == "compat"].itertuples()
    }
    tried = rows[
        rows.kind.isin(["merge", "ensemble"])
        & (rows.metric == "accuracy")
        & (rows["mode"] == "ExcTar")
        & (rows.sources.map(len) > 1)
    ]
    keys = ["context", "target", "method", "params", "similarity", "sources", "seed", "n", "kind"]
    found = []
    for key, group in tried.groupby(keys, dropna=False):
        by_kind = {row.baseline_kind: row for row in group.itertuples()}
        best = next((by_kind[kind] for kind in BEST if kind in by_kind), None)
        if best is None:
            continue
        one = dict(zip(keys, key, strict=True))
        sources = [
            values.get((one["context"], one["target"], one["seed"], name), np.nan) for name in one["sources"]
        ]
        mean = 100 * by_kind["source_mean"].baseline if "source_mean" in by_kind else np.mean(sources)
        one |= {
            "gain": best.difference_pp, "effect": 100 * best.value - mean, "headroom": 100 - 100 * best.baseline,
            "gap": 100 * best.baseline - mean, "spread": np.std(sources), "k": len(sources),
        }  # fmt: skip
        for name, metric in (("cosine", "cosine"), ("conflict", "weighted_sign_conflict")):
            between = [
                pairs.get((one["context"], metric, frozenset(two)), np.nan)
                for two in combinations(one["sources"], 2)
            ]
            one[name] = np.mean(between)
        found.append(one)
    table = pd.DataFrame(found).dropna(subset=["gain", "gap"])
    table["group"] = table.context + " " + table.method  # its own level in every regression
    table["collapses"] = table.groupby("group").gain.transform("mean") < COLLAPSE
    return table.reset_index(drop=True)


def centred(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Subtract the mean of its group from every row of `values` [n, p]; groups: int [n]."""
    size = np.bincount(groups)
    sums = np.stack([np.bincount(groups, column) for column in values.T], axis=1)
    return values - (sums / size[:, None])[groups]


def fitted(x: np.ndarray, y: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes [p] and their cluster-robust covariance (CR1, Cameron and Miller 2015) of centred x [n, p] and y [n]."""
    inverse = np.linalg.pinv(x.T @ x)
    slopes = inverse @ x.T @ y
    parts = x * (y - x @ slopes)[:, None]
    scores = np.stack([np.bincount(clusters, column) for column in parts.T], axis=1)
    g, n, p = len(scores), len(y), x.shape[1]
    return slopes, g / (g - 1) * (n - 1) / max(n - p, 1) * inverse @ scores.T @ scores @ inverse


def numbered(values: pd.Series) -> np.ndarray:
    """Return an integer [n] for every value, from 0."""
    return np.unique(values.to_numpy(str), return_inverse=True)[1]


def left_out(x: np.ndarray, y: np.ndarray, groups: np.ndarray, targets: np.ndarray) -> float:
    """Return R² of predictions for targets that were left out, against the mean of each group on the others.

    Every target counts once, however many arms it has. x [n, p], y [n], groups and targets int [n]
    """
    wrong = plain = 0.0
    for target in np.unique(targets):
        known = (targets != target) & np.isin(groups, groups[targets == target])
        out = (targets == target) & np.isin(groups, groups[known])
        if not out.any():
            continue
        other = targets != target
        slopes = np.linalg.pinv(centred(x[other], numbers(groups[other]))) @ centred(
            y[other, None], numbers(groups[other])
        )
        base = np.array([y[known & (groups == group)].mean() for group in groups[out]])
        at = np.stack([x[known & (groups == group)].mean(axis=0) for group in groups[out]])
        wrong += np.mean((y[out] - base - (x[out] - at) @ slopes[:, 0]) ** 2)
        plain += np.mean((y[out] - base) ** 2)
    return 1 - wrong / plain


def numbers(groups: np.ndarray) -> np.ndarray:
    """Return the groups numbered without gaps."""
    return np.unique(groups, return_inverse=True)[1]


def orders(groups: np.ndarray, targets: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return a permutation [n] of the rows that exchanges targets inside each group, alike in every group."""
    count = targets.max() + 1
    to = np.lexsort((draw.permutation(count)[targets], groups))
    of = np.lexsort((draw.permutation(count)[targets], groups))
    result = np.empty(len(groups), int)
    result[to] = of
    return result


def regression(table: pd.DataFrame, names: list[str]) -> list[dict]:
    """Return slope, 95% interval, permutation p and R² for every feature in `names`, all in one model."""
    table = table.dropna(subset=names)
    if table.target.nunique() < FEWEST:
        return []
    names = [name for name in names if (table.groupby("group")[name].nunique() > 1).any()]
    groups, clusters = numbered(table.group), numbered(table.target)
    raw, gain = table[names].to_numpy(float), table.gain.to_numpy(float)
    x, y = centred(raw, groups), centred(gain[:, None], groups)[:, 0]
    slopes, covariance = fitted(x, y, clusters)
    error = np.sqrt(np.diag(covariance))
    width = stats.t.ppf(0.975, clusters.max())
    draw, above = np.random.default_rng(0), np.zeros(len(names))
    for _ in range(PERMUTATIONS):
        again, spread = fitted(x[orders(groups, clusters, draw)], y, clusters)
        above += np.abs(again) / np.sqrt(np.diag(spread)) >= np.abs(slopes) / error
    r2 = left_out(raw, gain, groups, clusters)
    return [
        {
            "feature": name, "arms": len(table), "targets": int(clusters.max() + 1), "slope": slopes[i] * UNITS[name],
            "low": (slopes[i] - width * error[i]) * UNITS[name], "high": (slopes[i] + width * error[i]) * UNITS[name],
            "p": (above[i] + 1) / (PERMUTATIONS + 1), "r2": r2,
        }
        for i, name in enumerate(names)
    ]  # fmt: skip


def halves(artefact: Path) -> pd.DataFrame:
    """Return gain and gap of each ExcTar merge on two disjoint halves of the test items, with their templates apart.

    artefact  as benchmarks/evidence.py writes it
    """
    with np.load(artefact) as stored:
        kept = {name: stored[name] for name in stored.files}
    right: dict[tuple[str, str], np.ndarray] = {}
    dev: dict[tuple[str, str], float] = {}
    for name, bits, value in zip(kept["arms"], kept["bits"], kept["dev"], strict=True):
        cell, _, arm = str(name).partition("|")
        right[cell, arm] = np.unpackbits(bits)[: len(kept[f"ids:{cell.split('/')[1]}"])].astype(bool)
        dev[cell, arm] = float(value)
    found = []
    for (cell, arm), bits in right.items():
        if arm.count("|") != 3 or arm.split("|")[1] != "ExcTar":
            continue
        method, _, chosen_by, sources = arm.split("|")
        regime, target, _ = cell.split("/")
        names = [f"single:{source}" for source in sources.split("+")]
        best = max(sorted(names), key=lambda name: dev[cell, name])
        groups = np.unique(kept[f"groups:{target}"], return_inverse=True)[1]
        first = np.random.default_rng(0).permutation(groups.max() + 1)[groups] % 2 == 0
        one: dict[str, object] = {
            "target": target,
            "group": f"{regime} {method} {chosen_by}",
            "regime": regime,
        }
        for half, items in (("a", first), ("b", ~first)):
            single = 100 * right[cell, best][items].mean()
            one[f"gain_{half}"] = 100 * bits[items].mean() - single
            one[f"gap_{half}"] = single - np.mean([100 * right[cell, name][items].mean() for name in names])
        found.append(one)
    return pd.DataFrame(found)


def uncoupled(table: pd.DataFrame) -> dict[str, Any]:
    """Return slopes of the gain on the gap of the other half of the items, with intervals from a bootstrap of targets.

    Gain and gap on the same items share the noise of the best source, which alone makes a slope below 0.

    reduced  least squares on the gap of the other half: diluted by its noise
    slope    that gap as an instrument of the gap on the same half (two-stage least squares)
    same     least squares on the gap of the same half
    agree    covariance of the two gaps over their variance
    """
    groups, clusters = numbered(table.group), numbered(table.target)
    columns = centred(table[["gain_a", "gain_b", "gap_a", "gap_b"]].to_numpy(float), groups)
    gain_a, gain_b, gap_a, gap_b = columns.T
    across = np.bincount(clusters, gain_a * gap_b + gain_b * gap_a)
    both, own = np.bincount(clusters, 2 * gap_a * gap_b), np.bincount(clusters, gap_a**2 + gap_b**2)
    same = np.bincount(clusters, gain_a * gap_a + gain_b * gap_b)
    times = np.random.default_rng(0).multinomial(len(own), np.full(len(own), 1 / len(own)), 4000)

    def ratio(upper: np.ndarray, lower: np.ndarray) -> tuple[float, float, float]:
        low, high = np.quantile((times @ upper) / (times @ lower), [0.025, 0.975])
        return upper.sum() / lower.sum(), low, high

    return {
        "reduced": ratio(across, own), "slope": ratio(across, both), "same": same.sum() / own.sum(),
        "agree": both.sum() / own.sum(),
    }  # fmt: skip


def uncoupled_lines(artefacts: list[Path]) -> list[str]:
    """Return the table of slopes that share no noise, by regime."""
    table = pd.concat(map(halves, artefacts), ignore_index=True)
    table = table[~(table.groupby("group").gain_a.transform("mean") < COLLAPSE)]
    text = [
        "", "### Gap, from other items than the gain", "",
        "| regime | slope on the gap of other items, pp per pp [95%] | two-stage slope [95%] | on the same items | agreement of the two gaps | arms / targets |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for regime in ["all", "all without da-DK", *sorted(table.regime.unique())]:
        part = table[table.target != "da-DK"] if "da-DK" in regime else table
        part = part if "all" in regime else table[table.regime == regime]
        if part.target.nunique() >= FEWEST:
            one = uncoupled(part)
            text.append(
                f"| {regime} | {of(one['reduced'])} | {of(one['slope'])} | {number(one['same'])} | "
                f"{one['agree']:.2f} | {len(part)} / {part.target.nunique()} |"
            )
    return text


def of(values: tuple[float, float, float]) -> str:
    """Format a value with its interval."""
    return f"{number(values[0])} [{number(values[1])} … {number(values[2])}]"


def number(value: float, digits: int = 2) -> str:
    """Format a number with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def lines_of(found: list[dict], *, joint: bool = False) -> list[str]:
    """Return the rows of a table of slopes."""
    return [
        f"| {FEATURES[one['feature']]} | {UNITS[one['feature']]:g} | {number(one['slope'])} "
        f"[{number(one['low'])} … {number(one['high'])}] | {'' if one['feature'] == 'k' else format(one['p'], '.3f')} | "
        f"{'' if joint and i else number(one['r2'])} | {one['arms']} / {one['targets']} |"
        for i, one in enumerate(found)
    ]


HEAD = ["| feature | per | slope, pp [95%] | p | R² left out | arms / targets |", "|---|---|---|---|---|---|"]


def tables(table: pd.DataFrame) -> str:
    """Return the tables of the page."""
    steady = table[~table.collapses]
    text = [
        f"{len(table)} arms, {table.target.nunique()} targets, {table.context.nunique()} contexts; of them in methods that collapse: {int(table.collapses.sum())}.",
        "",
    ]
    text += [
        "| context | kind | arms | targets | mean gain | gains > 0 | mean effect over the sources' mean |",
        "|---|---|---|---|---|---|---|",
    ]
    for (context, kind), one in steady.groupby(["context", "kind"]):
        by = one.groupby("target")[["gain", "effect"]].mean()
        text.append(
            f"| {context} | {kind} | {len(one)} | {len(by)} | {interval(by.gain)} | {(one.gain > 0).mean():.0%} | {interval(by.effect)} |"
        )
    contexts = [
        "all",
        *(
            c
            for c in sorted(steady.context.unique())
            if steady[steady.context == c].target.nunique() >= FEWEST
        ),
    ]
    for context in contexts:
        part = steady if context == "all" else steady[steady.context == context]
        text += [
            "",
            f"### One feature at a time: {'all contexts' if context == 'all' else context}",
            "",
            *HEAD,
        ]
        for name in FEATURES:
            if part[name].nunique() > 1:
                text += lines_of(regression(part, [name]))
    names = ["headroom", "gap", "k"]
    for title, part in (
        ("all contexts", steady),
        ("without da-DK", steady[steady.target != "da-DK"]),
        ("methods that collapse", table[table.collapses]),
    ):
        if found := regression(part, names):
            text += [
                "",
                f"### Headroom, gap and number of sources together: {title}",
                "",
                *HEAD,
                *lines_of(found, joint=True),
            ]
    return "\n".join(text)


def interval(values: pd.Series) -> str:
    """Return the mean over targets with its 95% interval by Student's t."""
    if len(values) < 3:
        return number(values.mean(), 1)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std() / np.sqrt(len(values))
    return (
        f"{number(values.mean(), 1)} [{number(values.mean() - half, 1)} … {number(values.mean() + half, 1)}]"
    )


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw gain against gap and against headroom, one point per target and context, the mean of its steady arms."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steady = table[~table.collapses]
    points = steady.groupby(["context", "target"])[["gain", "gap", "headroom"]].mean().reset_index()
    drawn, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for axis, name in zip(axes, ("gap", "headroom"), strict=True):
        for context, part in points.groupby("context"):
            axis.scatter(part[name], part.gain, s=18, label=f"{context} ({len(part)})", alpha=0.8)
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.set_xlabel({"gap": "best − mean source, pp", "headroom": "100 − best source, pp"}[name])
    axes[0].set_ylabel("gain over the best source, pp")
    axes[1].legend(fontsize=7, frameon=False)
    drawn.tight_layout()
    drawn.savefig(path, dpi=90, metadata={"Software": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workspace", type=Path, default=Path())
    parser.add_argument("--page", type=Path, help="page whose tables are replaced; default: print them")
    options = parser.parse_args()
    table = arms(merginguriel.frame(options.workspace, source="log"))
    found = tables(table)
    if artefacts := sorted((options.workspace / "experiment_log").glob("*/*-items-of-*.npz")):
        found += "\n" + "\n".join(uncoupled_lines(artefacts))
    if options.page is None:
        print(found)
        return 0
    text = options.page.read_text(encoding="utf-8")
    between = re.compile(f"{MARKS[0]}.*{MARKS[1]}", re.DOTALL)
    options.page.write_text(between.sub(lambda _: f"{MARKS[0]}\n{found}\n{MARKS[1]}", text), encoding="utf-8")
    figure(table, options.page.parent / "images" / f"{options.page.stem}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
