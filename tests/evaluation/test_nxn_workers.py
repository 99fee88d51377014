"""Predictions made in several processes are those of one process; each worker has a GPU of its own."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from merginguriel import gpus
from merginguriel.errors import CheckpointError
from merginguriel.evaluation.nxn import nxn, unanswered
from merginguriel.evaluation.nxn_workers import Processes
from merginguriel.evaluation.predictions import cache_path, fingerprint, in_bf16
from merginguriel.runs.executors import Ray, free_place
from merginguriel.tasks.registry import TaskData

from .conftest import LABELS


def test_workers_take_the_visible_gpus_in_turn():
    visible = gpus.present({"CUDA_VISIBLE_DEVICES": "2, GPU-ab,-1,5"})
    assert visible == ("2", "GPU-ab")  # CUDA sees nothing after an invalid name
    assert [gpus.assigned(worker, visible)["CUDA_VISIBLE_DEVICES"] for worker in range(3)] == [
        "2",
        "GPU-ab",
        "2",
    ]
    assert gpus.present({"CUDA_VISIBLE_DEVICES": ""}) == ()
    assert gpus.assigned(0, ()) == {}


def test_a_run_of_a_sweep_takes_the_place_that_another_has_left():
    assert free_place([]) == 0 and free_place([0, 1]) == 2 and free_place([1, 2]) == 0


def data_of(items):
    return {
        "sw-KE": TaskData("t", "sw-KE", LABELS, items, items, items),
        "de-DE": TaskData("t", "de-DE", LABELS, items, items, items[:5]),
    }


@pytest.mark.lab
@pytest.mark.slow
def test_processes_give_the_matrix_of_one_process(model_folders, items, tmp_path):
    data = data_of(items)
    for bf16 in (False, True):
        alone = nxn(model_folders, data, bf16=bf16)
        told: list[tuple[float, float]] = []
        found = nxn(
            model_folders, data, cache=tmp_path, bf16=bf16, executor=Processes(2),
            on_progress=lambda done, total, text, told=told: told.append((done, total)),
        )  # fmt: skip
        assert np.array_equal(found.scores, alone.scores) and found.origin == alone.origin
        assert all(np.array_equal(found.correct[pair], right) for pair, right in alone.correct.items())
        assert [done for done, _ in told] == sorted(done for done, _ in told) and told[-1] == (4, 4)
        assert unanswered(model_folders, data, cache=tmp_path, bf16=bf16) == []
    model = fingerprint(model_folders["sw-KE"])
    assert cache_path(tmp_path, model, items) != cache_path(tmp_path, in_bf16(model), items)
    nothing = Processes(2)([])
    assert list(nothing) == []


@pytest.mark.lab
@pytest.mark.slow
def test_the_error_of_a_worker_names_its_model(model_folders, items, tmp_path):
    broken = shutil.copytree(model_folders["sw-KE"], tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="broken"):
        nxn({**model_folders, "sw-KE": broken}, data_of(items), executor=Processes(2))


@pytest.mark.lab
@pytest.mark.slow
def test_ray_tasks_give_the_matrix_of_one_process(model_folders, items, tmp_path):
    pytest.importorskip("ray")
    data = data_of(items)
    found = nxn(model_folders, data, cache=tmp_path, executor=Ray(cpus=0.5).each_model)
    assert np.array_equal(found.scores, nxn(model_folders, data).scores)
