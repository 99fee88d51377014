"""Data of the advise screen: possible questions, targets, and the first thing to do."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from merginguriel import locales
from merginguriel_tui.widgets.whatif import numbers_of

if TYPE_CHECKING:
    from merginguriel.decision.advice_types import Advice
    from merginguriel.knowledge.parse.rows import ResultRow
    from merginguriel.loop.advice_cache import Adviser
    from merginguriel.workspace import Workspace

    Known = tuple[Adviser, list[str], list[str], dict[tuple[str, str], int]]

DEFAULT_SEED = 0  # of a run whose configuration names none
SHOWN = 200  # targets in the list; what is typed narrows it


def of_screen(key: str) -> bool:
    """Return whether a key is for the screens in an empty field: no locale begins with a digit or `/`."""
    return key.isdigit() or key == "slash"


class Find(Input):
    """Search field over the list of targets; the down key enters the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus('targets')", "To the list", id="advise.list", show=False)
    ]

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Leave a digit and `/` to the keys of the screens while nothing is typed."""
        return super().check_consume_key(key, character) and (bool(self.value) or not of_screen(key))

    def on_key(self, event: events.Key) -> None:
        """Leave the same keys out of the field."""
        if of_screen(event.key) and not self.value:
            event.prevent_default()


class Targets(OptionList):
    """List of targets; the chosen one stays in view when the terminal changes its size."""

    def on_resize(self) -> None:
        """Scroll to the chosen target."""
        self.call_after_refresh(self.scroll_to_highlight)


def valid_question(state: object) -> dict[str, str]:
    """Return the question of the last session without invalid values: it was read from a file."""
    values = {k: v for k, v in state.items() if isinstance(v, str)} if isinstance(state, dict) else {}
    return values if numbers_of({"k": "", "min_gain": "", "budget": "", **values}) is not None else {}


def command(target: str, changed: Mapping[str, str]) -> str:
    """Return the `mu advise` command of a question."""
    flags = [f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in changed.items() if value]
    return " ".join(["mu advise", f"--target {target}", *flags, "--all"])


class Answered(NamedTuple):
    """An advice, the row that measured its recipe, a remark, and the locales with a model in its context."""

    advice: Advice
    row: ResultRow | None
    note: str | None
    trained: frozenset[str]


ACTIONS = ("run", "save", "pilot", "evidence", "next")  # that need an advice, and more of it than a verdict


def read(space: Workspace) -> Known:
    """Load the knowledge, the contexts and methods to choose from, and (context, target) → measured merges."""
    from merginguriel import threads

    threads.numpy_with_one()
    from merginguriel.knowledge.parse.rows import is_merge
    from merginguriel.loop import advise_request
    from merginguriel.loop.advice_cache import Adviser

    adviser = Adviser(space)
    knowledge = adviser.knowledge
    contexts, methods = advise_request.choices(knowledge)
    counts: dict[tuple[str, str], int] = {}
    for row in knowledge.rows:
        if row.mode != "-" and is_merge(row.method):
            counts[row.context, row.target] = counts.get((row.context, row.target), 0) + 1
    return adviser, contexts, methods, counts


def answered(adviser: Adviser, target: str, options: Mapping[str, Any], prefer: Sequence[str]) -> Answered:
    """Ask for the advice on a target; `prefer` names locales that an ambiguous one may mean."""
    from merginguriel.study import capabilities

    from . import recipe

    answer = adviser.answer(locales.get(target, prefer=prefer).tag, **options)
    row = recipe.same_seed(recipe.measured(adviser.knowledge, answer.advice), DEFAULT_SEED)
    trained = capabilities.trained(adviser.space, answer.advice.context)
    return Answered(answer.advice, row, answer.note, trained)


def targets(
    space: Workspace, context: str, text: str, counts: dict[tuple[str, str], int]
) -> list[tuple[str, str, int]]:
    """Return (tag, language, measured merges) of every locale that `text` may mean, the likeliest first.

    Args:
        text: Part of a tag or language; letters may be missing. Empty: the locales with results, models or text.
        counts: (context, target) → measured merges.
    """
    from textual.fuzzy import Matcher

    from merginguriel.study import capabilities

    known, logged = locales.table().values(), {target for _, target in counts}
    measured = {target: n for (name, target), n in counts.items() if name == context}
    if not text:
        trained, scorable = capabilities.trained(space, context), capabilities.scorable(space, context) or ()
        near = {*measured, *trained, *scorable}
        every = [(i.tag, i.name, measured.get(i.tag, 0)) for i in known if i.tag in near or not near]
        return sorted(every, key=lambda item: (not item[2], item[0] not in trained, item[0]))
    matcher = Matcher(text)
    scored = []
    for item in known:
        score = max(matcher.match(item.tag), matcher.match(item.name))
        if score > 0:
            exact = text.lower() in (item.tag.lower(), item.name.lower())
            target = (item.tag, item.name, measured.get(item.tag, 0))
            scored.append(
                ((not exact, -round(score, 3), not target[2], item.tag not in logged, item.tag), target)
            )
    return [target for _, target in sorted(scored)]


def target_options(found: Sequence[tuple[str, str, int]], *, searched: bool) -> list[Option]:
    """Return the lines of targets, and how many more a search finds."""
    options = [Option(target_line(*item)) for item in found[:SHOWN]]
    more = (len(found) if searched else len(locales.table())) - len(options)
    text = Text(f"… {more} more: type", "dim")
    return [*options, Option(text, disabled=True)] if more else options


def target_line(tag: str, name: str, count: int) -> Text:
    """Return a target's line in the list, with a dot and a count if merges for it were measured."""
    text = Text("• " if count else "  ", no_wrap=True, overflow="ellipsis")
    text.append(f"{tag:<6} ", "bold" if count else "")
    text.append("" if name == "None" else name, "" if count else "dim")
    if count:
        text.append(f" {count}", "dim")
    return text


def refuses(advice: Advice, action: str, trained: frozenset[str]) -> bool:
    """Return True if one of ACTIONS is impossible for this advice with the models that are `trained`."""
    from merginguriel.study import capabilities

    if action in ("run", "save"):
        recipe = advice.recipe
        chosen = capabilities.has_sources(recipe, advice.target, advice.mode, trained)
        return not (recipe.runnable and recipe.passes == 1 and chosen)
    if action == "next":
        return not any(step.command for step in advice.next)
    return not (advice.pilot.arms if action == "pilot" else advice.rows)


def first_action(found: Answered, key: Callable[[str], str]) -> str:
    """Return the first thing to do about an advice that is possible here, after its key."""
    advice, row = found.advice, found.row
    possible = {name for name in ACTIONS if not refuses(advice, name, found.trained)}
    if row is not None:
        from merginguriel.text.advice import short_ref

        again = f"; {key('advise.run')} runs it with another seed" if "run" in possible else ""
        return f"measured already as {short_ref(row.ref)}{again}"
    if advice.verdict == "pilot" and "pilot" in possible:
        return f"{key('advise.pilot')} tries it in a pilot: arms, cost and detectable gain come first"
    if advice.verdict == "merge" and "run" in possible:
        return f"{key('advise.run')} runs this recipe"
    return f"{key('advise.next')} copies the next command" if "next" in possible else ""
