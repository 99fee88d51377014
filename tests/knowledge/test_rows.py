"""Is a measured number read in one way only?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from merginguriel import locales
from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.log.draft_text import rows_csv
from merginguriel.knowledge.parse import row_parser, rows

BASE = {
    "context": "massive/xlm-roberta-base",
    "target": "sw-KE",
    "mode": "ExcTar",
    "method": "similarity",
    "metric": "accuracy",
    "value": "0.4832",
    "n": "2974",
    "baseline_kind": "best_single_source",
    "baseline": "0.4670",
}


def parse(**cells: str) -> rows.ResultRow:
    return row_parser.parse_row({**BASE, **cells}, {}, "log.md:31")


def refused(**cells: str) -> KnowledgeError:
    with pytest.raises(KnowledgeError) as told:
        parse(**cells)
    assert told.value.where == "log.md:31"
    return told.value


# Units


@pytest.mark.parametrize("column", ["gain", "delta", "effect", "improvement", "difference", "change", "Gain"])
@pytest.mark.parametrize("text", ["+3.4%", "−6.6%", "3.4 %"])
def test_percent_without_a_unit_is_refused_with_file_and_line(column, text):
    error = refused(**{column: text})
    assert "percent of the baseline, or percentage points?" in error.what
    assert "`pp` or `rel_pct`" in (error.hint or "")


@pytest.mark.parametrize("text", ["+1.62", "0.0162", "1.62 points", "pp", "nan pp"])
def test_a_difference_without_a_unit_is_refused(text):
    assert "in which unit?" in refused(gain=text).what


@pytest.mark.parametrize("text", ["+1.62 pp", "1.62pp", "+3.47 rel_pct", "+3.5 rel_pct", "-", ""])
def test_a_difference_that_agrees_with_the_accuracies_passes(text):
    assert parse(gain=text).difference_pp == pytest.approx(1.62)


@pytest.mark.parametrize("text", ["+3.4 pp", "−1.62 pp", "+1.62 rel_pct", "+11.3 rel_pct"])
def test_a_difference_that_contradicts_the_accuracies_is_refused(text):
    assert "but value and baseline give" in refused(gain=text).what


def test_a_relative_difference_over_a_baseline_of_zero_is_refused():
    assert "a baseline of 0" in refused(baseline="0", value="0.1", gain="10 rel_pct").what


@pytest.mark.parametrize(
    ("metric", "text", "value"),
    [
        ("accuracy", "0.4832", 0.4832),
        ("accuracy", "48.32%", 0.4832),
        ("accuracy", "48.32 %", 0.4832),
        ("accuracy", "1", 1.0),
        ("merging_effect", "+2.57 pp", 2.57),
        ("merging_effect", "−2.57 pp", -2.57),
        ("ndcg@10", "86.64 pt", 0.8664),
        ("ndcg@10", "0.8664", 0.8664),
        ("spearman", "-0.13", -0.13),
        ("tokens_per_sentence", "38", 38),
        ("parameters", "18M", 18e6),
    ],
)
def test_each_metric_is_read_in_its_unit(metric, text, value):
    assert row_parser.parse_value(text, rows.unit_of(metric), "value", "x:1") == pytest.approx(value)


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        ("accuracy", "48.32"),
        ("accuracy", "1.01"),
        ("accuracy", "-0.1"),
        ("accuracy", "148%"),
        ("accuracy", "nan"),
        ("accuracy", "inf"),
        ("accuracy", "1e-1"),
        ("accuracy", "0,48"),
        ("accuracy", "0.48 pp"),
        ("merging_effect", "2.57"),
        ("merging_effect", "2.57%"),
        ("ndcg@10", "86.64"),
        ("ndcg@10", "86.64%"),
        ("spearman", "1.3"),
        ("spearman", "13%"),
        ("parameters", "-3"),
        ("parameters", "18 million"),
        ("parameters", "9" * 400),
    ],
)
def test_a_number_that_could_be_read_two_ways_is_refused(metric, text):
    with pytest.raises(KnowledgeError) as told:
        row_parser.parse_value(text, rows.unit_of(metric), "value", "x:1")
    assert "column 'value'" in told.value.what and told.value.where == "x:1"


# What cannot both hold


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"sources": "sw-KE de-DE"}, "among its own sources"),
        ({"mode": "IncTar", "sources": "de-DE"}, "is not among the sources"),
        ({"k": "5", "sources": "de-DE fr-FR"}, "k is 5, but 2 sources"),
        ({"k": "0"}, "k must be 1 or more"),
        ({"n": "0"}, "n must be 1 or more"),
        ({"n": "2,974"}, "must be a whole number"),
        ({"n": "²"}, "must be a whole number"),
        ({"seed": "1.5"}, "must be a whole number"),
        ({"weights": "0.5 0.5", "sources": "de-DE"}, "2 weights for 1 sources"),
        ({"weights": "nan"}, "not a finite number"),
        ({"baseline": "-"}, "must be given together"),
        ({"baseline_kind": "-"}, "must be given together"),
        ({"baseline_kind": "best"}, "unknown baseline_kind"),
        ({"mode": "Exctar"}, "unknown mode"),
        ({"similarity": "real"}, "unknown similarity 'real'"),
        ({"saw": "everything"}, "unknown value of saw 'everything'"),
        ({"status": "ok"}, "unknown status"),
        ({"metric": "f1"}, "unknown metric"),
        ({"target": "sw-KX"}, "unknown locale"),
        ({"sources": "de-DE xx-YY"}, "unknown locale"),
        ({"context": "massive"}, "not a context"),
        ({"method": "ties dare"}, "not a method name"),
        ({"method": "single", "sources": "-"}, "one source"),
        ({"params": "density"}, "params must be key=value pairs"),
        ({"params": "a=1 a=2"}, "twice"),
        ({"acuracy": "1"}, "unknown column 'acuracy'"),
        ({"value": "-"}, "no value"),
    ],
)
def test_fields_that_cannot_hold_are_refused(cells, said):
    assert said in refused(**cells).what


@pytest.mark.parametrize(
    ("wins", "losses", "said"),
    [
        ("10", "-", "must be given together"),
        ("100", "10", "They must agree"),
        ("3000", "10", "more than 2974"),
        ("30", "78", "They must agree"),
    ],
)
def test_wins_and_losses_must_agree_with_the_accuracies(wins, losses, said):
    error = refused(wins=wins, losses=losses)
    assert said in error.render()


def test_wins_and_losses_make_the_comparison_paired():
    paired, unpaired = parse(wins="148", losses="100"), parse()
    assert paired.paired and not unpaired.paired
    assert paired.variance_pp < unpaired.variance_pp


def test_the_flagship_result_is_within_noise_unpaired():
    # Defect 4: +1.62 pp on 2,974 items is 48 items, z = 1.25.
    row = parse()
    assert row.difference_pp * row.n / 100 == pytest.approx(48, abs=0.5)
    z = row.difference_pp / row.variance_pp**0.5
    assert z == pytest.approx(1.25, abs=0.01)
    # scipy's test of two independent shares, which pools them.
    shares = scipy_stats.chi2_contingency([[1437, 1537], [1389, 1585]], correction=False)
    assert scipy_stats.norm.sf(z) * 2 == pytest.approx(shares.pvalue, abs=0.002)


@pytest.mark.parametrize("cells", [{"value": "1", "baseline": "1"}, {"value": "0", "baseline": "0"}])
def test_two_perfect_scores_are_not_certainty(cells):
    assert parse(**cells, n="50").variance_pp > 0
    assert parse(**cells, n="50", wins="0", losses="0").variance_pp > 0


@pytest.mark.parametrize("se", ["0.01 pp", "0.00001 pp"])
def test_a_small_standard_error_is_not_certainty(se):
    cells = {"value": "0.54", "baseline": "0.50", "n": "50", "wins": "2", "losses": "0"}
    row = parse(**cells, se=se)
    assert row.variance_pp == pytest.approx(parse(**cells).variance_pp)  # no surer than its wins and losses
    assert row.difference_pp / row.variance_pp**0.5 < 1.645
    bare = parse(**{**cells, "wins": "-", "losses": "-"}, se=se)
    assert bare.variance_pp**0.5 == pytest.approx(2.0)  # one item of fifty, whatever the cell says
    assert parse(**cells, se="3.00 pp").variance_pp == pytest.approx(9.0)


def test_a_standard_error_of_zero_beside_items_that_differ_is_refused():
    cells = {"value": "0.54", "baseline": "0.50", "n": "50", "wins": "2", "losses": "0"}
    assert "the two models differ on 2 items" in refused(**cells, se="0.00 pp").what


def test_a_small_standard_error_is_written_as_one_that_can_be_read():
    row = parse(value="0.4670", wins="5", losses="5", se="0.004 pp")
    assert row_parser.parse_row(rows.row_cells(row), {}, "log.md:31") == row


# Round trips

FRACTIONS = st.integers(0, 1_000_000).map(lambda i: i / 1e6)
LOCALES = st.sampled_from(sorted(locales.table()))
WORDS = st.text(st.characters(categories=["L", "N"], include_characters="_"), min_size=1, max_size=8)


@st.composite
def result_rows(draw: st.DrawFn) -> rows.ResultRow:
    metric = draw(st.sampled_from(sorted(rows.known_metrics())))
    unit = rows.unit_of(metric)
    number = {
        "share": FRACTIONS,
        "score": FRACTIONS,
        "correlation": FRACTIONS.map(lambda x: round(2 * x - 1, 6)),
        "pp": st.integers(-10_000_000, 10_000_000).map(lambda i: i / 1e5),
        "count": st.integers(0, 10**12).map(float),
    }[unit]
    with_baseline = draw(st.booleans())
    pairwise = metric in rows.PAIRWISE
    few, most = (1, 1) if pairwise else (0, 4)
    others = st.lists(LOCALES.filter(lambda s: s != "sw-KE"), min_size=few, max_size=most, unique=True)
    sources = tuple(draw(others))
    params = draw(st.dictionaries(WORDS, WORDS, max_size=3))
    row = rows.ResultRow(
        context="massive/xlm-roberta-base",
        target="sw-KE",
        mode="-" if pairwise else draw(st.sampled_from(["ExcTar", "-"])),
        method="compat" if pairwise else draw(st.sampled_from(["ties", "similarity", "a_b@1.0+c"])),
        metric=metric,
        value=draw(number),
        n=draw(st.none() | st.integers(1, 10**6)),
        params=tuple(sorted(params.items())),
        similarity=draw(st.sampled_from([None, "REAL", "URIEL"])),
        k=len(sources) or None,
        sources=sources,
        weights=tuple(draw(FRACTIONS) for _ in sources) if draw(st.booleans()) else (),
        seed=draw(st.none() | st.integers(0, 10**9)),
        baseline_kind="source_mean" if with_baseline else None,
        baseline=draw(number) if with_baseline else None,
        run=draw(st.none() | WORDS),
        status=draw(st.sampled_from(rows.STATUSES)),
        note=" ".join(draw(st.text(st.characters(exclude_categories=["C"]), max_size=20)).split()),
        where="x:1",
    )
    return replace(row, note="" if row.note in ("-", "–", "—") else row.note)


@given(result_rows())
def test_a_row_written_as_cells_is_read_back_as_the_same_row(row):
    assert row_parser.parse_row(rows.row_cells(row), {}, "x:1") == row


@given(st.lists(result_rows(), min_size=1, max_size=4))
def test_rows_written_as_csv_are_read_back_as_the_same_rows(found):
    read = row_parser.read_csv(rows_csv(found), {}, Path("x.csv"))
    assert [replace(row, where="x:1") for row in read] == found


@given(
    st.dictionaries(
        st.sampled_from([*rows.COLUMNS, "gain"]),
        st.text(max_size=12)
        | st.sampled_from(["-", "0.5", "1", "sw-KE", "de-DE", "+1 pp", "²", "9" * 5000, "–"]),
    )
)
def test_any_cells_are_a_row_or_refused_with_file_and_line(cells):
    try:
        row_parser.parse_row({**BASE, **cells}, {}, "log.md:31")
    except KnowledgeError as error:
        assert error.where == "log.md:31"


@given(st.text(alphabet='target,mode"\n\r0.5;-\x00 ', max_size=60))
def test_any_text_is_csv_or_refused(text):
    try:
        row_parser.read_csv(text, BASE, Path("x.csv"))
        row_parser.read_csv("target,mode,method,value,note\n" + text, BASE, Path("x.csv"))
    except KnowledgeError as error:
        assert (error.where or "").startswith("x.csv:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no header"),
        ("target,mode,mode,method,value\n", "twice"),
        ("target,mode,method,value\nsw-KE,ExcTar,ties\n", "differ in their number of cells"),
        ("target,mode,method,value\nsw-KE,ExcTar,ties,0.4,9\n", "differ in their number of cells"),
        ("target,mode,method\nsw-KE,ExcTar,ties\n", "no column 'value'"),
    ],
)
def test_a_csv_that_would_be_guessed_at_is_refused(text, said):
    with pytest.raises(KnowledgeError, match=said):
        row_parser.read_csv(text, BASE, Path("x.csv"))


def test_a_dash_means_not_given_in_csv_too():
    (read,) = row_parser.read_csv(
        "target,mode,method,value,k\nsw-KE , ExcTar,ties,0.4, - \n", BASE, Path("x.csv")
    )
    assert (read.target, read.k) == ("sw-KE", None)


# Repeats


def test_a_measurement_recorded_twice_counts_once_and_the_first_record_is_cited():
    first = replace(parse(), ref="a#r1", date="2026-01-20")
    again = replace(parse(note="repeat"), ref="b#r1", date="2026-01-21")
    assert rows.distinct([again, first]) == [first]


def test_the_order_of_the_sources_is_no_second_measurement():
    first = replace(parse(k="2", sources="de-DE fr-FR", weights="0.7 0.3"), ref="a#r1", date="2026-01-20")
    turned = replace(parse(k="2", sources="fr-FR de-DE", weights="0.3 0.7"), ref="b#r1", date="2026-01-21")
    other = replace(parse(k="2", sources="fr-FR it-IT"), ref="c#r1", date="2026-01-22")
    assert rows.distinct([turned, first, other]) == [first, other]


def test_a_later_baseline_corrects_an_earlier_one():
    # Defect 11: the same model has 80.63, 80.67 and 82.85 in different rounds.
    old = replace(parse(baseline="0.4600"), ref="a#r1", date="2026-01-20")
    new = replace(parse(baseline="0.4670"), ref="b#r1", date="2026-01-21")
    assert rows.distinct([new, old]) == [new]


def test_a_paired_record_beats_an_unpaired_one():
    paired = replace(parse(wins="148", losses="100"), ref="a#r1", date="2026-01-20")
    bare = replace(parse(baseline="0.4660"), ref="b#r1", date="2026-01-21")
    assert rows.distinct([paired, bare]) == [paired]


def test_a_superseded_row_never_beats_the_one_that_stands():
    stands = replace(parse(), ref="a#r1", date="2026-01-20")
    for date in ("2026-01-19", "2026-01-21"):
        old = replace(parse(wins="148", losses="100"), ref="b#r1", date=date, status=rows.SUPERSEDED)
        assert rows.distinct([old, stands]) == [stands]


def test_superseded_is_derived_and_cannot_be_written():
    assert "unknown status" in refused(status="superseded").what


def test_a_repeat_that_adds_its_standard_error_is_the_one_that_counts():
    first = replace(parse(wins="148", losses="100"), ref="a#r1", date="2026-01-20")
    surer = replace(parse(wins="148", losses="100", se="0.9 pp"), ref="b#r1", date="2026-01-21")
    assert rows.distinct([surer, first]) == [surer]


@given(st.permutations(range(6)))
def test_the_order_of_rows_does_not_matter_to_which_one_counts(order):
    found = [
        replace(
            parse(baseline=f"0.46{i % 3}0", value=f"0.48{i // 3}0"), ref=f"e#r{i}", date=f"2026-01-2{i % 2}"
        )
        for i in range(6)
    ]
    assert rows.distinct([found[i] for i in order]) == rows.distinct(found)


def test_what_a_merge_can_see_is_called_the_same_by_rows_and_by_methods():
    from merginguriel.knowledge.parse import rows
    from merginguriel.merging import registry

    assert rows.SAW == registry.SAW
