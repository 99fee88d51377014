"""Data of the screens of runs: states and times as text, pages of the list, and the preview of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from merginguriel.text.tables import columns, plain, true_minus
from merginguriel_tui.widgets.paged import PAGE

if TYPE_CHECKING:
    from merginguriel.workspace import Workspace

STATES = {
    "running": ("▶", "bold green"), "queued": ("…", ""), "paused": ("‖", "yellow"), "finished": ("✓", "green"),
    "failed": ("✗", "bold red"), "cancelled": ("○", ""), "dead": ("†", "bold red"),
}  # fmt: skip
SETTING_WIDTH = 44  # characters of a setting in the preview; the run's own screen shows all


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


def pages_around(space: Workspace, name: str, was: int, **how: str) -> dict[int, list[dict[str, Any]]]:
    """Return the page of the list that now holds a run, with its neighbours.

    Args:
        space: The workspace.
        name: Id of the run.
        was: Its former number in the list. The search begins there: reading thousands of rows takes a while.
        how: Filter and order of the list, as for `index.listed`.

    Returns:
        Page number → rows; empty if the run is not in the list.
    """
    from merginguriel.runs import index

    first = max(was // PAGE - 1, 0) * PAGE
    for offset, most in ((first, 3 * PAGE), (0, None)):
        rows, _ = index.listed(space, most, offset=offset, look=False, **how)
        if any(row["id"] == name for row in rows):
            break
    else:
        return {}
    at = next(i for i, row in enumerate(rows) if row["id"] == name) // PAGE
    pages = range(max(at - 1, 0), at + 2)
    parts = {offset // PAGE + page: rows[page * PAGE : (page + 1) * PAGE] for page in pages}
    return {page: part for page, part in parts.items() if part}


def preview(space: Workspace, name: str) -> str:
    """Return a run's result against every baseline, and its settings that differ from the defaults.

    Raises:
        MuError: A file of the run is damaged.
    """
    from merginguriel.config import run_config as configs
    from merginguriel.runs import run_store
    from merginguriel.runs.run_store import Run
    from merginguriel.text.runs import setting

    run = Run(name, space.runs / name)
    state = run_store.state(run)
    lines = [name, ""]
    if state == "finished":
        lines += _result_lines(run_store.result(run))
    else:
        lines += [f"{state}: no result{' yet' if state in ('queued', 'running', 'paused') else ''}"]
    values = configs.flat_values(run.config)
    settings = [
        [key, _cut(setting(value))]
        for key, value in values.items()
        if value != configs.KEYS[key].default and value
    ]
    lines += ["", "settings that differ from the defaults", *columns(settings).splitlines()]
    return plain(true_minus("\n".join(lines)))


def _cut(text: str) -> str:
    return text if len(text) <= SETTING_WIDTH else text[: SETTING_WIDTH - 1] + "…"


def _result_lines(result: dict[str, Any]) -> list[str]:
    """Return a merge's value, sources and difference to each baseline; other kinds as `mu runs show` does."""
    from merginguriel.text.numbers import signed
    from merginguriel.text.runs import metric_of, result_lines

    if "baselines" not in result:
        return result_lines(result)
    metric, n = metric_of(result), result["n"]
    unit = metric.unit
    pairs = zip(result["sources"], result["weights"], strict=True)
    lines = [
        f"{result['target']}  {result['mode']}  {result['context']}",
        f"{metric.name} {unit.show(result[metric.name])}  95% {unit.span(*result['ci95'])}  n = {n:,}",
        f"sources {', '.join(f'{source} {weight:.2f}' for source, weight in pairs)}",
        "",
    ]
    rows = [["against", "", metric.name, "difference", ""]]
    for kind, baseline in result["baselines"].items():
        compared = baseline["comparison"]
        cells = ["", ""]
        if compared:
            sign = ("▲" if compared["difference"] > 0 else "▼") if compared["significant"] else "≈"
            cells = [f"{signed(compared['difference'])} {unit.points}", sign]
        rows.append([kind.replace("_", " "), baseline["model"] or "", unit.show(baseline["value"]), *cells])
    return [*lines, *columns(rows).splitlines(), "▲ above  ▼ below  ≈ within noise (95%)"]
