"""First draft of an entry about finished runs: title, summary, sections and the plans that it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from merginguriel.errors import MuError
from merginguriel.knowledge.base import load_readable
from merginguriel.knowledge.log import append
from merginguriel.knowledge.log.draft_text import Draft
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.markdown import format_table
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.runs import run_store
from merginguriel.text.numbers import interval, pp
from merginguriel.text.runs import unlabelled_outcome
from merginguriel.workspace import Workspace

from . import entry_text, ledger
from .dedupe import gather, refuse_logged


def begin(space: Workspace, rows: Sequence[ResultRow], kind: str | None = None) -> Draft:
    """Draft an entry of today from the rows of runs, without the rows themselves.

    A Retrospective, the default, answers the open plans that they cover.
    """
    sections = entry_text.sections(rows)
    sections += _pilot_sections(space, rows)
    answers: list[str] = []
    if (kind or "Retrospective") == "Retrospective":
        knowledge = load_readable(space)
        answers = entry_text.answers(knowledge, rows)
        if table := entry_text.against(knowledge, rows):
            sections.insert(1, (entry_text.AGAINST, table))
    return Draft(
        entry_text.title(rows), kind or "Retrospective", date.today().isoformat(), entry_text.summary(rows),
        answers=", ".join(answers), sections=tuple(sections),
    )  # fmt: skip


def retrospective(space: Workspace, run: str) -> str:
    """Return the draft of a retrospective of a finished run, as `mu log add --run` makes it.

    Raises:
        UsageError: The run has no result, or its rows are in the log already.
    """
    draft, rows = _of_run(space, run)
    return append.staged(space.log, draft, rows)


def add_run(space: Workspace, run: str) -> Entry:
    """Write the entry about a finished run into the log, as `mu log add --run` does.

    Raises:
        UsageError: As `retrospective`.
    """
    draft, rows = _of_run(space, run)
    if any(row.items for row in rows):
        return append.add(space.log, draft, more_rows=rows)
    return append.add(space.log, replace(draft, code=rows[0].code or "", rows=tuple(rows)))


def logged(space: Workspace, run: str) -> Entry | None:
    """Return the entry that has the rows of a run."""
    found = load_readable(space).entries
    return next((entry for entry in found if any(row.run == run for row in entry.rows)), None)


def _of_run(space: Workspace, run: str) -> tuple[Draft, list[ResultRow]]:
    rows, origin = gather(space, [run], [], [])
    refuse_logged(space, rows)
    return replace(begin(space, rows), origin=origin), rows


def _pilot_sections(space: Workspace, rows: Sequence[ResultRow]) -> list[tuple[str, str]]:
    """Return a section for each pilot among the runs of the rows."""
    found = []
    for name in dict.fromkeys(row.run for row in rows if row.run and row.run.startswith("pilot-")):
        try:
            result = run_store.result(run_store.get(space, name))
        except MuError:
            continue  # a run of another machine
        if result.get("kind") == "pilot":
            found.append((f"Pilot for {result['target']}", _pilot_text(space, result)))
    return found


def _pilot_text(space: Workspace, result: dict[str, Any]) -> str:
    advice = {one.id: one for one in ledger.entries(space)}.get(str(result.get("advice")))
    lines = []
    if advice is not None:
        arm = ", ".join(str(part) for part in (advice.arm["method"], advice.arm["similarity"]) if part)
        lines += [
            f"Advice `{advice.id}` of {advice.time[:10]} (knowledge `{advice.knowledge}`): {advice.verdict}, {arm}, "
            f"{pp(advice.mean_pp)} (90% {interval(*advice.ci90_pp)}), P(gain > 0) {advice.p_positive:.2f}.",
            "",
        ]
    table = [
        [
            arm["method"], arm["similarity"] or "-", str(arm["items"]), f"{pp(arm['prior_pp'])} ± {arm['prior_sd_pp']:.1f}",
            pp(arm["dev_pp"]), f"{pp(arm['expected_pp'])} ± {arm['sd_pp']:.1f}", "yes" if arm["won"] else "",
        ]
        for arm in result["arms"]
    ]  # fmt: skip
    heads = ["arm", "similarity", "development items", "before", "measured there", "after", "confirmed"]
    against = result["baselines"][result["against"]]
    found = against["comparison"]
    if result.get("labels") is False:
        return "\n".join([*lines, format_table(heads, table), "", f"{unlabelled_outcome(result, against)}."])
    lines += [
        format_table(heads, table),
        "",
        f"On {result['n']} test items, the winner against {against['model']}: **{result['outcome']}**, "
        f"{pp(found['difference'])} (95% {interval(found['interval']['low'], found['interval']['high'])}).",
    ]
    return "\n".join(lines)
