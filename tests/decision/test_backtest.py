"""Backtest: predictions do not see what they predict, and its figures are those of closed forms."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from conftest import KNOWLEDGE

from merginguriel import workspace
from merginguriel.decision import backtest, backtest_items, study_rules, transfer
from merginguriel.decision.backtest_policies import Prediction
from merginguriel.decision.estimate import Estimate
from merginguriel.decision.evidence import Arm, Observation, columns, observations
from merginguriel.errors import UsageError
from merginguriel.knowledge.base import load
from merginguriel.knowledge.parse.rows import ResultRow, items_cell
from merginguriel.text import bars

HERE = "home/e5-small"


@pytest.fixture(scope="module")
def rows():
    return load(workspace.find(explicit=KNOWLEDGE), as_of="2026-11-21").of_metric("accuracy").rows


@pytest.fixture(scope="module")
def gains(rows) -> list[Observation]:
    wanted = ("similarity", "ensemble_soft", "slerp", "dare_ties")
    found = observations(rows, "ExcTar", lambda arm: False)
    return [o for o in found if o.arm.context == HERE and o.arm.method in wanted]


def test_what_a_left_out_target_measured_does_not_reach_its_predictions(gains):
    target = "da-DK"
    changed = [
        replace(o, gain_pp=o.gain_pp + 30) if o.arm.target == target or target in o.arm.sources else o
        for o in gains
    ]
    before, after = (
        {p.arm: p.estimate.mean_pp for p in backtest.leave_targets_out(found, HERE) if p.arm.target == target}
        for found in (gains, changed)
    )
    assert before == pytest.approx(after) and len(before) > 10


def test_the_first_choice_beats_the_best_policy_on_other_targets_and_intervals_hold(gains, rows):
    done = backtest.run(gains, HERE, facts=study_rules.facts(rows, HERE), replicates=1)
    policy = {p.name: p for p in done.policies}
    engine = policy["engine: first choice, with ensembles"]
    assert engine.targets == 16
    assert engine.gain_pp >= policy["best on the other targets, with ensembles"].gain_pp + 0.5
    assert policy["engine: first choice, one model"].gain_pp >= 4.5
    assert policy["oracle, with ensembles"].regret_pp == pytest.approx(0)
    assert policy["never"].gain_pp == 0
    groups = {c.name: c for c in done.left_out}
    assert 0.86 <= groups["all"].coverage[2] <= 0.97
    assert groups["other methods"].brier_skill > 0.1
    assert done.permuted.brier_skill < 0.05
    assert sum(groups["all"].pit) == groups["all"].predictions


def test_halves_of_fission_add_up_and_are_independent(gains):
    few = gains[:60]
    draws = random.Random(1)
    pairs = []
    for _ in range(300):
        seen, fresh = backtest.split(few, 0.75, draws)
        other = {o.row.ref: o.gain_pp for rows in fresh.values() for o in rows}
        first = {o.row.ref: o.gain_pp for o in seen}
        for o in few:
            assert first[o.row.ref] + other[o.row.ref] == pytest.approx(2 * o.gain_pp)
        pairs.append([first[o.row.ref] for o in few])
    told = np.array(pairs) - [o.gain_pp for o in few]
    assert told.var(0) == pytest.approx(np.array([o.variance for o in few]), rel=0.35)
    same = [(i, j) for i in range(60) for j in range(i) if few[i].arm.target == few[j].arm.target]
    expected = [0.75 * min(few[i].variance, few[j].variance) for i, j in same]
    assert np.mean([np.mean(told[:, i] * told[:, j]) for i, j in same]) == pytest.approx(
        np.mean(expected), rel=0.15
    )


# Sources without a measured column


def test_a_column_is_predicted_from_the_other_targets(rows):
    known = {t: column for (where, t), column in columns(rows).items() if where == HERE}
    errors, usual = [], []
    for target, column in known.items():
        rest = {t: c for t, c in known.items() if t != target}
        told = transfer.predict(rest, target, list(column))
        order = sorted(told, key=lambda s: -told[s].value)
        errors.append(100 * (max(column.values()) - column[order[0]]))
        usual.append(100 * (max(column.values()) - np.mean(list(column.values()))))
    assert np.mean(errors) < 0.8 * np.mean(usual)


def test_few_scores_give_an_order_only():
    told = transfer.predict({"sw-KE": {"en-US": 0.5}}, "nl-NL", ["de-DE", "ja-JP", "nl-NL"])
    assert set(told) == {"de-DE", "ja-JP"} and told["de-DE"].sd is None
    assert told["de-DE"].value > told["ja-JP"].value


def test_a_table_of_transfer_accuracies_is_scored(tmp_path):
    names = ["de", "nl", "en", "sv", "ja", "ko", "tr", "az"]
    lines = ["source_lang,target_lang,m_accuracy"]
    close = {frozenset(pair) for pair in (("de", "nl"), ("en", "sv"), ("ja", "ko"), ("tr", "az"))}
    lines += [f"{a},{b},{80 if frozenset((a, b)) in close else 50}" for a in names for b in names if a != b]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines))
    found = {score.how: score for score in transfer.backtest(path)}
    assert found["URIEL"].regret_pp < found["random"].regret_pp
    assert found["random"].regret_pp == pytest.approx(30 * 6 / 7)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no table of transfer accuracies"):
        transfer.backtest(path)


def test_kept_items_are_split_into_halves_that_share_no_item():
    draw = random.Random(5)
    rows = []
    for target in ("sw-KE", "cy-GB", "vi-VN"):
        base = [draw.random() < 0.6 for _ in range(101)]
        right = [draw.random() < 0.7 for _ in base]
        rows.append(
            ResultRow(
                "home/e5-small", target, "ExcTar", "ties", "accuracy", sum(right) / 101, n=101, similarity="REAL", k=3,
                baseline_kind="best_single_source", baseline=sum(base) / 101, ref=target,
                items=items_cell([str(i) for i in range(101)], right, base),
            )
        )  # fmt: skip
    found = observations(rows, "ExcTar", lambda arm: False)
    seen, fresh = backtest_items.halves(found, random.Random(1))
    for whole, half in zip(found, seen, strict=True):
        (other,) = fresh[whole.arm]
        assert (50 * half.gain_pp + 51 * other.gain_pp) / 101 == pytest.approx(whole.gain_pp)
        assert half.variance == pytest.approx(whole.variance * 101 / 50)


def arm_with_items(target: str, method: str, right: list[bool], base: list[bool], mean_pp: float):
    n = len(base)
    row = ResultRow(
        HERE, target, "ExcTar", method, "accuracy", sum(right) / n, n=n, similarity="REAL", k=3,
        baseline_kind="best_single_source", baseline=sum(base) / n, ref=f"{target}-{method}",
        items=items_cell([str(i) for i in range(n)], right, base),
    )  # fmt: skip
    (found,) = observations([row], "ExcTar", lambda arm: False)
    estimate = Estimate(mean_pp, 4.0, before_pp=mean_pp, before_sd_pp=4.0)
    return found, Prediction(found.arm, estimate, found.gain_pp, found.variance, n=n)


def test_a_pilot_finds_the_better_arm_that_the_prior_ranks_second():
    draw = random.Random(7)
    made = []
    for target in ("sw-KE", "cy-GB", "vi-VN", "th-TH"):
        base = [draw.random() < 0.6 for _ in range(400)]
        for method, p, mean in (("ties", 0.5, 4.0), ("slerp", 0.8, 2.0)):
            made.append(arm_with_items(target, method, [draw.random() < p for _ in base], base, mean))
    found, told = zip(*made, strict=True)
    scores = backtest_items.pilots(told, found, seed=0, replicates=5)
    assert [one.labels for one in scores] == [50, 100, 200]
    last = scores[-1]
    assert last.more_pp[0] > 15 and last.harmed == 0 and abs(last.regret_pp[1]) < 2 < last.regret_pp[0]
    assert backtest_items.pilots(told[:2], found, seed=0, replicates=5) == ()


def test_regret_in_hindsight_is_luck_where_all_arms_are_the_same():
    draw = random.Random(11)
    made = []
    for target in ("sw-KE", "cy-GB", "vi-VN", "th-TH", "sq-AL", "gl-ES"):
        base = [draw.random() < 0.6 for _ in range(150)]
        for i in range(12):
            right = [draw.random() < 0.7 for _ in base]
            made.append(arm_with_items(target, f"method-{i}", right, base, 10.0))
    found, told = zip(*made, strict=True)
    score = backtest_items.pilots(told, found, seed=0, replicates=10)[-1]
    assert score.hindsight_pp > 6 and abs(score.regret_pp[0]) < 2.5


@pytest.mark.slow
def test_a_bar_is_met_or_missed_by_its_figure_and_a_context_without_targets_has_none(gains):
    done = backtest.run(gains, HERE, replicates=1)
    for ahead, word in ((0.5, "met"), (0.49, "MISSED")):
        made = replace(done, policies=tuple(replace(p, ahead_pp=(ahead, 0.0, 1.0)) for p in done.policies))
        _, _, rows = bars.table([made])
        figure = next(cells[1] for cells in rows if cells[0].startswith("first choice: 0.5 pp above"))
        assert figure == f"+{ahead:.2f} [+0.0 … +1.0]: {word}"
    nothing = backtest.run(gains, HERE, without={o.arm.target for o in gains}, replicates=1)
    assert not bars.reached(nothing)


def test_the_interval_of_claimed_minus_fresh_contains_the_figure_where_targets_have_unequal_verdicts():
    def one(target, claimed, gain):
        arm = Arm(HERE, target, "ExcTar", "average", None, 3, ())
        return Prediction(arm, Estimate(claimed, 0.5), gain, 1.0)

    often = [one("sw-KE", 5.0, 5.0 + i % 2) for i in range(90)]
    seldom = [one(target, 9.0, gain) for target, gain in (("cy-GB", 1.0), ("vi-VN", 2.0), ("th-TH", 1.5))]
    judged = backtest._judged("merges", 0.5, [*often, *seldom], [*often, *seldom])
    more = judged.claimed_pp - judged.fresh_pp
    assert more == pytest.approx((-45 + 22.5) / 93) and judged.low_pp < more < judged.high_pp
    assert (judged.low_pp + judged.high_pp) / 2 == pytest.approx(more)
