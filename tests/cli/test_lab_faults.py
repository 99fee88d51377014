"""Full disks and interrupts: commands of the doing wing leave nothing half-written."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from lab_fixtures import FAST, small_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.lab,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them"),
]

MERGE = ("merge", "--method", "ties", "--source", "de-DE", "--source", "en-US", "--target", "sv-SE")
LONG = ("--epochs", "3000", *FAST[2:])


def stop_at(event, ending, number):
    """Send `number` to this process when Python is about to do `event` to a path with this ending."""

    def hook(name, arguments):
        if name == event and str(arguments[0]).endswith(ending):
            os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def stop_after_steps(steps, number):
    """Send `number` to this process after so many steps of an optimizer."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    done = []

    def hook(*_):
        done.append(1)
        if len(done) == steps:
            os.kill(os.getpid(), number)

    register_optimizer_step_post_hook(hook)


def powerless():
    """Give up root's right to write anywhere, so that a folder's mode holds for these tests too."""

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    header, none = Header(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(header), none) == 0


def whole(lab, *names):
    """The models of `names` are there, can be scored, and nothing else is."""
    assert lab.litter() == []
    for name in names:
        ran = lab.mu("eval", name, "--locale", "de-DE", "--split", "dev")
        assert ran.code == 0, ran


# --- no disk space ---


@pytest.mark.parametrize("command", ["base", "train", "nxn", "merge"])
def test_a_disk_that_takes_no_more_leaves_nothing_and_says_where(trained, command):
    words = {"base": ["base"], "train": ["train", "--locale", "de-DE", *FAST], "nxn": ["nxn"], "merge": MERGE}
    shutil.rmtree(trained.root / "de-DE") if command == "train" else None
    shutil.rmtree(trained.root) if command == "base" else None
    before = files_of(trained.space)
    size = 700 if command == "nxn" else 20_000
    ran = trained.apart(*words[command], before=partial(small_files, size))
    assert ran.code == 1
    assert "cannot write: file too large" in ran.err and str(trained.space) in ran.err
    assert "ulimit" in ran.err
    left = files_of(trained.space) - before
    assert not any(name.endswith((".safetensors", ".yaml", ".csv", ".png")) for name in left)
    assert trained.litter() == []
    again = trained.mu(*words[command])
    assert again.code == 0, again


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_full_disk_is_told_as_one(small_disk):
    shutil.rmtree(small_disk.root / "de-DE")
    free = shutil.disk_usage(small_disk.space).free
    (small_disk.space / "filler").write_bytes(bytes(free - 40_000))
    ran = small_disk.mu("train", "--locale", "de-DE", *FAST)
    assert ran.code == 1 and "no space left" in ran.err and "Free some space" in ran.err
    ran = small_disk.mu("merge", "--method", "average", "--source", "en-US", "--source", "sv-SE")
    assert ran.code == 1 and "are free" in ran.err and "Free some space" in ran.err
    assert small_disk.litter() == []


def test_a_workspace_that_may_not_be_written_is_named(trained):
    folders = [trained.space, *(path for path in trained.space.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for words in (["nxn"], MERGE):
            ran = trained.apart(*words, before=powerless)
            assert ran.code == 1
            assert "permission denied" in ran.err and str(trained.space) in ran.err
            assert "Check who owns it" in ran.err
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert not (trained.root / "merged").exists() and trained.litter() == []


# --- stopped ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_training_that_is_stopped_leaves_nothing_and_can_be_done_again(trained, number):
    shutil.rmtree(trained.root / "de-DE")
    ran = trained.apart("train", "--locale", "de-DE", *LONG, before=partial(stop_after_steps, 20, number))
    assert ran.code == 130 and "interrupted" in ran.err and ran.out == ""
    assert not (trained.root / "de-DE").exists() and trained.litter() == []
    assert trained.mu("train", "--locale", "de-DE", *FAST).code == 0
    whole(trained, "de-DE")


@pytest.mark.parametrize("point", [("os.mkdir", "/.pretrained.partial"), ("os.mkdir", "/.base.partial")])
def test_making_a_base_that_is_stopped_leaves_nothing_half(lab, point):
    ran = lab.apart("base", before=partial(stop_at, *point, signal.SIGINT))
    assert ran.code == 130 and "interrupted" in ran.err and ran.out == ""
    assert not (lab.root / "base").exists() and lab.litter() == []
    assert lab.mu("base").code == 0
    whole(lab, "base")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "recipe.yaml"])
def test_a_merge_that_is_stopped_leaves_nothing_and_can_be_done_again(trained, file):
    out = trained.space / "out"
    point = ("open", f"/.out.partial/{file}")
    ran = trained.apart(*MERGE, "--out", out, before=partial(stop_at, *point, signal.SIGINT))
    assert ran.code == 130 and "interrupted" in ran.err and ran.out == ""
    assert not out.exists() and trained.litter() == []
    assert trained.mu(*MERGE, "--out", out).code == 0
    whole(trained, out)


def test_what_a_killed_program_left_is_hidden_and_swept_by_the_next(trained):
    shutil.rmtree(trained.root / "de-DE")
    child = trained.start("train", "--locale", "de-DE", *LONG)
    child.wait_for(trained.root / ".de-DE.partial")
    child.send(signal.SIGKILL)
    assert child.end().code == -signal.SIGKILL
    out = trained.space / "out"
    point = ("open", "/.out.partial/recipe.yaml")
    merge = (*MERGE[:3], "--source", "sv-SE", "--source", "en-US", "--out", out)
    assert trained.apart(*merge, before=partial(stop_at, *point, signal.SIGKILL)).code == -signal.SIGKILL
    assert not (trained.root / "de-DE").exists() and not out.exists()
    assert {Path(name).parts[-1] for name in trained.litter()} == {".de-DE.partial", ".out.partial"}
    assert set(trained.mu("nxn", "--split", "dev", "--json").data["accuracy"]) == {"en-US", "sv-SE"}
    assert trained.mu("train", "--locale", "de-DE", *FAST).code == 0
    assert trained.mu(*merge).code == 0
    whole(trained, "de-DE", out)


def test_two_trainings_of_one_locale_make_one_model(trained):
    shutil.rmtree(trained.root / "de-DE")
    first = trained.start("train", "--locale", "de-DE", *FAST)
    first.wait_for(trained.root / ".de-DE.partial")
    first.send(signal.SIGSTOP)
    second = trained.start("train", "--locale", "de-DE", *FAST)
    second.wait_for_word("waiting")
    first.send(signal.SIGCONT)
    one, two = first.end(), second.end()
    assert one.code == two.code == 0
    assert "another process is making the model of de-DE" in two.err
    whole(trained, "de-DE")
