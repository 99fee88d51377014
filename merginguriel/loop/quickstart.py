"""Does merging pay for one target? The whole loop on real models: ask, train, merge, compare, write down, ask again.

Every step is kept: a second call takes what is there and goes on where the first one stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.decision.advice import Advice, Question, advise
from merginguriel.decision.advice_diff import changes
from merginguriel.errors import UsageError
from merginguriel.evaluation.baselines import Baseline, baselines
from merginguriel.evaluation.nxn import Matrix, nxn
from merginguriel.evaluation.predictions import fingerprint
from merginguriel.evaluation.significance import Comparison
from merginguriel.files import Progress
from merginguriel.knowledge import base as knowledge
from merginguriel.knowledge.log.append import Draft, add
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.merging.recipe import Recipe, Source, check
from merginguriel.similarity import choice
from merginguriel.study import capabilities, matrix_writer
from merginguriel.study import study as studies
from merginguriel.study.results import (
    compare_all,
    comparison_dict,
    logged_method,
    matrix_rows,
    merge_name,
    merge_rows,
    words,
)
from merginguriel.study.study import Study
from merginguriel.tasks.base import TaskData
from merginguriel.version import measured_by

TARGET = "da-DK"
SOURCES = ("de-DE", "en-US", "nb-NO", "sv-SE")
METHODS: tuple[tuple[str, dict[str, float], str | None], ...] = (
    ("average", {}, None),
    ("linear", {}, "REAL"),
    ("task_arithmetic", {"scale": 1.2}, None),  # the paper's λ of 0.3 per task vector, four of them
    ("ties", {"density": 0.2, "scale": 1.0}, None),  # the paper's
)
# Seconds on two cores of a 2024 server, for the first estimate; corrected by what each step really takes.
SECONDS = {"base": 20.0, "train": 12.0, "score": 14.0, "merge": 4.0}


@dataclass
class Pace:
    """How long is left? Expected seconds of the steps to come, scaled by how the finished ones compared."""

    expected: dict[str, float]
    spent: float = 0.0
    planned: float = 0.0
    done: set[str] = field(default_factory=set)

    def finish(self, step: str, seconds: float, *, skipped: bool = False) -> None:
        self.done.add(step)
        if not skipped:
            self.spent += seconds
            self.planned += self.expected[step]

    def left(self, step: str, share: float) -> float:
        """Seconds left when `share` of `step` is done."""
        rest = sum(s for name, s in self.expected.items() if name not in self.done and name != step)
        rest += self.expected[step] * (1 - share)
        return rest * (self.spent / self.planned if self.planned else 1.0)


@dataclass(frozen=True)
class Tell:
    """How the run is narrated. step(number, steps, title); progress(share, text, seconds left); note(text)."""

    step: Callable[[int, int, str], None]
    progress: Callable[[float, str, float], None]
    note: Callable[[str], None]


@dataclass(frozen=True)
class Merged:
    """One merge on the target's test items. right [n]: which of them it got; groups [n]: variants share a name."""

    recipe: Recipe
    path: Path
    accuracy: float
    right: np.ndarray
    groups: tuple[str, ...]
    compared: dict[str, Comparison]
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True)
class Outcome:
    """Everything the last screen shows."""

    study: Study
    target: str
    sources: tuple[str, ...]
    before: Advice
    after: Advice
    changed: list[str]
    matrix: Matrix
    baselines: dict[str, Baseline]
    merges: tuple[Merged, ...]
    entry: Entry
    figure: Path
    table: Path
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "sources": list(self.sources),
            "accuracy": {
                s: {t: self.matrix.value(s, t) for t in self.matrix.targets} for s in self.matrix.sources
            },
            "n": dict(zip(self.matrix.targets, map(int, self.matrix.n), strict=True)),
            "baselines": {
                k: {"model": b.model, "value": b.value, "note": b.note} for k, b in self.baselines.items()
            },
            "merges": [
                {
                    "method": m.recipe.method,
                    "similarity": m.recipe.similarity,
                    "accuracy": m.accuracy,
                    "compared": {kind: comparison_dict(c) for kind, c in m.compared.items()},
                    "path": str(m.path),
                }
                for m in self.merges
            ],
            "before": self.before,
            "after": self.after,
            "changed": self.changed,
            "entry": self.entry.id,
            "figure": str(self.figure),
            "matrix": str(self.table),
            "seconds": round(self.seconds, 1),
        }


def run(
    study: Study, target: str, sources: tuple[str, ...], tell: Tell, *, epochs: int | None = None
) -> Outcome:
    """The whole loop; see the module's first line. Steps that were done before are taken as they are.

    epochs  of every fine-tuning; None: what suits the base
    """
    settings: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    started = time.monotonic()
    data = data_of(study, target, sources)
    everyone = tuple(data)
    steps = [
        "ask",
        "base",
        *(f"train {locale}" for locale in everyone),
        "score",
        "merge",
        "write",
        "ask again",
    ]
    pace = Pace(_expected(steps, len(everyone)))

    def begin(step: str, title: str) -> tuple[float, Progress]:
        tell.step(steps.index(step) + 1, len(steps), title)

        def progress(done: float, total: float, text: str) -> None:
            share = done / total if total else 0.0
            tell.progress(share, text, pace.left(step, share))

        return time.monotonic(), progress

    question = Question(
        target,
        context=study.context,
        min_gain_pp=float(str(study.space.settings["min_gain_pp"])),
        # Models that this run trains would change what the first advice calls trained: a repeated run shows the same.
        lab=replace(capabilities.lab(study.space, study.context, target, measured=True), trained=frozenset()),
    )
    begin("ask", f"ask for advice: {target} in {study.context}")
    run = run_id(study, target, everyone, epochs) if set(everyone) <= set(study.trained()) else None
    before = _first_advice(study, question, run)
    tell.note(str(before["summary"]))
    pace.finish("ask", 0.0, skipped=True)

    clock, progress = begin("base", f"base model {study.base_name}, with a head for the task's labels")
    there = (study.root / "base" / "config.json").is_file()
    studies.make_base(study, progress)
    pace.finish("base", time.monotonic() - clock, skipped=there)

    for locale in everyone:
        role = "the target's own model, as a baseline" if locale == target else "source"
        there = study.model(locale).is_dir()
        clock, progress = begin(f"train {locale}", f"fine-tune {locale} ({role})")
        studies.train(study, locale, progress=progress, **settings)
        pace.finish(f"train {locale}", time.monotonic() - clock, skipped=there)

    clock, progress = begin("score", f"score {len(everyone)} models on {len(everyone)} locales")
    models = {locale: study.model(locale) for locale in everyone}
    run = run_id(study, target, everyone, epochs)
    dev = nxn(models, data, split="dev", cache=study.cache, on_progress=progress)
    test = nxn(models, data, split="test", cache=study.cache, on_progress=progress)
    matrix_writer.write(study, "dev", dev)
    table = matrix_writer.write(study, "test", test)
    pace.finish("score", time.monotonic() - clock, skipped=time.monotonic() - clock < 3)

    clock, progress = begin(
        "merge", f"merge {len(everyone) - 1} sources by {len(METHODS)} methods, and compare"
    )
    beat = baselines(target, dev, test, everyone[:-1], data[target])
    recipes = make_recipes(study, dev, target, everyone[:-1])
    merges = []
    for number, recipe in enumerate(recipes):
        progress(number, len(recipes), merge_name(recipe))
        merges.append(_merge_and_score(study, recipe, data[target], beat, run))
    pace.finish("merge", time.monotonic() - clock)

    begin("write", "write the result into the log")
    entry = _entry_of_run(study, run) or write_entry(
        study, target, everyone[:-1], test, beat, merges, run, table.with_suffix(".png")
    )
    begin("ask again", "ask for advice again")
    after = advise(knowledge.load(study.space), question)
    return Outcome(
        study, target, everyone[:-1], before, after, changes(before, after), test, beat, tuple(merges), entry,
        table.with_suffix(".png"), table, time.monotonic() - started,
    )  # fmt: skip


def data_of(study: Study, target: str, sources: Iterable[str]) -> dict[str, TaskData]:
    """The data of every locale, sources first, the target last. What is wrong with any is told before the work."""
    chosen = sorted(set(sources))
    if target in chosen:
        raise UsageError(f"{target} is the target; its own model is trained as a baseline, not as a source.")
    if len(chosen) < 2:
        raise UsageError("a merge needs two sources or more.")
    return {locale: study.data(locale) for locale in (*chosen, target)}


def _expected(steps: list[str], models: int) -> dict[str, float]:
    """Seconds that each step should take on two cores."""
    times = {"score": models, "merge": len(METHODS)}
    return {step: SECONDS.get(step.partition(" ")[0], 0.2) * times.get(step, 1) for step in steps}


def expected(sources: tuple[str, ...]) -> float:
    """Seconds that a run from nothing should take on two cores."""
    models = len(set(sources)) + 1
    return SECONDS["base"] + models * (SECONDS["train"] + SECONDS["score"]) + len(METHODS) * SECONDS["merge"]


def run_id(study: Study, target: str, locales: tuple[str, ...], epochs: int | None = None) -> str:
    """Names the run by what decides its result, so that the same run is written down once.

    The models are part of that: one that was trained anew makes another run.
    """
    parts = [
        study.context,
        target,
        *locales,
        str(study.seed),
        repr(METHODS),
        repr(sorted(study.options.items())),
        *([] if epochs is None else [f"epochs={epochs}"]),
        *(fingerprint(study.model(locale)) for locale in locales),
    ]
    return "quickstart-" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:8]


def _entry_of_run(study: Study, run: str) -> Entry | None:
    for entry in knowledge.load(study.space).entries:
        if any(row.run == run for row in entry.rows):
            return entry
    return None


def _first_advice(study: Study, question: Question, run: str | None) -> Advice:
    """The advice as it was before this run's own entry, so that a repeated run shows the same change."""
    known = knowledge.load(study.space)
    entries = tuple(e for e in known.entries if run is None or not any(row.run == run for row in e.rows))
    if len(entries) == len(known.entries):
        return advise(known, question)
    return advise(knowledge.Knowledge(known.space, known.skills, entries, f"before {run}"), question)


def make_recipes(study: Study, dev: Matrix, target: str, sources: tuple[str, ...]) -> list[Recipe]:
    """One recipe per method; REAL weights are the sources' accuracies on the target's development data."""
    column = {source: dev.value(source, target) for source in sources}
    shares = choice.shares(column, sources)
    return [
        check(
            Recipe(
                method=method,
                sources=tuple(
                    Source(source, study.model(source).resolve(), shares[source] if similarity else 1.0)
                    for source in sources
                ),
                params=params,
                base=(study.root / "base").resolve(),
                target=target,
                mode="ExcTar",
                similarity=similarity,
                k=len(sources),
                context=study.context,
                seed=study.seed,
            )
        )
        for method, params, similarity in METHODS
    ]


def _merge_and_score(
    study: Study, recipe: Recipe, data: TaskData, beat: dict[str, Baseline], run: str
) -> Merged:
    path = studies.merge_once(recipe, study.merged(recipe))
    scored = nxn({path.name: path}, {data.locale: data}, cache=study.cache)
    right = scored.correct[path.name, data.locale]
    compared = compare_all(right, scored.groups[data.locale], beat)
    rows = merge_rows(recipe, right, beat, compared, context=study.context, run=run)
    groups = tuple(scored.groups[data.locale])
    return Merged(recipe, path, float(right.mean()), right, groups, compared, tuple(rows))


def write_entry(
    study: Study,
    target: str,
    sources: tuple[str, ...],
    test: Matrix,
    beat: dict[str, Baseline],
    merges: list[Merged],
    run: str,
    figure: Path,
) -> Entry:
    """The retrospective of this run: rows of every merge, the whole matrix as a CSV, findings in words."""
    n = int(test.n[test.targets.index(target)])
    best = max(merges, key=lambda m: m.accuracy)
    source = beat["best_single_source"]
    findings = [
        f"- Best merge: {logged_method(best.recipe)}, {100 * best.accuracy:.1f}% on {n} test sentences; best single source: "
        f"{source.model}, {100 * source.value:.1f}%. Difference {words(best.compared['best_single_source'])}.",
        f"- Mean of the sources {100 * beat['source_mean'].value:.1f}%, the target's own model "
        f"{100 * beat['target_alone'].value:.1f}%, majority class {100 * beat['majority_class'].value:.1f}%.",
        "- Intervals resample templates, not sentences: sentences of one template are variants of each other.",
    ]
    merge_words = ", ".join(
        m.recipe.method + (f" with {m.recipe.similarity} weights" if m.recipe.similarity else "")
        for m in merges
    )
    draft = Draft(
        title=f"Merging for {target} on Home Assistant intents"
        if study.task == "home"
        else f"Merging for {target}",
        type="Retrospective",
        date=date.today().isoformat(),
        summary=f"Merged {len(sources)} single-language models for {target} by {len(merges)} methods and compared them "
        f"with the best single model.",
        context=study.context,
        metric="accuracy",
        n=str(n),
        seed=str(study.seed),
        code=measured_by(),
        tags=f"quickstart, {target}",
        origin=f"mu quickstart, run {run}",
        sections=(
            (
                "What was tried",
                f"Models of {', '.join(sources)} were fine-tuned from one base ({study.base_name}) on {study.task} and merged "
                f"for {target}: {merge_words}. The best source was chosen on development data; every figure is on the "
                f"same {n} test sentences of {target}.",
            ),
            ("Findings", "\n".join(findings)),
            ("Open questions", f"- [open] Does the best recipe hold for {target} with another seed?"),
        ),
        rows=tuple(row for m in merges for row in m.rows),
    )
    figure_text = "Accuracy in percent of every model (row) on every test set (column)"
    return add(
        study.space.log,
        draft,
        more_rows=matrix_rows(test, study.context, run, measured_by()),
        figure=(figure_text, figure),
    )


def verdict_line(outcome: Outcome) -> str:
    """Did it pay? In one sentence, noise called noise."""
    best = max(outcome.merges, key=lambda m: m.accuracy)
    found = best.compared["best_single_source"]
    source = outcome.baselines["best_single_source"]
    said = f"{logged_method(best.recipe)} {100 * best.accuracy:.1f}% against {source.model} {100 * source.value:.1f}%: {words(found)}"
    smallest = float(str(outcome.study.space.settings["min_gain_pp"]))
    if found.significant:
        return f"{'It paid' if found.difference > 0 else 'It did not pay'}. {said}"
    if found.interval.high < smallest:
        return f"It did not pay: a gain of {smallest:g} pp lies outside the interval. {said}"
    return f"Not settled. {said}"
