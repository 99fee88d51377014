"""What does a difference look like to a program? Records for CSV and JSON, numbers to six decimals."""

from __future__ import annotations

from . import contrasts
from .comparisons import Difference


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def difference_record(d: Difference) -> dict[str, object]:
    return {
        "difference_pp": rounded(d.value), "low_pp": rounded(d.low), "high_pp": rounded(d.high), "se_pp": rounded(d.se),
        "mde_pp": rounded(d.mde), "p": rounded(d.p), "p_holm": rounded(d.p_holm), "paired": d.paired, "verdict": d.verdict,
    }  # fmt: skip


def contrast_record(s: contrasts.Setting) -> dict[str, object]:
    return {
        "key": s.key,
        "a": s.a,
        "b": s.b,
        "targets": len(s.by_target),
        "pairs": s.pairs,
        **difference_record(s.difference),
    }
