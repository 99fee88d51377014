"""What did a run come to, in a few lines beside the list? Its result against every baseline, or what it is to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from merginguriel.cli.common import columns, plain, true_minus

if TYPE_CHECKING:
    from merginguriel.workspace import Workspace

SMALL = 44  # characters of a setting that are shown here; the run's own page has all of it


def preview(space: Workspace, name: str) -> str:
    """For a worker: it reads the run's files. Raises MuError where they are damaged."""
    from merginguriel.config import run_config as configs
    from merginguriel.runs import run_store
    from merginguriel.runs.run_store import Run

    run = Run(name, space.runs / name)
    state = run_store.state(run)
    lines = [name, ""]
    if state == "finished":
        lines += result_lines(run_store.result(run))
    else:
        lines += [
            f"{state}: no result yet" if state in ("queued", "running", "paused") else f"{state}: no result"
        ]
    values = configs.flat_values(run.config)
    made = [
        [key, text(value)] for key, value in values.items() if value != configs.KEYS[key].default and value
    ]
    lines += ["", "made with (what is not as by default)", *columns(made).splitlines()]
    return plain(true_minus("\n".join(lines)))


def text(value: Any) -> str:
    from merginguriel.cli.config import text_of

    said = text_of(value)
    return said if len(said) <= SMALL else said[: SMALL - 1] + "…"


def result_lines(result: dict[str, Any]) -> list[str]:
    """Of a merge: accuracy, sources, and the difference to every baseline; of another kind, as `mu runs show` says it."""
    from merginguriel.cli.run import lines_of

    if "baselines" not in result:
        return lines_of(result)
    low, high = result["ci95"]
    pairs = zip(result["sources"], result["weights"], strict=True)
    lines = [
        f"{result['target']}  {result['mode']}  {result['context']}",
        f"{result.get('metric', 'accuracy')} {100 * result[result.get('metric', 'accuracy')]:.2f}%  95% {100 * low:.1f} … {100 * high:.1f}  n = {result['n']:,}",
        f"sources {', '.join(f'{source} {weight:.2f}' for source, weight in pairs)}",
        "",
    ]
    rows = [["against", "", result.get("metric", "accuracy"), "difference", ""]]
    for kind, found in result["baselines"].items():
        compared = found["comparison"]
        said = ["", ""]
        if compared:
            sign = ("▲" if compared["difference"] > 0 else "▼") if compared["significant"] else "≈"
            said = [f"{compared['difference']:+.1f} pp", sign]
        rows.append([kind.replace("_", " "), found["model"] or "", f"{100 * found['value']:.2f}%", *said])
    return [*lines, *columns(rows).splitlines(), "▲ above  ▼ below  ≈ within noise (95%)"]
