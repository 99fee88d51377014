"""Which day lies in the future, wherever its author sits and however wrong this machine's clock is?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

# Day of this program's newest shipped entry: a clock that stands before it is wrong, and what ships stays readable.
RELEASED = "2026-11-21"
FIRST_ZONE = timezone(timedelta(hours=14))  # where a day begins first on Earth


def is_future(day: str) -> bool:
    """Has `day` (YYYY-MM-DD) begun nowhere on Earth yet?"""
    return day > max(datetime.now(FIRST_ZONE).date().isoformat(), RELEASED)
