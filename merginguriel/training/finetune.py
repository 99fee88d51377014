"""Fine-tuning of a base classifier on one locale: transformers' Trainer, tuned for sentences on a CPU."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler
from transformers import (
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.files import Progress, new_folder
from merginguriel.metrics.base import find
from merginguriel.models import build_record
from merginguriel.models.base import model_files
from merginguriel.models.classifier import copy_tokenizer, encode_words, load, save
from merginguriel.models.quiet_transformers import quiet
from merginguriel.tasks.base import Item, fingerprint

from . import checkpoints, limits, lora
from .settings import HUB, LAB, FinetuneSettings, as_record, check

__all__ = ["HUB", "LAB", "RECORD", "FinetuneSettings", "finetune", "resolved"]

RECORD = "training.yaml"
EVAL_BATCH = 64
KEEP_EVERY = 600.0  # seconds between two checkpoints: what is shorter is trained again as quickly
POOL = 16  # batches whose sentences are sorted by length together before they are cut


def finetune(
    base: Path,
    train: Sequence[Item],
    dev: Sequence[Item],
    out: Path,
    settings: FinetuneSettings | None = None,
    *,
    locale: str = "",
    metric: str = "accuracy",
    report_to: Sequence[str] = (),
    keep_every: float = KEEP_EVERY,
    on_progress: Progress | None = None,
) -> Path:
    """Fine-tune the classifier folder `base` (see `base_classifier`) on `train`; write the folder `out`.

    A killed or interrupted run leaves no `out`; the same call resumes it, with the same weights as an uninterrupted run.

    Args:
        base: Folder of the base classifier.
        train: Training sentences.
        dev: Scored after the last epoch and recorded; may be empty. With `patience` the weights are chosen by it.
        out: Folder to write; returned at once if it was made from the same base, data and settings before.
        settings: None: the defaults.
        locale: For the model card.
        metric: Of the development data; recorded as `dev_<metric>`.
        report_to: The Trainer's own integrations that log the training: trackio, mlflow, wandb.
        keep_every: Seconds between checkpoints, which are saved beside `out`.
        on_progress: Called with (step, total steps, "loss 0.52") after every step.

    Raises:
        UsageError: Invalid settings, or labels that the base lacks.
        CheckpointError: The base cannot be read.
        UnavailableError: peft or an integration is not installed.
        MuError: `out` was made in another way, or the loss is not finite.
    """
    settings = resolved(settings or FinetuneSettings())
    if not train:
        raise UsageError("no training sentences.")
    check(settings)
    if settings.patience and not dev:
        raise UsageError("patience needs development data, and the data have none.")
    made = {
        "base": build_record.hashes(model_files(base)),
        "data": {"train": fingerprint(train), "dev": fingerprint(dev)},
        "settings": as_record(settings),
    }
    if build_record.already(out, RECORD, made):
        return out
    started = time.monotonic()
    with new_folder(out) as folder, checkpoints.beside(out, made) as kept:
        limit = limits.TimeLimit(settings.max_minutes) if settings.max_minutes else None
        chosen = limits.sampled(train, settings.max_train_samples, settings.seed)

        def attempt(parts: int) -> BucketedTrainer:
            torch.manual_seed(settings.seed)
            model, tokenizer = load(base)
            check_labels(model, [*train, *dev], base)
            keeper = Keeper(kept, keep_every)
            one = prepared(
                model, tokenizer, chosen, dev, keeper, settings, on_progress, report_to, metric, parts
            )
            if limit:
                one.add_callback(limit)
            from_step = checkpoints.last(kept)
            with quiet():
                one.train(resume_from_checkpoint=str(from_step) if from_step else None)
            return one

        trainer, parts = limits.until_it_fits(attempt, settings.batch_size, on_progress)
        model: Any = trainer.model
        train = chosen
        figures: dict[str, Any] = {
            f"dev_{metric}": dev_value(trainer, metric) if dev else None,
            "dev_items": len(dev),
        }
        if parts > 1:
            figures["batch_parts"] = parts
        if limit and limit.reached:
            figures["stopped_after_epochs"] = round(trainer.state.epoch or 0, 3)
        if settings.patience:
            figures["epochs"] = round(trainer.state.epoch or 0)
            figures[f"best_dev_{metric}"] = round(float(trainer.state.best_metric or 0), 4)
        seconds = round(time.monotonic() - started, 1)
        if settings.lora_rank:
            model = lora.whole(model, base, folder / lora.FOLDER)
        save(model, folder)
        copy_tokenizer(base, folder)
        packages = build_record.versions("torch", "transformers")
        more: dict[str, Any] = {"locale": locale or None, "train_items": len(train), **figures}
        more |= {"threads": torch.get_num_threads(), "seconds": seconds, "versions": packages}
        build_record.write(folder, RECORD, made, **more)
        write_card(folder, base, locale, train, figures, settings, metric)
    return out


def check_labels(model: PreTrainedModel, items: Sequence[Item], base: Path) -> None:
    """Raise UsageError if the data have labels that the base lacks."""
    unknown = sorted({label for item in items for label in item.labels} - set(label_index(model)))
    if unknown:
        shown = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
        raise UsageError(
            f"the data has labels that the base does not have: {shown}.",
            where=str(base),
            hint="Remove that folder: the next mu train writes it anew, with the labels of all locales.",
        )


def label_index(model: PreTrainedModel) -> dict[str, int]:
    """Return label → row of the head."""
    return {label: int(i) for label, i in (model.config.label2id or {}).items()}


def prepared(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Item],
    dev: Sequence[Item],
    keeper: Keeper,
    settings: FinetuneSettings,
    on_progress: Progress | None,
    report_to: Sequence[str],
    metric: str = "accuracy",
    parts: int = 1,
) -> BucketedTrainer:
    """Return a Trainer for the model; its tokenizer pads, and −100 marks positions without a label.

    parts  into which each batch is divided, to save memory
    """
    set_dropout(model, settings)
    freeze(model, settings)
    if settings.lora_rank:
        model = lora.wrapped(model, settings.lora_rank, settings.lora_alpha)
    wise = settings.patience is not None
    callbacks: list[TrainerCallback] = [Narrator(on_progress), keeper]
    if settings.patience:
        callbacks.append(EarlyStoppingCallback(settings.patience))
    trainer = BucketedTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(keeper.folder),
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=max(EVAL_BATCH // parts, 1),
            gradient_accumulation_steps=parts * (settings.accumulate or 1),
            seed=settings.seed,
            bf16=bool(settings.bf16),
            use_cpu=not torch.cuda.is_available(),
            save_strategy="epoch" if wise else "no",
            eval_strategy="epoch" if wise else "no",
            save_total_limit=1,
            load_best_model_at_end=wise,
            metric_for_best_model=metric if wise else None,
            greater_is_better=find(metric).higher_is_better if wise else None,
            restore_callback_states_from_checkpoint=True,
            logging_steps=1,
            logging_nan_inf_filter=False,
            report_to=checked(report_to),
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=encoded(tokenizer, train, model, settings.max_tokens),
        eval_dataset=encoded(
            tokenizer, sorted(dev, key=lambda item: len(item.text)), model, settings.max_tokens
        ),
        data_collator=(DataCollatorForTokenClassification if train[0].tokens else DataCollatorWithPadding)(
            tokenizer
        ),
        compute_metrics=partial(measured, metric=metric, labels=label_names(model)),
        callbacks=callbacks,
        optimizers=optimizer(
            model,
            settings,
            -(-len(train) // (settings.batch_size * (settings.accumulate or 1))) * settings.epochs,
        ),
    )
    trainer.parts = parts
    trainer.remove_callback(PrinterCallback)  # it would print on stdout
    return trainer


def checked(report_to: Sequence[str]) -> list[str]:
    """Return the integrations. Raises UsageError for an unknown one, UnavailableError for one not installed."""
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in report_to:
        if name not in INTEGRATION_TO_CALLBACK:
            raise UsageError(
                f"unknown integration {name!r} in report_to.",
                hint=f"It is one of: {', '.join(sorted(INTEGRATION_TO_CALLBACK))}.",
            )
        if name not in get_available_reporting_integrations():
            raise UnavailableError(f"{name} is not installed.", hint=f"Install it with: pip install {name}")
    return list(report_to)


def set_dropout(model: PreTrainedModel, settings: FinetuneSettings) -> None:
    """Set the dropout of every layer, if the settings have one."""
    if settings.dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = settings.dropout


def freeze(model: PreTrainedModel, settings: FinetuneSettings) -> None:
    """Exclude the embeddings and the first layers from training."""
    encoder: Any = model.base_model
    frozen: list[torch.nn.Module] = []
    if settings.freeze_embeddings:
        frozen.append(getattr(encoder, "embeddings", encoder.get_input_embeddings()))
    if settings.freeze_layers:
        layers = getattr(getattr(encoder, "encoder", encoder), "layer", None)
        if layers is None or settings.freeze_layers > len(layers):
            raise UsageError(
                f"freeze_layers is {settings.freeze_layers}; this encoder has {len(layers or ())} layers."
            )
        frozen += layers[: settings.freeze_layers]
    for module in frozen:
        module.requires_grad_(False)


def optimizer(
    model: PreTrainedModel, settings: FinetuneSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Build AdamW (Loshchilov & Hutter 2019) with two learning rates, without decay of biases and norms."""
    inside = {id(p) for p in lora.unwrapped(model).base_model.parameters()}
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for p in model.parameters():
        if p.requires_grad:
            groups.setdefault((id(p) in inside, p.ndim > 1), []).append(p)
    rates = {True: settings.learning_rate, False: settings.head_learning_rate}
    adam = torch.optim.AdamW(
        [
            {"params": ps, "lr": rates[encoder], "weight_decay": settings.weight_decay if decays else 0.0}
            for (encoder, decays), ps in groups.items()
        ],
        fused=True,
    )
    rising = max(1, round(settings.warmup * steps))

    def factor(step: int) -> float:
        return min((step + 1) / rising, (steps - step) / max(1, steps - rising), 1.0)

    return adam, torch.optim.lr_scheduler.LambdaLR(adam, factor)


def encoded(
    tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], model: PreTrainedModel, max_tokens: int
) -> list[dict[str, Any]]:
    """Return token ids, mask and label index per item.

    For words, return an index per token, −100 for tokens that do not begin a word.
    """
    if not items:
        return []
    index = label_index(model)
    if items[0].tokens:
        ids, firsts = encode_words(tokenizer, [item.tokens for item in items], max_tokens)
        found = []
        for row, item, places in zip(ids, items, firsts, strict=True):
            at = {place: index[label] for place, label in zip(places, item.labels, strict=True) if place >= 0}
            found.append(
                {
                    "input_ids": row,
                    "attention_mask": [1] * len(row),
                    "labels": [at.get(i, -100) for i in range(len(row))],
                }
            )
        return found
    rows = tokenizer([item.text for item in items], truncation=True, max_length=max_tokens)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": index[item.label]}
        for ids, mask, item in zip(rows["input_ids"], rows["attention_mask"], items, strict=True)
    ]


class Buckets(Sampler[list[int]]):
    """Batches of sentences of similar length, in an order that depends on seed and epoch only."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the Trainer calls it, also when it resumes within an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self.seed}/{self.epoch}")
        self.epoch += 1
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        pool = self.batch_size * POOL
        order = [
            i
            for at in range(0, len(order), pool)
            for i in sorted(order[at : at + pool], key=self.lengths.__getitem__)
        ]
        batches = [order[at : at + self.batch_size] for at in range(0, len(order), self.batch_size)]
        rng.shuffle(batches)
        return iter(batches)


class BucketLoader(DataLoader):
    """Data loader that forwards the epoch set by the Trainer to its batches."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the Trainer calls it, also when it resumes within an epoch."""
        buckets: Any = self.batch_sampler
        buckets.set_epoch(epoch)


class BucketedTrainer(Trainer):
    """Trainer that pads less: sentences of similar length share a batch."""

    parts = 1  # into which each batch is divided

    def get_train_dataloader(self) -> DataLoader:
        """Return a loader of batches of similar length."""
        rows: Any = self.train_dataset
        lengths = [len(row["input_ids"]) for row in rows]
        sampler: Any = Buckets(lengths, self.args.per_device_train_batch_size, self.args.seed)
        if self.parts > 1:
            sampler = limits.Parts(sampler, self.parts)
        return BucketLoader(rows, batch_sampler=sampler, collate_fn=self.data_collator)


class Narrator(TrainerCallback):
    """Callback that reports progress, and stops the training if the loss is not finite."""

    def __init__(self, on_progress: Progress | None) -> None:
        self.on_progress = on_progress

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        """Report the loss. Raises MuError if it is not finite."""
        del args, control, kwargs
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not np.isfinite(loss):
            raise MuError(
                f"the loss became {loss} in step {state.global_step}.",
                hint="Try a smaller learning rate (--learning-rate), or --no-bf16.",
            )
        if self.on_progress:
            self.on_progress(state.global_step, state.max_steps, f"loss {loss:.2f}")


class Keeper(TrainerCallback):
    """Callback that saves a checkpoint at a fixed interval in seconds."""

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self.every, self.kept = folder, every, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Request a checkpoint if the interval has passed."""
        del args, state, kwargs
        if time.monotonic() - self.kept >= self.every:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint as complete and restart the interval."""
        del args, control, kwargs
        checkpoints.complete(self.folder, state.global_step)
        self.kept = time.monotonic()


def measured(prediction: EvalPrediction, *, metric: str, labels: Sequence[str]) -> dict[str, float]:
    """Return metric → value on the development data."""
    best, gold = np.asarray(prediction.predictions).argmax(-1), np.asarray(prediction.label_ids)
    names, used = np.array(labels), find(metric)
    if gold.ndim == 1:
        return {metric: used.value(used.statistics(names[gold].tolist(), names[best].tolist()))}
    pairs = [(names[a[a >= 0]], names[b[a >= 0]]) for a, b in zip(gold, best, strict=True)]
    statistics = used.statistics([" ".join(a) for a, _ in pairs], [" ".join(b) for _, b in pairs])
    return {metric: used.value(statistics)}


def label_names(model: PreTrainedModel) -> list[str]:
    """Return the labels in the order of the head."""
    return sorted(index := label_index(model), key=index.__getitem__)


def dev_value(trainer: Trainer, metric: str) -> float:
    """Return the value on the development data."""
    return round(trainer.evaluate()[f"eval_{metric}"], 4)


def resolved(settings: FinetuneSettings) -> FinetuneSettings:
    """Return the settings with `bf16` decided, so that equal settings are equal arithmetic."""
    return settings if settings.bf16 is not None else replace(settings, bf16=has_bf16())


def has_bf16(processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether bfloat16 is faster here, by hardware flags; a timing would differ between runs.

    On a CPU only matrix units (AMX) count: with vector instructions alone (avx512_bf16) training was not faster.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    try:
        text = processor.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False  # not Linux: no promise
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return "amx_bf16" in flags.partition(":")[2].split()


def write_card(
    folder: Path,
    base: Path,
    locale: str,
    train: Sequence[Item],
    figures: dict[str, Any],
    settings: FinetuneSettings,
    metric: str = "accuracy",
) -> None:
    """Write the model card."""
    scored = (
        f"{find(metric).unit.show(figures[f'dev_{metric}'], 1)} of {figures['dev_items']} development sentences"
        if figures["dev_items"]
        else "not scored"
    )
    lora_text = f" of LoRA, rank {settings.lora_rank}" if settings.lora_rank else ""
    body = f"""
A classifier fine-tuned on {len(train):,} sentences{f" of {locale}" if locale else ""}.

- Started from: `{base.name}` (hashes in `{RECORD}`). Its licence is that of the base.
- {"Accuracy" if metric == "accuracy" else metric}: {scored}.
- {figures.get("epochs", settings.epochs)} epochs{lora_text}, learning rate {settings.learning_rate:g} (head {settings.head_learning_rate:g}),
  batches of {settings.batch_size}, seed {settings.seed}; everything else in `{RECORD}`.
"""
    languages = [locale.split("-")[0]] if locale else []
    build_record.card(
        folder, license=None, title=f"Classifier {locale}".strip(), body=body, languages=languages
    )
