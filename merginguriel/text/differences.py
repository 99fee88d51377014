"""How is a difference, a goal or a ranking said in words that never call noise a win?"""

from __future__ import annotations

from collections.abc import Sequence

from merginguriel import stats
from merginguriel.report.comparisons import ABOVE, ALPHA, BELOW, NOISE, Cell, Difference
from merginguriel.report.contrasts import FEWEST, Setting
from merginguriel.report.ranking import Ranking

KIND_WORDS = {
    "best_single_source": "best single source",
    "best_zero_shot": "best model of another locale",
    "source_mean": "mean of sources",
    "target_alone": "target's own model",
    "average_merge": "plain average of the same sources",
    "majority_class": "majority class",
    "pretrained_base": "pretrained base, fresh head",
}
MARKS = {ABOVE: "▲ ", BELOW: "▼ "}


def kind_words(kind: str) -> str:
    return KIND_WORDS.get(kind, kind.replace("_", " "))


def number(value: float | None, places: int = 1, *, sign: bool = True) -> str:
    """With a true minus sign, and never −0.0."""
    if value is None:
        return "–"
    text = f"{value:{'+' if sign else ''}.{places}f}"
    if float(text) == 0:
        text = text.replace("-", "+" if sign else "")
    return text.replace("-", "−")


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def p_number(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(n: int, word: str, many: str = "") -> str:
    """`1 target`, `2 targets`; many: the plural where it is not that of `merge`, `class` or `accuracy`."""
    usual = (
        word[:-1] + "ies" if word.endswith("y") else word + "es" if word.endswith(("s", "x")) else word + "s"
    )
    return f"{n:,} {word if n == 1 else many or usual}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """`a, b and c`; of many, the first and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 2 else names)


def interval(d: Difference) -> str:
    """`+1.2 [−0.4, +2.8]`, or `+1.2` where nothing tells the noise."""
    if d.low is None or d.high is None:
        return number(d.value)
    return f"{number(d.value)} [{number(d.low)}, {number(d.high)}]"


def cell_text(d: Difference) -> str:
    """Difference, interval and what it could see, with ▲ or ▼ only outside noise."""
    return (
        MARKS.get(d.verdict, "")
        + interval(d)
        + (f"; sees {number(d.mde, sign=False)}" if d.mde is not None else "")
    )


def verdict_words(d: Difference) -> str:
    if d.verdict in (ABOVE, BELOW):
        return f"{d.verdict}, outside noise"
    return NOISE if d.verdict == NOISE else "noise not known"


def difference_words(d: Difference, family: int = 1) -> str:
    """`+1.2 pp, 95% −0.4 … +2.8, p = 0.140 (1.000 over 12 comparisons): within noise; sees 2.3 pp or more`."""
    text = f"{number(d.value)} pp"
    if d.low is not None and d.high is not None:
        text += f", 95% {number(d.low)} … {number(d.high)}"
    if d.p is not None:
        text += f", {stats.p_text(d.p)}"
        if d.p_holm is not None and family > 1:
            text += f" ({p_number(d.p_holm)} over {family} comparisons)"
    text += f": {verdict_words(d)}"
    if d.verdict == NOISE and d.mde is not None:
        text += f"; such a comparison sees {number(d.mde, sign=False)} pp or more"
    return text


def goal_standing(cells: Sequence[Cell]) -> str:
    """`reached`, `missed` or `undecided`, of merges that are compared with their goal's baseline."""
    verdicts = [cell.against[cell.goal].verdict for cell in cells if cell.goal]
    if ABOVE in verdicts:
        return "reached"
    return "missed" if verdicts and set(verdicts) == {BELOW} else "undecided"


def goal_cell(cells: Sequence[Cell]) -> str:
    """A goal on one target, in a table: how many merges are above and below, outside noise, and the highest one."""
    if not cells:
        return "not tried"
    verdicts = [cell.against[cell.goal].verdict for cell in cells if cell.goal]
    best = max(cells, key=lambda c: (c.against[str(c.goal)].value, c.label))
    above, below = verdicts.count(ABOVE), verdicts.count(BELOW)
    told = (
        f"{goal_standing(cells)}: {above} above, {below} below, {len(verdicts) - above - below} within noise"
    )
    return f"{told}; highest {best.label} {cell_text(best.against[str(best.goal)])}"


def goal_sentence(mode: str, goal: int, kind: str, by_target: dict[str, list[Cell]]) -> str:
    """Goal 1 or 2 over all targets."""
    found: dict[str, list[str]] = {"reached": [], "missed": [], "undecided": []}
    for target, cells in by_target.items():
        found[goal_standing(cells)].append(target)
    text = (
        f"Goal {goal} ({mode} above the {kind_words(kind)}): reached on {len(found['reached'])} of "
        f"{count(len(by_target), 'target')}"
    )
    if found["reached"]:
        text += f" ({listed(found['reached'])})"
    if found["missed"]:
        text += f"; every merge below, outside noise, on {listed(found['missed'])}"
    if found["undecided"]:
        text += f"; on {listed(found['undecided'])} no merge is above outside noise"
    return text + "."


def ranking_sentences(r: Ranking) -> list[str]:
    """What the tests say, and what they could not have said."""
    n, k = len(r.targets), len(r.methods)
    differ = r.p < ALPHA
    bracketed = ", the baseline in brackets among them," if any(m.startswith("[") for m in r.methods) else ""
    said = [
        f"Friedman's test over {count(k, 'method')}{bracketed} and {count(n, 'target')}: χ² = {r.chi2:.1f}, {stats.p_text(r.p)} "
        f"(Iman and Davenport's F: {stats.p_text(r.p_f)}): "
        + ("not all methods rank alike." if differ else "that all methods rank alike is within noise.")
    ]
    near = [m for m, mean in zip(r.methods[1:], r.mean[1:], strict=True) if mean - r.mean[0] < r.critical]
    if differ and len(near) < k - 1:
        rest = k - 1 - len(near)
        said.append(
            f"Lowest mean rank: {r.methods[0]}, {r.mean[0]:.2f}. Nemenyi's critical difference is {r.critical:.2f} ranks: "
            f"{count(rest, 'method')} rank{'s' if rest == 1 else ''} apart from it"
            + (
                f", and {len(near)} do{'es' if len(near) == 1 else ''} not ({listed(near, 4)})."
                if near
                else "."
            )
        )
    else:
        said.append(
            f"Lowest mean rank: {r.methods[0]}, {r.mean[0]:.2f}; that is within noise: Nemenyi's critical difference is "
            f"{r.critical:.2f} ranks, and no method ranks apart from it."
        )
    apart = sum(pair.p_holm < ALPHA for pair in r.pairs)
    smallest = 2.0 ** (1 - n)
    if smallest * len(r.pairs) >= ALPHA:
        said.append(
            f"Wilcoxon's test with Holm cannot tell any of {count(len(r.pairs), 'pair')} apart with {count(n, 'target')}, "
            f"whatever the values: the smallest p that it can give is {smallest:.3g}."
        )
    else:
        said.append(f"Wilcoxon's test with Holm tells {apart} of {count(len(r.pairs), 'pair')} apart.")
    return said


def setting_name(s: Setting) -> str:
    return f"{s.key}: {s.a} − {s.b}"


def setting_sentence(s: Setting, family: int) -> str:
    targets = count(len(s.by_target), "target")
    if s.difference.p is None:
        return (
            f"{s.key} {s.a} against {s.b}: {number(s.difference.value)} pp on {targets}, too few to tell noise from."
            if len(s.by_target) < FEWEST
            else f"{s.key} {s.a} against {s.b}: {number(s.difference.value)} pp on each of {targets}: noise not known."
        )
    return f"{s.key} {s.a} against {s.b}, over {targets}: {difference_words(s.difference, family)}."
