"""Does every YAML value stay the text that was written, and every error name its line?"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.log.draft_text import quoted
from merginguriel.knowledge.parse.yaml_lines import read_front_matter, read_text, read_yaml

HERE = Path("a.yaml")


@pytest.mark.parametrize(
    "text", ["2026-01-20", "yes", "no", "on", "1.0", "0x1f", "null", "~", "1_0", "12:30:45", ".nan", "017"]
)
def test_what_other_readers_turn_into_something_else_stays_text(text):
    assert not isinstance(yaml.safe_load(text), str)
    assert read_yaml(f"key: {text}", HERE) == {"key": text}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_text_is_read_back_with_the_same_words(text):
    assert read_yaml(f"key: {quoted(text)}", HERE) == {"key": " ".join(text.split())}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_pyyaml_reads_a_quoted_text_as_we_do(text):
    assert yaml.safe_load(quoted(text)) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("a: 1\na: 2", "appears twice", 2),
        ("a: &x [1]\nb: *x", "alias", 1),
        ("a: !!int 3", "tag", 1),
        ("a: 1\nb: !python/object:os.system {}", "tag", 2),
        ("a: 1\n---\nb: 2", "second YAML document", 2),
        ("a: b: c", "not valid YAML", 1),
        ("a: 1\n\n\tb: 2", "not valid YAML", 3),
        ("? [a]\n: b", "plain word", 1),
        ("a: 1\nb: \x07", "not valid YAML", 2),
        ("a: &x [*x]", "alias", 1),
        ("[" * 30 + "]" * 30, "nested too deeply", 1),
    ],
)
def test_what_readers_disagree_about_is_refused_with_its_line(text, said, line):
    with pytest.raises(KnowledgeError) as told:
        read_yaml(text, HERE)
    assert said in told.value.what and told.value.where == f"a.yaml:{line}"


def test_nested_aliases_do_not_grow_without_bound():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(KnowledgeError, match="alias"):
        read_yaml("\n".join(lines), HERE)


def test_very_deep_nesting_is_an_error_and_not_a_crash():
    with pytest.raises(KnowledgeError):
        read_yaml("[" * 50_000, HERE)


@given(st.text(max_size=60) | st.text(alphabet="-: \n[]{}&*!|>'\"#a,?%@", max_size=40))
def test_any_text_is_yaml_or_refused_with_file_and_line(text):
    try:
        read_yaml(text, HERE)
    except KnowledgeError as error:
        name, _, line = (error.where or "").rpartition(":")
        assert name == "a.yaml" and 1 <= int(line) <= text.count("\n") + 2


@given(st.text(alphabet="-a: \n\t\"'", max_size=40))
def test_any_text_is_front_matter_or_refused(text):
    try:
        _, body, line = read_front_matter("---" + text, HERE)
    except KnowledgeError:
        return
    assert ("---" + text).split("\n")[line - 1 :] == ("---" + body).split("\n") or body == ""


def test_the_body_knows_its_line():
    front, body, line = read_front_matter('---\na: "1"\n---\nfirst\n', HERE)
    assert (front["a"], front["a"].line, body, line) == ("1", 2, "\nfirst\n", 3)


@pytest.mark.parametrize(
    ("data", "said"), [(b"\xff\xfe", "not UTF-8"), (b"---\na: \xe9\n---\n", "not UTF-8")]
)
def test_a_file_that_is_not_utf8_is_refused(tmp_path, data, said):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(KnowledgeError, match=said):
        read_text(tmp_path / "x")


def test_a_byte_order_mark_is_named_rather_than_tripped_over(tmp_path):
    (tmp_path / "x").write_bytes("\ufeff---\na: b\n---\n".encode())
    with pytest.raises(KnowledgeError, match="byte order mark"):
        read_front_matter(read_text(tmp_path / "x"), HERE)
