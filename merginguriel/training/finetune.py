"""Fine-tuning of a base classifier on one locale: transformers' Trainer, tuned for sentences on a CPU."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
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
from merginguriel.metrics.registry import find
from merginguriel.models import build_record
from merginguriel.models.base_models import model_files
from merginguriel.models.classifier import copy_tokenizer, load, save
from merginguriel.models.quiet_transformers import quiet
from merginguriel.tasks.registry import Item, fingerprint

from . import checkpoints, limits, lora
from .preparation import (
    BucketLoader,
    Buckets,
    check_labels,
    encoded,
    freeze,
    label_names,
    optimizer,
    resolved,
    set_dropout,
)
from .settings import FinetuneSettings, as_record, check

RECORD = "training.yaml"
EVAL_BATCH = 64
KEEP_EVERY = 600.0  # seconds between two checkpoints: what is shorter is trained again as quickly


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
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Fine-tune the classifier folder `base` (see `base_classifier`) on `train`; write the folder `out`.

    A killed or interrupted run leaves no `out`; the same call resumes it, with the same weights as an uninterrupted run.

    Args:
        base: Folder of the base classifier.
        dev: Scored after the last epoch and recorded; may be empty. With `patience` the weights are chosen by it.
        out: Folder to write; returned at once if it was made from the same base, data and settings before.
        locale: For the model card.
        metric: Of the development data; recorded as `dev_<metric>`.
        report_to: The Trainer's own integrations that log the training: trackio, mlflow, wandb.
        keep_every: Seconds between checkpoints, which are saved beside `out`.
        on_progress: Called with (step, total steps, "loss 0.52") after every step.
        more: Further entries of the record.

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
            keeper = checkpoints.Keeper(kept, keep_every)
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
            f"dev_{metric}": round(trainer.evaluate()[f"eval_{metric}"], 4) if dev else None,
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
        facts: dict[str, Any] = {
            "locale": locale or None,
            **(more or {}),
            "train_items": len(train),
            **figures,
        }
        facts |= {"threads": torch.get_num_threads(), "seconds": seconds, "versions": packages}
        build_record.write(folder, RECORD, made, **facts)
        write_card(folder, base, locale, train, figures, settings, metric)
    return out


def prepared(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Item],
    dev: Sequence[Item],
    keeper: checkpoints.Keeper,
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
    callbacks: list[TrainerCallback] = [TrainingNarrator(on_progress), keeper]
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


class BucketedTrainer(Trainer):
    """Trainer that pads less: sentences of similar length share a batch."""

    parts = 1  # into which each batch is divided

    def get_train_dataloader(self) -> DataLoader:
        """Return a loader of batches of similar length."""
        rows: Any = self.train_dataset
        lengths = [len(row["input_ids"]) for row in rows]
        sampler: Any = Buckets(lengths, self.args.per_device_train_batch_size, self.args.seed)
        if self.parts > 1:
            sampler = limits.SplitBatches(sampler, self.parts)
        return BucketLoader(rows, batch_sampler=sampler, collate_fn=self.data_collator)


class TrainingNarrator(TrainerCallback):
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


def measured(prediction: EvalPrediction, *, metric: str, labels: Sequence[str]) -> dict[str, float]:
    """Return metric → value on the development data."""
    best, gold = np.asarray(prediction.predictions).argmax(-1), np.asarray(prediction.label_ids)
    names, used = np.array(labels), find(metric)
    if gold.ndim == 1:
        return {metric: used.value(used.statistics(names[gold].tolist(), names[best].tolist()))}
    pairs = [(names[a[a >= 0]], names[b[a >= 0]]) for a, b in zip(gold, best, strict=True)]
    statistics = used.statistics([" ".join(a) for a, _ in pairs], [" ".join(b) for _, b in pairs])
    return {metric: used.value(statistics)}


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
    languages = [locale.split("-")[0]] if "-" in locale else []
    build_record.card(
        folder, license=None, title=f"Classifier {locale}".strip(), body=body, languages=languages
    )
