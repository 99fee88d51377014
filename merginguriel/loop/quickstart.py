"""Quickstart: advice, trained sources, a pilot of the advice, four merges, a log entry about them, and advice again.

Training, scoring and merging are runs (merginguriel.runs), so a second call goes on where the first one stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.config.run_config import changed
from merginguriel.config.schema import Config, Training
from merginguriel.decision.advice import Advice, Question, advise
from merginguriel.decision.advice_diff import changes
from merginguriel.decision.evidence import is_arm
from merginguriel.errors import MuError, UsageError
from merginguriel.evaluation.baselines import Baseline
from merginguriel.evaluation.nxn import Matrix, load
from merginguriel.evaluation.significance import Comparison
from merginguriel.files import Progress
from merginguriel.knowledge import base as knowledge
from merginguriel.knowledge.log.append import add
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.metrics.registry import Metric, find
from merginguriel.runs import resolve, run_store, worker
from merginguriel.runs.kinds.shared_steps import baselines_of
from merginguriel.runs.run_store import Run
from merginguriel.study import capabilities, item_file
from merginguriel.study.results import compare_all, comparison_dict, comparison_of, words
from merginguriel.study.study import Study, make_base
from merginguriel.tasks.registry import TaskData
from merginguriel.text.numbers import count, pp
from merginguriel.version import measured_by

from . import dedupe, entry_draft, ledger, pilot
from .entry_effect import repeats
from .quickstart_time import Pace, expected

TARGET = "sr-RS"  # not in the shipped log, so that a measurement there moves the advice
SOURCES = ("cs-CZ", "en-US", "it-IT", "pl-PL", "ru-RU")
METHODS: tuple[tuple[str, dict[str, float], str | None], ...] = (
    ("average", {}, None),
    ("linear", {}, "REAL"),
    ("task_arithmetic", {"scale": 1.2}, None),  # the paper's λ of 0.3 per task vector, four of them
    ("ties", {"density": 0.2, "scale": 1.0}, None),  # the paper's
)
PILOT_ARMS = 3


@dataclass(frozen=True)
class Narration:
    """Callbacks: step(number, steps, title); progress(share, text, seconds left); note(text)."""

    step: Callable[[int, int, str], None]
    progress: Callable[[float, str, float], None]
    note: Callable[[str], None]


@dataclass(frozen=True)
class Merged:
    """One merge on the target's test items, read from its run.

    right   [n] or [n, S], statistics of the metric
    groups  [n]: variants of one template share a name
    """

    method: str
    similarity: str | None
    name: str
    path: Path
    right: np.ndarray
    groups: tuple[str, ...]
    compared: dict[str, Comparison]
    metric: Metric

    @property
    def value(self) -> float:
        """Value of the metric."""
        return self.metric.value(self.right)


@dataclass(frozen=True)
class QuickstartResult:
    """Everything that the last screen shows."""

    study: Study
    target: str
    sources: tuple[str, ...]
    before: Advice
    after: Advice
    changed: list[str]
    matrix: Matrix
    baselines: dict[str, Baseline]
    merges: tuple[Merged, ...]
    pilot: dict[str, Any] | None  # its result; None where no advised arm can be run with these sources
    entry: Entry
    figure: Path
    table: Path
    seconds: float

    @property
    def metric(self) -> Metric:
        """Metric of the task."""
        return find(self.matrix.metric)

    @property
    def best(self) -> Merged:
        """The merge with the best value."""
        return max(self.merges, key=lambda m: m.metric.sign * m.value)

    def as_dict(self) -> dict[str, Any]:
        """Return what `mu quickstart --json` prints."""
        return {
            "target": self.target,
            "sources": list(self.sources),
            "metric": self.metric.name,
            self.metric.name: {s: {t: self.matrix.value(s, t) for t in self.matrix.targets} for s in self.matrix.sources},
            "n": dict(zip(self.matrix.targets, map(int, self.matrix.n), strict=True)),
            "baselines": {k: {"model": b.model, "value": b.value, "note": b.note} for k, b in self.baselines.items()},
            "merges": [
                {
                    "method": m.method, "similarity": m.similarity, m.metric.name: m.value,
                    "compared": {kind: comparison_dict(c) for kind, c in m.compared.items()}, "path": str(m.path),
                }
                for m in self.merges
            ],
            "pilot": self.pilot,
            "before": self.before.as_dict(),
            "after": self.after.as_dict(),
            "changed": self.changed,
            "entry": self.entry.id,
            "figure": str(self.figure),
            "matrix": str(self.table),
            "seconds": round(self.seconds, 1),
        }  # fmt: skip


def run(
    study: Study, target: str, sources: tuple[str, ...], tell: Narration, *, epochs: int | None = None
) -> QuickstartResult:
    """Carry out the whole loop; runs that have finished are not carried out again.

    Args:
        sources: locales to merge, two or more.
        epochs: of every fine-tuning; None for what suits the base.
    """
    started = time.monotonic()
    everyone = tuple(data_of(study, target, sources))
    chosen = everyone[:-1]
    trainings, scoring, merges = configurations(study, target, chosen, epochs)
    steps = steps_of(everyone)
    pace = Pace(expected(steps, len(everyone), len(METHODS)))

    @contextmanager
    def step(name: str, title: str, parts: int = 1) -> Iterator[Progress]:
        tell.step(steps.index(name) + 1, len(steps), title)
        clock, part, last = time.monotonic(), 0, 0.0

        def progress(done: float, total: float, text: str) -> None:
            nonlocal part, last
            if not total:
                tell.note(text)
                return
            part, last = part + (done / total < last), done / total
            share = min((part + last) / parts, 1.0)
            tell.progress(share, text, pace.left(name, share, time.monotonic() - clock))

        yield progress
        seconds = time.monotonic() - clock
        pace.finish(name, seconds, skipped=seconds < 3)

    question = Question(
        target,
        context=study.context,
        min_gain_pp=float(str(study.space.settings["min_gain_pp"])),
        # Models that these runs train would change what the first advice counts as trained.
        lab=replace(capabilities.lab(study.space, study.context, target, measured=True), trained=frozenset()),
    )
    ids = {run_store.run_id(resolve.resolved(one, study.space)) for one in (scoring, *merges)}
    with step("ask", f"ask for advice: {target} in {study.context}"):
        before = advise(_known_before(study, ids), question)
        ledger.record(study.space, question, before)
        tell.note(before.summary)
    with step("base", f"make the base {study.base_name}") as progress:
        make_base(study, progress)
    for locale, config in zip(everyone, trainings, strict=True):
        role = "the target's own model, as a baseline" if locale == target else "source"
        with step(f"train {locale}", f"fine-tune {locale} ({role})") as progress:
            worker.carry_out(study.space, config, progress)
    n = len(everyone)
    with step("score", f"score {n} models on {n} locales", len(scoring.splits)) as progress:
        scored = worker.carry_out(study.space, scoring, progress)
    with step(
        "pilot", "try what was advised, and confirm the best on test items", PILOT_ARMS + 2
    ) as progress:
        tried = _pilot(study, question, ids, epochs, tell, progress)
    with step("merge", f"merge {len(chosen)} sources by {len(METHODS)} methods", len(METHODS)) as progress:
        runs = [worker.carry_out(study.space, config, progress) for config in merges]
    table = study.table("test")
    with step("write", "write the result into the log"):
        written = [*([tried] if tried else []), *runs]
        entry = _entry_of(study, ids) or write_entry(
            study, target, scored, written, table.with_suffix(".png")
        )
    with step("ask again", "ask for advice again"):
        known = knowledge.load(study.space)
        after = advise(known, question)
        changed_by = changes(before, after)
        if same := [old for new, old in repeats(known, entry.id) if is_arm(known.by_row[new])]:
            changed_by.append(f"{count(len(same), 'row')} repeat earlier ones and do not count: {same[0]}")
    return QuickstartResult(
        study, target, chosen, before, after, changed_by, load(scored.folder / "nxn-test.csv"),
        {kind: found for one in runs for kind, found in baselines_of(one).items()}, tuple(merged(one) for one in runs), run_store.result(tried) if tried else None, entry, table.with_suffix(".png"), table,
        time.monotonic() - started,
    )  # fmt: skip


def steps_of(everyone: Sequence[str]) -> list[str]:
    """Return the names of the steps, with a training for each locale."""
    trained = [f"train {locale}" for locale in everyone]
    return ["ask", "base", *trained, "score", "pilot", "merge", "write", "ask again"]


def data_of(study: Study, target: str, sources: Iterable[str]) -> dict[str, TaskData]:
    """Return the data of every locale, sources first, the target last. Raises what is wrong with any of them."""
    chosen = sorted(set(sources))
    if target in chosen:
        raise UsageError(f"{target} is the target; its own model is trained as a baseline, not as a source.")
    if len(chosen) < 2:
        raise UsageError("a merge needs two sources or more.")
    return {locale: study.data(locale) for locale in (*chosen, target)}


def configurations(
    study: Study, target: str, sources: Sequence[str], epochs: int | None
) -> tuple[list[Config], Config, list[Config]]:
    """Return the runs: a training per locale, the scoring of all models on all locales, and the merges."""
    everyone = (*sources, target)
    common = Config.model_validate(
        {**resolve.table_of(study), "training": {} if epochs is None else {"epochs": epochs}}
    )
    trainings = [changed(common, kind="train", locales=(locale,)) for locale in everyone]
    scoring = changed(common, kind="nxn", sources=everyone, locales=everyone)
    merges = [
        changed(
            common, kind="merge", target=target, sources=tuple(sources), method=method, params=params,
            similarity=similarity, ensembles=False, keep=True,
        )
        for method, params, similarity in METHODS
    ]  # fmt: skip
    return trainings, scoring, merges


def merged(one: Run) -> Merged:
    """Return the merge of a finished run."""
    result, items = run_store.result(one), item_file.read(one.folder / "items.npz")
    similarity = one.config.similarity
    return Merged(
        str(one.config.method),
        similarity,
        str(result["method"]) + (f" ({similarity})" if similarity else ""),
        one.space.root / str(result["path"]),
        items.arms["merge"],
        items.groups,
        compare_all(items.arms["merge"], items.groups, baselines_of(one), str(result["metric"])),
        find(str(result["metric"])),
    )


def _entry_of(study: Study, ids: set[str]) -> Entry | None:
    for entry in knowledge.load(study.space).entries:
        if any(row.run in ids for row in entry.rows):
            return entry
    return None


def _known_before(study: Study, ids: set[str]) -> knowledge.Knowledge:
    """Return the knowledge without the entry about these runs, so that a repeated call does and shows the same."""
    known = knowledge.load(study.space)
    entries = tuple(entry for entry in known.entries if not any(row.run in ids for row in entry.rows))
    if len(entries) == len(known.entries):
        return known
    return knowledge.Knowledge(known.space, known.skills, entries, f"before {', '.join(sorted(ids))}")


def _pilot(
    study: Study, question: Question, ids: set[str], epochs: int | None, tell: Narration, progress: Progress
) -> Run | None:
    """Carry out the pilot of the first advice with the models trained now; None where no arm can be run with them."""
    known = _known_before(study, ids)
    lab = capabilities.lab(study.space, study.context, question.target, measured=True)
    asked = replace(question, lab=lab)
    try:
        planned = pilot.planned(known, asked, advise(known, asked), most=PILOT_ARMS)
    except MuError as error:
        tell.note(f"no pilot: {error.what}")
        return None
    for note in planned.notes:
        tell.note(note)
    common = {} if epochs is None else {"training": Training(epochs=epochs)}
    config = changed(planned.config, base=study.base, options=dict(study.options), seed=study.seed, **common)
    return worker.carry_out(study.space, config, progress)


def write_entry(study: Study, target: str, scored: Run, runs: Sequence[Run], figure: Path) -> Entry:
    """Write the entry about the merges, as `mu log add --run` does, with the matrix as a CSV file and a figure."""
    rows, origin = dedupe.gather(study.space, [one.id for one in runs], [], [])
    singles, _ = dedupe.gather(study.space, [scored.id], [], [])
    begun = entry_draft.begin(study.space, rows)
    questions = ("Open questions", f"- [open] Does the best recipe hold for {target} with another seed?")
    draft = replace(
        begun,
        title=f"Merging for {target}" + (" on Home Assistant intents" if study.task == "home" else ""),
        context=study.context, metric=rows[0].metric, seed=str(study.seed), code=measured_by(),
        tags=f"quickstart, {target}", origin=f"mu quickstart; {origin}", sections=(*begun.sections, questions),
        rows=tuple(rows),
    )  # fmt: skip
    value = "Accuracy" if rows[0].metric == "accuracy" else rows[0].metric
    unit = "in percent" if find(rows[0].metric).unit.percent else "× 100"
    caption = f"{value} {unit} of every model (row) on every test set (column)"
    return add(study.space.log, draft, more_rows=singles, figure=(caption, figure))


def verdict_line(outcome: QuickstartResult) -> str:
    """Return one sentence on whether the best merge gained, with its comparison."""
    best, show = outcome.best, outcome.metric.unit.show
    found = best.compared["best_single_source"]
    source = outcome.baselines["best_single_source"]
    method = best.name.partition(" (")[0]
    text = f"{method} {show(best.value, 1)} against {source.model} {show(source.value, 1)}: {words(found)}"
    smallest = float(str(outcome.study.space.settings["min_gain_pp"]))
    if found.significant:
        return f"{'It paid' if found.better else 'It did not pay'}. {text}"
    if max(outcome.metric.sign * end for end in (found.interval.low, found.interval.high)) < smallest:
        return f"It did not pay: a gain of {smallest:g} {found.points} lies outside the interval. {text}"
    return f"Not settled. {text}"


def pilot_line(outcome: QuickstartResult) -> str:
    """Return one sentence on what was advised, what was tried, and whether it was confirmed on items that chose nothing."""
    before, tried = outcome.before, outcome.pilot
    advised = f"Advised before: {before.verdict}, {before.recipe.short}, {pp(before.gain.mean_pp)}."
    if tried is None:
        return f"{advised} Not tried: no advised arm can be run with these sources."
    winner = next(arm for arm in tried["arms"] if arm["won"])
    against = tried["baselines"][tried["against"]]
    found = comparison_of(against["comparison"])
    name = ", ".join(part for part in (winner["method"], winner["similarity"] or "") if part)
    return (
        f"{advised} Tried {len(tried['arms'])} arms on {tried['dev_items']} development items; the best, {name}, on "
        f"{tried['n']} test items that chose nothing: {CONFIRMED[tried['outcome']]}, against {against['model']} "
        f"{words(found)}."
    )


CONFIRMED = {
    "better": "confirmed",
    "equivalent": "no gain worth a merge",
    "worse": "refuted",
    "undecided": "not settled",
}
