"""How does advice look on a screen? A card, a drawn scale, and a list of reasons that lead somewhere."""

from __future__ import annotations

import csv
import io
import math
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text
from textual.widget import Widget

from merginguriel.text.tables import plain

STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # pp between two figures of the scale
STYLES = {"MERGE": "bold green", "PILOT": "bold yellow", "NO MERGE": "bold red", "UNKNOWN": "bold magenta"}
OPENS = " ›"  # stands at the end of a reason that leads somewhere


class Reason(NamedTuple):
    """A line of the list: its group, what it says, and where Enter leads (screen and what; or `ask`, `copy`)."""

    group: str
    text: str
    goes: tuple[str, str] | None = None


def card(advice: dict[str, Any]) -> Text:
    """Verdict, recipe and figures, the smallest gain that a test there sees among them."""
    from merginguriel.text.advice import headline
    from merginguriel.text.numbers import pp, signed

    word, head = headline(advice)
    gain, least = advice["gain"], advice["min_gain_pp"]
    text = Text()
    text.append(plain(f"{advice['target']}  {advice['mode']}  {advice['context']}\n"), "dim")
    text.append(f" {word} ", f"{STYLES[word]} reverse")
    text.append(f"  {plain(head)}\n", "bold")
    (low80, high80), (low90, high90) = gain["ci80_pp"], gain["ci90_pp"]
    text.append(f"gain {pp(gain['mean_pp'])}  80% {signed(low80)} … {signed(high80)}  ")
    text.append(f"90% {signed(low90)} … {signed(high90)}\nP(gain > 0) {gain['p_positive']:.2f}")
    text.append(f"  P(gain > {least:g} pp) {gain['p_worth']:.2f}" if least else "")
    if advice["mde_pp"] is not None:
        text.append(f"  detectable from {pp(advice['mde_pp']).removeprefix('+')}")
    if advice["verdict"] == "unknown" and advice["evidence"]:
        text.append("  (from other targets)")
    return text


def scale(gain: dict[str, Any], least: float, width: int) -> Text:
    """The expected gain as an interval on an axis in pp: four lines of `width` characters, readable without colour."""
    (low80, high80), (low90, high90) = gain["ci80_pp"], gain["ci90_pp"]
    low, high = min(low90, 0.0, least), max(high90, 0.0, least)
    inner = max(width - 8, 8)  # figures at the ends stand half outside
    step = next((s for s in STEPS if (high - low) / s <= max(inner // 9, 2)), STEPS[-1])
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    if high <= low:
        high = low + step

    def at(x: float) -> int:
        return 4 + round((x - low) / (high - low) * (inner - 1))

    bar = [" "] * (inner + 8)
    bar[at(low90) : at(high90) + 1] = "─" * (at(high90) - at(low90) + 1)
    bar[at(low90)], bar[at(high90)] = "├", "┤"
    bar[at(low80) : at(high80) + 1] = "━" * (at(high80) - at(low80) + 1)
    for x, over in ((0.0, {" ": "│", "─": "┼", "━": "╋", "├": "├", "┤": "┤"}), (least, {})):
        bar[at(x)] = over.get(bar[at(x)], "╎")
    bar[at(gain["mean_pp"])] = "◆"
    axis, labels = list("─" * inner), [" "] * (inner + 10)
    for number in range(round((high - low) / step) + 1):
        x = low + number * step
        axis[at(x) - 4] = "┼" if abs(x) < step / 1e6 else "┬"
        figure = "0" if abs(x) < step / 1e6 else f"{x:+.{0 if step >= 1 else 1}f}".replace("-", "−")
        start = max(at(x) - len(figure) // 2, 0)
        labels[start : start + len(figure)] = figure
    text = Text("".join(bar).rstrip() + "\n", "bold", no_wrap=True, overflow="ellipsis")
    text.append("    " + "".join(axis) + "\n", "dim")
    text.append("".join(labels).rstrip() + " pp\n", "not bold")
    minimum = f"  ╎ worth it ({least:g} pp)" if least else ""
    text.append(f"    ◆ gain  ━ 80%  ─ 90%  │ zero{minimum}", "not bold dim")
    return text


def reasons(advice: dict[str, Any]) -> list[Reason]:
    """What the verdict rests on and what follows from it, in reading order."""
    from merginguriel.text import advice as render
    from merginguriel.text.numbers import pp, signed

    recipe, checked = advice["recipe"], advice["calibration"]
    found = [
        Reason(
            "to beat", render.baseline_line(advice["baseline"], advice["mde_pp"]).removeprefix("to beat: ")
        )
    ]
    if advice["verdict"] != "unknown" or "budget" in advice:
        found.append(Reason("why", advice["why"]))
    if checked and checked["inside90"] < 0.9 - render.HELD_SHORT:
        share = f"{100 * checked['inside90']:.0f}%"
        found.append(
            Reason("careful", f"such 90% intervals held {share} of the time, so this one is too narrow")
        )
    for source in recipe["sources"]:
        goes = ("log", str(source["ref"])) if source["ref"] else None
        found.append(Reason("sources", render.source_line(source), goes))
    if recipe["sources_missing"] or not recipe["sources"]:
        found.append(Reason("sources", recipe["note"]))
    for fit in recipe["compatibility"]:
        found.append(
            Reason(
                "fit",
                f"{render.FIT[fit['measure']]} {fit['value']:.2f} ({signed(fit['sds'], 1)} sd): part "
                f"{signed(fit['contribution_pp'], 2)}; 1 sd is worth {pp(fit['slope_pp'])} ± {fit['slope_sd_pp']:.1f}",
            )
        )
    found += [Reason("unknown", text) for text in advice["unknowns"]]
    rows = [item for item in advice["evidence"] if item["kind"] != "prior"]
    for name, items in (
        ("for", sorted((i for i in rows if i["gain_pp"] > 0), key=lambda i: -i["gain_pp"])),
        ("against", sorted((i for i in rows if i["gain_pp"] <= 0), key=lambda i: i["gain_pp"])),
    ):
        for item in items:
            part = signed(item["contribution_pp"], 2)
            said = (
                f"{pp(item['gain_pp'], 2)}  part {part}  {render.measured(item)}  {render.short(item['ref'])}"
            )
            found.append(Reason(name, said, ("log", item["ref"])))
    for item in advice["evidence"]:
        if item["kind"] == "prior":
            found.append(Reason("prior", render.prior_line(item)))
    for item in advice["dissent"]:
        if item["kind"] not in ("gain", "effect"):
            said = f"{pp(item['gain_pp'], 2)}  {render.without_params(item['recipe'])}: {item['kind']}, not counted"
            found.append(Reason("left out", f"{said}  {render.short(item['ref'])}", ("log", item["ref"])))
    for rule in advice["rules"]:
        said = f"{rule['text']} [{rule['status']}; {rule['skill']}]"
        found.append(Reason(render.SAYS[rule["predicate"]], said, ("skills", rule["skill"])))
    for item in advice["alternatives"]:
        method = str(item["what"]).partition(",")[0]
        goes = ("ask", method) if "mean_pp" in item else ("log", item["ref"]) if item.get("ref") else None
        found.append(Reason("or", render.alternative(item), goes))
    if advice["pilot"] and advice["verdict"] in ("pilot", "unknown"):
        found.append(Reason("pilot", render.pilot_line(advice["pilot"])))
        found.append(Reason("pilot", "(the program cannot run a pilot by itself yet)"))
    found += [Reason("change", text) for text in advice["would_change"]]
    if checked:
        found.append(Reason("checked", render.checked_line(checked)))
    for text in advice["next"]:
        command, _, remark = text.partition("   (")
        goes = ("copy", command) if command.startswith("mu ") else None
        found.append(Reason("next", f"{command}   ({remark}" if remark else command, goes))
    found.append(Reason("from", f"knowledge {advice['knowledge_hash']}"))
    return found


def line(reason: Reason, *, first: bool) -> Table:
    """A reason as it stands in the list: the group's name where it begins, what it says right of it."""
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    table.add_column(width=8, no_wrap=True)
    table.add_column(ratio=1)
    table.add_row(
        Text(reason.group if first else "", "bold" if reason.group in ("for", "against") else "dim"),
        Text(plain(reason.text) + (OPENS if reason.goes else "")),
    )
    return table


def markdown(advice: dict[str, Any]) -> str:
    """The answer as Markdown, for an issue or a note."""
    from merginguriel.text.advice import headline

    def cell(text: object) -> str:
        return plain(str(text)).replace("|", "\\|").replace("\n", " ")

    word, head = headline(advice)
    lines = [
        f"## {advice['target']}, {advice['mode']}, {cell(advice['context'])}: {word}",
        "",
        cell(head),
        "",
    ]
    lines += [cell(card(advice).plain.split("\n", 2)[2]), ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {reason.group} | {cell(reason.text)} |" for reason in reasons(advice)]
    return "\n".join(lines) + "\n"


def table(advice: dict[str, Any]) -> str:
    """Every row of evidence and dissent as CSV."""
    columns = (
        "ref",
        "kind",
        "target",
        "recipe",
        "value",
        "baseline",
        "gain_pp",
        "se_pp",
        "n",
        "p_value",
        "contribution_pp",
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    left_out = [item for item in advice["dissent"] if item["kind"] not in ("gain", "effect")]
    writer.writerows([*advice["evidence"], *left_out])
    return text.getvalue()


class Scale(Widget):
    """The expected gain, drawn as wide as there is room."""

    advice: dict[str, Any] | None = None

    def tell(self, advice: dict[str, Any] | None) -> None:
        self.advice = advice
        self.refresh(layout=True)

    def render(self) -> Text:
        if self.advice is None:
            return Text()
        return scale(self.advice["gain"], self.advice["min_gain_pp"], min(self.size.width, 110))
