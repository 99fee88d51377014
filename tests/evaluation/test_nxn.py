"""Is the N×N matrix right, is nothing computed twice, and does a damaged cache heal?"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merginguriel.errors import IncompatibleError, MuError, UsageError
from merginguriel.evaluation import nxn as grid
from merginguriel.evaluation.baselines import baselines
from merginguriel.evaluation.nxn import Matrix
from merginguriel.tasks.registry import TaskData

from .conftest import LABELS


def matrix(rows, sources=("de-DE", "en-US", "sw-KE"), targets=("sw-KE", "de-DE")):
    return Matrix(sources, targets, np.array(rows, dtype=float), np.array([100, 50]))


def data_of(items, locale):
    return TaskData("t", locale, LABELS, items, items[:4], items)


@pytest.mark.lab
def test_every_cell_is_the_share_of_right_answers(model_folders, items):
    from merginguriel.evaluation.predict import predict

    found = grid.nxn(model_folders, {"sw-KE": data_of(items, "sw-KE"), "de-DE": data_of(items[:5], "de-DE")})
    assert found.scores.shape == (2, 2) and found.n.tolist() == [10, 5]
    chosen = predict(model_folders["en-US"], items).chosen()
    assert found.value("en-US", "sw-KE") == np.mean(
        [c == i.label for c, i in zip(chosen, items, strict=True)]
    )
    assert found.correct["en-US", "sw-KE"].mean() == found.value("en-US", "sw-KE")
    assert found.groups["sw-KE"][:3] == ("g0", "g0", "g1")


@pytest.mark.lab
def test_a_second_run_loads_no_model_and_agrees(model_folders, items, tmp_path, monkeypatch):
    data = {"sw-KE": data_of(items, "sw-KE")}
    first = grid.nxn(model_folders, data, cache=tmp_path)
    from merginguriel.evaluation import predict

    opened = []
    monkeypatch.setattr(predict, "open_model", lambda *a: opened.append(a))
    second = grid.nxn(model_folders, data, cache=tmp_path)
    assert not opened and np.array_equal(first.scores, second.scores)


@pytest.mark.lab
def test_a_damaged_cache_file_is_computed_again_and_said_so(model_folders, items, tmp_path):
    data = {"sw-KE": data_of(items, "sw-KE")}
    first = grid.nxn(model_folders, data, cache=tmp_path)
    victim = sorted(tmp_path.iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:50])
    told = []
    second = grid.nxn(model_folders, data, cache=tmp_path, on_progress=lambda *a: told.append(a))
    assert np.array_equal(first.scores, second.scores)
    assert any("computed again" in text and victim.name in text for _, _, text in told)
    assert told[-1][:2] == (2, 2)
    third = []
    grid.nxn(model_folders, data, cache=tmp_path, on_progress=lambda *a: third.append(a))
    assert not any("again" in text for _, _, text in third)


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=2, max_size=2), min_size=1, max_size=3
    )
)
def test_what_is_saved_is_read_back(tmp_path_factory, rows):
    before = matrix(rows, sources=("de-DE", "en-US", "sw-KE")[: len(rows)])
    path = tmp_path_factory.mktemp("m") / "matrix.csv"
    grid.save(path, before)
    if np.isnan(before.scores).all():
        with pytest.raises(MuError, match="holds no value"):
            grid.load(path)
        return
    after = grid.load(path)
    for i, source in enumerate(before.sources):
        for j, target in enumerate(before.targets):
            if np.isnan(before.scores[i, j]):
                with pytest.raises(IncompatibleError):
                    after.value(source, target)
            else:
                assert after.value(source, target) == before.scores[i, j]
                assert after.n[after.targets.index(target)] == before.n[j]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("de-DE,sw-KE,46.7,100", "write a number"),
        ("de-DE,sw-KE,nan,100", "write a number"),
        ("de-DE,sw-KE,half,100", "expected source"),
        ("de-DE,sw-KE", "expected source"),
        ("en-US,sw-KE,0.5,100", "duplicate pair"),
        ("de-DE,sw-KE,0.5,99", "100 items above and has 99"),
    ],
)
def test_a_mistake_in_a_matrix_is_named_with_its_line(tmp_path, line, message):
    path = tmp_path / "matrix.csv"
    path.write_text(f"source,target,accuracy,n\nen-US,sw-KE,0.5,100\n{line}\n")
    with pytest.raises(MuError, match=message) as caught:
        grid.load(path)
    assert caught.value.where == f"{path}:3"


def test_the_best_source_is_chosen_on_dev_and_scored_on_test():
    dev = matrix([[0.5, 0.9], [0.4, 0.3], [0.8, 0.2]])
    test = matrix([[0.3, 0.9], [0.6, 0.3], [0.7, 0.2]])
    found = baselines("sw-KE", dev, test, ["en-US", "de-DE"])
    best = found["best_single_source"]
    assert (best.model, best.value, best.n) == ("de-DE", 0.3, 100)  # not 0.6, which only test knows
    assert found["source_mean"].value == pytest.approx(0.45)
    assert found["target_alone"].value == 0.7 and "majority_class" not in found


def test_the_target_itself_is_never_its_best_source():
    dev = matrix([[0.5, 0.9], [0.4, 0.3], [0.8, 0.2]])
    found = baselines("sw-KE", dev, dev, ["sw-KE", "en-US"])
    assert found["best_single_source"].model == "en-US" and found["source_mean"].value == pytest.approx(0.6)
    assert "best_single_source" not in baselines("sw-KE", dev, dev, ["sw-KE"])


def test_the_majority_class_is_that_of_training(items):
    dev = matrix([[0.5, 0.9], [0.4, 0.3], [0.8, 0.2]])
    found = baselines("sw-KE", dev, dev, ["en-US"], data_of(items, "sw-KE"))["majority_class"]
    assert found.note == "always off" and found.value == 0.4 and found.correct is not None


def test_missing_pairs_and_missing_sources_are_refused():
    dev = matrix([[0.5, 0.9], [float("nan"), 0.3], [0.8, 0.2]])
    with pytest.raises(IncompatibleError, match="no accuracy of en-US on sw-KE"):
        baselines("sw-KE", dev, dev, ["en-US"])
    with pytest.raises(IncompatibleError, match="no accuracy of fr-FR"):
        baselines("sw-KE", dev, dev, ["fr-FR"])
    with pytest.raises(UsageError, match="without sources"):
        baselines("sw-KE", dev, dev, [])


def test_statistics_and_pictures_do_without_torch():
    code = (
        "import sys; from merginguriel.evaluation import baselines, heatmap, nxn, predictions, significance;"
        "print([m for m in ('torch', 'transformers', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert out.stdout.strip() == "[]", out.stderr
