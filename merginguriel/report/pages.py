"""Files of a report: Markdown, one self-contained HTML page, CSV, JSON, and figures as PNG and SVG."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from merginguriel.errors import UsageError
from merginguriel.files import Progress, csv_text, new_folder, write_text
from merginguriel.text.differences import Difference

from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALABLE = 500_000  # bytes: a larger SVG goes into the page as PNG
CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 78rem; margin: 1rem auto; padding: 0 1rem; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.2; } h1 { font-size: 1.5rem; margin: 0.5rem 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
nav ul { display: flex; flex-wrap: wrap; gap: 0 1.2rem; padding: 0; list-style: none; } figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; } figcaption, .note { color: #555; font-size: 0.85rem; }
.summary ul { padding-left: 1.2rem; } .summary li { margin-bottom: 0.6rem; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: 0.4rem 0; } th, td { padding: 0.2rem 0.5rem; text-align: left; vertical-align: top; }
th { position: sticky; top: 0; background: #fff; box-shadow: inset 0 -2px #333; cursor: pointer; vertical-align: bottom; }
th[aria-sort=ascending]::after { content: " \\25B2"; } th[aria-sort=descending]::after { content: " \\25BC"; }
td { border-bottom: 1px solid #ddd; } td.n { text-align: right; white-space: nowrap; }
summary { cursor: pointer; font-weight: 600; padding: 0.3rem 0; }
@media (min-width: 1100px) {
  .summary { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 1.5rem; align-items: start; }
  .summary.bare { display: block; } .summary img { max-height: 75vh; }
}
@media (max-width: 1199px) {
  .wide { overflow: auto; max-height: 85vh; } td, th { min-width: 3.5rem; } section figure { overflow-x: auto; }
  section img { max-width: none; width: max(100%, 52rem); }
}
"""
# Sorts a table by a column; neither < nor & occurs, so that the page is XML too.
SCRIPT = r"""
function value(row, column) {
  var text = row.cells[column].textContent.trim(), found = text.match(/^[\u25b2\u25bc]?\s*([+\u2212]?[0-9][0-9,]*[.]?[0-9]*)/);
  if (text.startsWith("\u003c")) { return 0; }
  return found ? parseFloat(found[1].replace(/,/g, "").replace("\u2212", "-")) : text === "\u2013" ? null : text;
}
function order(a, b) {
  if (a === null || b === null) { return (a === null) - (b === null); }
  return typeof a === "number" ? (typeof b === "number" ? a - b : -1) : typeof b === "number" ? 1 : a.localeCompare(b);
}
function sort(head) {
  var body = head.closest("table").tBodies[0], up = head.getAttribute("aria-sort") !== "ascending";
  Array.from(head.parentNode.cells).forEach(function (other) { other.removeAttribute("aria-sort"); });
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  Array.from(body.rows).map(function (row) { return [value(row, head.cellIndex), row]; }).sort(function (a, b) {
    return a[0] === null || b[0] === null || up ? order(a[0], b[0]) : order(b[0], a[0]);
  }).forEach(function (pair) { body.append(pair[1]); });
}
document.querySelectorAll("thead th").forEach(function (head) {
  head.addEventListener("click", function () { sort(head); });
  head.addEventListener("keydown", function (event) { if (event.key === "Enter") { sort(head); } });
});
"""


@dataclass(frozen=True)
class ReportTable:
    """A table of a report.

    Attributes:
        name: Of its CSV file and its key in the JSON.
        title: Heading; without rows, the page says that there are none.
        columns: Headings on the page; without columns the table is not on the page.
        records: Rows of the CSV file and the JSON; None where a value is unknown.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    records: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True)
class ReportFigure:
    """A figure."""

    name: str
    about: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class ReportSection:
    """A part of a report.

    Attributes:
        tables: Shown after the text.
        pictures: Shown after the tables.
        folded: Whether the HTML page shows only the heading until a reader opens it.
    """

    title: str
    text: Sequence[str] = ()
    tables: Sequence[ReportTable] = ()
    pictures: Sequence[ReportFigure] = ()
    level: int = 2
    folded: bool = False


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        short: The results in about five sentences, with which the page opens.
        data: Tables that are written as CSV and JSON only.
        picture: The figure with which the page opens.
    """

    title: str
    sections: Sequence[ReportSection]
    short: Sequence[str] = ()
    data: Sequence[ReportTable] = ()
    picture: ReportFigure | None = None

    def tables(self) -> dict[str, ReportTable]:
        """Return the tables that have records, by name."""
        every = [*self.data, *(table for section in self.sections for table in section.tables)]
        return {table.name: table for table in every if table.records}

    def as_dict(self) -> dict[str, object]:
        """Return the JSON of a report."""
        return {
            "title": self.title,
            "short": list(self.short),
            "tables": {name: list(table.records) for name, table in self.tables().items()},
        }


def write(report: Report, out: Path, *, replace: bool = False, on_progress: Progress | None = None) -> Path:
    """Write the folder `out`, whole or not at all: report.md, report.html, report.json, tables/, figures/.

    Raises:
        MuError: `out` exists and is not to be replaced.
        UsageError: `out` is to be replaced and is no report.
        UnavailableError: matplotlib is not installed.
    """
    if out.exists() and replace and not (out / "report.json").is_file():
        raise UsageError(
            "this folder is not a report and is not replaced.", where=str(out), hint="Name another."
        )
    pictures = [
        *([report.picture] if report.picture else []),
        *(p for s in report.sections for p in s.pictures),
    ]
    with new_folder(out, replace=replace) as folder:
        for number, picture in enumerate(pictures):
            if on_progress:
                on_progress(number, len(pictures), picture.name)
            figures.save(picture.draw, folder / "figures" / picture.name)
        for name, table in report.tables().items():
            write_text(folder / "tables" / f"{name}.csv", as_csv(table.records))
        write_text(folder / "report.md", markdown(report))
        write_text(folder / "report.html", page(report, folder / "figures"))
        write_text(folder / "report.json", json.dumps(report.as_dict(), ensure_ascii=False, indent=1) + "\n")
    return out


def rounded(value: float | None) -> float | None:
    """Round a number of a record to six decimals."""
    return None if value is None else round(value, 6)


def difference_record(d: Difference) -> dict[str, object]:
    """Return a difference as the fields of a record."""
    return {
        "difference_pp": rounded(d.value), "low_pp": rounded(d.low), "high_pp": rounded(d.high), "se_pp": rounded(d.se),
        "mde_pp": rounded(d.mde), "p": rounded(d.p), "p_holm": rounded(d.p_holm),
        "family": d.family if d.p_holm is not None else None, "paired": d.paired, "verdict": d.verdict,
    }  # fmt: skip


def as_csv(records: Sequence[Mapping[str, object]]) -> str:
    """Format records as CSV; a column is every key that occurs."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    return csv_text([columns, *([_inert(record.get(name)) for name in columns] for record in records)])


def _inert(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    formula = isinstance(value, str) and len(value) > 1 and value[0] in "=+-@\t\r"
    return f"'{value}" if formula else value


# Markdown


def markdown(report: Report) -> str:
    """Format a report as Markdown; figures are named by their files."""
    lines = [f"# {escaped(report.title)}", "", *_markdown_picture(report.picture)]
    lines += [f"- {_paragraph(line)}" for line in report.short] + [""]
    for section in report.sections:
        lines += [f"{'#' * section.level} {escaped(section.title)}", ""]
        for paragraph in section.text:
            lines += [_paragraph(paragraph), ""]
        for table in filter(_shown, section.tables):
            body = ["", *_pipes(table)] if table.rows else []
            lines += [f"**{escaped(table.title)}**{'' if body else ': none.'}", *body, ""]
        for picture in section.pictures:
            lines += _markdown_picture(picture)
    return "\n".join(lines).rstrip() + "\n"


def _markdown_picture(picture: ReportFigure | None) -> list[str]:
    return [f"![{escaped(picture.about)}](figures/{picture.name}.png)", ""] if picture else []


def _shown(table: ReportTable) -> bool:
    return bool(table.columns)


def escaped(text: str) -> str:
    """Escape plain text for Markdown, on one line."""
    text = " ".join(printable(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$!])", r"\\\1", text)


def _paragraph(text: str) -> str:
    """Escaped, and not taken for a heading, a list or a rule by how it begins."""
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", re.sub(r"^([#+=-])", r"\\\1", escaped(text)))


def _pipes(table: ReportTable) -> list[str]:
    rows = [[escaped(cell) or " " for cell in row] for row in (table.columns, *table.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(table.columns), *lines[1:]]


def printable(text: str) -> str:
    """Replace control characters and marks that change the direction of text."""
    return "".join(c if c.isprintable() or c in " \n\t" else "�" for c in text)


# HTML


def page(report: Report, folder: Path) -> str:
    """Format a report as one HTML file that needs no other; it is XML too."""
    title = _html(report.title)
    links = "".join(
        f'<li><a href="#s{i}">{_html(section.title)}</a></li>'
        for i, section in enumerate(report.sections)
        if section.level == 2
    )
    body = "\n".join(_section(section, i, folder) for i, section in enumerate(report.sections))
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    lines = "".join(f"<li>{_html(line)}</li>" for line in report.short)
    figure = _picture(report.picture, folder) if report.picture else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'\"/>\n<style>{CSS}</style></head>\n"
        f'<body><h1>{title}</h1>\n<div class="summary{"" if figure else " bare"}">{figure}<ul>{lines}</ul></div>\n'
        f"<nav><ul>{links}</ul></nav>\n{body}\n<script>{SCRIPT}</script></body></html>\n"
    )


def _section(section: ReportSection, number: int, folder: Path) -> str:
    parts = [f"<p>{_html(paragraph)}</p>" for paragraph in section.text]
    parts += [_table(table) for table in filter(_shown, section.tables)]
    parts += [_picture(picture, folder) for picture in section.pictures]
    content = "\n".join(parts)
    if section.folded:
        return f'<details id="s{number}"><summary>{_html(section.title)}</summary>\n{content}\n</details>'
    tag = f"h{section.level}"
    return f'<section id="s{number}"><{tag}>{_html(section.title)}</{tag}>\n{content}\n</section>'


def _table(table: ReportTable) -> str:
    if not table.rows:
        return f"<p><strong>{_html(table.title)}</strong>: none.</p>"
    head = "".join(f'<th scope="col" tabindex="0">{_breakable(name)}</th>' for name in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td{_aligned(cell)}>{_breakable(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="wide"><table><caption>{_html(table.title)}</caption>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _aligned(cell: str) -> str:
    return ' class="n"' if re.fullmatch(r"[<+−–\d., ]+", cell) else ""


def _picture(picture: ReportFigure, folder: Path) -> str:
    data, form = (folder / f"{picture.name}.svg").read_bytes(), "svg+xml"
    if len(data) > SCALABLE:
        data, form = (folder / f"{picture.name}.png").read_bytes(), "png"
    about = _html(picture.about)
    inside = base64.b64encode(data).decode("ascii")
    return f'<figure><img alt="{about}" src="data:image/{form};base64,{inside}"/><figcaption>{about}</figcaption></figure>'


def _html(text: str) -> str:
    return html.escape(printable(text), quote=True)


def _breakable(text: str) -> str:
    """Escape the text of a cell, with places where a long name may break."""
    return re.sub(r"([_/])", r"\1<wbr/>", _html(text))
