"""Section of an entry about a pilot: the advice that asked for it, the arms tried, and the outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from merginguriel.errors import MuError
from merginguriel.knowledge.parse.markdown import format_table
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.runs import run_store
from merginguriel.text.numbers import interval, pp
from merginguriel.text.runs import unlabelled_outcome
from merginguriel.workspace import Workspace

from . import ledger


def sections(space: Workspace, rows: Sequence[ResultRow]) -> list[tuple[str, str]]:
    """Return a section for each pilot among the runs of the rows."""
    found = results(space, rows, "pilot")
    return [(f"Pilot for {result['target']}", _text(space, result)) for result in found]


def results(space: Workspace, rows: Sequence[ResultRow], kind: str) -> Iterator[dict[str, Any]]:
    """Yield the result of each run of a kind among the runs of the rows."""
    for name in dict.fromkeys(row.run for row in rows if row.run and row.run.startswith(f"{kind}-")):
        with contextlib.suppress(MuError):  # a run of another machine
            yield run_store.result(run_store.get(space, name))


def _text(space: Workspace, result: dict[str, Any]) -> str:
    asked = {one.id: one for one in ledger.entries(space)}.get(str(result.get("advice")))
    lines = []
    if asked is not None:
        arm = ", ".join(str(part) for part in (asked.arm["method"], asked.arm["similarity"]) if part)
        lines += [
            f"Advice `{asked.id}` of {asked.time[:10]} (knowledge `{asked.knowledge}`): {asked.verdict}, {arm}, "
            f"{pp(asked.mean_pp)} (90% {interval(*asked.ci90_pp)}), P(gain > 0) {asked.p_positive:.2f}.",
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
