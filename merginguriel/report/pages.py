"""How is a report written? Markdown, one self-contained HTML file, CSV, and figures as PNG and SVG."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from merginguriel.errors import UsageError
from merginguriel.files import Progress, new_folder, write_text

from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALABLE = 500_000  # bytes: a larger SVG goes into the page as PNG
CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0.4rem 0; } th, td { padding: 0.2rem 0.6rem; text-align: left; vertical-align: top; white-space: nowrap; }
th { border-bottom: 2px solid #333; } td { border-bottom: 1px solid #ddd; } td.n { text-align: right; }
figure { margin: 1.5rem 0; overflow-x: auto; } img { max-width: 100%; height: auto; } figcaption, .note { color: #555; font-size: 0.85rem; }
summary { cursor: pointer; font-weight: 600; padding: 0.3rem 0; }
"""


@dataclass(frozen=True)
class Table:
    """rows as people read them; records as programs do (None: not known), which go to <name>.csv and JSON.

    Without columns it is for programs alone; without rows, its title says that there are none.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    records: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True)
class Picture:
    """name: of its files; about: what it shows, for those who cannot see it too."""

    name: str
    about: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Section:
    """folded: a reader opens it (in HTML)."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    level: int = 2
    folded: bool = False


@dataclass(frozen=True)
class Report:
    title: str
    sections: Sequence[Section]
    short: Sequence[str] = ()  # what it says, in a few sentences
    data: Sequence[Table] = field(default=())  # tables that are written as CSV only

    def tables(self) -> dict[str, Table]:
        """Name → table, of those that have records."""
        every = [*self.data, *(table for section in self.sections for table in section.tables)]
        return {table.name: table for table in every if table.records}

    def as_dict(self) -> dict[str, object]:
        return {
            "title": self.title,
            "short": list(self.short),
            "tables": {name: list(table.records) for name, table in self.tables().items()},
        }


def write(report: Report, out: Path, *, replace: bool = False, on_progress: Progress | None = None) -> Path:
    """Write the folder `out`, whole or not at all: report.md, report.html, report.json, tables/, figures/.

    Raises MuError if `out` is there (UsageError if it is to be replaced and is no report), UnavailableError without
    matplotlib.
    """
    if out.exists() and replace and not (out / "report.json").is_file():
        raise UsageError(
            "this folder is not a report, and is not replaced.", where=str(out), mend="Name another."
        )
    pictures = [picture for section in report.sections for picture in section.pictures]
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


def as_csv(records: Sequence[Mapping[str, object]]) -> str:
    columns = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: _inert(value) for name, value in record.items()})
    return text.getvalue()


def _inert(value: object) -> object:
    """Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    formula = isinstance(value, str) and len(value) > 1 and value[0] in "=+-@\t\r"
    return f"'{value}" if formula else value


# Markdown


def markdown(report: Report) -> str:
    lines = [f"# {escaped(report.title)}", ""]
    for section in report.sections:
        lines += [f"{'#' * section.level} {escaped(section.title)}", ""]
        for paragraph in section.text:
            lines += [_paragraph(paragraph), ""]
        for table in filter(_shown, section.tables):
            body = ["", *_pipes(table)] if table.rows else []
            lines += [f"**{escaped(table.title)}**{'' if body else ': none.'}", *body, ""]
        for picture in section.pictures:
            lines += [f"![{escaped(picture.about)}](figures/{picture.name}.png)", ""]
    return "\n".join(lines).rstrip() + "\n"


def _shown(table: Table) -> bool:
    return bool(table.columns)


def escaped(text: str) -> str:
    """Plain text as Markdown that shows just this text, on one line."""
    text = " ".join(printable(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$!])", r"\\\1", text)


def _paragraph(text: str) -> str:
    """Escaped, and not taken for a heading, a list or a rule by how it begins."""
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", re.sub(r"^([#+=-])", r"\\\1", escaped(text)))


def _pipes(table: Table) -> list[str]:
    rows = [[escaped(cell) or " " for cell in row] for row in (table.columns, *table.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(table.columns), *lines[1:]]


def printable(text: str) -> str:
    """Without what a page could obey rather than show: control characters and marks that turn text around."""
    return "".join(c if c.isprintable() or c in " \n\t" else "�" for c in text)


# HTML


def page(report: Report, folder: Path) -> str:
    """The report as one file that needs no other: figures lie inside, there is no script. It is XML too."""
    title = _html(report.title)
    links = "".join(
        f'<li><a href="#s{i}">{_html(section.title)}</a></li>'
        for i, section in enumerate(report.sections)
        if section.level == 2
    )
    body = "\n".join(_section(section, i, folder) for i, section in enumerate(report.sections))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        f"style-src 'unsafe-inline'\"/>\n<style>{CSS}</style></head>\n"
        f"<body><h1>{title}</h1>\n<nav><ul>{links}</ul></nav>\n{body}\n</body></html>\n"
    )


def _section(section: Section, number: int, folder: Path) -> str:
    parts = [f"<p>{_html(paragraph)}</p>" for paragraph in section.text]
    parts += [_table(table) for table in filter(_shown, section.tables)]
    parts += [_picture(picture, folder) for picture in section.pictures]
    content = "\n".join(parts)
    if section.folded:
        return f'<details id="s{number}"><summary>{_html(section.title)}</summary>\n{content}\n</details>'
    tag = f"h{section.level}"
    return f'<section id="s{number}"><{tag}>{_html(section.title)}</{tag}>\n{content}\n</section>'


def _table(table: Table) -> str:
    if not table.rows:
        return f"<p><strong>{_html(table.title)}</strong>: none.</p>"
    head = "".join(f'<th scope="col">{_html(name)}</th>' for name in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td{_aligned(cell)}>{_html(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="wide"><table><caption>{_html(table.title)}</caption>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _aligned(cell: str) -> str:
    return ' class="n"' if re.fullmatch(r"[<+−–\d., ]+", cell) else ""


def _picture(picture: Picture, folder: Path) -> str:
    data, form = (folder / f"{picture.name}.svg").read_bytes(), "svg+xml"
    if len(data) > SCALABLE:
        data, form = (folder / f"{picture.name}.png").read_bytes(), "png"
    about = _html(picture.about)
    inside = base64.b64encode(data).decode("ascii")
    return f'<figure><img alt="{about}" src="data:image/{form};base64,{inside}"/><figcaption>{about}</figcaption></figure>'


def _html(text: str) -> str:
    return html.escape(printable(text), quote=True)
