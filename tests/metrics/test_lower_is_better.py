"""A metric of which lower values are better, from the choice of sources to the sentences of a report."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from merginguriel.evaluation import heatmap, nxn
from merginguriel.evaluation.baselines import best_single_source, goal
from merginguriel.evaluation.significance import compare
from merginguriel.knowledge.parse import row_parser
from merginguriel.knowledge.parse.rows import COLUMNS, ResultRow, row_cells
from merginguriel.loop import run_entry_text
from merginguriel.metrics import registry
from merginguriel.report import method_ranks, scored_arms
from merginguriel.report.report import build
from merginguriel.runs import run_index
from merginguriel.similarity import choice
from merginguriel.study import matrix_store, source_choice
from merginguriel.study.study import Study
from merginguriel.workspace import DEFAULTS, Workspace

NAMES = ("de-DE", "en-US", "nb-NO", "sv-SE")
ERRORS = {"de-DE": 0.4, "en-US": 0.5, "nb-NO": 0.1, "sv-SE": 0.2}  # on da-DK


@pytest.fixture
def error_rate():
    """A metric as one new file would register it."""

    @registry.metric("error_rate", doc="share of wrong labels", higher_is_better=False)
    def rate(gold, predicted):
        return np.array([a != b for a, b in zip(gold, predicted, strict=True)], dtype=bool)

    yield "error_rate"
    del registry._registry["error_rate"]


def test_a_new_metric_is_one_registration(error_rate):
    assert error_rate in registry.metrics()
    gold = ["a", "b"] * 50
    rate = registry.find(error_rate)
    good = rate.statistics(gold, ["a"] * 90 + gold[90:])
    bad = rate.statistics(gold, ["a"] * 100)
    found = compare(good, bad, metric=error_rate)
    assert found.difference < 0 and found.better
    row = ResultRow("home/e5-small", "de-DE", "ExcTar", "ties", error_rate, rate.value(good), 100,
                    baseline_kind="best_single_source", baseline=rate.value(bad), se_pp=2.0)  # fmt: skip
    read = row_parser.parse_row(row_cells(row), {}, "x.md:1")
    assert read.difference_pp == pytest.approx(-5.0) and read.gain_pp == pytest.approx(5.0)


@pytest.fixture
def matrix(error_rate):
    return nxn.of_cells({(s, "da-DK"): v for s, v in ERRORS.items()}, {"da-DK": 100}, {}, NAMES, ("da-DK",),
                        metric=error_rate)  # fmt: skip


def test_the_source_with_the_fewest_errors_is_the_best(matrix, tmp_path):
    assert best_single_source("da-DK", matrix, matrix, NAMES).model == "nb-NO"
    assert heatmap.column_best(matrix) == pytest.approx([0.1])
    ordered = matrix_store.ordered(matrix, "value", "da-DK")
    assert ordered.sources == ("nb-NO", "sv-SE", "de-DE", "en-US") and ordered.metric == matrix.metric
    assert matrix_store.rank(matrix, "sv-SE", "da-DK") == (2, 4)
    inputs = source_choice.inputs_of(Study(Workspace(tmp_path, settings=dict(DEFAULTS))), dev=matrix)
    found = choice.choose("da-DK", "ExcTar", 2, "REAL", candidates=NAMES, inputs=inputs, weigh="REAL")
    assert sorted(found.names) == ["nb-NO", "sv-SE"]
    assert found.weights == pytest.approx({"nb-NO": 0.9 / 1.7, "sv-SE": 0.8 / 1.7})


def test_a_merge_with_fewer_errors_reaches_its_goal(matrix, error_rate):
    baseline = best_single_source("da-DK", matrix, matrix, NAMES)
    wrong = np.arange(100) < 40
    beat = {"best_single_source": replace(baseline, correct=wrong)}
    assert goal("ExcTar", np.arange(100) < 10, beat, metric=error_rate).state == "reached"
    assert goal("ExcTar", np.arange(100) < 70, beat, metric=error_rate).state == "missed"


def test_methods_rank_by_fewest_errors():
    table = {"a": {"t": 0.1, "u": 0.2}, "b": {"t": 0.3, "u": 0.4}}
    assert method_ranks.rank(table).methods == ("b", "a")
    assert method_ranks.rank(table, higher_is_better=False).methods == ("a", "b")


def rows_of(error_rate):
    """`ties` makes about 10 pp fewer errors than the best source on four targets, `slerp` more on two."""
    for number, target in enumerate(("da-DK", "fi-FI", "cy-GB", "ro-RO")):
        merges = {"ties": 0.30 + number / 500} | ({"slerp": 0.50 - number / 500} if number < 2 else {})
        for method, value in merges.items():
            row = ResultRow("home/e5-small", target, "ExcTar", method, error_rate, value, 400, k=2)
            yield replace(row, baseline_kind="best_single_source", baseline=0.40, se_pp=1.5)
            yield replace(row, baseline_kind="source_mean", baseline=0.45, se_pp=1.5)


def test_a_report_calls_fewer_errors_the_gain(error_rate):
    arms = [
        scored_arms.ScoredArm(replace(row, baseline_kind=None, baseline=None, se_pp=None),
                    {kind: replace(row, baseline_kind=kind, baseline=value)
                     for kind, value in (("best_single_source", 0.40), ("source_mean", 0.45))}, "a run")
        for row in rows_of(error_rate) if row.baseline_kind == "best_single_source"
    ]  # fmt: skip
    report = build(scored_arms.Evidence(tuple(arms), ("a run",)))
    short = "\n".join(report.short)
    assert "reached on 4 of 4 targets" in short and "Lowest mean on 4 targets: ties" in short
    assert "2 interference, 4 synergy" in short and "Goal 1 (ExcTar below the best single source)" in short
    assert "lowest ties" in report.sections[0].tables[0].rows[0][-2]


def test_an_entry_counts_merges_with_fewer_errors_as_gains(error_rate):
    rows = list(rows_of(error_rate))
    assert "4 scored below the best single source, 4 of them by more than noise" in run_entry_text.summary(
        rows
    )
    assert "scored 30.00% and the best single source 40.00%: −10.00 pp" in run_entry_text.sentence(rows[0])


def test_the_list_of_runs_puts_the_fewest_errors_first(error_rate, tmp_path):
    space = Workspace(tmp_path)
    for name, values in (("merge-a", [0.4]), ("merge-b", [0.1]), ("train-c", [0.3, 0.2])):
        folder = space.runs / name
        folder.mkdir(parents=True)
        kind, metric = (
            name.partition("-")[0],
            error_rate if name.startswith("merge") else f"dev {error_rate} of fi",
        )
        lines = [f'{{"event": "created", "time": "2026-01-01", "config": {{"kind": "{kind}"}}}}']
        lines += [f'{{"event": "metric", "name": "{metric}", "value": {value}}}' for value in values]
        (folder / "events.jsonl").write_text("\n".join([*lines, '{"event": "finished"}', ""]))
        with (folder / "rows.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            if kind == "merge":
                row = ResultRow("home/e5-small", "da-DK", "ExcTar", "ties", error_rate, values[0], 100)
                writer.writerow(row_cells(row))
    listed = run_index.listed(space, order="best")[0]
    assert [(one["id"], one["best"]) for one in listed] == [
        ("merge-b", 0.1), ("train-c", 0.2), ("merge-a", 0.4)
    ]  # fmt: skip


def test_rounds_of_training_take_the_merge_with_fewest_errors_as_the_best(error_rate):
    pytest.importorskip("torch")
    from merginguriel.training import round_store
    from merginguriel.training.settings import IterateSettings

    metric = registry.find(error_rate)
    history = [{"merge": {"taken": True, "score": value}} for value in (0.5, 0.3, 0.4)]
    assert round_store.is_best(0.2, history, metric) and not round_store.is_best(0.35, history, metric)
    patient = IterateSettings(patience=1)
    assert round_store.stopped(patient, history, metric)
    assert not round_store.stopped(patient, history[:2], metric)
