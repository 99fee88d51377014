"""Data of the screens of runs: states and times as text, pages of the list, and the preview of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from merginguriel.errors import MuError
from merginguriel.text.numbers import interval, signed
from merginguriel.text.tables import columns, plain, true_minus
from merginguriel_tui.widgets.paged import PAGE

if TYPE_CHECKING:
    from merginguriel.workspace import Workspace

STATES = {
    "running": ("▶", "bold green"), "queued": ("…", ""), "paused": ("‖", "yellow"), "finished": ("✓", "green"),
    "failed": ("✗", "bold red"), "cancelled": ("○", ""), "dead": ("†", "bold red"),
}  # fmt: skip
PREVIEW = 62  # cells of a line of the preview
NARROW = 50  # cells below which it has gains without intervals


def state_text(state: str) -> Text:
    """Return a sign and a word, coloured: `▶ running`."""
    sign, style = STATES.get(state, ("?", ""))
    return Text(f"{sign} {state}", style)


def short(seconds: float | None) -> str:
    """Format seconds as `12s`, `3m`, `2h`, `5d`."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def reason(events: Sequence[Mapping[str, Any]]) -> str:
    """Return why the last start of a run failed, with the hint; empty if it did not."""
    ends = [one for one in events if one["event"] in ("started", "finished", "failed", "cancelled", "paused")]
    return str(ends[-1].get("error") or "") if ends and ends[-1]["event"] == "failed" else ""


def pages_around(space: Workspace, name: str, was: int, **how: str) -> dict[int, list[dict[str, Any]]]:
    """Return the page of the list that now holds a run, with its neighbours.

    Args:
        space: The workspace.
        name: Id of the run.
        was: Its former number in the list. The search begins there: reading thousands of rows takes a while.
        how: Filter and order of the list, as for `run_index.listed`.

    Returns:
        Page number → rows; empty if the run is not in the list.
    """
    from merginguriel.runs import run_index

    first = max(was // PAGE - 1, 0) * PAGE
    for offset, most in ((first, 3 * PAGE), (0, None)):
        rows, _ = run_index.listed(space, most, offset=offset, look=False, **how)
        if any(row["id"] == name for row in rows):
            break
    else:
        return {}
    at = next(i for i, row in enumerate(rows) if row["id"] == name) // PAGE
    pages = range(max(at - 1, 0), at + 2)
    parts = {
        offset // PAGE + page: with_gains(space, rows[page * PAGE : (page + 1) * PAGE]) for page in pages
    }
    return {page: part for page, part in parts.items() if part}


def with_gains(space: Workspace, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of the list with `gain`, as on the screen of the run, and `over`, the model; each empty without one."""
    return [{**row, **dict(zip(("gain", "over"), _gain(space, row), strict=True))} for row in rows]


def _gain(space: Workspace, row: Mapping[str, Any]) -> tuple[str, str]:
    """Return a gain with its sign and 95% interval, `▲ +3.2  +0.4 … +6.1`, and the model that it is over."""
    from merginguriel.runs import run_store
    from merginguriel.runs.run_store import Run

    from . import answer

    if row["state"] != "finished" or not row["n"]:
        return "", ""
    try:
        result = run_store.result(Run(row["id"], space.runs / row["id"]))
    except (MuError, OSError):
        return "", ""  # the screen of the run shows the error
    if (found := answer.decisive(result)) is None:
        return "", ""
    one = found[1]["comparison"]
    ends = interval(one["interval"]["low"], one["interval"]["high"])
    return f"{answer.mark(result, one)} {signed(one['difference'])}  {ends}", found[1]["model"] or ""


def groups(space: Workspace, text: str, order: str) -> dict[int, str]:
    """Return the heading of each group of a list, by the number of its first row."""
    from merginguriel.runs import run_index

    found, first = {}, 0
    for value, count in run_index.groups(space, text, order):
        found[first] = f"{order} {plain(value or 'none')}  {count:,} run{'s' * (count != 1)}"
        first += count
    return found


def preview(space: Workspace, name: str, width: int = PREVIEW) -> str:
    """Return a run's answer and result, or why it failed, and its settings that differ from the defaults.

    Raises:
        MuError: A file of the run is damaged.
    """
    from merginguriel.config import run_config as configs
    from merginguriel.runs import labels, run_store
    from merginguriel.runs.run_store import Run
    from merginguriel.text.runs import setting

    from . import answer

    run = Run(name, space.runs / name)
    state = run_store.state(run)
    given = labels.read(run)
    noted = [" ".join(f"#{tag}" for tag in given.tags), given.note]
    lines = [name, *filter(None, noted), ""]
    failure = reason(run_store.events(run))
    if state == "finished":
        result = run_store.result(run)
        parts = answer.lines(result, width) if width >= NARROW else answer.brief(result)
        lines += [answer.sentence(result), "", *parts]
    elif failure and state == "failed":
        lines += [f"failed: {failure}"]
    else:
        lines += [f"{state}: no result{' yet' if state in ('queued', 'running', 'paused') else ''}"]
    most = max(width - 18, 10)  # of a value; the run's own screen shows all
    settings = [
        [key, text if len(text) <= most else f"{text[: most - 1]}…"]
        for key, value in configs.flat_values(run.config).items()
        if value != configs.KEYS[key].default and (text := value and setting(value))
    ]
    lines += ["", "settings that differ from the defaults", *columns(settings).splitlines()]
    return plain(true_minus("\n".join(lines)))
