"""How does advice read? The decision first, the number that matters next, the reasons after it."""

from __future__ import annotations

from typing import Any

from merginguriel.decision.advice import Advice

from .numbers import count, percent, pp, signed

SHOWN = 4  # rows of a kind, unless all are asked for
_JOIN = "\N{NO-BREAK SPACE}"  # a line is not broken here; shown as a blank
WIDTH = 80  # of a pipe; a terminal has its own
MARGIN = 12  # where text begins, right of the labels
REF = 44  # the longest id of a row that is shown whole
HELD_SHORT = 0.05  # a 90% interval that held this much less often is warned of

LEGEND = (
    ("gain", "accuracy of the merge − that of the figure to beat, in percentage points (pp)"),
    ("90%", "the interval that holds the true gain with probability 0.90, by the model"),
    ("ExcTar", "the target's own model is not among the sources; IncTar: it is, and is to beat"),
    ("REAL", "sources ranked by what they score on the target; URIEL: by typology"),
    ("fit", "how alike the sources are, between them; sd: standard deviations from the mean of all pairs"),
    ("for", "rows that measured a gain on this target; against: rows that measured a loss"),
    ("part", "how much of the expected gain this row brings in; all parts add up to it"),
    ("p", "probability of such a difference by chance alone; 0.05 or more: within noise"),
    ("paired", "it was recorded which items each model got right, so the test is sharper"),
    ("prior", "the rows of all other targets; spread: the standard deviation of their gains"),
    ("left out", "rows shown and not counted: contested, invalidated, or superseded"),
    ("sees", "the smallest gain that such a test finds in 80 of 100 cases"),
    ("worth", "expected gain from deciding after a trial rather than now"),
    ("cost", "0.01 of the smallest gain worth it per merge and evaluation, 0.02 per training"),
    ("checked", "each target's rows predicted from the other targets: how often the intervals held"),
)
# What a measure of compatibility is called in a sentence.
FIT = {
    "cosine": "cosine of task vectors",
    "weighted_sign_conflict": "conflict of their signs",
    "cka": "CKA of hidden states",
}


def render(advice: Advice, *, every: bool = False, width: int = WIDTH, explain: bool = False) -> str:
    """Advice as text, at most `width` columns wide.

    every    all rows, not only those that weigh most
    explain  a key to the words at the end
    """
    a: dict[str, Any] = dict(advice)
    blocks = (
        [f"{a['target']}  {a['mode']}  {a['context']}" + (f"  as of {a['as_of']}" if a["as_of"] else "")],
        _verdict(a, width),
        _sources(a, width),
        _labelled("unknown", a["unknowns"], width),
        _evidence(a["evidence"], a["dissent"], every, width),
        _rules(a["rules"], every, width),
        _alternatives(a["alternatives"], width),
        _footer(a, width),
        _wrapped_key(width) if explain else [],
    )
    return "\n\n".join("\n".join(block) for block in blocks if block)


def wrap(label: str, text: str, width: int, hang: int = 0) -> list[str]:
    """`text` right of `label`, broken between words at `width`; `hang`: deeper indent of what follows."""
    lines, indent = [f"  {label:{MARGIN - 4}s}  "], MARGIN
    for word in text.replace(" pp", f"{_JOIN}pp").replace(", p ", f", p{_JOIN}").split(" "):
        if len(lines[-1]) > indent and len(lines[-1]) + 1 + len(word) > width:
            indent = MARGIN + hang
            lines.append(" " * indent)
        lines[-1] += word.lstrip(_JOIN) if len(lines[-1]) == indent else f" {word}"
    return [line.replace(_JOIN, " ").rstrip() for line in lines]


def _labelled(label: str, texts: list[str], width: int) -> list[str]:
    """Each text on lines of its own; the label stands at the first."""
    return [line for i, text in enumerate(texts) for line in wrap("" if i else label, text, width)]


def headline(a: dict[str, Any]) -> tuple[str, str]:
    """The verdict in capitals, and the recipe that it is about."""
    recipe = a["recipe"]
    parts = [recipe["method"], recipe["similarity"], count(recipe["k"], "source") if recipe["k"] else None]
    label = ", ".join(str(p) for p in (*parts, *(f"{k}={v}" for k, v in recipe["params"].items())) if p)
    word = {"merge": "MERGE", "pilot": "PILOT", "no-merge": "NO MERGE", "unknown": "UNKNOWN"}[a["verdict"]]
    head = {
        "no-merge": f"{label} is forbidden by {recipe['vetoed_by']}"
        if recipe["vetoed_by"]
        else f"the best known recipe is {label}",
        "unknown": f"nothing measured here; a pilot would try {label}",
    }.get(a["verdict"], label)
    return word, head + ("" if recipe["runnable"] else " (measured elsewhere, not in this program)")


def _verdict(a: dict[str, Any], width: int) -> list[str]:
    gain = a["gain"]
    word, head = headline(a)
    low, high = gain["ci90_pp"]
    least = a["min_gain_pp"]
    figures = [
        f"gain {pp(gain['mean_pp'])}",
        f"90% {signed(low)} … {signed(high)}",
        f"P(gain > 0) {gain['p_positive']:.2f}",
        *([f"P(gain > {least:g} pp) {gain['p_worth']:.2f}"] if least else []),
        *(["(from other targets)"] if a["verdict"] == "unknown" and a["evidence"] else []),
    ]
    lines = wrap(word, head, width)
    lines += wrap("", f" {_JOIN}".join(figure.replace(" ", _JOIN) for figure in figures), width)
    lines += wrap("", baseline_line(a["baseline"], a["mde_pp"]), width)
    if a["verdict"] != "unknown" or "budget" in a:
        lines += wrap("", f"why: {a['why']}", width)
    checked = a["calibration"]
    if checked and checked["inside90"] < 0.9 - HELD_SHORT:
        lines += wrap(
            "",
            f"careful: such 90% intervals held {100 * checked['inside90']:.0f}% of the time, so this one is too narrow",
            width,
        )
    return lines


def baseline_line(baseline: dict[str, Any], mde: float | None) -> str:
    kind = {"best_single_source": "the best single source", "target_alone": "the target's own model"}[
        baseline["kind"]
    ]
    if baseline["value"] is None:
        return f"to beat: {kind}, {baseline['how']}"
    models = [baseline["model"], *baseline["tied"]] if baseline["model"] else []
    name = f" ({', '.join(models)})" if models else ""
    items = f" on n = {baseline['n']:,}" if baseline["n"] else ""
    seen = f"; a paired test there sees {mde:.1f} pp or more" if mde and baseline["n"] else ""
    told = f"to beat: {kind}{name}, {percent(baseline['value'])}{items}{seen}"
    if better := baseline["better"]:
        less = 100 * (better["value"] - baseline["value"])
        told += (
            f". Of all models in the log, {better['model']} alone has {percent(better['value'])}: "
            f"over it a gain is {less:.1f} pp less"
        )
    return told


def _sources(a: dict[str, Any], width: int) -> list[str]:
    if a["verdict"] == "no-merge":
        return []
    recipe = a["recipe"]
    texts = [source_line(source) for source in recipe["sources"]]
    if recipe["sources_missing"] or not recipe["sources"]:
        texts.append(recipe["note"])
    fits = [
        f"{FIT[fit['measure']]} {fit['value']:.2f} ({signed(fit['sds'], 1)} sd): part {signed(fit['contribution_pp'], 2)}; "
        f"1 sd is worth {pp(fit['slope_pp'])} ± {fit['slope_sd_pp']:.1f}"
        for fit in recipe["compatibility"]
    ]
    return _labelled("sources", texts, width) + _labelled("fit", fits, width)


def source_line(source: dict[str, Any]) -> str:
    """A source with its weight, if there is one, and why it was chosen."""
    weight = f"{source['weight']:.2f}  " if source["weight"] is not None else ""
    return f"{source['locale']}  {weight}{reason_of(source)}"


def reason_of(source: dict[str, Any]) -> str:
    ref = source["ref"]
    return str(source["reason"]).replace(ref, short(ref)) if ref else str(source["reason"])


def _evidence(
    evidence: list[dict[str, Any]], dissent: list[dict[str, Any]], every: bool, width: int
) -> list[str]:
    """Rows in favour, rows against, and the other targets, each with its part of the expected gain."""
    rows = [item for item in evidence if item["kind"] != "prior"]
    groups = (
        ("for", sorted((i for i in rows if i["gain_pp"] > 0), key=lambda i: -i["gain_pp"])),
        ("against", sorted((i for i in rows if i["gain_pp"] <= 0), key=lambda i: i["gain_pp"])),
    )
    lines: list[str] = []
    for name, items in groups:
        # What weighs most is shown; the order stays by size of the gain.
        kept = items if every else sorted(items, key=lambda i: -abs(i["contribution_pp"]))[:SHOWN]
        shown = [item for item in items if item in kept]
        for number, item in enumerate(shown):
            lines += _row("" if number else name, item, width)
        if len(shown) < len(items):
            lines += wrap("", f"… and {len(items) - len(shown)} more (--all)", width)
    for item in evidence:
        if item["kind"] == "prior":
            lines += wrap("prior", prior_line(item), width)
    left_out = [item for item in dissent if item["kind"] not in ("gain", "effect")]
    for number, item in enumerate(left_out):
        more = f"{without_params(item['recipe'])}: {item['kind']}, not counted"
        lines += _two("" if number else "left out", f"{pp(item['gain_pp'], 2):>9s}", item["ref"], more, width)
    return lines


def prior_line(item: dict[str, Any]) -> str:
    """The rows of other targets, together."""
    spread = "unknown" if item["se_pp"] is None else f"{item['se_pp']:.1f} pp"
    return (
        f"{item['recipe']}: mean {pp(item['gain_pp'])}, spread {spread}; "
        f"part {signed(item['contribution_pp'], 2)}"
    )


def measured(item: dict[str, Any]) -> str:
    """What a row measured, and how sure it is by itself."""
    p = "p < 0.001" if item["p_value"] < 0.001 else f"p {item['p_value']:.3f}"
    noise = "within noise at " if item["within_noise"] else ""
    pair = ", paired" if item["paired"] else ""
    kind = ", inferred from the sources' mean" if item["kind"] == "effect" else ""
    return f"{without_params(item['recipe'])}: {noise}n = {item['n']:,}, {p}{pair}{kind}"


def _row(name: str, item: dict[str, Any], width: int) -> list[str]:
    start = f"{pp(item['gain_pp'], 2):>9s}  part {signed(item['contribution_pp'], 2)}"
    return _two(name, start, item["ref"], measured(item), width)


def _two(label: str, start: str, ref: str, more: str, width: int) -> list[str]:
    """A figure and the row it comes from; below it, what was measured."""
    return [f"  {label:{MARGIN - 4}s}  {start}  {short(ref)}", *wrap("", more, width)]


def without_params(recipe: str) -> str:
    """A recipe's label without its parameters, which --json and the log give."""
    return ", ".join(part for part in recipe.split(", ") if "=" not in part)


def short(ref: str) -> str:
    """`2026-01-20-constructive-targets#r2`: enough for `mu log show`, cut at a word."""
    entry, mark, row = ref.partition("#")
    entry = entry[:-9]
    while len(entry) + len(mark + row) > REF:
        entry = entry.rpartition("-")[0]
    return entry + mark + row


SAYS = {"forbids": "avoid", "beats": "claim", "fails": "claim", "requires": "requires", "prefers": "prefers"}


def _rules(rules: list[dict[str, Any]], every: bool, width: int) -> list[str]:
    shown = rules if every else rules[:SHOWN]
    lines: list[str] = []
    for r in shown:
        lines += wrap(SAYS[r["predicate"]], f"{r['text']} [{r['status']}; {r['skill']}]", width)
    if len(shown) < len(rules):
        lines += wrap("", f"… and {count(len(rules) - len(shown), 'more claim')} (--all)", width)
    return lines


def alternative(item: dict[str, Any]) -> str:
    """Another recipe with its prediction, or what the other mode scored."""
    if "mean_pp" in item:
        remarks = [
            *([] if item["measured_here"] else ["not measured here"]),
            *([] if item["runnable"] else ["not in this program"]),
            *([f"used {item['saw']} of the target"] if item["saw"] in ("unlabelled text", "labels") else []),
        ]
        return (
            f"{without_params(item['what'])}: {pp(item['mean_pp'])}, P(gain > 0) {item['p_positive']:.2f}"
            + (f" ({', '.join(remarks)})" if remarks else "")
        )
    if "gain_pp" in item:
        kind = item["baseline_kind"].replace("_", " ")
        return (
            f"with {item['needs']}: {item['mode']} {without_params(item['what'])}, {percent(item['value'])} "
            f"against {percent(item['baseline'])} ({kind}), {pp(item['gain_pp'], 2)} ± {item['se_pp']:.2f}"
        )
    return f"with {item['needs']}: {item['what']}, {percent(item['value'])}"


def _alternatives(items: list[dict[str, Any]], width: int) -> list[str]:
    texts = [alternative(item) for item in items]
    return [line for i, text in enumerate(texts) for line in wrap("" if i else "or", text, width, hang=2)]


def pilot_line(pilot: dict[str, Any]) -> str:
    """What a trial would merge, what it is worth, and what it takes."""
    takes = ", ".join(count(n, name[:-1]) for name, n in pilot["cost"].items() if n)
    return (
        f"{' and '.join(map(without_params, pilot['arms']))}: worth {pilot['value_pp']:.2f} pp in expectation, "
        f"cost set at {pilot['cost_pp']:.2f} pp ({takes}); sees {pilot['sees_pp']:.1f} pp ({pilot['sees_how']})"
    )


def checked_line(checked: dict[str, Any]) -> str:
    """How often the intervals of such advice held."""
    return (
        f"{checked['how']} ({count(checked['predictions'], 'row')}, {count(checked['targets'], 'target')}): "
        f"80% interval held {100 * checked['inside80']:.0f}%, 90% held {100 * checked['inside90']:.0f}%, "
        f"mean error {checked['mean_error_pp']:.1f} pp"
    )


def _footer(a: dict[str, Any], width: int) -> list[str]:
    lines: list[str] = []
    pilot = a["pilot"]
    if pilot and a["verdict"] in ("pilot", "unknown"):
        lines += wrap("pilot", pilot_line(pilot), width)
    lines += [
        line
        for i, text in enumerate(a["would_change"])
        for line in wrap("" if i else "change", text, width, hang=2)
    ]
    checked = a["calibration"]
    if checked:
        lines += wrap("checked", checked_line(checked), width)
    for i, text in enumerate(a["next"]):
        # A command stays on one line, to be copied whole.
        command, _, remark = text.partition("   (")
        lines.append(f"  {'' if i else 'next':{MARGIN - 4}s}  {command}")
        if remark:
            lines += wrap("", f"({remark}", width)
    return [*lines, f"  {'from':{MARGIN - 4}s}  knowledge {a['knowledge_hash']}"]


def _wrapped_key(width: int) -> list[str]:
    return [line for word, text in LEGEND for line in wrap(word, text, width)]
