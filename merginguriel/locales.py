"""Table of locales: language, territory and sometimes script, such as `sw-KE` and `sr-Latn-RS`."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .errors import UsageError


class Locale(NamedTuple):
    """A locale: tag `sw-KE`, language `swh` (ISO 639-3), script `Latn` (ISO 15924), name `Swahili`."""

    tag: str
    language: str
    script: str
    name: str


@cache
def table() -> dict[str, Locale]:
    """Return every known locale by its tag, sorted."""
    text = Path(__file__).with_name("locales.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {tag: Locale(tag, language, script, name) for tag, language, script, name in rows}


def normalize(tag: str) -> str:
    """Return the standard spelling of a tag: `SW_ke` → `sw-KE`, `sr-latn-rs` → `sr-Latn-RS`."""
    parts = tag.strip().replace("_", "-").split("-")
    return "-".join(
        part.lower() if i == 0 else part.title() if len(part) == 4 else part.upper()
        for i, part in enumerate(parts)
    )


def get(tag: str, *, prefer: Collection[str] = ()) -> Locale:
    """Return the locale of a tag. Raises UsageError that names the nearest valid ones, those of `prefer` first."""
    known = table()
    found = known.get(tag) or known.get(normalize(tag))
    if found:
        return found
    near = nearest(tag, prefer=prefer)
    raise UsageError(
        f"unknown locale {tag!r}.",
        hint=f"Did you mean {', '.join(near)}?\nA locale is a language and a territory, like sw-KE."
        if near
        else "A locale is a language and a territory, like sw-KE.",
    )


def nearest(tag: str, count: int = 4, *, prefer: Collection[str] = ()) -> list[str]:
    """Return the valid locales closest to `tag`: same language first (of these, `prefer` first), then by spelling."""
    import difflib

    wanted = normalize(tag)
    language, _, territory = wanted.partition("-")
    known = list(table())
    same = [t for t in known if t.split("-")[0] == language]
    here = [t for t in known if territory and t.endswith("-" + territory)]
    spelled = difflib.get_close_matches(wanted, known, n=count, cutoff=0.6)
    named = [t for t, locale in table().items() if language and language == locale.name.lower()]
    alike = difflib.get_close_matches(wanted, same, n=len(same) or 1, cutoff=0.0) + named
    ranked = sorted(alike, key=lambda t: t not in prefer)[:count] + spelled + here
    return list(dict.fromkeys(ranked))[:count]
