"""Are tables and sections read as they stand, or refused with their line?"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.parse import markdown, questions

HERE = Path("entry.md")
# Text that a cell can hold: a table cell is one line without space at its ends.
CELLS = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" |\\"), min_size=1).map(
    lambda text: " ".join(text.split()) or "-"
)


def tables(text: str) -> list[markdown.Table]:
    return [t for s in markdown.sections(text) for t in markdown.tables(s, HERE)]


@given(st.data(), st.integers(1, 5), st.integers(0, 4))
def test_a_table_is_read_back_as_it_was_written(data, width, height):
    columns = [f"c{i}" for i in range(width)]
    rows = data.draw(
        st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=height, max_size=height)
    )
    (read,) = tables(markdown.format_table(columns, rows))
    assert read.columns == tuple(columns)
    assert [list(row.cells.values()) for row in read.rows] == rows
    assert [row.line for row in read.rows] == list(range(3, 3 + height))


@given(st.text(alphabet=st.sampled_from("|-: \\ab\n#`~\t"), max_size=80))
def test_any_text_is_read_or_refused(text):
    try:
        tables(text)
    except KnowledgeError as error:
        assert (error.where or "").startswith("entry.md:")


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("| a | b |\n|---|---|\n| 1 |", "1 cells, the table has 2", 3),
        ("| a | b |\n|---|---|\n| 1 | 2 | 3 |", "3 cells", 3),
        ("\n| a | b |\n| 1 | 2 |", "a line of | --- |", 2),
        ("| a |", "a line of | --- |", 1),
        ("| a | a |\n|---|---|", "appears twice", 1),
        ("a | b\n--- | ---\n1 | 2", "do not start with a bar", 2),
    ],
)
def test_a_table_that_would_be_guessed_at_is_refused_with_its_line(text, said, line):
    with pytest.raises(KnowledgeError) as told:
        tables(text)
    assert said in told.value.what and told.value.where == f"entry.md:{line}"


def test_code_is_not_read_as_headings_or_tables():
    text = "## Real\n\n```\n## Not\n| a |\n```\n\n~~~~\n```\n## Not\n~~~~\n\nafter\n"
    found = markdown.sections(text)
    assert [s.title for s in found] == ["", "Real"]
    assert "Not" not in found[1].text and "after" in found[1].text


def test_sections_know_their_lines():
    found = markdown.sections("intro\n## One ##\ntext\n### Inside\n## Two", first_line=10)
    assert [(s.title, s.line) for s in found] == [("", 10), ("One", 11), ("Two", 14)]
    assert found[1].lines == ((12, "text"), (13, "### Inside"))


@pytest.mark.parametrize("start", ["## ", "## a", "- [open", "- [closes x", "- "])
@pytest.mark.parametrize("blank", [" ", "\x85", "# ", "\t#"])
def test_a_line_of_blanks_is_read_in_no_time(start, blank):
    begin = time.process_time()
    for section in markdown.sections(f"## Open questions\n{start}{blank * 100_000}x", 1):
        with contextlib.suppress(KnowledgeError):
            questions.parse(section, Path("e.md"))
    assert time.process_time() - begin < 1.0


@pytest.mark.parametrize("line", ["## A title", "##   A title  ##  ", "##\tA title#", "## A title ###"])
def test_a_heading_is_its_words(line):
    assert markdown.sections(line)[-1].title == "A title"
