"""Accuracy of models on a target where they were not scored, from their scores on other targets.

A score is the target's mean, plus an effect of the model (donor), plus a linear part of similarities (URIEL's five sets
of features and the script), plus what the model does on targets that are like this one. Where a context has too few
scores, the linear part alone ranks, with slopes shipped in transfer.json.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np

from merginguriel import locales
from merginguriel.errors import UsageError
from merginguriel.similarity import uriel

FEATURES = (*uriel.SETS, "script")
RIDGE = 1.0  # pp², penalty of the squared slopes
DONOR_PRIOR = 1.0  # scores with effect 0 that a donor's effect is shrunk by
NEAR = 0.1  # distance of two targets, 1 − URIEL similarity, at which their weight falls to 1/e
NEAR_PRIOR = 1.0  # weight of an effect of 0 beside the near targets
FEWEST_TARGETS = 3  # whose columns must be known, below which only the shipped slopes are used
RIVALS = tuple((near, prior) for near in (0.05, 0.1, 0.2) for prior in (0.3, 1.0))


class Predicted(NamedTuple):
    """Predicted accuracy, a fraction, and its standard deviation; None where only the order is predicted."""

    value: float
    sd: float | None


def predict(
    columns: Mapping[str, Mapping[str, float]], target: str, sources: Sequence[str]
) -> dict[str, Predicted]:
    """Return source → predicted accuracy on the target, for the sources that URIEL knows.

    `columns`: target → source → accuracy of the context, a fraction; scores on the target itself set its level.
    """
    if uriel.lacking([target]):
        return {}
    known = [s for s in sources if s != target and s in locales.table() and not uriel.lacking([s])]
    targets = [t for t in columns if t != target and t in locales.table() and not uriel.lacking([t])]
    full = {t: columns[t] for t in targets if sum(s in columns[t] for s in known) >= 2}
    if not known:
        return {}
    own = columns.get(target, {})
    if len(full) < FEWEST_TARGETS:
        lin = _similarities(known, [target])[:, 0] @ np.array(shipped())
        level = _level(own, known, lin)
        return {s: Predicted(float(level + v) / 100, None) for s, v in zip(known, lin, strict=True)}
    table = np.array([[100 * full[t].get(s, np.nan) for t in full] for s in known])
    table[np.equal.outer(np.array(known), np.array(list(full)))] = np.nan
    alike = Alike.of(known, [*full, target])
    others = list(range(len(full)))
    scores = _scores(table, alike.seen(others, len(full)), NEAR, NEAR_PRIOR)
    errors = [
        _scores(np.delete(table, i, 1), alike.seen([j for j in others if j != i], i), NEAR, NEAR_PRIOR)
        - table[:, i]
        for i in others
    ]
    centred = np.concatenate([e[~np.isnan(e)] - np.nanmean(e) for e in errors])
    sd = sqrt(float((centred**2).mean()))
    level = _level(own, known, scores) if own else float(np.nanmean(table))
    return {s: Predicted(float(level + v) / 100, sd / 100) for s, v in zip(known, scores, strict=True)}


def _level(own: Mapping[str, float], known: Sequence[str], scores: np.ndarray) -> float:
    """Return the target's level, pp: what its own scores are above the predicted ones."""
    above = [100 * own[s] - v for s, v in zip(known, scores.tolist(), strict=True) if s in own]
    return sum(above) / len(above) if above else 50.0


def _similarities(sources: Sequence[str], targets: Sequence[str]) -> np.ndarray:
    """Return the features of pairs, [sources, targets, features]."""
    script = [[float(locales.get(s).script == locales.get(t).script) for t in targets] for s in sources]
    sets = [uriel.matrix(sources, targets, (kind,)) for kind in uriel.SETS]
    return np.stack([*sets, np.array(script)], -1)


class Seen(NamedTuple):
    """Similarities that a prediction uses: of sources and known targets, of both with the asked target.

    Attributes:
        features: [sources, targets, features].
        here: Of the sources and the asked target [sources, features].
        near: Mean URIEL similarity of the asked target and the known ones [targets].
    """

    features: np.ndarray
    here: np.ndarray
    near: np.ndarray


class Alike(NamedTuple):
    """Similarities of sources and targets [sources, targets, features], and of targets and targets."""

    sources: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, sources: Sequence[str], targets: Sequence[str]) -> Alike:
        """Compute the similarities of locales."""
        return cls(_similarities(sources, targets), _similarities(targets, targets))

    def seen(self, known: Sequence[int], asked: int) -> Seen:
        """Return the part that a prediction of target `asked` from the targets `known` uses."""
        near = self.targets[asked, known, : len(uriel.SETS)].mean(-1)
        return Seen(self.sources[:, known], self.sources[:, asked], near)


def _scores(table: np.ndarray, seen: Seen, near: float, prior: float) -> np.ndarray:
    """Return predicted scores of sources on a target, relative to its mean, pp.

    Args:
        table: Scores [sources, targets], pp; NaN where unknown.
        seen: Similarities of its rows and columns with each other and the target.
        near: Distance of targets at which their weight falls to 1/e.
        prior: Weight of an effect of 0 beside the near targets.
    """
    features = seen.features
    mask = ~np.isnan(table)
    rest = table - np.nanmean(table, 0)
    donor = np.nansum(rest, 1) / (mask.sum(1) + DONOR_PRIOR)
    rest = rest - donor[:, None]
    counts = np.maximum(mask.sum(0), 1)[None, :, None]
    centred = features - (features * mask[..., None]).sum(0)[None] / counts
    slopes = _ridge(centred[mask], rest[mask])
    rest = np.where(mask, rest - centred @ slopes, 0.0)
    weight = np.exp(-(1 - seen.near) / near)
    local = (rest * weight).sum(1) / ((mask * weight).sum(1) + prior)
    scores: np.ndarray = donor + local + (seen.here - seen.here.mean(0)) @ slopes
    return scores


def _ridge(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the slopes of values on features, shrunk to 0."""
    gram = features.T @ features + RIDGE * np.eye(features.shape[1])
    slopes: np.ndarray = np.linalg.solve(gram, features.T @ values)
    return slopes


@cache
def shipped() -> tuple[float, ...]:
    """Return the shipped slopes, pp per unit of similarity, in the order of FEATURES."""
    data = json.loads(Path(__file__).with_name("transfer.json").read_text(encoding="utf-8"))
    return tuple(data["slopes_pp"][name] for name in FEATURES)


# The backtest on a table of transfer accuracies


@dataclass(frozen=True)
class RankingRegret:
    """Regret of a way to rank sources, pp: of its first source, and of the best of its first three."""

    model: str
    how: str
    targets: int
    regret_pp: float
    best_of_three_pp: float


def read_table(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return locales and model → accuracies [sources, targets] in percent, from a table of ProxyLM's form.

    Raises:
        UsageError: The file has other columns, or a language without a locale.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}.") from error
    models = [name for name in (rows[0] if rows else {}) if name.endswith("_accuracy")]
    if not models or not {"source_lang", "target_lang"} <= set(rows[0]):
        raise UsageError(
            f"{path} is no table of transfer accuracies.",
            hint="It needs the columns source_lang, target_lang and one or more that end with _accuracy.",
        )
    names = sorted({row["source_lang"] for row in rows} | {row["target_lang"] for row in rows})
    place = {name: i for i, name in enumerate(names)}
    tables = {}
    for model in models:
        tables[model] = np.full((len(names), len(names)), np.nan)
        for row in rows:
            tables[model][place[row["source_lang"]], place[row["target_lang"]]] = float(row[model])
        np.fill_diagonal(tables[model], np.nan)
    return [_locale(name) for name in names], tables


def _locale(name: str) -> str:
    """Return the first locale of a language code, or the code where it is one."""
    if name in locales.table():
        return name
    found = next((tag for tag in locales.table() if tag.partition("-")[0] == name), None)
    if found is None:
        raise UsageError(f"unknown language {name!r} in the table of transfer accuracies.")
    return found


def backtest(path: Path) -> list[RankingRegret]:
    """Return the regret of several ways to rank sources for a target that was left out, also as a source.

    `nested`: the settings of every fold are those with the least regret on its other targets.
    """
    names, tables = read_table(path)
    alike = Alike.of(names, names)
    similar = alike.targets[..., : len(uriel.SETS)].mean(-1)
    result = []
    for model, table in tables.items():
        n = len(names)
        ways: dict[str, np.ndarray] = {}
        regrets = {rival: np.array([_regret(table, alike, t, rival) for t in range(n)]) for rival in RIVALS}
        ways["donor, similarities and near targets, as shipped"] = regrets[NEAR, NEAR_PRIOR]
        total = {rival: found.sum(1) for rival, found in regrets.items()}
        nested = [
            regrets[min(RIVALS, key=lambda r: float(total[r].sum() - total[r][t]))][t] for t in range(n)
        ]
        ways["the same, nested settings"] = np.array(nested)
        ways["the same, mean of all settings"] = np.array(
            [_regret(table, alike, t, *RIVALS) for t in range(n)]
        )
        donor = np.array([[np.nanmean(np.delete(table[s], [t])) for t in range(n)] for s in range(n)])
        for how, scores in (("donor mean", donor), ("URIEL", similar)):
            ways[how] = np.array([regret_of(table[:, t], scores[:, t], t) for t in range(n)])
        ways["random"] = np.array([_random(np.delete(table[:, t], t)) for t in range(n)])
        result += [
            RankingRegret(model.removesuffix("_accuracy"), how, n, *map(float, found.mean(0)))
            for how, found in ways.items()
        ]
    return result


def _regret(table: np.ndarray, alike: Alike, t: int, *settings: tuple[float, float]) -> tuple[float, float]:
    """Return the regret on target t of the order by the mean prediction over settings (near, prior)."""
    keep = [i for i in range(len(table)) if i != t]
    seen = Alike(alike.sources[keep], alike.targets).seen(keep, t)
    scores = np.mean([_scores(table[np.ix_(keep, keep)], seen, *one) for one in settings], 0)
    return regret_of(table[:, t], np.insert(scores, t, np.nan), t)


def regret_of(true: np.ndarray, scores: np.ndarray, t: int) -> tuple[float, float]:
    """Return the regret of the first and of the best of the first three sources by score, without source t."""
    true, scores = np.delete(true, t), np.delete(scores, t)
    order = np.argsort(-scores, kind="stable")
    return float(true.max() - true[order[0]]), float(true.max() - true[order[:3]].max())


def _random(true: np.ndarray) -> tuple[float, float]:
    """Return the expected regret of a random source, and of the best of three."""
    down = np.sort(true)[::-1]
    n = len(down)
    left = n - 1 - np.arange(n)  # sources worse than this one
    best = 3 * left * (left - 1) / (n * (n - 1) * (n - 2))
    return float(down[0] - down.mean()), float(down[0] - (best * down).sum())
