"""Problems of the files of a workspace, as lint and every command that reads them report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from merginguriel.errors import MuError


@dataclass(frozen=True)
class Problem:
    """One problem. `where` is file:line or file, `hint` the way out."""

    where: str
    what: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the problem as JSON-ready data."""
        return {"where": self.where, "what": self.what, "hint": self.hint}

    @property
    def place(self) -> tuple[str, int]:
        """Return the file and the line, 1 where none is given."""
        file, _, line = self.where.rpartition(":")
        return (file, int(line)) if file and line.isdigit() else (self.where, 1)


def of_error(error: MuError, path: Path) -> Problem:
    """Return an error as a problem of `path`, unless the error names another place."""
    return Problem(error.where or str(path), error.what, error.hint or "")


def summary(problems: tuple[Problem, ...]) -> str:
    """Return `2 problems: mu lint`; '' where there is none."""
    return f"{len(problems)} problem{'s' * (len(problems) != 1)}: mu lint" if problems else ""
