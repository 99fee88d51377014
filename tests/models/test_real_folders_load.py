"""Nothing scores a model with the wrong tokenizer or runs its code; real folders load as they were trained."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import pkgutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from real_folders import (
    LABELS,
    NAMED,
    SIZE,
    TEXT,
    bert,
    byte_pairs,
    deberta,
    logits,
    save,
    spm_model,
    word_tokenizer,
)
from safetensors.torch import load_file, save_file

from merginguriel.errors import CheckpointError, IncompatibleError, MuError
from merginguriel.evaluation import predictions
from merginguriel.evaluation.nxn import nxn
from merginguriel.evaluation.predict import predict
from merginguriel.evaluation.predictions import fingerprint, items_digest
from merginguriel.files import sha256
from merginguriel.models import classifier, remote_code, tokenizer_files
from merginguriel.tasks.registry import Item, TaskData

pytestmark = pytest.mark.lab

ITEMS = [Item(str(i), text, LABELS[i % 3]) for i, text in enumerate(TEXT)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of the task files with 30 test sentences."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mu.toml").write_text("")
    lines = [
        {"text": f"{text} {i}", "label": LABELS[(i + j) % 3]} for i in range(4) for j, text in enumerate(TEXT)
    ]
    for split in ("train", "test"):
        (folder / f"sw-KE.{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        lines = [{**line, "text": f"{line['text']} x"} for line in lines]
    return folder


def mu(*arguments: object, answer: str = "yes\n", cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `mu` in a process of its own, with an answer in its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "merginguriel.cli.main", *map(str, arguments), "--workspace", str(cwd / "work")],
        input=answer, capture_output=True, text=True, cwd=cwd, check=False,
    )  # fmt: skip


# --- tokenizers ---


def trained_without_processing_class(folder: Path) -> Path:
    """What transformers' Trainer saves without a processing class."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert(folder / "start", 1))
    trainer = transformers.Trainer(model, transformers.TrainingArguments(str(folder / "run"), report_to=[]))
    trainer.save_model(str(folder / "saved"))
    return folder / "saved"


def test_a_trainers_folder_without_a_tokenizer_is_not_scored(tmp_path: Path) -> None:
    saved = trained_without_processing_class(tmp_path)
    assert not tokenizer_files.present(saved)
    with pytest.raises(CheckpointError, match="no tokenizer") as caught:
        predict(saved, ITEMS)
    assert f"save_pretrained('{saved}')" in str(caught.value.hint)
    word_tokenizer().save_pretrained(saved)
    found = predict(saved, ITEMS).logits
    torch.testing.assert_close(torch.from_numpy(found), logits(saved), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("reader", ["statistics", "cka", "vectors", "nxn", "ensemble"])
def test_nothing_else_reads_text_without_a_tokenizer(tmp_path: Path, reader: str, data: Path) -> None:
    from merginguriel.evaluation.embedding import vectors
    from merginguriel.evaluation.ensemble import read
    from merginguriel.evaluation.nxn import nxn
    from merginguriel.merging.statistics import write_statistics
    from merginguriel.merging.task_vector_measures import representations
    from merginguriel.tasks.registry import load

    saved = bert(tmp_path / "saved", 1)
    items = {"sw-KE": load("files", "sw-KE", folder=data)}
    cache = tmp_path / "cache"
    nxn({"sw-KE": saved}, items, cache=cache)
    for name in tokenizer_files.present(saved):
        (saved / name).unlink()
    with pytest.raises(CheckpointError, match="no tokenizer"):
        {
            "statistics": lambda: write_statistics("importance", saved, TEXT, tmp_path / "s"),
            "cka": lambda: representations({"a": saved, "b": saved}, TEXT),
            "vectors": lambda: vectors(saved, TEXT),
            "nxn": lambda: nxn({"sw-KE": saved}, items, cache=cache),
            "ensemble": lambda: read({"sw-KE": saved}, items["sw-KE"].test, cache),
        }[reader]()


def test_a_tokenizer_larger_than_the_embeddings_is_not_scored(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="but the model has embeddings for 30"):
        predict(bert(tmp_path / "a", 1, vocab_size=30), ITEMS)
    tokenizer = word_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_tokens(["Luna"])
    with pytest.raises(CheckpointError, match=f"{rows + 1} tokens, but the model has embeddings for {rows}"):
        predict(bert(tmp_path / "b", 1, vocab_size=rows, tokenizer=tokenizer), ITEMS)


def test_a_deberta_with_spm_model_alone_is_scored_as_transformers_does(tmp_path: Path) -> None:
    saved = deberta(tmp_path / "a", 1)
    found = predict(saved, ITEMS).logits
    torch.testing.assert_close(torch.from_numpy(found), logits(saved), atol=1e-3, rtol=1e-3)


def test_the_pieces_of_a_sentencepiece_model_are_counted(tmp_path: Path) -> None:
    import sentencepiece

    path = spm_model(tmp_path / "m") / "spm.model"
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path)).get_piece_size()
    assert tokenizer_files.sentencepieces(path) == pieces
    (tmp_path / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")  # a file of tiktoken has the same name
    assert tokenizer_files.sentencepieces(tmp_path / "tokenizer.model") == 0


def test_every_file_that_a_tokenizer_of_transformers_reads_is_known() -> None:
    import transformers.models

    unknown = set()
    for package in pkgutil.iter_modules(transformers.models.__path__):
        folder = Path(transformers.models.__path__[0]) / package.name
        for path in folder.glob("tokenization_*.py"):
            try:
                module = import_module(f"transformers.models.{package.name}.{path.stem}")
            except (ImportError, RuntimeError, NameError):
                continue  # needs a package that is not installed
            for _, kind in inspect.getmembers(module, inspect.isclass):
                names = getattr(kind, "vocab_files_names", None)
                if isinstance(names, dict):
                    unknown |= set(names.values()) - set(tokenizer_files.TOKENIZER_FILES)
    assert not unknown


def test_a_tokenizer_of_bytes_needs_no_vocabulary(tmp_path: Path) -> None:
    transformers.ByT5Tokenizer().save_pretrained(tmp_path)
    assert tokenizer_files.vocabulary_file(tmp_path)
    tokenizer_files.require(tmp_path, 384)


def test_the_command_says_whose_tokenizer_a_merge_takes(tmp_path: Path, data: Path) -> None:
    del data
    base = bert(tmp_path / "base", 0)
    for seed, name in enumerate("ab", 1):
        for file in tokenizer_files.present(bert(tmp_path / name, seed)):
            (tmp_path / name / file).unlink()
    sources = [f"--source={name}={tmp_path / name}" for name in "ab"]
    done = mu("merge", "--method", "average", *sources, "--out", tmp_path / "no", cwd=tmp_path)
    assert done.returncode == 1
    assert "this model folder has no tokenizer" in done.stderr
    done = mu(
        "merge",
        "--method",
        "average",
        *sources,
        "--pretrained",
        base,
        "--out",
        tmp_path / "out",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert f"note: a has no tokenizer: that of the base is used ({base})." in done.stderr
    assert done.stdout.strip() == str(tmp_path / "out")
    assert logits(tmp_path / "out").shape == (len(TEXT), 3)


def test_a_model_whose_labels_are_numbers_says_where_to_name_them(tmp_path: Path, data: Path) -> None:
    from merginguriel.evaluation.nxn import nxn
    from merginguriel.tasks.registry import load

    numbers = {i: f"LABEL_{i}" for i in range(3)}
    saved = bert(tmp_path / "a", 1, id2label=numbers, label2id={name: i for i, name in numbers.items()})
    with pytest.raises(IncompatibleError, match="data have") as caught:
        nxn({"sw-KE": saved}, {"sw-KE": load("files", "sw-KE", folder=data)})
    assert "id2label" in str(caught.value.hint)


# --- padding and segments ---


@pytest.mark.parametrize("pad", [None, 0, 300, -1])
@pytest.mark.parametrize("tokenizer_pads", [True, False])
def test_a_causal_classifier_reads_its_last_token_whatever_is_called_padding(
    tmp_path: Path, pad: int | None, tokenizer_pads: bool
) -> None:
    config = transformers.GPT2Config(
        vocab_size=310, n_embd=16, n_layer=1, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0,
        pad_token_id=None if pad == -1 else pad, **NAMED,
    )  # fmt: skip
    save(transformers.GPT2ForSequenceClassification, config, tmp_path, 1)
    if pad == -1:  # as in the first Llamas
        settings = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**settings, "pad_token_id": -1}))
    tokenizer = copy.deepcopy(byte_pairs())
    tokenizer.pad_token = tokenizer.eos_token if tokenizer_pads else None
    tokenizer.save_pretrained(tmp_path)
    found = torch.from_numpy(predict(tmp_path, ITEMS).logits)
    torch.testing.assert_close(found, logits(tmp_path), atol=1e-4, rtol=1e-4)  # one sentence at a time


@pytest.mark.parametrize("name", ["XLNet", "FNet"])
def test_a_model_that_padding_changes_reads_one_sentence_at_a_time(tmp_path: Path, name: str) -> None:
    xlnet = {"vocab_size": 120, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24}
    config = getattr(transformers, f"{name}Config")(
        **(xlnet if name == "XLNet" else {**SIZE, "vocab_size": 120}), **NAMED
    )
    save(getattr(transformers, f"{name}ForSequenceClassification"), config, tmp_path, 1)
    word_tokenizer().save_pretrained(tmp_path)
    found = torch.from_numpy(predict(tmp_path, ITEMS).logits)
    torch.testing.assert_close(found, logits(tmp_path), atol=1e-4, rtol=1e-4)


def test_answers_cached_under_another_rule_of_padding_do_not_count(tmp_path: Path) -> None:
    settings = {"vocab_size": 310, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    gpt, encoder = tmp_path / "gpt", bert(tmp_path / "bert", 1)
    save(
        transformers.GPT2ForSequenceClassification,
        transformers.GPT2Config(**settings, pad_token_id=3, **NAMED),
        gpt,
        1,
    )
    byte_pairs().save_pretrained(gpt)
    old = {folder: digest_of_files(folder) for folder in (gpt, encoder)}
    assert fingerprint(encoder) == old[encoder]  # its answers do not depend on padding, and still count
    right = predict(gpt, ITEMS)
    stale = replace(right, logits=np.roll(right.logits, 1, axis=1))
    predictions.save(tmp_path / "cache" / f"{old[gpt][:16]}-{items_digest(ITEMS)[:16]}.npz", stale, old[gpt])
    data = {"sw-KE": TaskData("files", "sw-KE", LABELS, tuple(ITEMS), (), ())}
    found = nxn({"gpt": gpt}, data, split="train", cache=tmp_path / "cache")
    wanted = [answer == item.label for answer, item in zip(right.chosen(), ITEMS, strict=True)]
    assert found.correct["gpt", "sw-KE"].tolist() == wanted


def digest_of_files(folder: Path) -> str:
    """The key of cached answers before the rule of padding was part of it."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in predictions.MODEL_FILES]
    parts = [part for path in files for part in (path.name, sha256(path))]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def test_an_adapter_to_score_is_called_one(tmp_path: Path, data: Path) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert(tmp_path / "base", 1))
    peft.get_peft_model(model, peft.LoraConfig("SEQ_CLS", target_modules=["query"])).save_pretrained(
        tmp_path / "a"
    )
    done = mu("eval", tmp_path / "a", "--locale", "sw-KE", cwd=tmp_path)
    assert done.returncode == 1 and "this is an adapter" in done.stderr and "merge_and_unload" in done.stderr


# --- names of tensors ---


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_a_folder_saved_inside_torch_compile_or_ddp_gives_the_models_answers(
    tmp_path: Path, prefix: str
) -> None:
    saved = bert(tmp_path / "a", 1)
    expected = logits(saved)
    tensors = load_file(saved / "model.safetensors")
    inner = prefix == "_orig_mod."  # a part of the model was compiled too
    wrapped = {
        prefix + (name.replace("encoder.", "encoder._orig_mod.") if inner else name): tensor
        for name, tensor in tensors.items()
    }
    save_file(wrapped, saved / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(torch.from_numpy(predict(saved, ITEMS).logits), expected, atol=1e-3, rtol=1e-3)


# --- custom code ---

CODE = """
from pathlib import Path
from transformers import BertConfig, BertForSequenceClassification

Path({marker!r}).write_text("ran")


class OwnConfig(BertConfig):
    model_type = "own-bert"


class OwnModel(BertForSequenceClassification):
    config_class = OwnConfig
"""


def with_code(folder: Path, marker: Path) -> Path:
    """A model whose class is Python code in its folder, which leaves a file when it runs."""
    bert(folder, 1)
    (folder / "own_model.py").write_text(CODE.format(marker=str(marker)))
    path = folder / "config.json"
    auto_map = {
        "AutoConfig": "own_model.OwnConfig",
        "AutoModelForSequenceClassification": "own_model.OwnModel",
    }
    config = {**json.loads(path.read_text()), "auto_map": auto_map, "model_type": "own-bert"}
    path.write_text(json.dumps(config))
    return folder


@pytest.mark.slow
def test_code_of_a_model_folder_does_not_run_and_nobody_is_asked(tmp_path: Path, data: Path) -> None:
    saved = with_code(tmp_path / "own", tmp_path / "marker")
    done = mu("eval", saved, "--locale", "sw-KE", "--task", "rooms", "--data", data, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "needs Python code from its folder, which does not run by default" in done.stderr
    assert "--trust-remote-code" in done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    assert not (tmp_path / "marker").exists()


@pytest.mark.slow
def test_code_of_a_model_folder_runs_with_the_flag(tmp_path: Path, data: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    saved = with_code(tmp_path / "own", tmp_path / "marker")
    done = mu(
        "eval", saved, "--locale", "sw-KE", "--task", "rooms", "--data", data, "--trust-remote-code", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["n"] > 0
    assert (tmp_path / "marker").exists()


def test_the_permission_ends_with_its_block() -> None:
    assert not remote_code.trusted()
    with remote_code.trust():
        assert remote_code.trusted()
    assert not remote_code.trusted()


def test_code_of_a_tokenizer_does_not_run_either(tmp_path: Path) -> None:
    saved = bert(tmp_path / "a", 1)
    (saved / "own_tokenizer.py").write_text(CODE.format(marker=str(tmp_path / "marker")))
    path = saved / "tokenizer_config.json"
    config = {
        **json.loads(path.read_text()), "tokenizer_class": "OwnTokenizer",
        "auto_map": {"AutoTokenizer": ["own_tokenizer.OwnTokenizer", None]},
    }  # fmt: skip
    path.write_text(json.dumps(config))
    with pytest.raises(MuError, match="tokenizer needs Python code"):
        classifier.load_tokenizer(saved)
    assert not (tmp_path / "marker").exists()


# --- folders that are no models ---


def test_a_folder_of_checkpoints_names_the_one_to_score(tmp_path: Path, data: Path) -> None:
    bert(tmp_path / "run" / "checkpoint-500", 1)
    done = mu("eval", tmp_path / "run", "--locale", "sw-KE", "--task", "rooms", "--data", data, cwd=tmp_path)
    assert done.returncode == 1
    assert f"Name the last one: {tmp_path / 'run' / 'checkpoint-500'}" in done.stderr


def test_a_folder_of_parquet_files_names_the_cure(tmp_path: Path, data: Path) -> None:
    del data
    pandas = pytest.importorskip("pandas")
    folder = tmp_path / "parquet" / "data"
    folder.mkdir(parents=True)
    rows = pandas.DataFrame({"text": TEXT, "label": [LABELS[0]] * len(TEXT)})
    rows.to_parquet(folder / "train-00000-of-00001.parquet")
    done = mu(
        "eval", bert(tmp_path / "m", 1), "--locale", "sw-KE", "--task", "rooms", "--data", tmp_path / "parquet",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Parquet" in done.stderr
    assert "to_json('sw-KE.train.jsonl'" in done.stderr
