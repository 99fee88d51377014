"""Does a requirement stand only on rows with it and without, and "no signal" only where a signal could have been seen?"""

from __future__ import annotations

import pytest
from conftest import head, row
from scipy import stats as reference

from merginguriel.knowledge.claims.grading import grade

E1 = "2026-01-10-first-00000001"
E2 = "2026-01-20-second-00000002"
MADE = head("params", "n")
CLAIM = """\
- id: a-claim
  text: "It is so."
  scope: {{context: massive/xlm-roberta-base}}
  predicate: {predicate}
  condition: {{{condition}}}
  {more}
  evidence: [{E1}]
  since: "2026-01-10"
"""
CORRELATIONS = """\
| target | mode | method | metric | value | n | params |
|---|---|---|---|---|---|---|
"""


def stands(bench, predicate: str, condition: str, more: str = ""):
    bench.skill(claims=CLAIM.format(predicate=predicate, condition=condition, more=more, E1=E1))
    known = bench.load()
    return known.standings["a-claim"], grade(known.claims[0], known)


def made(value: float, params: str, target: str = "sw-KE", n: int = 2974, k: int = 5) -> str:
    return f"{row(target, value, 0.50, k=k)} {params} | {n} |"


@pytest.mark.parametrize(
    ("rows", "expected", "mean"),
    [
        ([made(0.60, "base=pretrained"), made(0.40, "base=first")], "supported", 20),
        ([made(0.501, "base=pretrained"), made(0.500, "base=first")], "under noise", 0.1),
        ([made(0.40, "base=pretrained"), made(0.60, "base=first")], "refuted", -20),
        ([made(0.499, "base=pretrained"), made(0.50, "base=first")], "contested", -0.1),
    ],
)
def test_a_requirement_is_tested_by_rows_with_it_and_without(bench, rows, expected, mean):
    bench.entry(table=MADE + "\n".join(rows), entry=E1)
    now, _ = stands(bench, "requires", "base: pretrained")
    assert now.status == expected and now.mean_pp == pytest.approx(mean)


@pytest.mark.parametrize(
    "rows",
    [
        [made(0.60, "base=pretrained")],
        [made(0.40, "base=first")],
        [made(0.60, "base=pretrained"), made(0.40, "-")],
        [made(0.60, "base=pretrained"), made(0.40, "base=first", "cy-GB")],
        [made(0.60, "base=pretrained"), made(0.40, "base=first", k=3)],
        [made(0.60, "base=pretrained"), made(0.40, "base=first density=0.2")],
        [made(0.60, "-"), made(0.40, "-")],
    ],
    ids=[
        "only with",
        "only without",
        "one does not say",
        "targets",
        "k",
        "another parameter",
        "neither says",
    ],
)
def test_rows_that_cannot_tell_leave_a_requirement_untested(bench, rows):
    bench.entry(table=MADE + "\n".join(rows), entry=E1)
    now, graded = stands(bench, "requires", "base: pretrained")
    assert now.status == "under noise" and now.reason.startswith("not tested by rows")
    assert any("no comparison in the log tests it" in reason.text for reason in graded.reasons)


def test_a_condition_may_be_a_field_of_the_row(bench):
    rows = [made(0.60, "-"), made(0.60, "-").replace("REAL", "URIEL").replace("0.6000", "0.4000")]
    bench.entry(table=MADE + "\n".join(rows), entry=E1)
    now, graded = stands(bench, "requires", "similarity: REAL")
    assert (now.status, round(now.mean_pp)) == ("supported", 20) and graded.level != "very low"


NAMED = (
    "| target | mode | method | similarity | k | sources | value | n |\n|---|---|---|---|---|---|---|---|\n"
)


def named(mode: str, similarity: str, sources: str, value: float) -> str:
    k = len(sources.split())
    return f"| sw-KE | {mode} | similarity | {similarity} | {k} | {sources} | {value} | 2974 |"


@pytest.mark.parametrize(
    ("condition", "other"),
    [
        ("similarity: REAL", named("ExcTar", "URIEL", "cy-GB de-DE", 0.4)),
        ('k: "2"', named("ExcTar", "REAL", "cy-GB de-DE sv-SE", 0.4)),
        ("mode: ExcTar", named("IncTar", "REAL", "de-DE sw-KE", 0.4)),
    ],
)
def test_other_sources_are_no_other_merge_where_the_condition_chooses_them(bench, condition, other):
    bench.entry(table=NAMED + "\n".join([named("ExcTar", "REAL", "de-DE sv-SE", 0.6), other]), entry=E1)
    now, _ = stands(bench, "requires", condition)
    assert now.status == "supported" and now.mean_pp == pytest.approx(20)


@pytest.mark.parametrize(
    ("condition", "other", "expected"),
    [
        ('k: "2"', named("ExcTar", "-", "cy-GB de-DE sv-SE", 0.4), "supported"),
        ('k: "2"', named("ExcTar", "-", "cy-GB fr-FR sv-SE", 0.4), "under noise"),
        ("mode: ExcTar", named("IncTar", "-", "de-DE sw-KE", 0.4), "supported"),
        ("mode: ExcTar", named("IncTar", "-", "fr-FR sw-KE", 0.4), "under noise"),
        (
            "method: similarity",
            named("ExcTar", "-", "cy-GB de-DE", 0.4).replace("similarity", "average"),
            "under noise",
        ),
    ],
)
def test_sources_chosen_by_hand_may_be_more_but_not_others(bench, condition, other, expected):
    bench.entry(table=NAMED + "\n".join([named("ExcTar", "-", "de-DE sv-SE", 0.6), other]), entry=E1)
    now, _ = stands(bench, "requires", condition)
    assert now.status == expected and now.reason.startswith("not tested by rows") == (expected != "supported")


@pytest.mark.parametrize(
    ("rows", "expected", "mean"),
    [
        ([(0.60, "base=p head=y"), (0.40, "base=q head=y")], "under noise", None),  # head=x never held
        ([(0.60, "base=p head=x"), (0.40, "base=q head=x")], "under noise", None),  # never without head=x
        ([(0.60, "base=p head=x"), (0.40, "base=q head=y")], "under noise", None),  # which of the two was it?
        ([(0.60, "base=p head=x"), (0.40, "base=q head=x"), (0.50, "base=p head=y")], "supported", 10),
        ([(0.60, "base=p head=x"), (0.40, "base=q head=x"), (0.70, "base=p head=y")], "refuted", -10),
    ],
)
def test_of_a_requirement_in_two_parts_each_is_tested_and_the_weaker_decides(bench, rows, expected, mean):
    bench.entry(table=MADE + "\n".join(made(value, params) for value, params in rows), entry=E1)
    now, _ = stands(bench, "requires", "base: p, head: x")
    assert now.status == expected and now.reason.startswith("not tested by rows") == (mean is None)
    assert now.mean_pp == (mean if mean is None else pytest.approx(mean))


def test_rows_that_a_requirement_does_not_cite_can_contest_it(bench):
    bench.entry(table=MADE + "\n".join([made(0.52, "base=pretrained"), made(0.50, "base=first")]), entry=E1)
    against = [made(0.30, "base=pretrained", t) for t in ("cy-GB", "vi-VN")]
    against += [made(0.60, "base=first", t) for t in ("cy-GB", "vi-VN")]
    bench.entry(table=MADE + "\n".join(against), entry=E2)
    assert stands(bench, "requires", "base: pretrained")[0].status == "contested"


@pytest.mark.parametrize(
    ("value", "n", "expected"),
    [
        (0.05, 200, "supported"),
        (0.28, 21, "under noise"),  # so few pairs exclude nothing
        (0.05, 12, "under noise"),
        (0.80, 21, "refuted"),
        (-0.80, 21, "refuted"),
        (0.30, 200, "refuted"),
        (1.00, 21, "refuted"),
    ],
)
def test_no_signal_stands_only_where_one_could_have_been_seen(bench, value, n, expected):
    bench.entry(table=f"{CORRELATIONS}| - | - | diversity | spearman | {value} | {n} | - |", entry=E1)
    now, graded = stands(bench, "no_signal", "feature: diversity")
    assert now.status == expected and f"over {n} pairs" in now.reason
    if expected == "under noise":
        assert any(reason.about == "precision" and reason.steps == 2 for reason in graded.reasons)


def test_its_p_is_that_of_a_permutation_test(bench):
    import numpy as np

    draw = np.random.default_rng(0)
    a, b = draw.normal(size=30), draw.normal(size=30)
    b = b + 0.35 * a
    value = reference.spearmanr(a, b).statistic
    shuffled = [abs(reference.spearmanr(a, draw.permutation(b)).statistic) for _ in range(2000)]
    exact = float(np.mean([one >= abs(value) for one in shuffled]))
    from merginguriel.knowledge.claims import conditional_claims as tested

    bench.entry(table=f"{CORRELATIONS}| - | - | diversity | spearman | {value:.6f} | 30 | - |", entry=E1)
    stands(bench, "no_signal", "feature: diversity")
    known = bench.load()
    found = tested.correlation(known.claims[0], known.rows)
    assert found is not None and found.p == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize(
    "line",
    [
        "| - | - | another | spearman | 0.9 | 200 | - |",  # another feature
        "| - | - | diversity | spearman | 0.9 | - | - |",  # of how many?
        "| sw-KE | ExcTar | diversity | accuracy | 0.5 | 200 | - |",  # no correlation
    ],
)
def test_rows_that_give_no_correlation_of_the_feature_leave_it_untested(bench, line):
    bench.entry(table=CORRELATIONS + line, entry=E1, n="")
    path = bench.root / "experiment_log" / "2026" / f"{E1}.md"
    path.write_text(path.read_text().replace('n: ""\n', ""))
    now, _ = stands(bench, "no_signal", "feature: diversity")
    assert now.status == "under noise" and now.reason.startswith("not tested by rows")


def correlations(*rows: tuple[str, float, int]) -> str:
    """A table of (target, ρ, pairs), each with a seed of its own."""
    lines = [
        f"| {target} | ExcTar | similarity | spearman | {value} | {n} | feature=cka seed={i} |"
        for i, (target, value, n) in enumerate(rows)
    ]
    return CORRELATIONS + "\n".join(lines)


def test_a_feature_may_be_named_as_a_parameter_and_several_targets_are_pooled(bench):
    bench.entry(table=correlations(("sw-KE", 0.1, 60), ("cy-GB", 0.1, 60)), entry=E1)
    now, _ = stands(bench, "no_signal", "feature: cka")
    assert now.status == "supported" and "over 120 pairs" in now.reason


@pytest.mark.parametrize(
    "rows",
    [
        [("sw-KE", 0.9, 30), ("cy-GB", -0.9, 30)],
        [("sw-KE", 0.9, 30), ("sw-KE", -0.9, 30)],
        [("sw-KE", 0.8, 30), ("cy-GB", -0.8, 30), ("vi-VN", 0.7, 30), ("sq-AL", -0.7, 30)],
    ],
)
def test_opposite_correlations_are_not_none(bench, rows):
    bench.entry(table=correlations(*rows), entry=E1)
    now, _ = stands(bench, "no_signal", "feature: cka")
    assert now.status == "under noise" and "0.5 is not excluded" in now.reason


def test_no_signal_is_not_supported_while_one_target_may_have_one(bench):
    bench.entry(table=correlations(("sw-KE", 0.2, 25), ("cy-GB", 0.0, 200)), entry=E1)
    now, _ = stands(bench, "no_signal", "feature: cka")
    assert now.status == "under noise" and "of sw-KE alone −0.22 … +0.56" in now.reason


def test_the_same_pairs_with_another_seed_are_no_further_pairs(bench):
    told = []
    for seeds in (1, 4):
        bench.entry(table=correlations(*[("sw-KE", 0.28, 30)] * seeds), entry=E1)
        told.append(stands(bench, "no_signal", "feature: cka")[0].reason)
    assert told[0] == told[1] and "over 30 pairs" in told[0]


@pytest.mark.parametrize(("target", "tested"), [("sw-KE", True), ("-", True), ("cy-GB", False)])
def test_a_claim_about_a_target_is_not_tested_on_another(bench, target, tested):
    table = CORRELATIONS + f"| {target} | ExcTar | diversity | spearman | 0.9 | 30 | - |"
    bench.entry(table=table, entry=E1)
    bench.skill(
        claims=CLAIM.format(predicate="no_signal", condition="feature: diversity", more="", E1=E1).replace(
            "xlm-roberta-base}", "xlm-roberta-base, target: sw-KE, method: similarity}"
        )
    )
    now = bench.load().standings["a-claim"]
    assert now.status == ("refuted" if tested else "under noise")
    assert now.reason.startswith("not tested by rows") != tested


def test_a_verdict_stands_beside_the_figures_that_decided_it(bench):
    """Three targets that each show it, so unlike in size that the interval of their mean holds 0."""
    bench.entry(table=correlations(("sw-KE", 0.5, 60), ("cy-GB", 0.9, 60), ("vi-VN", 0.7, 60)), entry=E1)
    now, _ = stands(bench, "no_signal", "feature: cka")
    assert now.status == "refuted" and "95%" not in now.reason
    assert "each of 3 targets shows it beyond its own noise" in now.reason
    rows = [made(0.55, "-"), made(0.70, "-", "cy-GB"), made(0.53, "-", "vi-VN")]
    bench.entry(table=MADE + "\n".join(rows), entry=E1)
    now, _ = stands(bench, "no_signal", "feature: cka", "over: best_single_source")
    assert now.status == "refuted" and "95%" not in now.reason
    assert "each of 3 targets shows a difference beyond its own noise" in now.reason


@pytest.mark.parametrize(
    ("value", "n", "expected"),
    [(0.5002, 200000, "supported"), (0.502, 1000, "under noise"), (0.60, 2974, "refuted")],
)
def test_no_signal_may_be_a_comparison_within_a_point(bench, value, n, expected):
    bench.entry(table=MADE + made(value, "-", n=n), entry=E1)
    now, _ = stands(bench, "no_signal", "feature: cka", "over: best_single_source")
    assert now.status == expected and "95%" in now.reason


def test_a_veto_needs_a_loss_worth_one(bench):
    text = CLAIM.replace("condition: {{{condition}}}", "over: best_single_source")
    found = {}
    for value in (0.30, 0.495):
        bench.entry(row("sw-KE", value, 0.50), n=10**6, entry=E1)
        bench.skill(claims=text.format(predicate="forbids", more="", E1=E1))
        found[value] = bench.load().standings["a-claim"]
    assert found[0.30].status == "supported"
    assert found[0.495].status == "contested" and "does not justify a veto" in found[0.495].reason


def test_what_is_not_tested_says_what_would_test_it(bench, mu):
    bench.entry(row(), entry=E1)
    stands(bench, "requires", "base: pretrained")
    told = mu("why", "a-claim", "--workspace", bench.root).out
    assert "not tested by rows" in told and "rows with and without it" in told
