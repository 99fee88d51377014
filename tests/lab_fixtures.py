"""What do the commands of the doing wing work on here? Real sentences of three locales, a small real encoder."""

from __future__ import annotations

import contextlib
import csv
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: two threads on busy cores wait for each other

LOCALES = ("de-DE", "en-US", "sv-SE")
LABELS = ("HassTurnOn", "HassTurnOff", "HassGetWeather", "HassLightSet")
SIZES = {"train": 48, "dev": 20, "test": 28}
FAST = ("--epochs", "8", "--learning-rate", "3e-3", "--head-learning-rate", "1e-2", "--batch-size", "8",
        "--no-bf16")  # fmt: skip


@pytest.fixture(scope="session")
def sentences(tmp_path_factory):
    """A folder of CSV files, one per locale: sentences that native speakers wrote for Home Assistant."""
    return write_sentences(tmp_path_factory.mktemp("sentences"), LOCALES)


def write_sentences(folder, locales):
    pytest.importorskip("hassil")
    pytest.importorskip("home_assistant_intents")
    from merginguriel.tasks import load

    for locale in locales:
        data = load("home", locale, train=400, dev=120, test=200)
        with (folder / f"{locale}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label", "split"])
            for split, size in SIZES.items():
                kept = [item for item in data.split(split) if item.label in LABELS][:size]
                assert len(kept) == size, (locale, split, len(kept))
                writer.writerows([item.text, item.label, split] for item in kept)
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory, sentences):
    """A BERT of two layers and random weights, with a tokenizer that knows the words of the sentences."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("encoder") / "tiny-bert"
    texts = []
    for path in sorted(sentences.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    # Words, not trained word pieces: those differ from run to run, and with them what a small model learns.
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text.lower())})
    vocabulary = {word: i for i, word in enumerate([*special.values(), *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
        # Larger than usual and without dropout, so that a few seconds teach it something.
        initializer_range=0.2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@dataclass
class Ran:
    """What a command gave: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def data(self):
        return json.loads(self.out)


@dataclass
class Lab:
    """A workspace, and `mu` on the sentences and the encoder in it."""

    space: Path
    sentences: Path
    encoder: Path
    capture: pytest.CaptureFixture

    @property
    def root(self):
        return self.space / "models" / "rooms" / self.encoder.name

    @property
    def study(self):
        return ["--task", "rooms", "--data", str(self.sentences), "--base", str(self.encoder),
                "--workspace", str(self.space)]  # fmt: skip

    def words(self, command, arguments):
        study = (
            self.study if command in ("base", "train", "eval", "nxn", "merge", "ensemble", "proxy") else []
        )
        return [command, *map(str, arguments), *study]

    def mu(self, command, *arguments):
        """In this process, as the console script does it."""
        from merginguriel.cli.main import run

        self.capture.readouterr()
        code = run(self.words(command, arguments))
        captured = self.capture.readouterr()
        assert "Traceback" not in captured.err
        return Ran(code, captured.out, captured.err)

    def start(self, command, *arguments, before=None):
        """In a process of its own, for signals and limits. `before`: called there first."""
        return Child(self.words(command, arguments), before)

    def apart(self, command, *arguments, before=None):
        """As `start`, and wait for its end."""
        return self.start(command, *arguments, before=before).end()

    def litter(self):
        """Hidden files in the workspace: what an interrupted program would have left."""
        return sorted(str(p.relative_to(self.space)) for p in self.space.rglob(".*"))


class Child:
    """`mu ARGUMENTS` in a process of its own, forked from one that has imported torch: that takes seconds."""

    def __init__(self, arguments, before):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self.folder = Path(tempfile.mkdtemp())
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self.process = context.Process(target=console, args=(arguments, self.folder, before), daemon=True)
        self.process.start()

    def send(self, number):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(self.process.pid, number)

    def wait_for(self, path):
        """Return when `path` exists."""
        self.until(path.exists)

    def wait_for_word(self, word):
        """Return when stderr holds `word`."""
        file = self.folder / "err"
        self.until(lambda: file.exists() and word in file.read_text(encoding="utf-8"))

    def until(self, true):
        end = time.monotonic() + 120
        alive = True
        while not true():
            assert alive and time.monotonic() < end, self.end()
            alive = self.process.is_alive()  # one that has ended is looked at once more
            time.sleep(0.005)

    def end(self, seconds=120):
        self.process.join(seconds)
        assert self.process.exitcode is not None
        out, err = ((self.folder / name).read_text(encoding="utf-8") for name in ("out", "err"))
        shutil.rmtree(self.folder)
        assert "Traceback" not in err
        return Ran(self.process.exitcode, out, err)


PRELOAD = ["merginguriel.cli.main", "merginguriel.cli.lab", "merginguriel.cli.train", "merginguriel.cli.merge",
           "merginguriel.study.study", "merginguriel.training.finetune",
           "merginguriel.merging.engine", "merginguriel.evaluation.predict"]  # fmt: skip


def console(arguments, folder, before):
    """What the console script does, with stdout and stderr in files."""
    from merginguriel.cli.main import main

    sys.stdout, sys.stderr = (
        (folder / name).open("w", encoding="utf-8", buffering=1) for name in ("out", "err")
    )
    for number, file in ((1, sys.stdout), (2, sys.stderr)):
        os.dup2(file.fileno(), number)
    sys.argv = ["mu", *arguments]
    if before:
        before()
    main()


def workspace(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mu.toml").write_text('context = "rooms/tiny-bert"\n', encoding="utf-8")
    return folder


@pytest.fixture
def lab(tmp_path, sentences, encoder, capsys):
    """A fresh workspace."""
    return Lab(workspace(tmp_path / "space"), sentences, encoder, capsys)


@pytest.fixture(scope="session")
def made(tmp_path_factory, sentences, encoder):
    """A workspace in which three models were trained and scored on development data; copied, not used."""
    from merginguriel.cli.main import run

    space = workspace(tmp_path_factory.mktemp("made") / "space")
    one = Lab(space, sentences, encoder, None)
    named = [word for locale in LOCALES for word in ("--locale", locale)]
    assert run(["train", *named, *FAST, *one.study]) == 0
    assert run(["nxn", "--split", "dev", *one.study]) == 0
    return space


@pytest.fixture
def trained(tmp_path, made, sentences, encoder, capsys):
    """A workspace of its own with three trained models."""
    shutil.copytree(made, tmp_path / "space")
    return Lab(tmp_path / "space", sentences, encoder, capsys)


@pytest.fixture
def small_disk(trained, tmp_path):
    """The workspace on a disk of its own with 200 kB left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    used = sum(path.stat().st_size + 4096 for path in trained.space.rglob("*"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={used + 200_000}", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        trained.space = Path(shutil.copytree(trained.space, disk / "space"))
        yield trained
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def small_files(size):
    """No file may grow beyond `size` bytes: writing fails as it does on a full disk, with EFBIG."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def elsewhere(lab, gain=0.03):
    """Log two arms on other targets, so that the context is known."""
    from merginguriel.knowledge.log.append import add
    from merginguriel.knowledge.log.draft_text import Draft
    from merginguriel.knowledge.parse.rows import ResultRow
    from merginguriel.workspace import find, seed

    seed(lab.space, empty=True)
    named = lab.mu("tasks", "add", "rooms", "--data", lab.sentences, "--workspace", lab.space)
    assert named.code == 0, named
    rows = [
        ResultRow(
            "rooms/tiny-bert", target, "ExcTar", method, "accuracy", 0.60 + gain + i / 200, n=400, similarity="REAL", k=2,
            sources=("de-DE", "en-US"), baseline_kind="best_single_source", baseline=0.60,
        )
        for i, target in enumerate(("fr-FR", "it-IT", "es-ES", "pl-PL", "nl-NL"))
        for method in ("similarity", "ensemble_soft")
    ]  # fmt: skip
    draft = Draft(
        title="Other targets", type="Observation", date="2026-01-20", summary="Two arms.", context="rooms/tiny-bert",
        metric="accuracy", sections=(("What it is", "Rows for a test."),), rows=tuple(rows),
    )  # fmt: skip
    add(find(lab.space).log, draft)
