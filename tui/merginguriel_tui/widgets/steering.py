"""Cancel, pause and resume runs from a screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from merginguriel.text.tables import plain
from merginguriel_tui.base import MuScreen


def steer(screen: MuScreen, what: str, names: Sequence[str], then: Callable[[], Any]) -> None:
    """Ask runs to cancel, pause or resume; confirm a cancellation first, because it loses work.

    Args:
        screen: The screen that shows the runs.
        what: `cancel`, `pause` or `resume`.
        names: Ids of the runs.
        then: Called after the requests.
    """
    if what != "cancel":
        _request(screen, what, names, then)
        return
    subject = plain(names[0]) if len(names) == 1 else f"{len(names)} runs"
    screen.confirm(
        f"Cancel {subject}?",
        "A run ends within seconds. The output of its finished steps is kept and the run can be resumed; "
        "the work of the current step is lost.",
        "Cancel it",
        lambda: _request(screen, what, names, then),
        danger=True,
    )


def _request(screen: MuScreen, what: str, names: Sequence[str], then: Callable[[], Any]) -> None:
    from merginguriel.errors import MuError
    from merginguriel.runs import run_store, worker

    space = screen.mu.space

    def work() -> tuple[list[dict[str, Any]], list[MuError]]:
        answers, errors = [], []
        for name in names:
            try:
                answers.append(worker.steer(run_store.get(space, name), what))
            except MuError as error:
                errors.append(error)  # continue with the other runs
        return answers, errors

    def report(result: tuple[list[dict[str, Any]], list[MuError]]) -> None:
        for answer in result[0]:
            now = f"asked to {what}" if answer["asked"] else answer["state"]
            screen.notify(f"{plain(answer['run'])}  {now}", markup=False)
        for error in result[1]:
            screen.mu.show_error(error)
        then()

    screen.load(work, report, group="steer")
