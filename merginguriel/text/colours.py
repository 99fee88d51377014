"""Colour map of matrices: cividis, for eyes with and without red-green deficiency."""

from __future__ import annotations

# Nuñez, Anderton & Renslow 2018, at equal steps from dark to light.
CIVIDIS = ((0, 34, 78), (67, 78, 108), (125, 124, 120), (188, 174, 108), (254, 232, 56))


def cividis(share: float) -> tuple[int, int, int]:
    """Return red, green and blue (0 to 255) of a value between 0 (dark) and 1 (light)."""
    position = share * (len(CIVIDIS) - 1)
    i = min(int(position), len(CIVIDIS) - 2)
    red, green, blue = (
        round(a + (b - a) * (position - i)) for a, b in zip(CIVIDIS[i], CIVIDIS[i + 1], strict=True)
    )
    return red, green, blue


def is_light(share: float) -> bool:
    """Return True where black text is easier to read on the colour than white text."""
    return share > 0.5
