"""Rank sources for a target without a matrix column by LambdaRank, as LangRank does, against the shipped prediction.

    pip install lightgbm
    python benchmarks/sources_lambdarank.py massive_intent_transfer.csv

The table is that of `mu backtest --transfer`. Each target is left out, also as a source. Features of a pair: mean score of the
source on other targets, URIEL's five similarities and script. Settings are those of LangRank (Lin et al. 2019, ACL,
arXiv:1905.12688: 100 trees of 16 leaves), not tuned; the relevance of a source is its rank among the best 30. Prints regret@1
and best of three, in pp, with a 95% interval over targets (bootstrap). lightgbm is no dependency of the program.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from lightgbm import LGBMRanker

from merginguriel.decision import transfer

RANKED = 30  # relevance of the best source


def pairs(table: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the features of pairs [sources, targets, features], the first the source's mean on other targets."""
    known = ~np.isnan(table)
    relative = np.where(known, table - np.nanmean(table, 0), 0.0)
    others = (relative.sum(1, keepdims=True) - relative) / np.maximum(known.sum(1, keepdims=True) - known, 1)
    return np.concatenate([others[..., None], features], -1)


def ranked(table: np.ndarray, features: np.ndarray, t: int) -> np.ndarray:
    """Return scores of all sources for target t from a ranker that saw neither its column nor its row."""
    keep = [i for i in range(len(table)) if i != t]
    inner = table[np.ix_(keep, keep)]
    x = pairs(inner, features[np.ix_(keep, keep)])
    rows, relevance, groups = [], [], []
    for column in range(len(keep)):
        known = ~np.isnan(inner[:, column])
        order = np.argsort(np.argsort(-inner[known, column], kind="stable"), kind="stable")
        rows.append(x[known, column])
        relevance.append(np.maximum(RANKED - order, 0))
        groups.append(int(known.sum()))
    model = LGBMRanker(
        n_estimators=100, num_leaves=16, min_child_samples=5, n_jobs=1, verbose=-1, random_state=0
    )
    model.fit(np.concatenate(rows), np.concatenate(relevance), group=groups)
    mean = np.nanmean(inner - np.nanmean(inner, 0), 1)
    asked = np.concatenate([mean[:, None], features[keep, t]], -1)
    return np.insert(np.asarray(model.predict(asked), dtype=float), t, np.nan)


def main() -> int:
    """Print the regrets of LambdaRank and of the shipped prediction."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("table", type=Path)
    path = asked.parse_args().table
    names, tables = transfer.read_table(path)
    features = transfer.Alike.of(names, names).sources
    draw = np.random.default_rng(0).integers(0, len(names), (2000, len(names)))
    for model, table in tables.items():
        every = range(len(names))
        regrets = np.array([transfer.regret_of(table[:, t], ranked(table, features, t), t) for t in every])
        low, high = np.percentile(regrets[draw].mean(1), [2.5, 97.5], axis=0)
        shown = " and ".join(
            f"{name} {mean:.2f} [{a:.2f} … {b:.2f}]"
            for name, mean, a, b in zip(
                ("regret@1", "best of three"), regrets.mean(0), low, high, strict=True
            )
        )
        print(f"{model.removesuffix('_accuracy'):14} LambdaRank: {shown}")
    for one in transfer.backtest(path):
        print(
            f"{one.model:14} {one.how}: regret@1 {one.regret_pp:.2f} and best of three {one.best_of_three_pp:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
