"""Random sentences from hassil templates such as `turn on [the] {name}`.

Exhaustive expansion is infeasible (one English template has millions of sentences), so each choice is random.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, TypeVar

from merginguriel.errors import MuError, missing_extra

try:
    from hassil.errors import HassilError
    from hassil.expression import (
        Alternative,
        Expression,
        Group,
        ListReference,
        Permutation,
        RuleReference,
        Sentence,
        TextChunk,
    )
    from hassil.parse_expression import parse_sentence
    from hassil.parser import ParseError
except ImportError as error:
    raise missing_extra("hassil") from error

# One pool for every free slot. With a pool per slot, a name alone would give the intent away (only messages
# say "Vega"), in every language at once, and zero-shot transfer would look better than it is.
NAMES = (
    "Luna", "Sonos", "Anna", "Atlas", "Bosch", "Delta", "Emma", "Fibaro", "Hugo", "Ikea", "Juno", "Kira",
    "Leo", "Mars", "Nova", "Omega", "Philips", "Rex", "Sigma", "Tado", "Uma", "Vega", "Xiaomi", "Zoe",
)  # fmt: skip
DEEPEST = 40  # rules that refer to each other would never end
OPEN, MIDDLE, CLOSE = "\2", "\x1f", "\3"  # around what fills a slot
_OPENING = re.compile(f"{OPEN}[^{MIDDLE}]*{MIDDLE}|{CLOSE}")
SLOT = "\0"  # stands for a slot in a skeleton

T = TypeVar("T")
Lists = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Draw:
    """Sentence and its skeleton, the same words with every slot emptied, by which variants are recognised.

    marked  the sentence with `OPEN name=value MIDDLE words CLOSE` around the content of a slot; the value is the same in
            every language
    """

    text: str
    skeleton: str
    marked: str


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """Return a random option; the same on every Python version."""
    # random() is the one draw whose sequence Python promises to keep between versions; choice() is not.
    return options[int(rng.random() * len(options))]


def shuffled(rng: random.Random, options: Sequence[T]) -> list[T]:
    """Return the options in random order; the same on every Python version."""
    keys = [rng.random() for _ in options]
    return [options[i] for i in sorted(range(len(options)), key=keys.__getitem__)]


@lru_cache(maxsize=20_000)
def parsed(template: str) -> Sentence:
    """Parse a template; cached. Raises MuError if it is invalid."""
    try:
        return parse_sentence(template)
    except (ParseError, HassilError) as error:
        raise MuError(f"this sentence template cannot be read: {error}", where=template) from error


def draw(template: str, rules: Mapping[str, str], lists: Lists, rng: random.Random) -> Draw:
    """Draw a random sentence of `template`.

    Args:
        rules: Name → template, for <name>.
        lists: Name → Home Assistant list ({"values": ...}, {"range": ...} or {"wildcard": True}), for {name}. A name
            without a list is a free slot and is filled with a proper name.

    Raises:
        MuError: An invalid template, a missing rule or circular rules.
    """
    words, bones = _expand(parsed(template).expression, rules, lists, rng, 0)
    return Draw(
        _tidy(_OPENING.sub("", words)),
        _tidy("".join(map(_bare, bones.replace(SLOT, f" {SLOT} ")))).casefold(),
        words,
    )


def slots(drawn: Draw) -> tuple[tuple[str, str], ...]:
    """Return (name, value) of every slot, sorted; values are the same in every language."""
    found = (
        mark.strip(OPEN + MIDDLE).partition("=") for mark in re.findall(f"{OPEN}[^{MIDDLE}]*", drawn.marked)
    )
    return tuple(sorted((name, value) for name, _, value in found))


def _tidy(text: str) -> str:
    return " ".join(text.split())


@cache
def _bare(char: str) -> str:
    # By category, not by the regular expression \w, which would also drop the vowel signs of Hindi or Thai.
    return " " if unicodedata.category(char)[0] in "PS" else char


def _expand(
    node: Expression, rules: Mapping[str, str], lists: Lists, rng: random.Random, depth: int
) -> tuple[str, str]:
    """Return text and skeleton of one node; in the skeleton a slot is SLOT."""
    if depth > DEEPEST:
        raise MuError("expansion rules refer to each other without end.")
    if isinstance(node, TextChunk):
        return node.original_text, node.original_text
    if isinstance(node, RuleReference):
        if node.rule_name not in rules:
            raise MuError(f"a template uses the rule <{node.rule_name}>, which is not defined.")
        return _expand(parsed(rules[node.rule_name]).expression, rules, lists, rng, depth + 1)
    if isinstance(node, ListReference):
        filled, value = _fill(node, rules, lists, rng, depth)
        words = _OPENING.sub("", filled)
        return f"{OPEN}{node.slot_name}={value}{MIDDLE}{words}{CLOSE}", SLOT
    if isinstance(node, Alternative):
        return _expand(_choose(node, rng), rules, lists, rng, depth + 1)
    if isinstance(node, Group):
        items = shuffled(rng, node.items) if isinstance(node, Permutation) else node.items
        pairs = [_expand(item, rules, lists, rng, depth + 1) for item in items]
        return "".join(text for text, _ in pairs), "".join(bone for _, bone in pairs)
    raise MuError(f"a template holds {type(node).__name__}, which is not supported.")


def _choose(node: Alternative, rng: random.Random) -> Expression:
    if (
        node.is_optional
    ):  # its last item is the empty text: left out half of the time, however many the others are
        return node.items[-1] if rng.random() < 0.5 else pick(rng, node.items[:-1])
    return pick(rng, node.items)


def _fill(
    node: ListReference, rules: Mapping[str, str], lists: Lists, rng: random.Random, depth: int
) -> tuple[str, str]:
    """Return the words that fill a slot, and the value that they express in every language."""
    inline = node.get_inline_range()
    known = lists.get(node.list_name, {})
    if not inline and known.get("values"):
        value = pick(rng, known["values"])
        template = value["in"] if isinstance(value, Mapping) else str(value)
        words = _expand(parsed(template).expression, rules, lists, rng, depth + 1)[0]
        return words, str(value.get("out", template)) if isinstance(value, Mapping) else template
    if inline:
        words = _number(rng, *inline)
    elif "range" in known:
        span = known["range"]
        words = _number(rng, int(span["from"]), int(span["to"]), int(span.get("step", 1)))
    else:
        words = pick(rng, NAMES)
    return words, words


def _number(rng: random.Random, low: int, high: int, step: int) -> str:
    return str(low + step * int(rng.random() * ((high - low) // step + 1)))
