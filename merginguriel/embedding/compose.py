"""Study of the languages of training data: eight compositions, four directions of search, effects and merges.

After Jang et al. 2025, arXiv:2507.08480. D(abc) is a training set whose queries, positives and negatives are in the
languages a, b and c; T(a-b) is the search of documents in b by queries in a. One part of the held-out queries chooses the
models that are merged, the other is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from merginguriel.errors import UsageError
from merginguriel.evaluation.nxn import Matrix
from merginguriel.evaluation.predictions import fingerprint
from merginguriel.evaluation.significance import Comparison, compare
from merginguriel.files import Progress
from merginguriel.merging.engine import merge
from merginguriel.merging.recipe import Recipe, Source
from merginguriel.models import build_record
from merginguriel.tasks.parallel import Parallel, examples_of
from merginguriel.tasks.parallel import languages as short_names
from merginguriel.tasks.registry import digest

from . import architecture, retrieval, training
from .architecture import Shape
from .training import Settings, Window

CHOOSING = 1 / 3  # share of the held-out queries that choose the models to merge
DRAWS = 2000  # of the bootstrap of an effect
Scores = Mapping[str, np.ndarray]  # direction → NDCG@10, recall and reciprocal rank of each query [q, 3]


@dataclass(frozen=True)
class CompositionPlan:
    """Inputs of a study. methods: merges of specialist and mono-lingual model at equal weights; path: weights of the specialist."""

    text: Parallel
    base: Path
    out: Path
    shape: Shape
    settings: Settings
    window: Window
    methods: tuple[str, ...] = ("average",)
    path: tuple[float, ...] = (0.25, 0.75)

    @property
    def languages(self) -> tuple[str, str]:
        """Return the names of the two languages in D and T, such as ko and en."""
        first, second = short_names(*self.text.locales)
        return first, second

    @property
    def locale_of(self) -> dict[str, str]:
        """Return language → locale."""
        return dict(zip(self.languages, self.text.locales, strict=True))


@dataclass(frozen=True)
class CompositionEffect:
    """Comparison of two sets of models, A and B, over the same queries. paper: sign of A − B there; 0: no loss."""

    name: str
    a: str
    b: str
    paper: int
    found: Comparison

    @property
    def agreement(self) -> str:
        """Return whether the interval agrees with the paper."""
        low, high = self.found.interval.low, self.found.interval.high
        if low <= 0 <= high:
            return "inconclusive"
        return "agrees" if (low > 0) == (self.paper >= 0) else "disagrees"


@dataclass(frozen=True)
class CompositionStudy:
    """Result: the scores of each model on the reported queries, effects, and the models that were merged.

    scores      name of a model → direction → [q, 3]; names are `base`, `D(koenen)`, `average 0.50` …
    specialist, mono  the merged models
    queries     number of training queries, of choosing and of reported ones
    """

    languages: tuple[str, str]
    scores: Mapping[str, Scores]
    effects: tuple[CompositionEffect, ...]
    specialist: str
    mono: str
    queries: tuple[int, int, int]
    merges: tuple[str, ...]

    def value(self, model: str, directions: Sequence[str], measure: int = 0) -> float:
        """Return the mean of a measure (0: NDCG@10, 1: recall, 2: reciprocal rank) over directions and queries."""
        return float(np.mean([self.scores[model][one][:, measure].mean() for one in directions]))

    @property
    def cross(self) -> tuple[str, str]:
        """Return the two directions between the languages."""
        a, b = self.languages
        return f"{a}-{b}", f"{b}-{a}"

    @property
    def within(self) -> tuple[str, str]:
        """Return the two directions within a language."""
        a, b = self.languages
        return f"{a}-{a}", f"{b}-{b}"

    def matrix(self) -> Matrix:
        """Return the NDCG@10 of every model in every direction."""
        directions = (*self.within, *self.cross)
        scores = np.array([[self.value(name, [one]) for one in directions] for name in self.scores])
        n = np.full(len(directions), self.queries[2])
        return Matrix(tuple(self.scores), directions, scores, n, metric="ndcg_at_10")

    def pareto(self) -> set[str]:
        """Return the models that no other beats in both cross-lingual and mono-lingual NDCG@10."""
        points = {name: (self.value(name, self.cross), self.value(name, self.within)) for name in self.scores}
        return {
            name
            for name, (x, y) in points.items()
            if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points.values())
        }


def compositions(languages: tuple[str, str]) -> dict[str, tuple[str, str, str]]:
    """Return the name → languages of query, positive and negative of all eight training sets."""
    return {f"D({''.join(three)})": (three[0], three[1], three[2]) for three in product(languages, repeat=3)}


def study(
    plan: CompositionPlan,
    *,
    on_progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> CompositionStudy:
    """Train, score and merge; models that the folder has already are not trained again.

    Raises:
        UsageError: Too few queries, or negatives cannot be mined in the window.
        MuError: The folder has models of other data or settings.
    """
    learn, held = plan.text.split(seed=plan.settings.seed)
    three = compositions(plan.languages)
    models = {"base": plan.out / "base"}
    if not models["base"].is_dir():
        untrained = architecture.build(
            plan.base, replace(plan.shape, rank=0), max_tokens=plan.settings.max_tokens
        )
        architecture.save(untrained, models["base"], "The untrained base with the pooling of the study.\n")
    negatives = mined(plan, learn)
    for at, (name, languages) in enumerate(three.items(), 1):
        models[name] = plan.out / name.strip("D()")
        query, positive, negative = (plan.locale_of[one] for one in languages)
        examples = examples_of(learn, query, positive, negative, negatives)
        made = training.made_by(plan.base, examples, plan.shape, plan.settings)
        if build_record.already(models[name], training.RECORD, made):
            continue
        note(f"train {name} ({at} of {len(three)})")
        training.train(plan.base, examples, models[name], plan.shape, plan.settings, on_progress=on_progress)
    scores: dict[str, Scores] = {}
    for name, folder in models.items():
        note(f"score {name}")
        scores[name] = scored(held, folder)
    chosen = np.array([chooses(id) for id in held.relevant])
    if not chosen.any() or chosen.all():
        raise UsageError("too few test queries to choose the models to merge.", where=plan.text.source)
    draft = CompositionStudy(plan.languages, scores, (), "", "", (0, 0, 0), ())
    choosing = replace(draft, scores={name: cut(one, chosen) for name, one in scores.items()})
    specialist = best(choosing, [name for name, (q, p, _) in three.items() if q != p], draft.cross)
    mono = best(choosing, [name for name, (q, p, _) in three.items() if q == p], draft.within)
    merges = [(method, 0.5) for method in plan.methods]
    merges += [("linear", weight) for weight in plan.path]
    for method, weight in merges:
        note(f"merge {specialist} and {mono} by {method}, weight {weight:.2f}")
        sources = (Source("specialist", models[specialist], weight), Source("mono", models[mono], 1 - weight))
        recipe = Recipe(method, sources, base=None if method in ("average", "linear") else models["base"])
        folder = plan.out / merge_name(recipe)
        if not folder.is_dir():
            merge(recipe, folder)
        scores[f"{method} {weight:.2f}"] = scored(held, folder)
    reported = {name: cut(one, ~chosen) for name, one in scores.items()}
    sizes = (len(negatives), int(chosen.sum()), int((~chosen).sum()))
    names = tuple(f"{method} {weight:.2f}" for method, weight in merges)
    done = replace(draft, scores=reported, specialist=specialist, mono=mono, queries=sizes, merges=names)
    return replace(done, effects=effects(done))


def merge_name(recipe: Recipe) -> str:
    """Return the name of a merge's folder, which differs for other contents of its sources and base."""
    read = [*(source.path for source in recipe.sources), *([recipe.base] if recipe.base else [])]
    weight = f"{recipe.sources[0].weight:.2f}"
    return f"{recipe.method}-{weight}-{build_record.text_hash(map(fingerprint, read))[:8]}"


def mined(plan: CompositionPlan, learn: Parallel) -> dict[str, tuple[str, ...]]:
    """Return query id → ids of its hard negatives, mined once by the base in the second language, so that sets differ in language only."""
    locale = plan.text.locales[1]
    queries, documents = learn.queries[locale], learn.documents[locale]
    of_pair = {(queries[id], documents[min(docs)]): id for id, docs in learn.relevant.items()}
    examples = [training.Example(*pair) for pair in of_pair]
    found = training.mine(architecture.load(plan.base), examples, plan.window)
    of_text = {text: id for id, text in learn.documents[locale].items()}
    return {of_pair[one.query, one.positive]: tuple(of_text[text] for text in one.negatives) for one in found}


def scored(held: Parallel, folder: Path) -> Scores:
    """Return the measures of a model in all four directions."""
    found = retrieval.by_direction(architecture.load(folder), held)
    return {direction: np.stack(list(measures.values()), axis=1) for direction, measures in found.items()}


def chooses(query: str) -> bool:
    """Return whether a held-out query chooses the models to merge; the others are reported."""
    return int(digest("choose", query), 16) < CHOOSING * 16**8


def cut(scores: Scores, chosen: np.ndarray) -> Scores:
    """Return the scores of the chosen queries."""
    return {direction: table[chosen] for direction, table in scores.items()}


def best(study: CompositionStudy, names: Sequence[str], directions: Sequence[str]) -> str:
    """Return the model with the highest NDCG@10 over directions."""
    return max(names, key=lambda name: (study.value(name, directions), name))


def effects(study: CompositionStudy) -> tuple[CompositionEffect, ...]:
    """Return the effects of the paper on this study, each a paired comparison over queries."""
    a, b = study.languages
    three = compositions(study.languages)
    named = {kind: [n for n, parts in three.items() if rule(*parts)] for kind, rule in KINDS.items()}
    merged, specialist, mono = [study.merges[0]], [study.specialist], [study.mono]
    listed: list[tuple[str, Sequence[str], Sequence[str], Sequence[str], int]] = []
    for query, document in ((a, b), (b, a)):
        match = [n for n, (q, p, _) in three.items() if (q, p) == (query, document)]
        name, rest = f"direction match, T({query}-{document})", [n for n in three if n not in match]
        listed.append((name, match, rest, [f"{query}-{document}"], 1))
    listed += [
        (
            "two languages in query and positive, cross-lingual",
            named["cross"],
            named["within"],
            study.cross,
            1,
        ),
        ("query-negatives match, mono-lingual", named["match"], named["no match"], study.within, -1),
        ("query-negatives match against the base, mono-lingual", named["match"], ["base"], study.within, -1),
        (f"{merged[0]} against the specialist, mono-lingual", merged, specialist, study.within, 1),
        (f"{merged[0]} against the specialist, cross-lingual", merged, specialist, study.cross, 0),
        (f"{merged[0]} against the best mono-lingual model, mono-lingual", merged, mono, study.within, 0),
        (f"{merged[0]} against the base, mono-lingual", merged, ["base"], study.within, 1),
    ]
    found = []
    for name, one, two, directions, paper in listed:
        sides = (mean(study, side, directions) for side in (one, two))
        compared = compare(*sides, metric="ndcg_at_10", draws=DRAWS)
        found.append(CompositionEffect(name, " + ".join(one), " + ".join(two), paper, compared))
    return tuple(found)


# Kinds of composition by the languages of query, positive and negative.
KINDS: dict[str, Callable[[str, str, str], bool]] = {
    "cross": lambda q, p, n: q != p,
    "within": lambda q, p, n: q == p,
    "match": lambda q, p, n: q != p and q == n,
    "no match": lambda q, p, n: q != p and q != n,
}


def mean(study: CompositionStudy, models: Sequence[str], directions: Sequence[str]) -> np.ndarray:
    """Return NDCG@10 of each query [q], the mean over models and directions."""
    return np.mean([study.scores[model][one][:, 0] for model in models for one in directions], axis=0)
