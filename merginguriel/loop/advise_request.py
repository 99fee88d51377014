"""What is being asked? The question of `mu advise`, put together from what was given, mu.toml, the log and the lab."""

from __future__ import annotations

import difflib
import shlex

from merginguriel.decision.advice import Advice, Question, advise
from merginguriel.errors import UsageError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import check_context, is_merge
from merginguriel.locales import table
from merginguriel.study import capabilities

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
) -> Question:
    """The question, with what was not given taken from mu.toml. Raises UsageError for what neither log nor program knows.

    knowledge  as `knowledge.base.load(space, as_of=as_of)` gives it
    target     locale; context: task/base-model, by default that of mu.toml
    min_gain   smallest gain worth a merge, in pp, by default that of mu.toml
    as_of      YYYY-MM-DD, the day whose knowledge this is; None: today's
    budget     the most pieces of work (merges, evaluations, trainings) that a pilot may take; None: as many as it takes
    """
    space = knowledge.space
    if min_gain is not None and not 0 <= min_gain <= 100:
        raise UsageError(f"--min-gain is {min_gain:g}.", mend="Percentage points between 0 and 100.")
    if budget is not None and budget < 0:
        raise UsageError(f"--budget is {budget}.", mend="Pieces of work, 0 or more; 0 for no pilot.")
    if context is not None:
        check_context(context)
    about = context or str(space.settings["context"])
    if k is not None:
        check_k(k, about)
    measured = any((r.context, r.target) == (about, target) for r in knowledge.rows)
    lab = capabilities.lab(space, about, target, measured=measured)
    if context is not None:
        known(
            "context", context, {*_contexts(knowledge), HOME},
            "For a new one, first: mu base --task TASK --base BASE, or set context in mu.toml.",
        )  # fmt: skip
    if method is not None:
        known("method", method, {r.method for r in knowledge.rows if r.mode != "-"} | set(lab.methods))
    return Question(
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
    )


def choices(knowledge: Knowledge) -> tuple[list[str], list[str]]:
    """Contexts and methods that may be asked about, each sorted; mu.toml's context comes first."""
    usual = str(knowledge.space.settings["context"])
    contexts = sorted(_contexts(knowledge) - {usual})
    measured = {row.method for row in knowledge.rows if row.mode != "-" and is_merge(row.method)}
    return [usual, *contexts], sorted(measured | set(capabilities.methods()))


def _contexts(knowledge: Knowledge) -> set[str]:
    logged = {row.context for row in knowledge.rows}
    return {*logged, *capabilities.contexts(knowledge.space), str(knowledge.space.settings["context"])}


def check_k(k: int, context: str) -> None:
    """Raises UsageError for more sources than there can be models: one per locale."""
    there = capabilities.scorable(context)
    most = len(table() if there is None else there)
    if k > most:
        whose = "known" if there is None else f"of the task {context.partition('/')[0]}"
        raise UsageError(
            f"--k is {k}, more sources than there are locales {whose}: {most}.", mend=f"At most {most}."
        )


def known(name: str, value: str, choice: set[str], more: str = "") -> None:
    """Raises UsageError with the nearest of `choice` if `value` is none of them: a misspelt question has no answer."""
    if value in choice:
        return
    near = difflib.get_close_matches(value, sorted(choice), n=3, cutoff=0.6)
    lines = [f"Did you mean {' or '.join(near)}?"] if near else []
    lines += [f"Known: {', '.join(sorted(choice))}.", *([more] if more else [])]
    raise UsageError(
        f"--{name} is {value!r}, which neither the log nor the program knows.", mend="\n".join(lines)
    )


def unlogged_note(knowledge: Knowledge, about: Question) -> str | None:
    """What to write down first, in words: an N×N matrix of the workspace that the log does not know of."""
    found = unlogged(knowledge, about.context, about.target)
    if found is None:
        return None
    path, count = found
    shown = knowledge.space.display(path)
    return (
        f"note: {shown} scores {count} models on {about.target} that the log does not know of; write it down: "
        f"mu log add --matrix {shlex.quote(shown)} --context {shlex.quote(about.context)} --type Observation "
        f"--title 'N×N matrix' --summary 'Every model on every locale.'"
    )
