"""Does what is known of how sources fit each other speak, as far as it was seen to matter, and no further?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from merginguriel.decision import estimate
from merginguriel.decision.advice import Question, advise
from merginguriel.decision.compatibility import features, known_fits, value_of
from merginguriel.decision.evidence import noise
from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.text.advice import render

from .test_estimate import observation

COMPAT = "| target | mode | method | sources | metric | value |\n|---|---|---|---|---|---|\n"


def pair(one: str, two: str, value: float, metric: str = "cosine", **more) -> ResultRow:
    return ResultRow("a/b", two, "-", "compat", metric, value, sources=(one,), **more)


PAIRS = [pair("de-DE", "sv-SE", 0.8), pair("de-DE", "pl-PL", 0.2), pair("sv-SE", "pl-PL", 0.5)]


def test_a_feature_is_the_mean_over_pairs_in_deviations_of_that_context():
    fits = known_fits(PAIRS)
    assert value_of(fits, "a/b", "cosine", ("de-DE", "sv-SE", "pl-PL")) == pytest.approx(0.5)
    assert features(fits, "a/b", ("de-DE", "sv-SE")) == pytest.approx(
        [0.3 / np.std([0.8, 0.2, 0.5], ddof=1), 0, 0]
    )
    assert features(fits, "a/b", ("sv-SE", "de-DE", "pl-PL")) == pytest.approx([0, 0, 0])


@pytest.mark.parametrize(
    ("context", "sources"),
    [("c/d", ("de-DE", "sv-SE")), ("a/b", ("de-DE",)), ("a/b", ()), ("a/b", ("de-DE", "sv-SE", "fi-FI"))],
)
def test_what_is_not_known_is_nothing(context, sources):
    assert not features(known_fits(PAIRS), context, sources).any()


def test_a_pair_measured_again_counts_once_and_an_invalidated_one_not_at_all():
    again = pair("sv-SE", "de-DE", 0.6, date="2026-02-01")
    doubtful = pair("pl-PL", "de-DE", 0.9, date="2026-03-01", status="invalidated")
    assert known_fits([again, doubtful, *PAIRS])["a/b", "cosine"].pairs == {
        frozenset(("de-DE", "sv-SE")): 0.6,
        frozenset(("de-DE", "pl-PL")): 0.2,
        frozenset(("sv-SE", "pl-PL")): 0.5,
    }


def test_a_feature_that_matters_is_found_and_one_that_does_not_stays_near_zero():
    random = np.random.default_rng(0)
    found, known = [], random.normal(0, 1, (60, 2))
    for i, x in enumerate(known):
        made = observation("sw-KE", "ties", 3 * x[0] + random.normal(0, 1), 1.0, baseline=0.4 + i / 1000)
        target = f"t{i}"
        found.append(
            replace(made, arm=replace(made.arm, target=target), row=replace(made.row, target=target))
        )
    fitted = estimate.fit(found, noise(found), known)
    matters, idle = estimate.slopes(fitted)
    assert abs(matters.mean_pp - 3) < 3 * matters.sd_pp and matters.mean_pp > 5 * matters.sd_pp
    assert abs(idle.mean_pp) < 3 * idle.sd_pp < 1.5
    # and a prediction moves by the slope
    new = replace(found[0].arm, target="new")
    at = [estimate.predict(fitted, new, np.array([x, 0.0])).mean_pp for x in (0.0, 1.0)]
    assert at[1] - at[0] == pytest.approx(matters.mean_pp, abs=1e-6)


def test_advice_says_what_the_fit_of_its_sources_is_worth(bench):
    table = (
        "| target | mode | method | similarity | k | sources | value | baseline_kind | baseline |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
        "| sw-KE | ExcTar | similarity | REAL | 2 | de-DE sv-SE | 0.4900 | best_single_source | 0.4600 |\n"
        "| cy-GB | ExcTar | similarity | REAL | 2 | de-DE pl-PL | 0.4400 | best_single_source | 0.4600 |"
    )
    bench.entry(table=table)
    assert advise(bench.load(), Question("sw-KE")).recipe.compatibility == ()
    pairs = [("de-DE", "sv-SE", 0.8), ("de-DE", "pl-PL", 0.2), ("sv-SE", "pl-PL", 0.5)]
    bench.entry(
        table=COMPAT + "\n".join(f"| {b} | - | compat | {a} | cosine | {v:.4f} |" for a, b, v in pairs),
        entry="2026-01-21-test-00000002",
    )
    told = advise(bench.load(), Question("sw-KE"))
    (fit,) = told.recipe.compatibility
    assert (fit.measure, fit.value, fit.sds) == ("cosine", 0.8, 1.0)
    assert fit.contribution_pp == pytest.approx(fit.slope_pp * fit.sds, abs=0.01)
    assert "fit       cosine of task vectors 0.80 (+1.0 sd)" in render(told, every=True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("| sv-SE | - | compat | sv-SE | cosine | 1.0000 |", "compares two models"),
        ("| sv-SE | ExcTar | compat | de-DE | cosine | 0.1000 |", "compares two models"),
        ("| sv-SE | - | compat | de-DE | accuracy | 0.1000 |", "need the method compat"),
        ("| sv-SE | ExcTar | ties | de-DE | cosine | 0.1000 |", "need the method compat"),
    ],
)
def test_a_comparison_that_is_none_is_refused(bench, line, said):
    bench.entry(table=COMPAT + line)
    with pytest.raises(KnowledgeError, match=said):
        bench.load_all()


def test_the_cosine_of_one_layer_or_of_a_merge_is_no_cosine_of_two_models():
    layer = pair("de-DE", "sv-SE", 0.1, params=(("layer", "11"),), date="2026-05-01")
    assert known_fits([*PAIRS, layer])["a/b", "cosine"].pairs[frozenset(("de-DE", "sv-SE"))] == 0.8
