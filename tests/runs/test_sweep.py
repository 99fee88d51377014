"""Sweeps: every run once, whatever is interrupted, killed, failing or known."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import threading
import time

import pytest
from conftest import REPOSITORY
from run_files import until
from sweep_lab import QUICK, events, write_sweep

from merginguriel import files, workspace
from merginguriel.errors import MuError
from merginguriel.runs import run_store, sweep
from merginguriel.runs.executors import Local
from merginguriel.study.study import patient

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))
TWO = {"grid": {"method": ["average", "ties"]}}
# Every order of one, two or three locales: to the program, each is another run.
SOME = [list(names) for k in (1, 2, 3) for names in itertools.permutations(("de-DE", "en-US", "sv-SE"), k)]


def run(lab, path, *more):
    return lab.mu("sweep", path, "--workspace", lab.space, "--json", *more)


def start(lab, path, *more):
    return lab.start("sweep", path, "--workspace", lab.space, "--json", *more)


def workers(lab):
    """Processes at work on runs of this workspace."""
    held = [one for one in run_store.listed(workspace.find(explicit=lab.space)) if run_store.held(one)]
    said = [(one.folder / "lock").read_text().split() for one in held]
    return [int(words[0]) for words in said if words]


def reported(lab):
    """How many events the runs of this workspace have written."""
    return sum(len(run_store.events(one)) for one in run_store.listed(workspace.find(explicit=lab.space)))


def check_each_is_there_once(lab, ids):
    assert sorted(path.name for path in (lab.space / "runs").iterdir() if path.is_dir()) == sorted(ids)
    for id in ids:
        happened = events(lab, id)
        assert happened.count("created") == happened.count("finished") == 1 and happened[-1] == "finished"
        assert (lab.space / "runs" / id / "rows.csv").is_file()


# what would run


def test_a_dry_run_shows_what_would_run_and_writes_nothing(trained):
    path = write_sweep(trained, grid={"method": ["average", "ties"], "target": ["sv-SE"]})
    before = sorted(trained.space.rglob("*"))
    told = run(trained, path, "--dry-run").data
    assert sorted(trained.space.rglob("*")) == before
    assert (told["to_run"], told["known"], told["seconds"]) == (2, 0, None)
    assert [one["state"] for one in told["runs"]] == ["new", "new"]


@pytest.mark.slow
def test_a_known_run_is_not_carried_out_again_and_tells_how_long_the_others_will_take(trained):
    one = write_sweep(trained, name="one", file="one.yaml", base=QUICK, grid={"locales": SOME[:1]})
    first = run(trained, one).data
    assert (first["known"], first["finished_now"]) == (0, 1)
    two = write_sweep(trained, base=QUICK, grid={"locales": SOME[:3]})
    told = run(trained, two, "--dry-run").data
    assert (told["to_run"], told["known"]) == (2, 1)
    assert told["seconds"] == pytest.approx(2 * first["runs"][0]["seconds"])
    assert run(trained, two).data["finished_now"] == 2
    again = run(trained, two)
    assert again.code == 0 and again.data["finished_now"] == 0 and again.data["known"] == 3
    check_each_is_there_once(trained, [one["run"] for one in again.data["runs"]])


@pytest.mark.slow
def test_the_score_of_a_merge_is_shown_with_what_varied(trained):
    path = write_sweep(trained, grid={"method": ["average"]})
    assert trained.mu("sweep", path, "--workspace", trained.space).code == 0
    shown = trained.mu("sweep", "status", "tiny", "--workspace", trained.space)
    head, line = shown.out.splitlines()
    assert head.split() == ["method", "state", "score", "time", "run"]
    words = line.split()
    assert words[:2] == ["average", "finished"]
    result = trained.space / "runs" / words[-1] / "result.json"
    assert float(words[2]) == pytest.approx(json.loads(result.read_text())["accuracy"], abs=5e-5)
    assert "1 finished; not running" in shown.err


def test_runs_that_mean_the_same_are_one(trained):
    path = write_sweep(
        trained, list=[{"method": "average"}, {"method": "average", "keep": False}, {"seed": 0}]
    )
    told = run(trained, path, "--dry-run").data
    assert told["asked"] == 3 and len(told["runs"]) == 1


def test_a_comment_leaves_the_sweep_the_same_and_another_value_makes_another(trained):
    space = workspace.find(explicit=trained.space)
    path = write_sweep(trained, **TWO)
    one = sweep.plan(space, path)
    path.write_text("# why\n" + path.read_text())
    assert sweep.plan(space, path).id == one.id
    assert sweep.plan(space, write_sweep(trained, grid={"method": ["average", "linear"]})).id != one.id


def test_mu_toml_names_another_study_and_the_sweep_is_another(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("name: tiny\nbase: {kind: train, locales: [de-DE]}\ngrid: {seed: [0, 1]}\n")
    found = []
    for context in ("home/e5-small", "massive/e5-small"):
        (tmp_path / "mu.toml").write_text(f'context = "{context}"\n')
        found.append(sweep.plan(workspace.find(explicit=tmp_path), path).id)
    named = path.read_text().replace("kind: train", "kind: train, task: massive, base: e5-small")
    path.write_text(named)
    found.append(sweep.plan(workspace.find(explicit=tmp_path), path).id)
    assert found[0] != found[1] == found[2]


@pytest.mark.slow
def test_models_that_are_to_be_kept_later_are_written_by_the_same_runs(trained):
    path = write_sweep(trained, grid={"method": ["average"]})
    first = run(trained, path).data
    kept = path.read_text().replace("base:\n", "base:\n  keep: true\n", 1)
    path.write_text(kept)
    told = run(trained, path, "--dry-run").data
    assert (told["to_run"], told["known"]) == (1, 0)
    second = run(trained, path).data
    ids = [[one["run"] for one in told["runs"]] for told in (first, second)]
    assert ids[0] == ids[1] and second["finished_now"] == 1
    result = json.loads((trained.space / "runs" / ids[0][0] / "result.json").read_text())
    assert (trained.space / result["path"] / "recipe.yaml").is_file()
    assert run(trained, path).data["known"] == 1


def test_of_two_points_that_are_one_run_a_model_that_one_asks_for_is_kept(trained):
    path = write_sweep(trained, list=[{"method": "average"}, {"method": "average", "keep": True}])
    planned = sweep.plan(workspace.find(explicit=trained.space), path)
    assert [member.table.get("keep") for member in planned.members] == [True]


def test_which_models_a_run_may_choose_from_is_settled_when_the_sweep_is_first_started(trained):
    space = workspace.find(explicit=trained.space)
    base = {"target": "sv-SE", "similarity": "REAL", "k": 2}
    path = write_sweep(trained, base=base, **TWO)
    planned = sweep.plan(space, path)
    assert planned.members[0].table["candidates"] == ["de-DE", "en-US", "sv-SE"]
    with sweep.held(planned):
        pass
    (trained.root / "de-DE").rename(trained.root / "elsewhere")
    assert sweep.plan(space, path).members == planned.members


def test_candidates_are_asked_for_where_nothing_is_trained(lab):
    path = write_sweep(lab, base={"target": "sv-SE", "similarity": "URIEL"}, **TWO)
    told = run(lab, path, "--dry-run")
    assert told.code == 1 and "candidates" in told.data["hint"]


def test_a_key_that_no_run_has_is_named_with_file_line_and_run(trained):
    path = write_sweep(trained, list=[{"method": "average"}, {"method": "ties", "params.densty": 0.2}])
    told = run(trained, path, "--dry-run")
    assert told.code == 2 or told.code == 1
    line = path.read_text().splitlines().index("  params.densty: 0.2") + 1
    assert told.data["where"] == f"{path}:{line}" and "densty" in told.data["error"]
    assert "method=ties" in told.data["hint"]


# what goes wrong


@pytest.mark.slow
def test_a_failing_run_does_not_end_the_others_and_is_named(trained):
    damaged = trained.root / "de-DE" / "training.yaml"
    damaged.write_text("made: [")
    path = write_sweep(trained, base=QUICK, grid={"locales": [["de-DE"], ["sv-SE"]]})
    told = run(trained, path)
    assert told.code == 1
    assert [one["state"] for one in told.data["runs"]] == ["failed", "finished"]
    assert str(damaged) in told.data["runs"][0]["error"]
    assert "locales=de-DE: " in told.err and f"mu runs logs {told.data['runs'][0]['run']}" in told.err


@pytest.mark.slow
def test_interrupted_it_leaves_no_process_and_started_again_it_goes_on(trained):
    path = write_sweep(trained, base={**QUICK, "locales": ["de-DE"]}, grid={"seed": [0, 1]})
    child = start(trained, path)
    until(lambda: any("train de-DE" in log.read_text() for log in trained.space.glob("runs/*/log.txt")))
    (at_work,) = workers(trained)
    child.send(signal.SIGINT)
    ended = child.end()
    assert ended.code == 130 and f"mu sweep run {path}" in ended.err
    with pytest.raises(ProcessLookupError):
        os.kill(at_work, 0)
    told = run(trained, path)
    assert told.code == 0 and (told.data["known"], told.data["finished_now"]) == (1, 1)
    check_each_is_there_once(trained, [one["run"] for one in told.data["runs"]])


def test_the_second_of_two_sweeps_at_once_is_refused_with_who_holds_it(trained):
    path = write_sweep(trained, **TWO)
    with sweep.held(sweep.plan(workspace.find(explicit=trained.space), path)):
        told = run(trained, path)
        shown = trained.mu("sweep", "status", "tiny", "--workspace", trained.space)
    assert told.code == 1 and f"process {os.getpid()} on " in told.data["error"]
    assert "2 new; running" in shown.err


@pytest.mark.slow
def test_two_sweeps_that_share_runs_do_each_of_them_once(trained):
    share = {"base": QUICK, "grid": {"locales": SOME[:4]}}
    one = start(trained, write_sweep(trained, name="one", file="one.yaml", **share))
    two = start(trained, write_sweep(trained, name="two", file="two.yaml", **share))
    told = [one.end(), two.end()]
    assert [t.code for t in told] == [0, 0]
    ids = [run["run"] for run in told[0].data["runs"]]
    assert ids == [run["run"] for run in told[1].data["runs"]]
    check_each_is_there_once(trained, ids)


@pytest.mark.slow
def test_killed_after_ten_random_events_each_run_is_there_exactly_once(trained):
    path = write_sweep(trained, base=QUICK, grid={"locales": SOME})
    draw, killed = random.Random(0), 0
    for _ in range(10):
        goal = reported(trained) + draw.randint(1, 4)
        child = start(trained, path, "--workers", 2)
        until(lambda: reported(trained) >= goal or not child.process.is_alive())  # noqa: B023
        if not child.process.is_alive():  # a quick machine is done before ten kills
            assert child.end().code == 0
            break
        killed += 1
        child.send(signal.SIGKILL)
        child.process.join()
        if draw.random() < 0.7:  # its workers with it; else they go on, and the next sweep meets them
            for process in workers(trained):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
    assert killed >= 5
    told = run(trained, path, "--workers", 2)
    assert told.code == 0, told.err
    assert len(told.data["runs"]) == len(SOME)
    check_each_is_there_once(trained, [one["run"] for one in told.data["runs"]])


@pytest.mark.slow
def test_a_run_that_another_process_does_is_waited_for_and_taken(trained):
    from merginguriel.runs import worker

    space = workspace.find(explicit=trained.space)
    planned = sweep.plan(space, write_sweep(trained, base=QUICK, grid={"locales": SOME[:2]}))
    with sweep.held(planned):
        sweep.make(planned, planned.members[0])
    worker.start(planned.run(planned.members[0]))
    came = sweep.carry_out(planned, Local(1))
    assert came.known + came.finished == 2 and came.failed == ()
    check_each_is_there_once(trained, [member.id for member in planned.members])
    assert events(trained, planned.members[0].id).count("started") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("what", "said"), [("cancel", "it was cancelled"), ("pause", "it was paused")])
def test_a_run_that_is_called_off_while_it_waits_is_not_begun_until_the_sweep_is_started_again(
    trained, what, said
):
    space = workspace.find(explicit=trained.space)
    planned = sweep.plan(space, write_sweep(trained, base=QUICK, grid={"locales": SOME[:2]}))
    waiting = planned.run(planned.members[1])

    def call_off(*_):
        if run_store.state(waiting) == "queued":
            run_store.request(waiting, what)

    came = sweep.carry_out(planned, Local(1), tell=call_off)
    assert came.finished == 1 and came.failed == ((planned.members[1], said),)
    assert "started" not in events(trained, waiting.id)
    again = sweep.carry_out(planned, Local(1))
    assert (again.known, again.finished, again.failed) == (1, 1, ())
    check_each_is_there_once(trained, [member.id for member in planned.members])


def test_what_another_process_began_to_write_first_is_waited_for_and_taken(tmp_path):
    """Two runs of a sweep that both need the base, or a model, which is not there yet."""
    asked = threading.Event()

    @patient
    def make():
        asked.set()
        if not (tmp_path / "base").is_dir():
            with files.new_folder(tmp_path / "base"):
                pass
        return tmp_path / "base"

    found = []
    thread = threading.Thread(target=lambda: found.append(make()))
    with files.new_folder(tmp_path / "base") as folder:
        (folder / "made-by").write_text("the first")
        thread.start()
        assert asked.wait(120)
        time.sleep(0.05)
    thread.join(120)
    assert (found[0] / "made-by").read_text() == "the first"


def test_a_damaged_list_of_runs_is_named(trained):
    planned = sweep.plan(workspace.find(explicit=trained.space), write_sweep(trained, **TWO))
    with sweep.held(planned):
        pass
    (planned.folder / "runs.json").write_text('{"name": "tiny"')
    with pytest.raises(MuError, match="damaged") as error:
        sweep.get(planned.space, "tiny")
    assert error.value.where == str(planned.folder / "runs.json")


# what is shipped


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_says_what_it_is_for(path, tmp_path):
    (tmp_path / "mu.toml").write_text('context = "home/e5-small"\n')
    planned = sweep.plan(workspace.find(explicit=tmp_path), path)
    assert planned.name == path.stem
    assert len(planned.members) == planned.asked > 8
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ") and f"mu sweep examples/{path.name} --dry-run" in text


def test_the_ablations_of_the_original_study_are_shipped():
    wanted = {"similarity-type", "number-of-languages", "methods", "inctar-exctar", "dare", "compatibility"}
    assert wanted <= {path.stem for path in EXAMPLES}
