"""Is a difference in percent found in an entry's text, and a plain share left alone?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.knowledge.lint import runner
from merginguriel.knowledge.parse.entries import entry_paths
from merginguriel.knowledge.parse.prose_numbers import bare_differences

HEAD = '---\ntitle: "T"\nsummary: "S."\n---\n'


def found(body: str) -> list[str]:
    return [words for _, words in bare_differences(HEAD + body)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("It lost by 5%.", "lost by 5%"),
        ("TIES loses 3.7 % on Swahili", "loses 3.7 %"),
        ("a gain of about 11.3%", "gain of about 11.3%"),
        ("with −6.6% on Vietnamese", "−6.6%"),
        ("| sw-KE | +3.4% |", "+3.4%"),
        ("It improved\nby 4%.", "improved by 4%"),
        ("REAL is 5% better than URIEL", "5% better"),
        ("Relative to nothing. It fell by 2%.", "fell by 2%"),
    ],
)
def test_a_bare_percent_on_a_difference_is_found(body, words):
    assert found(body) == [words]


@pytest.mark.parametrize(
    "body",
    [
        "It lost 5 pp, from 50% to 45%.",
        "The accuracy is 48.32%, the best source has 46.70%.",
        "A relative loss by 5%.",
        "It lost 5% of the baseline, and\n+3.4% relative.",
        "They dropped 90% of each task vector.",
        'The original printed "+11.3%" and `-5%`.',
        "sources within 60-64% and 60–64%",
        "```\nlost by 5%\n```",
        "Guessing does it in 9% of cases, a ratio below 60%.",
        "+0.7 pp, 95% −11.9 … +13.5",
    ],
)
def test_a_share_a_named_unit_and_a_citation_are_left_alone(body):
    assert found(body) == []


def test_the_summary_is_read_too_and_its_quotes_are_those_of_yaml():
    assert bare_differences(HEAD.replace("S.", "It lost by 5%.")) == [(3, "lost by 5%")]


def test_lint_names_the_line_of_a_bare_percent(bench):
    path = bench.entry()
    path.write_text(path.read_text() + "\n## Findings\n\nIt lost by 5%.\n")
    (problem,) = runner.problems(bench.load_space())
    line = len(path.read_text().splitlines())
    assert problem.where == f"{path}:{line}" and "'lost by 5%'" in problem.what


def test_the_shipped_log_names_the_unit_of_every_difference(study):
    for path in entry_paths(study.root / "experiment_log"):
        assert bare_differences(path.read_text(encoding="utf-8")) == []


@given(st.text(alphabet='lost by5%.+−"`|\n-relative ', max_size=80))
def test_any_text_is_read_and_lines_lie_within_it(body):
    for line, words in bare_differences(HEAD + body):
        assert 1 <= line <= (HEAD + body).count("\n") + 1 and "%" in words
