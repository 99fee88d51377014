"""From fine-tunes made elsewhere to a report: register, score, ask for advice, merge, ensemble, tune, report.

    python examples/own_models.py --data sentences --base tiny-bert --target da-DK --work own-study

--data has one CSV per locale (columns text, label, split); --base is a pretrained encoder, as save_pretrained writes it.
The fine-tunes are made by transformers' Trainer alone, and nothing is written into their folders afterwards. With models
of your own, leave `fine_tune` out and list your folders, or names on the hub, in models.csv.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import subprocess
import sys
from pathlib import Path

import yaml


def rows_of(path: Path, split: str) -> list[tuple[str, str]]:
    """Return the sentences and labels of one split of a CSV file; of all for an empty name."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file) if split in ("", row["split"])]


def fine_tune(base: Path, path: Path, labels: list[str], out: Path, epochs: int, rate: float) -> None:
    """Fine-tune `base` on one locale with transformers alone, as an owner of models would."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    names = dict(enumerate(labels))
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=len(labels), id2label=names, label2id={label: i for i, label in names.items()}
    )
    items = [
        {**tokenizer(text, truncation=True), "label": labels.index(label)}
        for text, label in rows_of(path, "train")
    ]
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(out), num_train_epochs=epochs, learning_rate=rate, per_device_train_batch_size=8,
            save_strategy="no", report_to=[], disable_tqdm=True, seed=0,
        ),
        train_dataset=items,
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    trainer.save_model(str(out))


def mu(folder: Path, *words: str, codes: tuple[int, ...] = (0,)) -> None:
    """Print and run one command in the workspace."""
    print(f"\n$ mu {shlex.join(words)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "merginguriel.cli.main", *words], cwd=folder, check=False)
    if done.returncode not in codes:
        raise SystemExit(f"mu {words[0]} ended with exit code {done.returncode}")


def main() -> None:
    """Run every step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with one CSV per locale")
    parser.add_argument("--base", type=Path, required=True, help="folder of the pretrained encoder")
    parser.add_argument("--target", required=True, help="locale to serve; it has a file in --data")
    parser.add_argument("--work", type=Path, default=Path("own-study"), help="folder to write")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--evaluations", type=int, default=24, help="merges that mu tune scores")
    given = parser.parse_args()
    data, base, work = given.data.resolve(), given.base.resolve(), given.work.resolve()
    files = {path.stem: path for path in sorted(data.glob("*.csv"))}
    labels = sorted({label for path in files.values() for _, label in rows_of(path, "")})

    work.mkdir(parents=True)
    lines = ["locale,model"]
    for locale, path in files.items():
        fine_tune(base, path, labels, work / "theirs" / locale, given.epochs, given.rate)
        lines.append(f"{locale},theirs/{locale}")
    (work / "models.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    before = sorted(work.glob("theirs/*/*"))

    space = work / "study"
    study = ["--task", "own", "--base", str(base)]
    mu(work, "init", "study", "--context", f"own/{base.name}")
    mu(space, "tasks", "add", "own", "--data", str(data))
    mu(space, "models", "add", "../models.csv", *study)
    mu(space, "nxn", "--split", "dev", *study)
    mu(space, "nxn", *study)
    mu(space, "advise", "--target", given.target, codes=(0, 4))  # 4: nothing is known about this task yet
    k = str(min(3, len(files) - 1))
    choice = ["--target", given.target, "--similarity", "REAL", "--k", k]
    mu(space, "merge", "--method", "similarity", *choice, "--out", "merged", *study)
    mu(space, "ensemble", "--target", given.target, "--k", k, *study)
    config = {
        "kind": "merge",
        "task": "own",
        "base": str(base),
        "target": given.target,
        "similarity": "REAL",
        "k": int(k),
    }
    for method in ("linear", "ties"):
        (space / f"{method}.yaml").write_text(yaml.safe_dump({**config, "method": method}), encoding="utf-8")
        mu(space, "run", f"{method}.yaml")
    mu(space, "tune", *choice, "--evaluations", str(given.evaluations), *study)
    mu(space, "report", "--out", "report")
    assert sorted(work.glob("theirs/*/*")) == before, "a file was written into a model's folder"
    print(f"\nThe report is {space / 'report' / 'report.html'}")


if __name__ == "__main__":
    main()
