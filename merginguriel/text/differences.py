"""A difference with its uncertainty, and how it is written without calling noise a win."""

from __future__ import annotations

from dataclasses import dataclass

from merginguriel import stats

from .numbers import signed

ALPHA = 0.05
ABOVE, BELOW, NOISE, UNTESTED = "above", "below", "within noise", "untested"
MARKS = {ABOVE: "▲ ", BELOW: "▼ "}
KIND_WORDS = {
    "best_single_source": "best single source",
    "best_zero_shot": "best model of another locale",
    "source_mean": "mean of sources",
    "target_alone": "target's own model",
    "average_merge": "plain average of the same sources",
    "untuned_merge": "same merge before tuning",
    "joint": "one model trained on many locales",
    "majority_class": "majority class",
    "pretrained_base": "pretrained base, fresh head",
}


@dataclass(frozen=True)
class Difference:
    """A − B in points: hundredths of the metric's unit, percentage points for a share.

    Attributes:
        low: Lower end of the 95% interval; None, like `high`, `se`, `mde` and `p`, where the noise is unknown.
        mde: Smallest true difference that such a comparison detects with 80% probability at 5%.
        p: Two-sided p of this comparison alone.
        p_holm: `p` after Holm's correction over `family` comparisons.
        paired: Whether both were scored on the same items, with known answers.
        units: Number of test items, or of targets, that the noise is estimated from.
        family: Number of comparisons that `p_holm` counts.
        bound: Whether `se` is only an upper bound, so that a high `p` does not show that there is no difference.
        points: Unit: `pp`, or `pt` for a correlation.
    """

    value: float
    low: float | None = None
    high: float | None = None
    se: float | None = None
    mde: float | None = None
    p: float | None = None
    p_holm: float | None = None
    paired: bool = False
    units: int | None = None
    family: int = 1
    bound: bool = False
    points: str = "pp"

    @property
    def verdict(self) -> str:
        """One of ABOVE, BELOW, NOISE and UNTESTED, after Holm's correction where the family is known."""
        p = self.p if self.p_holm is None else self.p_holm
        if p is None:
            return UNTESTED
        if p < ALPHA and self.value:
            return ABOVE if self.value > 0 else BELOW
        return UNTESTED if self.bound else NOISE


def kind_words(kind: str) -> str:
    """Return the name of a kind of baseline."""
    return KIND_WORDS.get(kind, kind.replace("_", " "))


def number(value: float | None, decimals: int = 1, *, sign: bool = True) -> str:
    """Format a number with a true minus sign, and never as −0.0; `–` for None."""
    if value is None:
        return "–"
    text = signed(value, decimals)
    return text if sign else text.removeprefix("+")


def percent(value: float | None) -> str:
    """Format a value times 100, without a unit: `46.7`."""
    return "–" if value is None else f"{100 * value:.1f}"


def p_number(p: float | None) -> str:
    """Format a p value: `0.140`, `< 0.001`."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(d: Difference) -> str:
    """Format a difference with its interval: `+1.2 [−0.4, +2.8]`, or `+1.2` where the noise is unknown."""
    if d.low is None or d.high is None:
        return number(d.value)
    return f"{number(d.value)} [{number(d.low)}, {number(d.high)}]"


def cell_text(d: Difference) -> str:
    """Format a difference for a table: ▲ or ▼ outside noise, the interval and the detectable effect."""
    return (
        MARKS.get(d.verdict, "")
        + interval(d)
        + (f"; detects {number(d.mde, sign=False)}" if d.mde is not None else "")
    )


def verdict_words(d: Difference) -> str:
    """Return the verdict in words."""
    return f"{d.verdict}, outside noise" if d.verdict in MARKS else d.verdict


def difference_words(d: Difference) -> str:
    """Format a difference for a sentence.

    `+1.2 pp, 95% −0.4 … +2.8, p = 0.140 (Holm over 12: 1.000): within noise; detects 2.3 pp or more`
    """
    text = f"{number(d.value)} {d.points}"
    if d.low is not None and d.high is not None:
        text += f", 95% {number(d.low)} … {number(d.high)}"
    if d.p is not None:
        text += f", {stats.p_text(d.p)}"
        if d.p_holm is not None and d.family > 1:
            text += f" (Holm over {d.family}: {p_number(d.p_holm)})"
    text += f": {verdict_words(d)}"
    if d.verdict == NOISE and d.mde is not None:
        text += f"; detects {number(d.mde, sign=False)} {d.points} or more"
    return text
