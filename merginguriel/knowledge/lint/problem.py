"""What does a rule report? A place, what is wrong there, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something that lint found. `where` is file:line."""

    where: str
    what: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"where": self.where, "what": self.what, "mend": self.mend}
