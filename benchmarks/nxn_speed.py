"""Time of an N×N matrix, against loops of Trainer.predict and pipeline("text-classification").

    python benchmarks/nxn_speed.py --workspace my-study            # 8 models × 8 locales: 10 to 30 minutes
    python benchmarks/nxn_speed.py --workspace my-study --quick    # 2 × 2, 100 sentences each

Models of the embedded lab, trained in the workspace where they are not there yet. All sides score the same sentences in
float32 on the processor. They take turns model by model, so that a busy machine slows all; each of the other two gets the
batch size of BATCHES that was fastest for it on the first pair. A model is loaded once for its row on every side: the
figures with a load per pair, as a loop over pairs has it, stand beside. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, pipeline
from transformers.utils import logging

from merginguriel import workspace
from merginguriel.evaluation import nxn, packed_inference, predict, predictions
from merginguriel.models import classifier
from merginguriel.study import study as studies
from merginguriel.tasks.registry import Item, TaskData

LOCALES = ("de-DE", "en-US", "es-ES", "fr-FR", "it-IT", "nb-NO", "nl-NL", "sv-SE")
BATCHES = (8, 16, 32, 64)
BAR, EQUAL = 3.0, 0.999
Answers = list[str]


@dataclass
class Side:
    """Seconds of every row: loading its model, scoring its locales; processor seconds; labels per (model, locale)."""

    load: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    answers: dict[tuple[str, str], Answers] = field(default_factory=dict)

    def seconds(self, loads: int = 1) -> float:
        return sum(self.score) + loads * sum(self.load)


def by_trainer(model, tokenizer, items: list[Item], batch: int, labels: tuple[str, ...]) -> Answers:
    """Trainer.predict over items that are tokenised and padded batch by batch."""
    longest = classifier.longest(model)
    rows = [dict(tokenizer(item.text, truncation=True, max_length=longest)) for item in items]
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder, per_device_eval_batch_size=batch, use_cpu=True, report_to=[], disable_tqdm=True,
            dataloader_pin_memory=False, remove_unused_columns=False,
        )  # fmt: skip
        trainer = Trainer(model=model, args=settings, data_collator=DataCollatorWithPadding(tokenizer))
        return [labels[i] for i in trainer.predict(rows).predictions.argmax(axis=1)]


def by_pipeline(model, tokenizer, items: list[Item], batch: int, labels: tuple[str, ...]) -> Answers:
    del labels
    classify = pipeline(
        "text-classification", model=model, tokenizer=tokenizer, device="cpu", batch_size=batch
    )
    return [found["label"] for found in classify([item.text for item in items], truncation=True)]


OTHERS: dict[str, Callable] = {"Trainer.predict": by_trainer, "pipeline": by_pipeline}


def their_row(side: Side, how: Callable, name: str, folder: Path, data: dict, batch: int) -> None:
    """One model on every locale, as the other two do it."""
    start, spent = time.perf_counter(), time.process_time()
    model, tokenizer = classifier.load(folder, device="cpu")
    labels = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
    loaded = time.perf_counter()
    for locale, found in data.items():
        side.answers[name, locale] = how(model, tokenizer, list(found.test), batch, labels)
    side.load.append(loaded - start)
    side.score.append(time.perf_counter() - loaded)
    side.processor.append(time.process_time() - spent)


def our_row(side: Side, name: str, folder: Path, data: dict, *, bf16: bool = False) -> None:
    """One model on every locale by nxn, with the logits kept as always; loading is part of the row."""
    with tempfile.TemporaryDirectory() as cache:
        start, spent = time.perf_counter(), time.process_time()
        nxn.nxn({name: folder}, data, cache=Path(cache), bf16=bf16, device="cpu")
        side.score.append(time.perf_counter() - start)
        side.processor.append(time.process_time() - spent)
        model = predictions.fingerprint(folder)
        model = predictions.in_bf16(model) if bf16 else model
        for locale, found in data.items():
            kept = predictions.load(predictions.cache_path(Path(cache), model, found.test), model)
            side.answers[name, locale] = kept.chosen()
    side.load.append(0.0)


def fastest_batch(how: Callable, folder: Path, items: list[Item]) -> int:
    model, tokenizer = classifier.load(folder, device="cpu")
    labels = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
    seconds = {}
    for batch in BATCHES:
        start = time.perf_counter()
        how(model, tokenizer, items, batch, labels)
        seconds[batch] = time.perf_counter() - start
    return min(seconds, key=lambda batch: seconds[batch])


def product_rate(threads: int, seconds: float = 0.4) -> float:
    """FLOP per second of float32 matrix products, the best of PyTorch's own and oneDNN's with packed weights."""
    x, layer = torch.randn(256, 384), torch.nn.Linear(384, 1536)
    big = torch.randn(1024, 1024)
    flops = 2 * 256 * 384 * 1536

    def count(run: Callable[[], object]) -> int:
        done, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            run()
            done += 1
        return done

    with torch.inference_mode():
        own = count(lambda: big @ big) * 2 * 1024**3 / seconds
        packed = packed_inference.product(layer, False, "none") if packed_inference.packable(layer) else layer
        plain = partial(functional.linear, x, layer.weight)
        best = own
        for run in (plain, lambda: packed(x)):
            with packed_inference.side_by_side(threads) as each:
                best = max(best, sum(each(lambda _, run=run: count(run), range(threads))) * flops / seconds)
    return best


def work(folder: Path, data: dict[str, TaskData]) -> float:
    """FLOP that one row needs: products of the linear layers and of attention over real tokens, none of padding."""
    model, tokenizer = classifier.load(folder, device="cpu")
    layers = [m for m in model.modules() if type(m) is torch.nn.Linear]
    inner = sum(layer.weight.numel() for layer in layers if layer is not model.classifier)
    config = getattr(model.config, "encoder", None) or model.config.to_dict()
    total = 0.0
    for found in data.values():
        lengths = np.array([len(row) for row in predict.tokens_of(model, tokenizer, found.test).ids])
        attention = 4 * config["num_hidden_layers"] * config["hidden_size"] * (lengths**2).sum()
        total += 2 * inner * lengths.sum() + attention + 2 * model.classifier.weight.numel() * len(lengths)
    return total


def agreement(one: Side, two: Side) -> float:
    pairs = [(a, b) for key in one.answers for a, b in zip(one.answers[key], two.answers[key], strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True, help="where models lie or are trained")
    parser.add_argument("--quick", action="store_true", help="2 models × 2 locales, 100 sentences each")
    parser.add_argument("--items", type=int, help="test sentences per locale; default: all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(chosen.threads)
    names = LOCALES[:2] if chosen.quick else LOCALES
    items = chosen.items or (100 if chosen.quick else None)
    study = studies.Study(workspace.find(explicit=chosen.workspace), "home", "e5-small")
    here = study.trained()
    models = {name: here[name] if name in here else studies.train(study, name) for name in names}
    data = {name: study.data(name) for name in names}
    data = {name: replace(found, test=found.test[:items]) for name, found in data.items()}

    first = next(iter(models.values()))
    probe = list(data[names[0]].test[:200])
    batch = {name: fastest_batch(how, first, probe) for name, how in OTHERS.items()}
    with tempfile.TemporaryDirectory() as folder:  # kernels are chosen and compiled at the first call
        nxn.nxn(
            {"warm": first}, {names[0]: replace(data[names[0]], test=tuple(probe[:20]))}, cache=Path(folder)
        )
    ours, half, others = Side(), Side(), {name: Side() for name in OTHERS}
    rates: list[float] = []
    for name, folder in models.items():
        our_row(ours, name, folder, data)
        our_row(half, name, folder, data, bf16=True)
        rates.append(product_rate(chosen.threads))
        for kind, how in OTHERS.items():
            their_row(others[kind], how, name, folder, data, batch[kind])
        print(f"  {name}: ours {ours.score[-1]:.1f} s, " + ", ".join(
            f"{kind} {side.score[-1] + side.load[-1]:.1f} s" for kind, side in others.items()), flush=True)  # fmt: skip

    count = sum(len(found.test) for found in data.values()) * len(models)
    fastest = min(side.seconds() for side in others.values())
    least = min(sum(side.processor) for side in others.values())
    equal = min(agreement(ours, side) for side in others.values())
    reached = work(first, data) * len(models) / ours.seconds()
    rate = statistics.median(rates)
    print(f"\n{len(models)} models × {len(data)} locales, {count:,} answers, {chosen.threads} threads, float32; "
          f"load of the machine {os.getloadavg()[1]:.1f}\n")  # fmt: skip
    print(f"{'':34}{'seconds':>9}{'per pair':>10}{'processor':>11}{'times ours':>12}")
    for kind, side in others.items():
        for title, loads in ((f"{kind}, batch {batch[kind]}", 1), ("  with a load per pair", len(data))):
            spent = f"{sum(side.processor):.1f}" if loads == 1 else ""
            seconds = side.seconds(loads)
            print(f"{title:34}{seconds:9.1f}{seconds / len(models) / len(data):10.2f}{spent:>11}"
                  f"{seconds / ours.seconds():12.2f}")  # fmt: skip
    for title, side in (("mu nxn", ours), ("mu nxn, bfloat16", half)):
        print(f"{title:34}{side.seconds():9.1f}{side.seconds() / len(models) / len(data):10.2f}"
              f"{sum(side.processor):11.1f}{side.seconds() / ours.seconds():12.2f}")  # fmt: skip
    print(f"\nfaster than the faster of the two   {fastest / ours.seconds():.2f} ×   (bar: {BAR:g}; "
          f"of processor time {least / sum(ours.processor):.2f} ×)")  # fmt: skip
    print(f"answers equal to both               {100 * equal:.3f}%   (bar: {100 * EQUAL:g}%)")
    print(
        f"bfloat16: agrees with float32 on    {100 * agreement(half, ours):.3f}%, {ours.seconds() / half.seconds():.2f} × as fast"
    )
    print(
        f"matrix products                     {reached / 1e9:.0f} of {rate / 1e9:.0f} GFLOP/s measured, {100 * reached / rate:.0f}%"
    )
    return int(fastest < BAR * ours.seconds() or equal < EQUAL)


if __name__ == "__main__":
    raise SystemExit(main())
