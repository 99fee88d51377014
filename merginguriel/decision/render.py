"""How does advice read? The decision first, the number that matters next, the reasons after it."""

from __future__ import annotations

from typing import Any

from .advice import Advice

SHOWN = 4  # rows of a kind, unless all are asked for


def render(advice: Advice, *, every: bool = False, command: str = "mu") -> str:
    """Advice as text, the same for a terminal and a pipe. `every`: all rows, not only those that weigh most."""
    a: dict[str, Any] = dict(advice)
    recipe, gain, baseline = a["recipe"], a["gain"], a["baseline"]
    label = ", ".join(
        str(part)
        for part in (
            recipe["method"],
            recipe["similarity"],
            f"{recipe['k']} sources" if recipe["k"] else None,
            *(f"{k}={v}" for k, v in recipe["params"].items()),
        )
        if part
    )
    lines = [
        f"{a['target']}  {a['mode']}  {a['context']}" + (f"  as of {a['as_of']}" if a["as_of"] else ""),
        "",
    ]
    low, high = gain["ci90_pp"]
    word = {"merge": "MERGE", "pilot": "PILOT", "no-merge": "NO MERGE", "unknown": "UNKNOWN"}[a["verdict"]]
    head = {
        "no-merge": f"{label} is forbidden by {recipe['vetoed_by']}"
        if recipe["vetoed_by"]
        else f"the best known recipe is {label}",
        "unknown": f"nothing measured here; a pilot would try {label}",
    }
    lines.append(f"  {word:8s}  {head.get(a['verdict'], label)}")
    prior = "  (from other targets)" if a["verdict"] == "unknown" else ""
    lines.append(
        f"            gain {_pp(gain['mean_pp'])}   90% {_signed(low)} … {_signed(high)}   "
        f"P(gain > 0) {gain['p_positive']:.2f}{prior}"
    )
    lines.append("            " + _baseline(baseline, a["mde_pp"]))
    if a["verdict"] != "no-merge":
        lines += _sources(recipe)
    lines += _unknowns(a["unknowns"])
    lines += _evidence(a["evidence"], a["dissent"], every)
    lines += _rules(a["rules"], every)
    lines += _alternatives(a["alternatives"])
    lines += _footer(a, command)
    return "\n".join(lines)


def _signed(x: float) -> str:
    return f"{x:+.1f}".replace("-", "−")


def _pp(x: float, digits: int = 1) -> str:
    return f"{x:+.{digits}f} pp".replace("-", "−")


def _baseline(baseline: dict[str, Any], mde: float | None) -> str:
    kind = {"best_single_source": "the best single source", "target_alone": "the target's own model"}[
        baseline["kind"]
    ]
    if baseline["value"] is None:
        return f"to beat: {kind}, {baseline['how']}"
    name = f" ({baseline['model']})" if baseline["model"] else ""
    seen = (
        f"; on n = {baseline['n']:,} this test set can see {mde:.1f} pp or more"
        if mde and baseline["n"]
        else ""
    )
    return f"to beat: {kind}{name}, {100 * baseline['value']:.2f}%{seen}"


def _sources(recipe: dict[str, Any]) -> list[str]:
    lines = []
    for i, source in enumerate(recipe["sources"]):
        weight = f"{source['weight']:.2f}" if source["weight"] is not None else "    "
        lines.append(
            f"  {'sources ' if i == 0 else '        '}  {source['locale']:8s} {weight}  {source['reason']}"
        )
    if recipe["sources_missing"] or not recipe["sources"]:
        lines.append(f"  {'        ' if recipe['sources'] else 'sources '}  {recipe['note']}")
    return ["", *lines] if lines else []


def _unknowns(unknowns: list[str]) -> list[str]:
    if not unknowns:
        return []
    return [""] + [f"  {'unknown ' if i == 0 else '        '}  {text}" for i, text in enumerate(unknowns)]


def _evidence(evidence: list[dict[str, Any]], dissent: list[dict[str, Any]], every: bool) -> list[str]:
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
        lines += [_row("" if number else name, item) for number, item in enumerate(shown)]
        if len(shown) < len(items):
            lines.append(f"            … and {len(items) - len(shown)} more (--all)")
    for item in evidence:
        if item["kind"] == "prior":
            lines.append(
                f"  prior     {item['recipe']}: mean {_pp(item['gain_pp'])}, spread {item['se_pp']:.1f} pp; "
                f"part {_signed2(item['contribution_pp'])}"
            )
    for item in dissent:
        if item["kind"] in ("contested", "invalidated"):
            lines.append(
                f"  {item['kind'][:9]:9s} {_pp(item['gain_pp'], 2):>9s}  {_plain(item['recipe']):36s} not counted  "
                f"{_short(item['ref'])}"
            )
    return ["", *lines] if lines else []


def _row(name: str, item: dict[str, Any]) -> str:
    p = "p < 0.001" if item["p_value"] < 0.001 else f"p {item['p_value']:.3f}"
    noise = f"within noise at n = {item['n']:,}, {p}" if item["within_noise"] else f"n = {item['n']:,}, {p}"
    pair = ", paired" if item["paired"] else ""
    kind = ", inferred from the sources' mean" if item["kind"] == "effect" else ""
    return (
        f"  {name:8s}  {_pp(item['gain_pp'], 2):>9s}  {_plain(item['recipe']):36s} "
        f"part {_signed2(item['contribution_pp'])}  {_short(item['ref'])}\n{'':24s}{noise}{pair}{kind}"
    )


def _plain(recipe: str) -> str:
    """A recipe's label without its parameters, which --json and the log give."""
    return ", ".join(part for part in recipe.split(", ") if "=" not in part)


def _short(ref: str) -> str:
    """`2026-01-20-constructive-targets#r2`: enough for `mu log show`, without the eight hex digits."""
    entry, mark, row = ref.partition("#")
    return entry[:-9] + mark + row


def _signed2(x: float) -> str:
    return f"{x:+.2f}".replace("-", "−")


def _rules(rules: list[dict[str, Any]], every: bool) -> list[str]:
    said = {
        "forbids": "avoid",
        "beats": "claim",
        "fails": "claim",
        "requires": "requires",
        "prefers": "prefers",
    }
    shown = rules if every else rules[:SHOWN]
    lines = [f"  {said[r['predicate']]:8s}  {r['text']} [{r['status']}; {r['skill']}]" for r in shown]
    if len(shown) < len(rules):
        lines.append(f"            … and {len(rules) - len(shown)} more claims (--all)")
    return ["", *lines] if lines else []


def _alternatives(items: list[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for item in items:
        start = f"  {'or' if not lines else '':8s}  "
        if "mean_pp" in item:
            measured = "" if item["measured_here"] else "  (not measured here)"
            lines.append(
                f"{start}{_plain(item['what'])}: {_pp(item['mean_pp'])}, P(gain > 0) {item['p_positive']:.2f}{measured}"
            )
        elif "gain_pp" in item:
            kind = item["baseline_kind"].replace("_", " ")
            lines.append(
                f"{start}with {item['needs']}: {item['mode']} {item['what']}, {100 * item['value']:.2f}% "
                f"against {100 * item['baseline']:.2f}% ({kind}), {_pp(item['gain_pp'], 2)} ± {item['se_pp']:.2f}"
            )
        else:
            lines.append(f"{start}with {item['needs']}: {item['what']}, {100 * item['value']:.2f}%")
    return ["", *lines] if lines else []


def _footer(a: dict[str, Any], command: str) -> list[str]:
    lines = [""]
    pilot = a["pilot"]
    if pilot and a["verdict"] in ("pilot", "unknown"):
        cost = pilot["cost"]
        parts = [f"{count} {name}" for name, count in cost.items() if count]
        lines.append(
            f"  pilot     {' and '.join(map(_plain, pilot['arms']))}: worth {pilot['value_pp']:.2f} pp in expectation; "
            f"costs {', '.join(parts)}; sees {pilot['sees_pp']:.1f} pp"
        )
    for i, text in enumerate(a["would_change"]):
        lines.append(f"  {'change' if i == 0 else '':8s}  {text}")
    checked = a["calibration"]
    if checked:
        lines.append(
            f"  checked   {checked['how']} ({checked['predictions']} rows, {checked['targets']} targets): "
            f"80% interval held {100 * checked['inside80']:.0f}%, 90% held {100 * checked['inside90']:.0f}%, "
            f"mean error {checked['mean_error_pp']:.1f} pp"
        )
    lines.append(f"  next      {next_command(a, command)}")
    lines.append(f"  from      knowledge {a['knowledge_hash']}")
    return lines


def next_command(a: dict[str, Any], command: str = "mu") -> str:
    """The command that follows from the verdict."""
    if a["verdict"] == "no-merge":
        model = a["baseline"]["model"]
        return (
            f"use {model}'s model as it is" if model else f"{command} log list --rows --target {a['target']}"
        )
    task, _, base = a["context"].partition("/")
    where = "" if (task, base) == ("home", "e5-small") else f" --task {task} --base {base}"
    recipe = a["recipe"]
    if recipe["sources_missing"] or not recipe["sources"]:
        return f"{command} nxn --split dev --locale {a['target']}{where}   (an N×N matrix names the sources)"
    sources = " ".join(f"--source {s['locale']}" for s in recipe["sources"])
    params = "".join(f" --param {key}={value}" for key, value in recipe["params"].items())
    return f"{command} merge --method {recipe['method']} --target {a['target']} {sources}{params}{where}"
