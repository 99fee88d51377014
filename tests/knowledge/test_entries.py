"""Is a log entry read whole, refused with file and line, and never half written or overwritten?"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import KNOWLEDGE
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.log import append, draft_text
from merginguriel.knowledge.parse import entries, rows

LOG = KNOWLEDGE / "experiment_log"
SHIPPED = entries.entry_paths(LOG)
HERE = Path("2026-01-20-test-00000001.md")
DRAFT = draft_text.Draft(
    "A test", "Retrospective", "2026-01-20", "Made for a test.", "a/b", "accuracy", "100"
)
ROW = rows.ResultRow("a/b", "sw-KE", "ExcTar", "ties", "accuracy", 0.5, n=100)


def text(front: str = "", body: str = "") -> str:
    head = '---\ntitle: "T"\ntype: "Plan"\ndate: "2026-01-20"\nsummary: "S."\n'
    return f"{head}{front}---\n{body}"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_entry_is_read_and_its_rows_are_named_in_order(path):
    entry = entries.load_entry(path)
    assert [row.ref for row in entry.rows] == [f"{path.stem}#r{i + 1}" for i in range(len(entry.rows))]
    for row in entry.rows:
        file, _, line = row.where.rpartition(":")
        assert row.target in Path(file).read_text().splitlines()[int(line) - 1]


@pytest.mark.parametrize(
    ("source", "said", "line"),
    [
        ("no front matter", "does not start with ---", 1),
        ('---\ntitle: "T"\n', "not closed", 1),
        ("---\n---\n", "no keys", 1),
        (text('colour: "red"\n'), "unknown key 'colour'", 6),
        (text().replace('"Plan"', '"Idea"'), "none of Plan", 3),
        (text().replace("2026-01-20", "2026-02-30"), "not a date", 4),
        (text().replace("2026-01-20", "2026-01-21"), "the file's name says", 4),
        (text().replace('summary: "S."\n', ""), "no summary", 1),
        (text(body="## Results\n\n| target | mode | method |\n|---|---|---|\n"), "no column 'value'", 9),
        (
            text(
                'context: "a/b"\nmetric: "accuracy"\n',
                "## Results\n\n| target | mode | value |\n|---|---|---|\n",
            ),
            "no column 'method'",
            11,
        ),
        (text(body="## results\n"), "unknown heading 'results'", 7),
        (text(body="## Results:\n"), "unknown heading", 7),
        (text(body="## Open questions\n\n- Why?\n"), "starts with its state", 9),
        (text(body="## Open questions\n\n- [closed] Why?\n"), "must name the entry", 9),
        (text(body="## Results\n\nrows: x.csv\n"), "does not name a file of rows", 9),
        (text(body=f"## Results\n\nrows: ../x.csv sha256:{'0' * 64}\n"), "in the folder of the entry", 9),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused_with_file_and_line(source, said, line):
    with pytest.raises(KnowledgeError) as told:
        entries.parse_entry(source, HERE)
    assert said in told.value.what
    assert told.value.where == f"{HERE}:{line}"


def test_a_bare_percent_in_a_table_is_refused_with_file_and_line():
    # Defect 2: "+3.4%" was relative in one table, "−6.6%" percentage points in the next.
    table = "| target | mode | method | value | gain |\n|---|---|---|---|---|\n| sw-KE | ExcTar | ties | 0.5 | +3.4% |\n"
    source = text('context: "a/b"\nmetric: "accuracy"\nn: "10"\n', f"## Results\n\n{table}")
    with pytest.raises(KnowledgeError) as told:
        entries.parse_entry(source, HERE)
    assert "percent of the baseline, or percentage points?" in told.value.what
    assert told.value.where == f"{HERE}:14"


@pytest.mark.parametrize("name", ["notes.md", "2026-01-20-Test-00000001.md", "2026-01-20-test.md"])
def test_a_file_of_another_name_is_refused(name):
    with pytest.raises(KnowledgeError, match="file's name"):
        entries.parse_entry(text(), Path(name))


def test_two_results_sections_with_row_files_are_both_read(tmp_path):
    body = ""
    for name in ("one", "two"):
        data = b"context,metric,target,mode,method,value\na/b,accuracy,sw-KE,ExcTar,ties,0.5\n"
        (tmp_path / f"{name}.csv").write_bytes(data)
        body += f"## Results\n\nrows: {name}.csv sha256:{hashlib.sha256(data).hexdigest()}\n\n"
    entry = entries.parse_entry(text(body=body), tmp_path / HERE)
    assert len(entry.rows) == 2 and [f.name for f in entry.files] == ["one.csv", "two.csv"]


def test_a_row_file_that_was_changed_is_refused(tmp_path):
    entry = append.add(tmp_path, DRAFT, more_rows=[ROW])
    assert entry.rows[0].value == 0.5
    entry.files[0].write_text(entry.files[0].read_text().replace("0.5", "0.6"))
    with pytest.raises(KnowledgeError, match="sha256 differs"):
        entries.load_entry(entry.path)


def test_a_row_file_that_is_missing_is_refused_by_name(tmp_path):
    entry = append.add(tmp_path, DRAFT, more_rows=[ROW])
    entry.files[0].unlink()
    with pytest.raises(KnowledgeError, match="no such file"):
        entries.load_entry(entry.path)


# Fuzz

MUTATION = st.tuples(
    st.integers(0, 20_000),
    st.integers(0, 12),
    st.text(max_size=4) | st.sampled_from(["|", "\n", "---", "%", "²", '"']),
)


@given(st.sampled_from(SHIPPED), st.lists(MUTATION, min_size=1, max_size=4))
@pytest.mark.slow
def test_a_damaged_real_entry_is_read_or_refused_and_nothing_else(path, mutations):
    source = path.read_text(encoding="utf-8")
    for at, cut, put in mutations:
        at %= len(source) + 1
        source = source[:at] + put + source[at + cut :]
    try:
        entries.parse_entry(source, path)
    except KnowledgeError as error:
        assert str(path) in (error.where or "") or str(path.parent) in (error.where or "")


@given(st.text(max_size=100), st.text(max_size=60))
def test_any_text_is_an_entry_or_refused(front, body):
    for source in (
        front,
        f"---\n{front}\n---\n{body}",
        text(body=f"## Results\n{body}\n## Open questions\n- {front}"),
    ):
        try:
            entries.parse_entry(source, HERE)
        except KnowledgeError as error:
            assert error.where


# Writing

PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(lambda t: t.strip())


@given(PLAIN, PLAIN, st.lists(st.sampled_from(["a", "b c", "d"]), max_size=3))
def test_an_entry_is_read_back_as_it_was_written(title, summary, tags):
    draft = replace(DRAFT, title=title, summary=summary, tags=", ".join(tags), rows=(ROW,))
    entry = entries.parse_entry(draft_text.render(draft), HERE)
    assert entry.title == " ".join(title.split()) and entry.summary == " ".join(summary.split())
    assert entry.tags == tuple(tags)
    (read,) = entry.rows
    assert replace(read, ref="", date="", where="") == ROW


@given(st.text())
def test_a_slug_always_makes_a_valid_name(title):
    assert entries.ID.match(f"2026-01-20-{draft_text.slug(title)}-00000001")


def test_an_invalid_entry_is_refused_and_its_text_kept(tmp_path):
    source = text(body="## Open questions\n\n- Why?\n")
    with pytest.raises(KnowledgeError) as told:
        append.add_text(tmp_path, source)
    (kept,) = (tmp_path / ".draft").iterdir()
    assert kept.read_text() == source
    assert told.value.where == f"{kept}:9" and f"mu log add {kept}" in (told.value.hint or "")
    assert entries.entry_paths(tmp_path) == []


def test_a_text_without_a_date_is_kept_too(tmp_path):
    with pytest.raises(KnowledgeError, match="no date"):
        append.add_text(tmp_path, "something")
    assert next((tmp_path / ".draft").iterdir()).read_text() == "something"


def test_a_refused_draft_keeps_its_rows_and_figure_and_leaves_none_in_the_log(tmp_path):
    figure, drafts = tmp_path / "plot.png", tmp_path / "log" / ".draft"
    figure.write_bytes(b"PNG")
    with pytest.raises(KnowledgeError):
        append.add(tmp_path / "log", replace(DRAFT, type="Idea"), more_rows=[ROW], figure=("A plot", figure))
    assert sorted(path.suffix for path in drafts.iterdir()) == [".csv", ".md", ".png"]
    assert list((tmp_path / "log" / "2026").iterdir()) == []
    (kept,) = drafts.glob("*.md")
    text = kept.read_text().replace('"Idea"', '"Plan"')
    entry = append.add_text(tmp_path / "log", text, beside=drafts, draft=kept)
    assert [row.value for row in entry.rows] == [0.5]
    assert sorted(path.suffix for path in entry.path.parent.iterdir()) == [".csv", ".md", ".png"]
    assert [path.suffix for path in drafts.iterdir()] == [".md"]  # the text is its author's to remove


def test_a_refused_text_keeps_the_files_it_names(tmp_path):
    data = b"context,metric,target,mode,method,value\na/b,accuracy,sw-KE,ExcTar,ties,0.5\n"
    (tmp_path / "rows.csv").write_bytes(data)
    source = text(body=f"## Results\n\nrows: rows.csv sha256:{hashlib.sha256(data).hexdigest()}\n")
    other = source.replace(hashlib.sha256(data).hexdigest(), "0" * 64)
    for wrong in (source.replace('"Plan"', '"Idea"'), source + "\nIt lost by 5%.\n", other):
        with pytest.raises(KnowledgeError):
            append.add_text(tmp_path / "log", wrong, beside=tmp_path)
        assert (tmp_path / "log" / ".draft" / "rows.csv").read_bytes() == data
        assert list((tmp_path / "log").glob("2026/*")) == []


def test_a_row_file_beside_the_text_is_copied_into_the_log(tmp_path):
    data = b"context,metric,target,mode,method,sources,value\na/b,accuracy,sw-KE,-,single,sq-AL,0.4670\n"
    (tmp_path / "matrix.csv").write_bytes(data)
    body = f"## Results\n\nrows: matrix.csv sha256:{hashlib.sha256(data).hexdigest()}\n"
    entry = append.add_text(tmp_path / "log", text(body=body), beside=tmp_path)
    assert [row.value for row in entry.rows] == [0.467]
    assert entry.files == (tmp_path / "log" / "2026" / "matrix.csv",)


def test_the_same_entry_twice_is_refused_by_name(tmp_path):
    first = append.add_text(tmp_path, text())
    with pytest.raises(KnowledgeError, match=f"the log already has this entry: {first.id}"):
        append.add_text(tmp_path, text() + "\n")
    assert entries.entry_paths(tmp_path) == [first.path] and not (tmp_path / ".draft").exists()
    append.add_text(tmp_path, text(body="## Findings\n\nMore.\n"))


def test_a_bare_percent_on_a_difference_in_the_text_is_refused_with_its_line(tmp_path):
    source = text(body="## Findings\n\nTIES was tried.\nIt lost by 5%.\n")
    with pytest.raises(KnowledgeError, match="'lost by 5%': percent of the baseline, or percentage") as told:
        append.add_text(tmp_path, source)
    (kept,) = (tmp_path / ".draft").iterdir()
    assert told.value.where == f"{kept}:10" and kept.read_text() == source


def test_two_writers_at_once_both_land(tmp_path):
    ids: list[str] = []

    def write() -> None:
        ids.append(append.add(tmp_path, DRAFT, more_rows=[ROW]).id)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids) == [path.stem for path in entries.entry_paths(tmp_path)] and len(set(ids)) == 6


def test_an_entry_is_never_overwritten(tmp_path):
    path = tmp_path / "2026" / append.file_name(text())
    path.parent.mkdir()
    path.write_text("another entry, of the same name by chance")
    with pytest.raises(Exception, match="already there"):
        append.add_text(tmp_path, text())
    assert path.read_text() == "another entry, of the same name by chance"
