"""Answers of `mu advise`, computed once for the same knowledge, workspace, program and question.

The key is made of the stamps of every file that an answer depends on, so that a large log is neither read nor parsed
for a question that was asked before.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merginguriel import __version__, cache
from merginguriel.knowledge.parse.file_stamps import is_settled, stamp, stamps
from merginguriel.workspace import Workspace

from . import interval_width

if TYPE_CHECKING:
    from merginguriel.decision.advice_types import Advice
    from merginguriel.knowledge.base import Knowledge

    from .context_cache import Part

KEPT = 512  # answers
# Of the program, what decides an answer.
PROGRAM = ("decision", "knowledge", "loop", "merging/methods", "metrics", "similarity", "study", "tasks")


@dataclass(frozen=True)
class Answer:
    """Advice, and a note on a matrix that the log lacks."""

    advice: Advice
    note: str | None


class AdviceUnpickler(pickle.Unpickler):
    """Unpickler for the types of advice only: a foreign file in the cache cannot run anything."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a type of advice; raise UnpicklingError for any other."""
        if module in ("merginguriel.decision.advice_types", "merginguriel.decision.arm_types"):
            found = super().find_class(module, name)
            if is_dataclass(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no type of advice")


class Adviser:
    """Answers questions about a workspace; its knowledge is read when the first answer is not in the cache."""

    def __init__(self, space: Workspace, as_of: str | None = None) -> None:
        """Stamp the files; nothing is read yet."""
        self.space, self.as_of = space, as_of
        self._stamps = _stamps(space)
        self._settled = all(map(is_settled, self._stamps.values()))
        self._knowledge: Knowledge | None = None

    @property
    def problems(self) -> str:
        """Number of problems of the files and the command that lists them; '' for none. No such answer is cached."""
        from merginguriel.knowledge.problems import summary

        return summary(self._knowledge.problems) if self._knowledge else ""

    @property
    def knowledge(self) -> Knowledge:
        """The workspace's knowledge, read once."""
        from merginguriel.knowledge.base import load

        if self._knowledge is None:
            self._knowledge = load(self.space, as_of=self.as_of)
        return self._knowledge

    def answer(self, target: str, **options: Any) -> Answer:
        """Return the advice on a target.

        Args:
            target: The target.
            options: Those of `advise_request.question`.
        """
        if options.get("min_gain") is None:
            options["min_gain"] = float(str(self.space.settings["min_gain_pp"]))
        key = self._key(target, {"ensembles": True, **options})
        place = cache.folder("advice") / f"{key}.pickle"
        data = cache.read(place)
        found = None if data is None else _loaded(data)
        if found is not None:
            return found
        advice, note = self._computed(target, options)
        if self._settled and not self.problems:
            cache.write(place, pickle.dumps((advice, note), protocol=5), keep=KEPT)
        return Answer(advice, note)

    def _computed(self, target: str, options: dict[str, Any]) -> tuple[Advice, str | None]:
        """Return advice and note, from the rows of the context alone where these decide the answer."""
        from merginguriel.decision.context_evidence import NeedsWholeLogError

        from . import advise_request, ledger

        if options.get("method") is None and (part := self._part(options)) is not None:
            knowledge, evidence = part
            question = advise_request.question(knowledge, target, **options)
            with suppress(NeedsWholeLogError):
                if not question.matrix:
                    advice = ledger.answered(knowledge, question, evidence)
                    return advice, advise_request.unlogged_note(knowledge, question)
        question = advise_request.question(self.knowledge, target, as_of=self.as_of, **options)
        advice = ledger.answered(self.knowledge, question)
        return advice, advise_request.unlogged_note(self.knowledge, question)

    def _part(self, options: dict[str, Any]) -> Part | None:
        """Return the cached evidence of the question's context, computed now if it is not cached; None without one."""
        from . import advise_request, context_cache

        if self.as_of is not None or not self._settled:
            return None
        context = options.get("context") or str(self.space.settings["context"])
        mode = advise_request.mode_of(context, options.get("mode") or "ExcTar")
        asked = __version__, str(self.space.root.resolve()), context, mode, self._stamps
        key = hashlib.sha256(repr(asked).encode()).hexdigest()
        found = context_cache.recall(self.space, key)
        if found is None and not self.knowledge.problems:
            found = context_cache.remember(self.knowledge, context, mode, key)
        return found

    def _key(self, target: str, options: dict[str, Any]) -> str:
        context = options.get("context") or str(self.space.settings["context"])
        space = self.space
        asked = (
            __version__, str(space.root.resolve()), space.shipped, space.settings, target, self.as_of,
            sorted(options.items()), _trained(space, context),
        )  # fmt: skip
        measured = [_stamp(space.matrix(context, ending)) for ending in ("-test", "-dev")]
        # Which locales a task offers: the tasks of the workspace, and whether the texts of `home` are installed.
        offered = _stamp(space.root / "tasks.yaml"), find_spec("home_assistant_intents") is not None
        width = interval_width.stored(space, context)
        return hashlib.sha256(repr((asked, measured, offered, width, self._stamps)).encode()).hexdigest()


def _stamps(space: Workspace) -> dict[str, str]:
    """Return the stamps of the knowledge, and of what the program decides by."""
    package = Path(__file__).resolve().parents[1]
    found = {**stamps(space.root, space.skills), **stamps(space.root, space.log)}
    for name, depth in (("", 1), *((name, 8) for name in PROGRAM)):
        inside = stamps(package, package / name, depth=depth)
        found |= {f"program/{path}": one for path, one in inside.items() if "__pycache__" not in path}
    return found


def _trained(space: Workspace, context: str) -> list[tuple[str, str]]:
    """Return the models of a context, by name and stamp."""
    task, _, base = context.partition("/")
    root = space.models / task / base
    return [
        (str(path), _stamp(path)) for path in (*sorted(root.glob("*/training.yaml")), root / "models.yaml")
    ]


def _stamp(path: Path) -> str:
    try:
        return stamp(path.stat())
    except OSError:
        return ""


def _loaded(data: bytes) -> Answer | None:
    """Return a cached answer; None for a damaged file."""
    try:
        return Answer(*AdviceUnpickler(io.BytesIO(data)).load())
    except (
        ValueError,
        EOFError,
        ArithmeticError,
        AttributeError,
        ImportError,
        LookupError,
        TypeError,
        pickle.UnpicklingError,
    ):
        return None
