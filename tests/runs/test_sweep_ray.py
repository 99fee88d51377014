"""Sweeps on a real Ray cluster, also when it loses a node."""

from __future__ import annotations

import sys

import pytest
from run_files import until
from sweep_lab import QUICK, events, write_sweep

from merginguriel import workspace
from merginguriel.errors import UnavailableError, UsageError
from merginguriel.runs import executors, run_store, sweep

NEEDED = "the extra is not installed: pip install 'merginguriel[ray]'"


@pytest.fixture(scope="module")
def cluster(monkeypatch_module):
    """Two nodes of one CPU each, on this machine. That the first has a GPU is only said: none is used."""
    pytest.importorskip("ray", reason=NEEDED)
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "num_gpus": 1, "include_dashboard": False,
                        "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 10}},
    )  # fmt: skip
    made.second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # The nodes must find the same program as this process.
        patch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
        yield patch


@pytest.mark.slow
def test_a_run_that_no_node_has_room_for_is_refused_at_once(trained, cluster):
    path = write_sweep(trained, base=QUICK, grid={"locales": [["de-DE"]]})
    planned = sweep.plan(workspace.find(explicit=trained.space), path)
    with pytest.raises(UsageError, match="no node has 1 CPUs and 2 GPUs"):
        sweep.carry_out(planned, executors.Ray(address=cluster.address, gpus=2))


@pytest.mark.slow
def test_a_part_of_a_cpu_and_of_a_gpu_is_enough_for_a_run(trained, cluster):
    path = write_sweep(trained, base=QUICK, grid={"locales": [["de-DE"], ["sv-SE"]]})
    planned = sweep.plan(workspace.find(explicit=trained.space), path)
    came = sweep.carry_out(planned, executors.Ray(address=cluster.address, cpus=0.5, gpus=0.5))
    assert (came.known, came.finished, came.failed) == (0, 2, ())


def at_work(run):
    """The run holds its lock and has reported its start."""
    return run_store.held(run) and "started" in [event["event"] for event in run_store.events(run)]


@pytest.mark.slow
def test_when_a_node_is_lost_its_run_is_begun_again_elsewhere(trained, cluster):
    """Runs that train for seconds, one on each node; then the second node is killed."""
    path = write_sweep(trained, base={**QUICK, "locales": ["de-DE"]}, grid={"seed": [1, 2, 0]})
    child = trained.start("sweep", path, "--on", "ray", "--address", cluster.address,
                          "--workspace", trained.space, "--json")  # fmt: skip
    space = workspace.find(explicit=trained.space)
    # A run that is killed before its event `started` would show one start only.
    until(lambda: sum(at_work(one) for one in run_store.listed(space)) == 2)
    cluster.remove_node(cluster.second, allow_graceful=False)
    result = child.end(900)
    assert result.code == 0, result.err
    begun = []
    for one in result.data["runs"]:
        happened = events(trained, one["run"])
        assert happened.count("created") == happened.count("finished") == 1 and happened[-1] == "finished"
        begun.append(happened.count("started"))
    assert sorted(begun) == [1, 1, 2]
    assert "started 2 times" in result.err


def test_no_cluster_at_an_address_is_said(trained):
    pytest.importorskip("ray", reason=NEEDED)
    path = write_sweep(trained, base=QUICK, grid={"locales": [["de-DE"]]})
    result = trained.mu(
        "sweep", path, "--on", "ray", "--address", "no-such-host", "--workspace", trained.space
    )
    assert result.code == 1 and "no Ray cluster answers at no-such-host" in result.err


def test_without_the_extra_it_is_said_how_to_get_it(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    path = write_sweep(trained, base=QUICK, grid={"locales": [["de-DE"]]})
    planned = sweep.plan(workspace.find(explicit=trained.space), path)
    with pytest.raises(UnavailableError) as error:
        sweep.carry_out(planned, executors.Ray())
    assert "pip install 'merginguriel[ray]'" in str(error.value)


def test_options_of_the_one_executor_are_refused_with_the_other(trained):
    path = write_sweep(trained, base=QUICK, grid={"locales": [["de-DE"]]})
    for words in (["--gpus", "0.5"], ["--on", "ray", "--workers", "2"]):
        assert trained.mu("sweep", path, *words, "--workspace", trained.space).code == 2


def test_a_node_that_does_not_see_the_workspace_says_so(tmp_path):
    result = executors.execute_on_node(str(tmp_path / "runs" / "merge-sv-SE-ties-00000000"))
    assert result is not None and "file system that all nodes share" in result
