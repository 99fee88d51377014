"""Questions to `mu advise`, from options, mu.toml, the log and what can be run here."""

from __future__ import annotations

import shlex

from merginguriel.decision.advice import Advice, Question, advise
from merginguriel.decision.question import RETRIEVAL
from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.expectations import Expectation
from merginguriel.knowledge.parse.rows import ResultRow, check_context, is_merge
from merginguriel.locales import table
from merginguriel.study import capabilities
from merginguriel.text.suggest import suggest
from merginguriel.workspace import Workspace

from . import interval_width
from .dedupe import unlogged

HOME = "home/e5-small"  # what `mu train` makes without --task and --base

__all__ = ["Advice", "Question", "advise", "choices", "question", "unlogged_note"]


def question(
    knowledge: Knowledge,
    target: str,
    *,
    mode: str = "ExcTar",
    context: str | None = None,
    method: str | None = None,
    similarity: str | None = None,
    k: int | None = None,
    min_gain: float | None = None,
    as_of: str | None = None,
    budget: int | None = None,
    ensembles: bool = True,
) -> Question:
    """Return a checked question, with defaults from mu.toml.

    Args:
        knowledge: `knowledge.base.load(space, as_of=as_of)`.
        context: Task/base-model; None: that of mu.toml.
        min_gain: Smallest gain worth a merge, pp; None: that of mu.toml.
        as_of: Day whose knowledge is used, YYYY-MM-DD; None: today's.
        budget: The most pieces of work (merges, evaluations, trainings) that a pilot may take; None: no limit.
        ensembles: Whether several models may answer together.

    Raises:
        UsageError: A value is out of range, or unknown to both log and program.
    """
    space = knowledge.space
    if min_gain is not None and not 0 <= min_gain <= 100:
        raise UsageError(f"--min-gain must be between 0 and 100 percentage points, got {min_gain:g}.")
    if budget is not None and budget < 0:
        raise UsageError(f"--budget must be 0 or more (0: no pilot), got {budget}.")
    if context is not None:
        check_context(context)
    about = context or str(space.settings["context"])
    mode = mode_of(about, mode)
    if k is not None:
        check_k(space, k, about)
    measured = any((r.context, r.target) == (about, target) for r in knowledge.rows)
    lab = capabilities.lab(space, about, target, measured=measured)
    if context is not None:
        _check_known(context, {*_contexts(knowledge), HOME})
    if method is not None:
        known("method", method, {r.method for r in knowledge.rows if r.mode != "-"} | set(lab.methods))
    made = Question(
        target=target,
        mode=mode,
        context=about,
        min_gain_pp=min_gain if min_gain is not None else float(str(space.settings["min_gain_pp"])),
        method=method,
        similarity=similarity,
        k=k,
        as_of=as_of,
        lab=lab,
        budget=budget,
        ensembles=ensembles,
        matrix=unlogged_rows(space, knowledge, about, target),
        width=interval_width.stored(space, about) if as_of is None else 1.0,
    )
    if made.own_composition:
        _check_pair(knowledge, made)
    return made


def _check_pair(knowledge: Knowledge, question: Question) -> None:
    """Raise UsageError for a target in neither language of a study of compositions, unless the log has it there."""
    task, target = f"{question.context.partition('/')[0]}/", question.target
    if str(question.own_composition).strip("D()") in question.compositions:
        return
    if not any(row.target == target and row.context.startswith(task) for row in knowledge.rows):
        raise UsageError(
            f"{target} is in no language of {question.context}.",
            hint="For other languages, first: mu embed compose --locale LOCALE --locale LOCALE",
        )


def mode_of(context: str, mode: str) -> str:
    """Return the mode; IncTar in a context of compositions, which have the target's language among the sources."""
    return "IncTar" if context.startswith(RETRIEVAL) else mode


def choices(knowledge: Knowledge) -> tuple[list[str], list[str]]:
    """Return the contexts and methods that may be asked about, each sorted; mu.toml's context comes first."""
    usual = str(knowledge.space.settings["context"])
    contexts = sorted(_contexts(knowledge) - {usual})
    measured = {row.method for row in knowledge.rows if row.mode != "-" and is_merge(row.method)}
    return [usual, *contexts], sorted(measured | set(capabilities.methods()))


def _contexts(knowledge: Knowledge) -> set[str]:
    """Return the contexts of the log, of models here and of mu.toml, and those of named tasks with the base of mu.toml."""
    from merginguriel.tasks import named  # most questions name no context

    usual = str(knowledge.space.settings["context"])
    own = {f"{name}/{usual.partition('/')[2]}" for name in named.read(knowledge.space)}
    return {usual, *own, *(row.context for row in knowledge.rows), *capabilities.contexts(knowledge.space)}


def _check_known(context: str, contexts: set[str]) -> None:
    """Raise UsageError for a context whose task or base model is in none of `contexts`; their pair may be new."""
    task, _, base = context.partition("/")
    tasks, _, bases = zip(*(one.partition("/") for one in contexts), strict=True)
    if task not in tasks or base not in bases:
        new = "For a new base model, first: mu base --task TASK --base BASE."
        if context.startswith(RETRIEVAL):
            new = "For other languages, first: mu embed compose --locale LOCALE --locale LOCALE"
        known("context", context, contexts, new)


def check_k(space: Workspace, k: int, context: str) -> None:
    """Raise UsageError if k is larger than the number of locales of the context's task."""
    there = capabilities.scorable(space, context)
    most = len(table() if there is None else there)
    if k > most:
        whose = "known" if there is None else f"of the task {context.partition('/')[0]}"
        raise UsageError(f"--k must be at most {most}, the number of locales {whose}, got {k}.")


def known(name: str, value: str, choice: set[str], more: str = "") -> None:
    """Raise UsageError with the nearest of `choice` if `value` is none of them."""
    if value in choice:
        return
    lines = [suggest(value, choice), f"Known: {', '.join(sorted(choice))}.", more]
    raise UsageError(f"unknown {name} {value!r}.", hint="\n".join(line for line in lines if line))


def unlogged_rows(space: Workspace, knowledge: Knowledge, context: str, target: str) -> tuple[ResultRow, ...]:
    """Return the scores on a target of the workspace's N×N matrix that the log lacks; of the dev matrix without another."""
    if unlogged(knowledge, context, target) is not None:
        path = space.matrix(context)
    else:
        path = space.matrix(context, "-dev")
        scored = any(
            r.method == "single" and (r.context, r.target) == (context, target) for r in knowledge.rows
        )
        if scored or space.matrix(context).is_file() or not path.is_file():
            return ()
    from merginguriel.evaluation.nxn import load
    from merginguriel.study.results import matrix_rows

    logged = {
        r.sources
        for r in knowledge.rows
        if r.method == "single" and (r.context, r.target) == (context, target)
    }
    rows = matrix_rows(load(path), context, space.display(path))
    return tuple(row for row in rows if row.target == target and row.sources not in logged)


def unlogged_note(knowledge: Knowledge, about: Question) -> str | None:
    """Return a note on an N×N matrix of the workspace that the log does not contain, with the command that logs it."""
    found = unlogged(knowledge, about.context, about.target)
    if found is None:
        return None
    path, count = found
    shown = knowledge.space.display(path)
    return (
        f"note: {shown} has scores of {count} models on {about.target} that the log does not have; the answer uses them; add them: "
        f"mu log add --matrix {shlex.quote(shown)} --context {shlex.quote(about.context)} --type Observation "
        f"--title 'N×N matrix' --summary 'Every model on every locale.'"
    )


def ordered_pilot(knowledge: Knowledge, expected: Expectation) -> bool:
    """Return whether the advice on the target is a pilot of this arm."""
    try:
        about = question(knowledge, expected.target, mode=expected.mode, context=expected.context)
        advice = advise(knowledge, about)
    except MuError:
        return False
    return advice.verdict == "pilot" and any(
        arm.method == expected.method
        and expected.similarity in (None, "", arm.similarity)
        and expected.k in (None, arm.k)
        and set(expected.params) <= set(arm.params.items())
        for arm in advice.pilot.arms
    )


def changed_verdicts(before: Knowledge, after: Knowledge, rows: tuple[ResultRow, ...]) -> int:
    """Return how many verdicts differ, over the targets and modes with measured merges in the contexts of `rows`."""
    contexts = {row.context for row in rows}
    asked = {
        (row.context, row.target, row.mode)
        for row in before.rows
        if row.context in contexts and row.mode != "-" and row.target != "-" and is_merge(row.method)
    }
    return sum(_verdict(before, *one) != _verdict(after, *one) for one in sorted(asked))


def _verdict(knowledge: Knowledge, context: str, target: str, mode: str) -> str:
    try:
        return advise(knowledge, question(knowledge, target, mode=mode, context=context)).verdict
    except MuError:
        return "unknown"
