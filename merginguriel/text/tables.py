"""Plain text for a terminal: control characters, true minus signs, aligned columns, counts."""

from __future__ import annotations

import re


def plain(text: str) -> str:
    """Return text from files with control characters escaped, so that a terminal does not obey them."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def true_minus(text: str) -> str:
    """Replace the hyphen before a number by a minus sign: `-1.6` → `−1.6`. Hyphens in names and dates stay."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def columns(rows: list[list[str]], *, gap: str = "  ") -> str:
    """Return rows as aligned columns; the last column is not padded."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widths[-1] = 0
    return "\n".join(
        gap.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )
