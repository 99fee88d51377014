"""What can go wrong, in words that tell a user what to do next.

Every error that a user can cause or meet is a `MuError`: `what` is wrong, `where` (a file and line, or a
tensor), and how to `mend` it. `render` gives the text that the command line prints; `exit_code` is what the
process returns.
"""

from __future__ import annotations

OK, FAILED, USAGE, UNAVAILABLE, ABSTAINED, INTERRUPTED = 0, 1, 2, 3, 4, 130


class MuError(Exception):
    """Something is wrong that a person can mend. Exit code 1."""

    exit_code = FAILED

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        return self.render()

    def render(self) -> str:
        """The message as lines: where and what first, then how to mend it, indented."""
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        lines += [f"    {line}" for line in (self.mend or "").splitlines()]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        return {"error": self.what, "where": self.where, "mend": self.mend, "exit_code": self.exit_code}


class UsageError(MuError):
    """The command was given something it cannot use. Exit code 2."""

    exit_code = USAGE

    def as_dict(self) -> dict[str, object]:
        """Without a `mend` of its own, the text itself says what to write instead."""
        return {**super().as_dict(), "mend": self.mend or self.what}


class UnavailableError(MuError):
    """A model, a data set or an optional package is not here. Exit code 3."""

    exit_code = UNAVAILABLE


class KnowledgeError(MuError):
    """A skill, a claim or a log entry says something that cannot be read one way only."""


class CheckpointError(MuError):
    """A checkpoint on disk is incomplete, damaged or not of the expected form."""


class IncompatibleError(MuError):
    """Models that cannot be merged or compared with each other."""


def missing_extra(package: str, extra: str = "lab") -> UnavailableError:
    """The error for an optional package that is not installed."""
    return UnavailableError(
        f"this needs the package {package}, which is not installed.",
        mend=f"Install it with: pip install 'merginguriel[{extra}]'",
    )


def told(error: BaseException) -> MuError | None:
    """What a user is told of an error that is not ours: of a file, of memory, of a missing package. None: it is a bug."""
    if isinstance(error, MuError):
        return error
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        return None if package == "merginguriel" else missing_extra(package)
    if isinstance(error, UnicodeEncodeError):
        # An argument with stray bytes, such as a title in another encoding.
        return MuError(f"this text is not valid Unicode ({error.reason}).")
    if isinstance(error, MemoryError):
        return UnavailableError("there is not enough memory for this.")
    if isinstance(error, OSError):
        where = str(error.filename) if error.filename else None
        return MuError(f"{(error.strerror or str(error)).lower()}.", where=where)
    return None


TOLD = (MuError, ModuleNotFoundError, UnicodeEncodeError, MemoryError, OSError)
