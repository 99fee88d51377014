"""What is the advice for a question as a user puts it? Checked, with what this workspace can run, and answered."""

from __future__ import annotations

import difflib
from typing import Any

from ..decision.advice import Question
from ..decision.advice import advise as answer
from ..errors import UsageError
from ..knowledge.base import Knowledge
from ..knowledge.rows import check_context
from ..locales import table
from . import able

HOME = "home/e5-small"  # what `mu train` makes without --task and --base


def ask(
    knowledge: Knowledge,
    *,
    target: str,
    mode: str = "ExcTar",
    context: str | None = None,
    method: str | None = None,
    similarity: str | None = None,
    k: int | None = None,
    min_gain: float | None = None,
    as_of: str | None = None,
) -> dict[str, Any]:
    """The advice, as `mu advise --json` prints it. Raises UsageError for what neither log nor program knows.

    target    locale; context: task/base-model, by default that of mu.toml
    min_gain  smallest gain worth a merge, in pp, by default that of mu.toml
    as_of     YYYY-MM-DD, the day whose knowledge this is; None: today's
    """
    where = knowledge.space
    if min_gain is not None and not 0 <= min_gain <= 100:
        raise UsageError(f"--min-gain is {min_gain:g}.", mend="Percentage points between 0 and 100.")
    if context is not None:
        check_context(context)
    about = context or str(where.settings["context"])
    if k is not None:
        check_k(k, about)
    measured = any((r.context, r.target) == (about, target) for r in knowledge.rows)
    lab = able.lab(where, about, target, measured=measured)
    if context is not None:
        logged = {row.context for row in knowledge.rows}
        known(
            "context", context, {*logged, *able.contexts(where), HOME, str(where.settings["context"])},
            "For a new one, first: mu base --task TASK --base BASE, or set context in mu.toml.",
        )  # fmt: skip
    if method is not None:
        known("method", method, {r.method for r in knowledge.rows if r.mode != "-"} | set(lab.methods))
    question = Question(
        target=target,
        mode=mode,
        context=about,
        min_gain_pp=min_gain if min_gain is not None else float(str(where.settings["min_gain_pp"])),
        method=method,
        similarity=similarity,
        k=k,
        as_of=as_of,
        lab=lab,
    )
    return answer(knowledge, question)


def check_k(k: int, context: str) -> None:
    """Raises UsageError for more sources than there can be models: one per locale."""
    there = able.scorable(context)
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
