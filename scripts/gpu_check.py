"""Train, score and merge two models on a GPU, and compare its logits with those of the CPU. See gpu_check.sh.

The base is XLM-RoBERTa with random weights, 12 layers and 250,002 embedding rows (`--small`: 2 layers), the data are
made-up utterances of 60 intents in the form of MASSIVE. Accuracies show that the steps work, and nothing about merging.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOCALES = ("de-DE", "sv-SE")
INTENTS = tuple(f"scenario{i // 6}_intent{i}" for i in range(60))
PARTITIONS = {"train": 60, "dev": 5, "test": 10}  # utterances per intent
LIMITS = {"float32": 1e-3, "bfloat16": 0.1}  # of the greatest logit: what two devices may differ by
COMPARED = 64  # sentences


@dataclass
class Table:
    """Steps with their seconds and results."""

    rows: list[tuple[str, float, str]] = field(default_factory=list)

    def add(self, step: str, since: float, result: str) -> None:
        """Add and print a step that began at `since`."""
        self.rows.append((step, time.monotonic() - since, result))
        print(f"{step:<26} {self.rows[-1][1]:7.1f} s  {result}", flush=True)


def write_data(folder: Path, small: bool) -> list[str]:
    """Write <locale>.jsonl in MASSIVE's form, and return all texts. Half of the words of an intent are common to both locales."""
    draw = random.Random(0)
    folder.mkdir()
    texts = []
    for locale in LOCALES:
        lines = []
        for partition, count in PARTITIONS.items():
            for number, intent in enumerate(INTENTS):
                for _ in range(max(1, count // (6 if small else 1))):
                    words = [draw.choice((f"w{number}", f"{locale[:2]}{number}"))]
                    words += [f"{locale[:2]}filler{draw.randrange(300)}" for _ in range(draw.randint(2, 9))]
                    draw.shuffle(words)
                    lines.append({"id": str(len(lines)), "locale": locale, "partition": partition,
                                  "intent": intent, "utt": " ".join(words)})  # fmt: skip
        (folder / f"{locale}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        texts += [str(line["utt"]) for line in lines]
    return texts


def write_base(folder: Path, texts: list[str], small: bool) -> None:
    """Write a masked language model of XLM-R's shape with random weights, and a tokenizer of the words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForMaskedLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    raw = Tokenizer(models.WordLevel(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    raw.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=special))
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        cls_token="<s>", sep_token="</s>", mask_token="<mask>",
    )  # fmt: skip
    shape: dict[str, int] = {"vocab_size": 250_002, "max_position_embeddings": 514, "type_vocab_size": 1}
    if small:
        shape |= {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "hidden_size": 32}
        shape |= {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    XLMRobertaForMaskedLM(XLMRobertaConfig(**shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def mu(work: Path, *words: str) -> Any:
    """Run a command in the workspace; return its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "merginguriel.cli.main", *words, "--json"],
        cwd=work, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"mu {' '.join(words)} ended with exit code {done.returncode}")
    return json.loads(done.stdout)


def compare_logits(table: Table, model: Path, data: Path, device: str) -> bool:
    """Compare the logits of a device in both precisions with those of the CPU in float32; return whether they agree."""
    import numpy as np

    from merginguriel.evaluation.predict import predict
    from merginguriel.tasks.massive import massive

    items = massive("sv-SE", folder=data).test[:COMPARED]
    expected = predict(model, items, device="cpu").logits
    fine = True
    for precision, limit in LIMITS.items():
        since = time.monotonic()
        found = predict(model, items, device=device, bf16=precision == "bfloat16").logits
        off = float(np.abs(found - expected).max() / np.abs(expected).max())
        same = int((found.argmax(1) == expected.argmax(1)).sum())
        fine = fine and off <= limit
        table.add(f"{device} {precision} and CPU", since,
                  f"largest difference {off:.1e} of the greatest logit (limit {limit:g}), "
                  f"{same} of {len(items)} answers equal")  # fmt: skip
    return fine


def steps(root: Path, small: bool, device: str) -> bool:
    """Carry out every step; return whether the devices agree."""
    table, begun = Table(), time.monotonic()
    data, base, work = root / "massive", root / ("tiny-xlmr" if small else "xlmr-base-size"), root / "work"
    write_base(base, write_data(data, small), small)
    subprocess.run([sys.executable, "-m", "merginguriel.cli.main", "init", str(work), "--empty"],
                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    table.add("write base and data", begun, f"{(base / 'model.safetensors').stat().st_size / 1e6:,.0f} MB")
    study = ["--task", "massive", "--data", str(data), "--base", str(base)]
    locales = [word for locale in LOCALES for word in ("--locale", locale)]
    sources = [word for locale in LOCALES for word in ("--source", locale)]

    since = time.monotonic()
    rate = ["--learning-rate", "3e-3" if small else "1e-4", "--epochs", "2"]
    trained = mu(work, "train", *locales, *rate, *study)
    table.add(
        "train two locales", since, ", ".join(f"{one['locale']} {one['dev_accuracy']:.1%}" for one in trained)
    )
    for name, more in (("float32", []), ("bfloat16", ["--bf16", "--workers", "2"])):
        since = time.monotonic()
        cells = mu(work, "nxn", *more, *study)["accuracy"]
        values = ", ".join(f"{s}→{t} {cells[s][t]:.1%}" for s in LOCALES for t in LOCALES)
        table.add(f"N×N, {name}{', 2 workers' if more else ''}", since, values)
    merges = {"average": [], "adamerging": ["--param", "iterations=20", "--param", "sentences=256"]}
    for method, more in merges.items():
        since = time.monotonic()
        out = mu(work, "merge", "--method", method, *sources, *more, "--target", "sv-SE", *study)["path"]
        took = f"merged in {time.monotonic() - since:.1f} s"
        value = mu(work, "eval", out, "--locale", "sv-SE", *study)[0]["accuracy"]
        table.add(f"{method} and eval", since, f"{took}; sv-SE {value:.1%}")
    fine = compare_logits(table, work / out, data, device)
    table.add("in all", begun, "agree" if fine else "the devices differ")
    return fine


def main() -> int:
    """Check for a GPU, then carry out the steps in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a tiny model")
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    given = parser.parse_args()
    if given.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    if not given.cpu and not torch.cuda.is_available():
        print(
            "no GPU here; for the same steps on a tiny model: scripts/gpu_check.sh --small --cpu",
            file=sys.stderr,
        )
        return 3
    name = "CPU" if given.cpu else torch.cuda.get_device_name()
    print(f"{name}, torch {torch.__version__}, {'a tiny model' if given.small else 'XLM-R base size'}")
    with tempfile.TemporaryDirectory() as place:
        return 0 if steps(Path(place), given.small, "cpu" if given.cpu else "cuda") else 1


if __name__ == "__main__":
    sys.exit(main())
