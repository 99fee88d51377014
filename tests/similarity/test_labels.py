"""A prepared similarity has a name of its own in recipes and rows, so that its rows are an arm of their own."""

from __future__ import annotations

import pytest
from conftest import row

from merginguriel.decision.advice import Question, advise
from merginguriel.decision.advice_types import EvidenceRow
from merginguriel.decision.evidence import arm_of
from merginguriel.decision.question import Lab
from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.knowledge.log.prior_attempts import Wanted, tried
from merginguriel.loop.dedupe import key_of
from merginguriel.similarity.choice import AS_IT_IS, Options, flags, label, parsed
from merginguriel.study.capabilities import methods

LABELS = {
    "URIEL": Options(),
    "REAL+sinkhorn": Options(sinkhorn=True),
    "URIEL+nearest=5": Options(nearest=5),
    "URIEL+features=family-syntax+nearest=3+sinkhorn=20": Options(("syntax", "family"), 3, True, 20),
    "URIEL+sinkhorn×cosine": Options(sinkhorn=True),
}


@pytest.mark.parametrize("text", LABELS)
def test_a_label_is_built_from_a_choice_and_read_back_as_the_same(text):
    options = LABELS[text]
    kind = "URIEL×cosine" if "×" in text else text.partition("+")[0]
    assert label(kind, options) == text
    name, found = parsed(text)
    assert (name, label(name, found)) == (kind, text)
    assert label(None, options) is None and label(kind) == kind


def test_a_label_is_printed_as_flags_that_mean_it():
    text = "URIEL+features=family-syntax+nearest=3+sinkhorn×cosine"
    assert flags(text) == (
        " --similarity URIEL --features family,syntax --nearest 3 --sinkhorn --times cosine"
    )
    assert flags("REAL") == " --similarity REAL"


def test_tables_of_other_content_have_other_labels(tmp_path):
    table = tmp_path / "my table.csv"
    table.write_text("source,sv-SE\nde-DE,0.9\n", encoding="utf-8")
    first = label("URIEL", Options(table=table))
    table.write_text("source,sv-SE\nde-DE,0.1\n", encoding="utf-8")
    second = label("URIEL", Options(table=table))
    assert first != second and first.startswith("URIEL+table=my-table-")
    assert parsed(second)[0] == "URIEL"
    with pytest.raises(UnavailableError, match="no such table"):
        label("URIEL", Options(table=tmp_path / "none.csv"))


@pytest.mark.parametrize(
    "text", ["URIEL+sinkhorn+nearest=5", "URIEL+magic", "REAL+nearest=0", "real+sinkhorn", "URIEL+features=x", "+sinkhorn"]
)  # fmt: skip
def test_an_unknown_preparation_is_refused_with_what_is_known(bench, text):
    with pytest.raises(UsageError, match="unknown similarity") as caught:
        parsed(text)
    assert "+sinkhorn" in str(caught.value.hint)
    bench.entry(row(similarity=text))
    with pytest.raises(MuError, match="unknown similarity"):
        bench.load_all()


def plain_rows(bench):
    """The measured rows of the plain URIEL arm in the advice, and the arm that it recommends."""
    result = advise(bench.load(), Question("sw-KE", similarity="URIEL"))
    rows = [
        e
        for e in (*result.evidence, *result.dissent)
        if isinstance(e, EvidenceRow) and e.arm.similarity == "URIEL"
    ]
    return {(e.ref, e.gain_pp, e.se_pp) for e in rows}, result.recipe.similarity


def test_a_prepared_choice_does_not_join_the_plain_arm_of_an_advice(bench):
    bench.entry(row(similarity="URIEL"), row("cy-GB", similarity="URIEL"), row("vi-VN", similarity="URIEL"))
    before = plain_rows(bench)
    bench.entry(
        row(similarity="URIEL+sinkhorn", value=0.2), row(similarity="URIEL+nearest=5", value=0.2),
        entry="2026-01-21-other-00000002",
    )  # fmt: skip
    assert plain_rows(bench) == before and before[0] and before[1] == "URIEL"
    arms = {arm_of(r).similarity for r in bench.load().rows}
    assert arms == {"URIEL", "URIEL+sinkhorn", "URIEL+nearest=5"}


def test_a_prepared_choice_was_not_tried_by_the_plain_one_and_is_no_repetition_of_it(bench):
    bench.entry(row(similarity="URIEL+sinkhorn"))
    (near,) = tried(bench.load(), Wanted("sw-KE", "similarity", "URIEL", 5, "ExcTar"))
    assert (near.degree, near.why) == ("close", "similarity URIEL+sinkhorn")
    (same,) = tried(bench.load(), Wanted("sw-KE", "similarity", "URIEL+sinkhorn", 5, "ExcTar"))
    assert same.degree == "same"
    bench.entry(row(similarity="URIEL"), entry="2026-01-21-other-00000002")
    assert len({key_of(r) for r in bench.load().rows}) == 2


def test_a_lab_runs_a_prepared_choice_but_not_one_by_a_table(bench):
    bench.entry(row(similarity="URIEL+sinkhorn"), row(similarity="URIEL+table=mine-1f2e3d4c"))
    lab = Lab(methods(), frozenset({"URIEL", "REAL"}))
    assert [lab.runs(arm_of(r)) for r in bench.load().rows] == [True, False]
    assert parsed("URIEL+table=mine-1f2e3d4c")[1] != AS_IT_IS
