"""Errors that a user can cause or meet, and the exit codes of the program.

Each is a `MuError`: `what` is wrong, `where` (a file and line, or a tensor), and a `hint`: how to correct it. `render`
returns the text that the command line prints; `exit_code` is what the process returns.
"""

from __future__ import annotations

import warnings

OK, FAILED, USAGE, UNAVAILABLE, ABSTAINED, INTERRUPTED = 0, 1, 2, 3, 4, 130


class MuError(Exception):
    """An error that a user can correct. Exit code 1."""

    exit_code = FAILED

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return self.render()

    def render(self) -> str:
        """Return the message as lines: where and what first, then the hint, indented."""
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        lines += [f"    {line}" for line in (self.hint or "").splitlines()]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Return the error as JSON data."""
        return {"error": self.what, "where": self.where, "hint": self.hint, "exit_code": self.exit_code}


class UsageError(MuError):
    """Invalid arguments of a command. Exit code 2."""

    exit_code = USAGE

    def as_dict(self) -> dict[str, object]:
        """Return the error as JSON data; the text itself is the hint where no other is given."""
        return {**super().as_dict(), "hint": self.hint or self.what}


class UnavailableError(MuError):
    """A model, a data set or an optional package is not available. Exit code 3."""

    exit_code = UNAVAILABLE


class KnowledgeError(MuError):
    """A skill, a claim or a log entry is invalid or ambiguous."""


class CheckpointError(MuError):
    """A checkpoint on disk is incomplete, damaged or not of the expected form."""


class IncompatibleError(MuError):
    """Models cannot be merged or compared with each other."""


class MuWarning(UserWarning):
    """Input that is accepted, but not as it was given or not without doubt; `mu` prints it as `note: …`."""


def warn(text: str) -> None:
    """Report something that a user should know and that stops nothing."""
    warnings.warn(text, MuWarning, stacklevel=2)


def missing_extra(package: str, extra: str = "lab") -> UnavailableError:
    """Return the error for an optional package that is not installed."""
    return UnavailableError(
        f"this needs the package {package}, which is not installed.",
        hint=f"Install it with: pip install 'merginguriel[{extra}]'",
    )


def as_mu_error(error: BaseException) -> MuError | None:
    """Convert an error of the system (a file, memory, a missing package) to a MuError; None if it is a bug."""
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


USER_ERRORS = (MuError, ModuleNotFoundError, UnicodeEncodeError, MemoryError, OSError)
