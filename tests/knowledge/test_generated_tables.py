"""A skill's tables of results are written by the program, and its comparisons cite a claim."""

from __future__ import annotations

import pytest
from conftest import SKILL, claim, row

BLOCK = "<!-- mu:rows target=sw-KE mode=ExcTar -->\n<!-- mu:end -->"
CLAIMS = claim(
    "gains-sw-ke",
    scope="{context: massive/xlm-roberta-base, target: sw-KE}",
    evidence="2026-01-20-test-00000001#r1",
    text="The merge scores 8.00 pp above the best single source for Swahili.",
)


@pytest.fixture
def told(bench, mu):
    bench.entry(row("sw-KE", 0.56, 0.48), row("cy-GB", 0.41, 0.44))

    def call(body: str) -> list[str]:
        bench.skill(text=SKILL.format(name="a-skill").replace("Text.", body), claims=CLAIMS)
        return [item["what"] for item in mu("lint", "--json", "--workspace", bench.root).json]

    return call


def test_refresh_writes_the_rows_and_lint_accepts_them(told, bench, mu):
    assert told(BLOCK) == ["this table differs from its rows."]
    assert mu("skills", "refresh", "--dry-run", "--workspace", bench.root).code == 1
    assert mu("skills", "refresh", "--workspace", bench.root).out == "skills/a-skill/SKILL.md\n"
    text = (bench.root / "skills/a-skill/SKILL.md").read_text(encoding="utf-8")
    assert (
        "| sw-KE | ExcTar | similarity | REAL | 5 | 56.00% | best single source 48.00% | +8.00 pp |" in text
    )
    assert mu("lint", "--workspace", bench.root).code == 0
    assert mu("skills", "refresh", "--dry-run", "--workspace", bench.root).out == ""


@pytest.mark.parametrize("wrong", ["−8.00 pp", "+8,00 pp", "+3.00 pp"])
def test_a_changed_number_sign_or_comma_in_a_generated_table_is_found(told, bench, mu, wrong):
    told(BLOCK)
    mu("skills", "refresh", "--workspace", bench.root)
    text = (bench.root / "skills/a-skill/SKILL.md").read_text(encoding="utf-8").replace("+8.00 pp", wrong)
    (bench.root / "skills/a-skill/SKILL.md").write_text(text, encoding="utf-8")
    assert (
        mu("lint", "--json", "--workspace", bench.root).json[0]["what"] == "this table differs from its rows."
    )


def test_a_block_that_selects_nothing_or_has_no_end_is_found(told):
    assert told("<!-- mu:rows target=de-DE -->\n<!-- mu:end -->") == ["the block selects no row."]
    assert "has no <!-- mu:end -->" in told("<!-- mu:rows target=sw-KE -->")[0]


def test_a_comparison_without_a_claim_is_found_and_one_with_it_is_not(told):
    cited = "The merge is above its best source [gains-sw-ke]."
    assert told(cited) == []
    (problem,) = told(f"{cited} It is clearly better for Welsh.")
    assert problem == "says 'clearly' and cites no claim."


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("TIES outperformed plain averaging here.", "outperformed"),
        ("A soft vote surpasses the merges.", "surpasses"),
        ("Voting has more right items than merging.", "more right items than"),
        ("No merge gains on Welsh.", "No merge"),
        ("The merge loses against its best source.", "loses"),
        ("Voting raises accuracy on Welsh.", "raises accuracy"),
        ("TIES is proven.", "proven"),
        ("This holds in all languages of the study.", "all languages"),
        ("Merging helps on Welsh.", "helps"),
        ("Most merges lose.", "Most"),
        ("The largest model leads.", "largest"),
        ("TIES wins.", "wins"),
        ("In Welsh, where the vote is best, serve it.", "best"),
        ("If the sources are alike, merging is better.", "better"),
        ("All of our rows say that a merge is worse than its sources.", "worse"),
    ],
)
def test_comparatives_and_universals_in_other_words_are_found(told, sentence, word):
    assert f"says {word!r} and cites no claim." in told(f"See [gains-sw-ke].\n\n{sentence}")


def test_a_count_with_than_is_no_comparison(told):
    assert told("See [gains-sw-ke].\n\nIt takes more than 30 minutes, and no more items than 40.") == []


def test_a_table_of_results_that_is_typed_is_found(told):
    table = "See [gains-sw-ke].\n\n| target | value |\n|---|---|\n| sw-KE | {} |"
    for value in ("56.00%", "56,00 %", "+8.00 pp"):
        assert "a result stands in a table that is not generated." in told(table.format(value))


def test_a_cited_claim_that_does_not_exist_is_found(told):
    assert "[no-such-claim] is not a claim." in told("See [gains-sw-ke] and [no-such-claim].")


def test_a_skill_that_cites_nothing_is_no_exception(told):
    assert told("It is better.") == ["says 'better' and cites no claim."]


@pytest.mark.parametrize("section", ["Recommended Practice", "Failure Modes"])
def test_advice_and_failures_that_compare_cite_a_claim_too(told, bench, mu, section):
    told("Text.")
    path = bench.root / "skills/a-skill/SKILL.md"
    text = path.read_text(encoding="utf-8")
    head = f"## {section}" if f"## {section}" in text else "## References"
    path.write_text(text.replace(head, f"## {section}\n\n- TIES is better.\n\n{head}", 1), encoding="utf-8")
    assert "says 'better' and cites no claim." in mu("lint", "--workspace", bench.root).out


@pytest.mark.parametrize(
    "text",
    [
        "If the merge is below its best source, score the vote.",
        "Where labels are few, take the vote.",
        "Try seeds until one gains most.",
        "Is a merge better?",
        "Never push a draft.",
        "None known.",
        "It has wins and losses.",
        'A summary avoids "only" and `best`.',
        "It takes at most 30 items, at least 20.",
        "The best single source is the baseline.",
        "| sign | do |\n|---|---|\n| the merge is worse | stop |",
    ],
)
def test_conditions_questions_instructions_and_defined_terms_state_nothing(told, text):
    assert told(text) == []


def test_a_skill_from_elsewhere_needs_no_claims(bench, mu):
    folder = bench.root / "skills/their-skill"
    folder.mkdir(parents=True)
    text = "---\nname: their-skill\ndescription: Commits. Use when committing.\n---\n\nSmall commits are better.\n"
    (folder / "SKILL.md").write_text(text, encoding="utf-8")
    assert mu("lint", "--workspace", bench.root).code == 0


def test_an_impossible_accuracy_is_found(bench, mu):
    def problems(value):
        bench.entry(row("vi-VN", value, 0.5))
        return mu("lint", "--workspace", bench.root).out

    assert "#r1: the accuracy 0.5658 is no number of items over n = 2,974." in problems(0.5658)
    assert "no number of items over n = 2,974" in problems(0.5821)
    assert problems(0.5796) == ""  # cut, not rounded
    assert problems(0.5461) == ""


def test_a_row_that_was_logged_later_is_no_problem_and_is_added_by_refresh(told, bench, mu):
    told(BLOCK)
    mu("skills", "refresh", "--workspace", bench.root)
    bench.entry(row("sw-KE", 0.52, 0.48, k=3), entry="2026-01-21-more-00000002")
    assert mu("lint", "--workspace", bench.root).code == 0
    assert mu("skills", "refresh", "--workspace", bench.root).out == "skills/a-skill/SKILL.md\n"
