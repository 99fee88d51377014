"""How are runs cancelled, paused and resumed from a screen? By the core's own request, after a question where it costs work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from merginguriel.cli.common import plain
from merginguriel_tui.base import MuScreen

from .ask import Ask


class Steering:
    """Asks runs to cancel, pause or resume, for a screen."""

    def __init__(self, screen: MuScreen) -> None:
        self.screen = screen

    def ask(self, what: str, names: Sequence[str], then: Callable[[], Any]) -> None:
        """`what` for each of these runs, then `then`. Cancelling asks first: what the step at work did is lost."""

        def answered(yes: bool | None) -> None:
            if yes:
                self.steer(what, names, then)

        if what != "cancel":
            self.steer(what, names, then)
            return
        said = plain(names[0]) if len(names) == 1 else f"{len(names)} runs"
        self.screen.app.push_screen(
            Ask(
                f"Cancel {said}?\n\nIt ends within seconds. What its finished steps made is kept, and it can be "
                "resumed; the work of the step that it is at is lost.",
                "Cancel it",
            ),
            answered,
        )

    def steer(self, what: str, names: Sequence[str], then: Callable[[], Any]) -> None:
        from merginguriel.errors import MuError
        from merginguriel.runs import run_store, worker

        space = self.screen.mu.space

        def work() -> tuple[list[dict[str, Any]], list[MuError]]:
            said, refused = [], []
            for name in names:
                try:
                    said.append(worker.steer(run_store.get(space, name), what))
                except MuError as error:
                    refused.append(error)  # the others are asked all the same
            return said, refused

        def told(found: tuple[list[dict[str, Any]], list[MuError]]) -> None:
            for one in found[0]:
                now = f"asked to {what}" if one["asked"] else one["state"]
                self.screen.notify(f"{plain(one['run'])}  {now}", markup=False)
            for error in found[1]:
                self.screen.mu.tell(error)
            then()

        self.screen.load(work, told, group="steer")
