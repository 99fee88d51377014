"""`mu embed train` as a run: resumed from its checkpoint after a kill, with the result of an uninterrupted training."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import transformers

pytest.importorskip("sentence_transformers")

from merginguriel import workspace
from merginguriel.embedding import training
from merginguriel.embedding.architecture import Shape
from merginguriel.embedding.training import Settings
from merginguriel.runs import run_store

pytestmark = pytest.mark.slow


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        (Shape(), Settings(loss="mnrl")),
        (Shape(pooling="attention", rank=2), Settings(loss="circle")),
        (
            Shape(head="experts", out=8),
            Settings(loss="distill"),
        ),  # with a projection that belongs to the loss
    ],
    ids=["base", "LoRA, attention pooling", "experts, distillation"],
)
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    base, examples, tmp_path, shape, settings
):
    given = {**vars(settings), "steps": 6, "batch": 4, "learning_rate": 1e-3}
    rest = {"teacher": base if settings.loss == "distill" else None, "keep_every": 0.0}

    def stop(done, total, text):
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        training.train(base, examples, tmp_path / "a", shape, Settings(**given), on_progress=stop, **rest)
    assert not (tmp_path / "a").exists() and list(tmp_path.glob("a-checkpoints-*/checkpoint-3"))
    steps = []
    resumed = training.train(
        base,
        examples,
        tmp_path / "a",
        shape,
        Settings(**given),
        on_progress=lambda d, *_: steps.append(d),
        **rest,
    )
    whole = training.train(base, examples, tmp_path / "b", shape, Settings(**given), **rest)
    assert steps[0] == 4 and not list(tmp_path.glob("a-checkpoints-*"))
    for path in sorted(whole.folder.rglob("*.safetensors")):
        assert path.read_bytes() == (resumed.folder / path.relative_to(whole.folder)).read_bytes(), path
    assert resumed.loss == whole.loss


def until(true, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def test_a_killed_training_is_resumed_from_its_checkpoint(mu, base, examples, tmp_path):
    space = tmp_path / "space"
    assert mu("init", space).code == 0
    rows = [{"query": one.query, "positive": one.positive} for one in examples]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["embed", "train", tmp_path / "pairs.jsonl", "--base", base, "--out", tmp_path / "out", "--steps", 120, "--batch-size", 4,
             "--checkpoint-minutes", 0, "--workspace", space]  # fmt: skip
    command = [sys.executable, "-m", "merginguriel.cli.main", *map(str, words), "--detach"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (run,) = run_store.listed(workspace.find(explicit=space))
    until(
        lambda: any(path.name != "checkpoint-1" for path in tmp_path.glob("out-checkpoints-*/checkpoint-*"))
    )
    started = next(event for event in run_store.events(run) if event["event"] == "started")
    os.kill(started["pid"], signal.SIGKILL)
    until(lambda: run_store.state(run) == "dead")
    reached = max(int(path.name.split("-")[-1]) for path in tmp_path.glob("out-checkpoints-*/checkpoint-*"))
    assert reached < 120 and not (tmp_path / "out").exists()
    assert mu("runs", "resume", run.id, "--workspace", space).code == 0
    watched = mu("runs", "watch", run.id, "--workspace", space)
    assert watched.code == 0 and "trainable parameters: base" in watched.out
    assert (tmp_path / "out" / "modules.json").is_file()
    losses = [e["value"] for e in run_store.events(run) if e.get("name") == "loss of out"]
    assert losses and run_store.result(run)["models"][0]["loss"] < losses[0]
    listed = mu("runs", "list", "--kind", "embed", "--workspace", space, "--json").json
    assert [row["state"] for row in listed] == ["finished"]
    assert mu(*words).code == 0  # nothing is trained again


def test_a_finished_training_gives_the_time_of_the_next_and_an_old_record_is_a_clear_error(
    mu, base, examples, tmp_path
):
    space = tmp_path / "space"
    assert mu("init", space).code == 0
    rows = [{"query": one.query, "positive": one.positive} for one in examples]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["embed", "train", tmp_path / "pairs.jsonl", "--base", base, "--workspace", space, "--json"]
    made = mu(*words, "--steps", 2).json
    seconds = [mu(*words, "--steps", n, "--dry-run").json["seconds"] for n in (2, 20)]
    assert 0 < seconds[0] * 9 < seconds[1]
    other = transformers.BertModel.from_pretrained(base)
    own = base.parent / "own"
    shutil.copytree(base, own)
    words[words.index(base)] = own
    first = mu(*words, "--steps", 2).json
    with torch.no_grad():
        other.embeddings.word_embeddings.weight.mul_(2)
    other.save_pretrained(own)
    replaced = mu(*words, "--steps", 2)
    assert replaced.json == first and "note: the base model changed since this run" in replaced.err
    shutil.rmtree(space / "runs" / first["run"])
    assert mu(*words, "--steps", 2).code == 1  # the model of the old base is there
    words[words.index(own)] = base
    record = space / "models" / "embed" / made["run"] / training.RECORD
    record.write_text(record.read_text().replace("usage:", "use:"))
    shutil.rmtree(space / "runs" / made["run"])
    again = mu(*words, "--steps", 2)
    assert again.code == 1 and "lacks usage" in again.err and "--out" in again.err
