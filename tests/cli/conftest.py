"""What do the commands of the doing wing work on here? Real sentences of three locales, a small real encoder."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

LOCALES = ("de-DE", "en-US", "sv-SE")
LABELS = ("HassTurnOn", "HassTurnOff", "HassGetWeather", "HassLightSet")
SIZES = {"train": 48, "dev": 20, "test": 28}
FAST = ("--epochs", "2", "--learning-rate", "1e-3", "--batch-size", "16")


@pytest.fixture(scope="session")
def sentences(tmp_path_factory):
    """A folder of CSV files, one per locale: sentences that native speakers wrote for Home Assistant."""
    pytest.importorskip("hassil")
    pytest.importorskip("home_assistant_intents")
    from merginguriel.tasks import load

    folder = tmp_path_factory.mktemp("sentences")
    for locale in LOCALES:
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
    """A BERT of two layers and random weights, with a word-piece tokenizer trained on the sentences."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import BertWordPieceTokenizer

    folder = tmp_path_factory.mktemp("encoder") / "tiny-bert"
    texts = []
    for path in sorted(sentences.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(texts, vocab_size=600, show_progress=False)
    folder.mkdir()
    trained.save_model(str(folder))
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
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
        return self.space / "models" / "files" / self.encoder.name

    @property
    def study(self):
        return ["--task", "files", "--data", str(self.sentences), "--base", str(self.encoder),
                "--workspace", str(self.space)]  # fmt: skip

    def mu(self, command, *arguments):
        """In this process, as the console script does it."""
        from merginguriel.cli.main import run

        self.capture.readouterr()
        study = self.study if command in ("base", "train", "eval", "nxn", "merge") else []
        code = run([command, *map(str, arguments), *study])
        captured = self.capture.readouterr()
        assert "Traceback" not in captured.err
        return Ran(code, captured.out, captured.err)

    def start(self, command, *arguments, prefix=(), before=""):
        """In a process of its own, for signals and limits. `before`: Python that runs first."""
        program = f"{before}\nfrom merginguriel.cli.main import main\nmain()"
        return subprocess.Popen(
            [*prefix, sys.executable, "-c", program, command, *map(str, arguments), *self.study],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def apart(self, command, *arguments, **how):
        """As `start`, and wait for its end."""
        process = self.start(command, *arguments, **how)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        return Ran(process.returncode, out, err)

    def litter(self):
        """Hidden files in the workspace: what an interrupted program would have left."""
        return sorted(str(p.relative_to(self.space)) for p in self.space.rglob(".*"))


def workspace(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mu.toml").write_text('context = "files/tiny-bert"\n', encoding="utf-8")
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
