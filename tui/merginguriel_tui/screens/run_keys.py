"""Keys that act on one run or several: cancel, pause, resume, archive, label, repeat."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from merginguriel.errors import MuError
from merginguriel.text.tables import plain
from merginguriel_tui.base import MuScreen
from merginguriel_tui.registry import create

if TYPE_CHECKING:
    from merginguriel.runs.labels import Labels
    from merginguriel.runs.run_store import Run


class RunKeys(MuScreen):
    """A screen on which runs are chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.archived: list[list[str]] = []  # ids, the last archived at the end
        self.busy = False  # a check is under way

    def missed(self, error: MuError) -> None:
        """Report a failed check once; the next one tries again."""
        self.busy = False
        self.show_error_once(error)

    def chosen(self) -> list[str]:
        """Return the ids of the runs that a key acts on."""
        return []

    def acted(self) -> None:
        """Show what a key has changed."""

    def many(self, names: list[str]) -> str:
        """Return the id of the only run, or the number of runs."""
        return plain(names[0]) if len(names) == 1 else f"{len(names)} runs"

    def action_again(self) -> None:
        """Open the form with the settings of this run."""
        if names := self.chosen():
            self.app.push_screen(create("launch", names[0]))

    def action_steer(self, what: str) -> None:
        """Cancel, pause or resume; confirm a cancellation first, because it loses work."""
        names = self.chosen()
        if names and what != "cancel":
            self._request(what, names)
        elif names:
            self.confirm(
                f"Cancel {self.many(names)}?",
                "A run ends within seconds. The output of its finished steps is kept and the run can be resumed; "
                "the work of the current step is lost.",
                "Cancel it",
                lambda: self._request(what, names),
                danger=True,
            )

    def _request(self, what: str, names: list[str]) -> None:
        from merginguriel.runs import run_store, worker

        space = self.mu.space

        def work() -> tuple[list[dict[str, Any]], list[MuError]]:
            answers, errors = [], []
            for name in names:
                try:
                    answers.append(worker.steer(run_store.get(space, name), what))
                except MuError as error:
                    errors.append(error)  # continue with the other runs
            return answers, errors

        def then(result: tuple[list[dict[str, Any]], list[MuError]]) -> None:
            for answer in result[0]:
                now = f"asked to {what}" if answer["asked"] else answer["state"]
                self.notify(f"{plain(answer['run'])}  {now}", markup=False)
            for error in result[1]:
                self.mu.show_error(error)
            self.acted()

        self.load(work, then, group="steer")

    def action_archive(self) -> None:
        """Archive the runs."""
        from merginguriel.runs import archive

        space = self.mu.space
        names = [name for name in self.chosen() if (space.runs / name).is_dir()]

        def then(moved: list[str]) -> None:
            self.archived.append(moved)
            self.notify(
                f"archived: {self.many(moved)}. {self.key_of('runs.undo')} brings back.", markup=False
            )
            self.acted()

        if names:  # a group of its own: the next archiving must not replace what is done after this one
            self.load(lambda: archive.archive(space, names), then, group=f"archive {names[0]}")

    def action_restore(self) -> None:
        """Bring back the runs that were archived last."""
        from merginguriel.runs import archive

        space = self.mu.space
        if self.refuses("restore"):
            self.notify("Nothing was archived here.", severity="warning", markup=False)
            return
        names = self.archived.pop()

        def then(back: list[str]) -> None:
            self.notify(f"brought back: {', '.join(back) or 'none'}", markup=False)
            self.acted()

        def failed(error: MuError) -> None:
            self.archived.append(names)
            self.mu.show_error(error)

        work = partial(archive.restore, space, names)
        self.load(work, then, group=f"restore {names[0]}", otherwise=failed)

    def action_label(self) -> None:
        """Edit the tags that all of the runs have, and their note."""
        from merginguriel.runs import labels, run_store
        from merginguriel.runs.labels import Labels
        from merginguriel_tui.dialogs import LabelScreen

        names, space = self.chosen(), self.mu.space

        def read() -> tuple[list[Run], list[Labels]]:
            runs = [run_store.get(space, name) for name in names]
            return runs, [labels.read(run) for run in runs]

        def opened(result: tuple[list[Run], list[Labels]]) -> None:
            runs, found = result
            shared = [tag for tag in found[0].tags if all(tag in one.tags for one in found)]
            note = found[0].note if len({one.note for one in found}) == 1 else ""

            def work(tags: list[str], text: str) -> None:
                for run, before in zip(runs, found, strict=True):
                    own = [tag for tag in before.tags if tag not in shared]
                    after = Labels(tuple(dict.fromkeys([*own, *tags])), before.note if text == note else text)
                    labels.write(run, after)

            def then(given: tuple[str, str] | None) -> None:
                if given is not None:
                    tags, text = given[0].split(), given[1].strip()
                    self.load(lambda: work(tags, text), lambda _: self.acted(), group="label")

            title = f"Tags and note of {self.many([run.id for run in runs])}"
            self.app.push_screen(LabelScreen(title, " ".join(shared), note), then)

        if names:
            self.load(read, opened, group="label")
