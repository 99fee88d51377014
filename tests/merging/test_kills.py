"""What does a merge leave behind when it is killed, interrupted, or the disk is full? Nothing, or all of it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_models import plain

from merginguriel.errors import MuError
from merginguriel.merging.engine import merge
from merginguriel.merging.recipe import Recipe, Source, dump_recipe

KILLS, INTERRUPTS = 200, 12
ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="ends processes as POSIX does"),
]

# One warm process forks every merge, which saves two hundred starts of Python. It has no threads when it forks.
SERVER = """
import filecmp, json, os, random, shutil, signal, statistics, sys
from pathlib import Path
from merginguriel.cli.main import run
from merginguriel.files import sha256

recipe, folder, kills, interrupts = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
out, reference = folder / "out", folder.parent / "whole" / "out"
dice = random.Random(20)
folder.mkdir()
null = os.open(os.devnull, os.O_WRONLY)

# A moment is given in processor time of the merge itself, which other programs on the machine do not change.
# SIGPROF ends the process as SIGKILL does: nothing here handles it.
KILLED, INTERRUPTED = signal.SIG_DFL, lambda *_: os.kill(os.getpid(), signal.SIGINT)

def start(moment=None, answer=KILLED):
    pid = os.fork()
    if pid == 0:
        if moment is not None:
            signal.signal(signal.SIGPROF, answer)
            signal.setitimer(signal.ITIMER_PROF, max(moment, 1e-4))
        os.dup2(null, 1)
        os.dup2(null, 2)
        code = 99
        try:
            code = run(["merge", str(recipe), "--out", str(out)])
        finally:
            os._exit(code)
    return pid

def end(pid):
    _, status, used = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime

def whole():
    names = sorted(p.name for p in reference.iterdir())
    # The recipe names paths as seen from the folder, and this one lies as deep as the reference.
    return names == sorted(p.name for p in out.iterdir()) and all(
        filecmp.cmp(reference / name, out / name, shallow=False) for name in names
    )

def clear():
    shutil.rmtree(out)

def duration():
    code, taken = end(start())
    found = sorted(p.name for p in folder.iterdir())
    if code or found != ["out"] or not whole():
        sys.exit(f"the merge after a kill ended with {code} and left {found}")
    clear()
    return taken

lengths = []

def merged_in():
    lengths.append(duration())
    return statistics.median(lengths[-3:])

def hit(answer, share, length):
    code, _ = end(start(share * length, answer))
    found = sorted(p.name for p in folder.iterdir())
    partial = folder / ".out.partial"
    stage = sorted(p.name for p in partial.iterdir()) if partial.exists() else None
    state = {"share": share, "code": code, "found": found, "stage": stage, "whole": out.exists() and whole()}
    if out.exists():
        clear()
    return state

stories = {"kills": [], "interrupts": []}
assert run(["merge", str(recipe), "--out", str(reference)]) == 0
for i in range(kills):
    if i % 25 == 0:
        length = merged_in()
    stories["kills"].append(hit(KILLED, 1.05 * (i % 25 + dice.random()) / 25, length))
for i in range(interrupts):
    stories["interrupts"].append(hit(INTERRUPTED, 0.2 + 0.75 * (i + dice.random()) / interrupts, length))
duration()
stories["left"] = sorted(p.name for p in folder.iterdir())
json.dump(stories, sys.stderr)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over a base and three sources of four million parameters, in several tensors."""
    folder = tmp_path_factory.mktemp("large")
    labels = ("weather", "music", "light")
    for seed, name in enumerate(["base", "cy-GB", "fr-FR", "vi-VN"]):
        draw = np.random.default_rng(seed)
        tensors = {f"layer.{i}.weight": draw.standard_normal((500, 1000), np.float32) for i in range(8)}
        tensors["classifier.weight"] = draw.standard_normal((3, 1000), np.float32)
        plain(folder / "models" / name, tensors, labels)
    sources = tuple(Source(name, folder / "models" / name) for name in ("cy-GB", "fr-FR", "vi-VN"))
    whole = Recipe("ties", sources, base=folder / "models" / "base")
    (folder / "recipe.yaml").write_text(dump_recipe(whole, folder))
    return folder


@pytest.fixture(scope="module")
def stories(large: Path) -> dict:
    """What was found after each kill and each interrupt."""
    command = [sys.executable, "-c", SERVER, str(large / "recipe.yaml"), str(large / "o")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(large / "cache")}
    done = subprocess.run(
        [*command, str(KILLS), str(INTERRUPTS)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


def test_after_200_kills_there_is_no_output_or_a_whole_one(stories: dict) -> None:
    kills = stories["kills"]
    assert len(kills) == KILLS
    for story in kills:
        assert story["found"] in ([], [".out.partial"], ["out"]), story
        assert story["whole"] == ("out" in story["found"]), story
        assert story["code"] in (-signal.SIGPROF, 0), story


def test_the_kills_met_the_merge_at_every_stage(stories: dict) -> None:
    # Else the test above would have proved nothing.
    stages = [tuple(story["stage"]) for story in stories["kills"] if story["stage"] is not None]
    assert len(stages) > KILLS / 3
    assert sum("model.safetensors" in stage for stage in stages) > KILLS / 4
    assert sum(story["whole"] for story in stories["kills"]) < KILLS / 2


def test_the_next_merge_succeeds_and_sweeps_what_a_kill_left(stories: dict) -> None:
    # The process that kills lets a merge through every 25 kills and at the end, and ends with an error otherwise.
    assert stories["left"] == []


def test_an_interrupt_at_any_moment_leaves_nothing_and_ends_with_130(stories: dict) -> None:
    interrupts = stories["interrupts"]
    assert len(interrupts) == INTERRUPTS
    for story in interrupts:
        assert story["found"] == [] or story["whole"], story
        assert story["code"] == 130 or story["whole"], story
    assert any(story["code"] == 130 for story in interrupts)


# --- a full disk ---

CHILD = """
import sys
from merginguriel.cli.main import run
sys.exit(run(["merge", sys.argv[1], "--out", sys.argv[2] + "/o/out"]))
"""


def small(folder: Path, tokenizer: int) -> Recipe:
    """Two sources of 2 MB; their tokenizer has as many bytes as asked for."""
    for seed, name in enumerate(["cy-GB", "fr-FR"]):
        tensors = {"w": np.random.default_rng(seed).standard_normal(500_000, np.float32)}
        plain(folder / name, tensors)
        (folder / name / "vocab.txt").write_text("a" * tokenizer)
    return Recipe("linear", tuple(Source(name, folder / name) for name in ("cy-GB", "fr-FR")))


def on_a_disk_of(size: str, recipe: Recipe, folder: Path) -> subprocess.CompletedProcess[str]:
    """`mu merge` onto a disk of its own, that only its process sees; what is left on it comes last on stdout."""
    disk = folder / "disk"
    disk.mkdir()
    (folder / "recipe.yaml").write_text(dump_recipe(recipe, folder))
    script = (
        f'mount -t tmpfs -o size={size} tmpfs "$1" || exit 77\n'
        '"$2" -c "$3" "$4" "$1"; code=$?; find "$1" -mindepth 2; exit $code'
    )
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(disk), sys.executable, CHILD,
         str(folder / "recipe.yaml")],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a disk of its own")
@pytest.mark.parametrize(
    ("size", "tokenizer", "said"),
    [
        ("2m", 10, "are free"),  # noticed before the work
        ("4m", 4_000_000, "no space left on device"),  # the weights fit, what comes after does not
    ],
)
def test_a_full_disk_ends_in_a_message_and_leaves_nothing(
    tmp_path: Path, size: str, tokenizer: int, said: str
) -> None:
    done = on_a_disk_of(size, small(tmp_path, tokenizer), tmp_path)
    if "unshare" in done.stderr or done.returncode == 77:
        pytest.skip("this system gives no disk of one's own")
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_disk_that_fills_up_after_the_weights_leaves_nothing(tmp_path: Path) -> None:
    recipe = small(tmp_path, 4_000_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, before[1]))
    try:
        with pytest.raises(MuError, match="cannot write"):
            merge(recipe, tmp_path / "o" / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "o").iterdir()) == []
    shortened = replace(recipe, sources=recipe.sources[:1])
    for source in recipe.sources:
        (source.path / "vocab.txt").write_text("a")
    assert merge(shortened, tmp_path / "o" / "out").is_dir()
