"""Training of an embedder with the trainer of sentence-transformers, and mining of hard negatives."""

from __future__ import annotations

import contextlib
import io
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from datasets import Dataset, disable_progress_bars
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.util import mine_hard_negatives

from merginguriel import files
from merginguriel.errors import CheckpointError, UsageError
from merginguriel.evaluation.predictions import fingerprint
from merginguriel.files import Progress
from merginguriel.models import build_record
from merginguriel.models.quiet_transformers import quiet
from merginguriel.tasks.pairs import Example, with_equal_negatives
from merginguriel.training import checkpoints, lora

from . import architecture, losses, mu_modules
from .architecture import Shape

RECORD = "embedding.yaml"
KEEP_EVERY = 300.0  # seconds between two checkpoints
AFTER_BASE = r"^(?!(loss\.)?model\.0\.)"  # names of parameters in a loss, without those of the base
WEIGHTS = "weights.pt"  # of a checkpoint: what is trained, in the model and in its loss


@dataclass(frozen=True)
class Settings:
    """Options of a training. steps: optimizer steps, 0 for `epochs` passes; batch: examples of a step."""

    loss: str = "mnrl"
    epochs: float = 1.0
    steps: int = 0
    batch: int = 32
    learning_rate: float = 5e-5
    head_rate: float | None = None
    margin: float | None = None
    max_tokens: int = 64
    seed: int = 0
    query_prompt: str = ""
    document_prompt: str = ""


@dataclass(frozen=True)
class Window:
    """Where hard negatives are mined.

    count     per query
    first, last  ranks of the candidates, of all documents by similarity
    relative  a candidate is at most (1 − relative) times as similar to the query as the positive is
    highest   largest similarity of a candidate
    """

    count: int = 5
    first: int = 50
    last: int = 300
    relative: float | None = 0.05
    highest: float | None = None

    def end(self, corpus: int) -> int:
        """Return the last rank within a number of documents. Raises UsageError if too few ranks are left."""
        last = min(self.last, corpus - 1)
        if last - self.first < self.count:
            what = (
                f"{corpus} documents have no ranks {self.first} to {self.last} with {self.count} negatives."
            )
            raise UsageError(what, hint="Choose earlier ranks: --mine-ranks 2-30")
        return last


def ranks(text: str) -> tuple[int, int]:
    """Return the ends of a range of ranks such as 50-300. Raises UsageError."""
    first, sign, last = text.partition("-")
    if not (sign and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise UsageError(f"mine-ranks {text!r} is not A-B with A below B.")
    return int(first), int(last)


@dataclass(frozen=True)
class Trained:
    """Result of a training: its folder, numbers of parameters by part, seconds, last loss, and load of the experts."""

    folder: Path
    parameters: dict[str, tuple[int, int]]
    seconds: float
    loss: float
    usage: tuple[float, ...] = field(default=())


def mine(model: SentenceTransformer, examples: Sequence[Example], window: Window) -> list[Example]:
    """Return the examples with mined negatives; those with too few candidates in the window are left out.

    Raises:
        UsageError: No example has enough candidates.
    """
    pairs = Dataset.from_dict(columns([Example(one.query, one.positive) for one in examples]))
    last = window.end(len({one.positive for one in examples}))
    # The function prints and draws progress bars.
    with quiet(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = mine_hard_negatives(
            pairs, model, range_min=window.first, range_max=last, max_score=window.highest,
            relative_margin=window.relative, num_negatives=window.count, output_format="n-tuple", verbose=False,
        )  # fmt: skip
    if not len(found):
        what = "no query has enough hard negatives in this window."
        raise UsageError(what, hint="Widen --mine-ranks, or leave out the margin.")
    names = [name for name in found.column_names if name not in ("query", "positive")]
    return [Example(row["query"], row["positive"], tuple(row[name] for name in names)) for row in found]


def train(
    base: Path,
    examples: Sequence[Example],
    out: Path,
    shape: Shape,
    settings: Settings,
    *,
    teacher: Path | None = None,
    keep_every: float = KEEP_EVERY,
    on_parameters: Any = None,
    on_progress: Progress | None = None,
) -> Trained:
    """Train an embedder and write it into the new folder `out`.

    A killed training leaves no `out`; the same call resumes it from its last checkpoint, with the same result.

    Args:
        base: Folder of a base model or embedder, whose transformer is trained.
        examples: With equal numbers of negatives, or all are cut to the smallest number.
        out: Folder of sentence-transformers to write, with `adapter` in it if LoRA was trained.
        teacher: Folder of the teacher of `distill`, or the guide of `gist`.
        keep_every: Seconds between checkpoints, which are saved beside `out`.
        on_parameters: Called with the numbers of parameters before the first step.

    Raises:
        UsageError: The options contradict each other or the data.
    """
    examples = with_equal_negatives(examples)
    check(examples, settings, teacher)
    transformers.set_seed(settings.seed)
    shape = with_families(shape, examples)
    prompts = {"query": settings.query_prompt, "document": settings.document_prompt}
    model = architecture.build(base, shape, max_tokens=settings.max_tokens, prompts=prompts)
    guide = architecture.load(teacher) if teacher else None
    loss = losses.find(
        settings.loss, model, teacher=guide, margin=settings.margin, batch=min(16, settings.batch)
    )
    counted = trained_parameters(model)
    if on_parameters:
        on_parameters(counted)
    data = columns(examples)
    if settings.loss == "distill" and guide is not None:
        both = [guide.encode([getattr(one, side) for one in examples]) for side in ("query", "positive")]
        data = {**{name: data[name] for name in ("query", "positive")}, "label": np.stack(both, 1).tolist()}
    start, made = time.monotonic(), made_by(base, examples, shape, settings, teacher)
    with files.new_folder(out) as folder, checkpoints.beside(out, made) as kept:
        keeper = checkpoints.Keeper(kept, keep_every)
        last = fit(model, loss, Dataset.from_dict(data), settings, prompts, keeper, on_progress)
        seconds = time.monotonic() - start
        loads = (tuple(m.usage.tolist()) for m in model if isinstance(m, mu_modules.MixtureOfExperts))
        usage = next(loads, ())
        if hasattr(model[0].model, "peft_config"):
            model[0].model = lora.whole(model[0].model, base, folder / lora.FOLDER)
        architecture.save(model, folder, card(base, shape, settings, len(examples)))
        build_record.write(
            folder, RECORD, made, parameters={part: list(counts) for part, counts in counted.items()},
            seconds=round(seconds, 1), loss=last, usage=[round(share, 4) for share in usage],
            versions=build_record.versions("sentence-transformers", "transformers", "torch"),
        )  # fmt: skip
    return Trained(out, counted, seconds, last, usage)


def trained_parameters(model: SentenceTransformer) -> dict[str, tuple[int, int]]:
    """Return the numbers of parameters by part. Raises UsageError if none is trained."""
    counted = architecture.parameters(model)
    if not any(trainable for trainable, _ in counted.values()):
        raise UsageError("nothing to train: the base is frozen, and neither pooling nor head has parameters.")
    return counted


def check(
    examples: Sequence[Example], settings: Settings, teacher: Path | None, *, mined: bool = False
) -> None:
    """Raise MuError where there are no steps, or the loss lacks its teacher or, unless they are `mined`, its negatives."""
    if not settings.steps and not settings.epochs:
        raise UsageError("nothing to train: --epochs is 0.", hint="Add: --steps 100")
    if teacher is not None and not teacher.is_dir():
        raise CheckpointError("no such model folder.", where=str(teacher), hint="--teacher FOLDER")
    lacking = not mined and not all(one.negatives for one in examples)
    if settings.loss in losses.WITH_NEGATIVES and lacking:
        hint = "Add a column `negative`, or mine them: --mine 5"
        raise UsageError(f"the loss {settings.loss} needs negatives.", hint=hint)
    if settings.loss in losses.TAUGHT and teacher is None:
        raise UsageError(f"the loss {settings.loss} needs a teacher.", hint="Add: --teacher FOLDER")


def made_by(
    base: Path, examples: Sequence[Example], shape: Shape, settings: Settings, teacher: Path | None = None
) -> dict[str, Any]:
    """Return what decides the result of a training, for its record."""
    examples, shape = with_equal_negatives(examples), with_families(shape, examples)
    texts = build_record.text_hash(t for one in examples for t in (one.query, one.positive, *one.negatives))
    made = {
        "base": base.name, "base_weights": fingerprint(base), "shape": {**asdict(shape), "families": list(shape.families)},
        "settings": asdict(settings), "examples": len(examples), "texts": texts,
    }  # fmt: skip
    return made if teacher is None else {**made, "teacher": fingerprint(teacher)}


def with_families(shape: Shape, examples: Sequence[Example]) -> Shape:
    """Return the shape with the families of the data where it names none. Raises UsageError for unknown ones in the data."""
    if shape.head != "family":
        return shape
    if unknown := [family for family in shape.families if family not in mu_modules.FAMILIES]:
        known = f"Families: {', '.join(mu_modules.FAMILIES)}."
        raise UsageError(f"unknown script family {unknown[0]!r}.", hint=known)
    texts = [text for one in examples for text in (one.query, one.positive, *one.negatives)]
    found = {family_of: text for text in texts if (family_of := mu_modules.family_of(text))}
    wanted = shape.families or tuple(name for name in mu_modules.FAMILIES if name in found)
    for family, text in found.items():
        if family not in wanted:
            place = (
                "a script of no known family" if family == "?" else f"the family {family}, which has no head"
            )
            hint = f"Families: {', '.join(mu_modules.FAMILIES)}. Heads here: {', '.join(wanted) or 'none'}."
            raise UsageError(f"the text {text!r} is in {place}.", hint=hint)
    return replace(shape, families=wanted)


def by_family(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Return script family → examples whose query is in it. Raises UsageError for a query in none."""
    found: dict[str, list[Example]] = {}
    for one in examples:
        family = mu_modules.family_of(one.query)
        if family in (None, "?"):
            known = f"Families: {', '.join(mu_modules.FAMILIES)}."
            raise UsageError(f"the query {one.query!r} is in no known script.", hint=known)
        found.setdefault(str(family), []).append(one)
    return found


def columns(examples: Sequence[Example]) -> dict[str, list[Any]]:
    """Return the columns query, positive, negative_1 … of the examples."""
    names = ["query", "positive", *(f"negative_{at + 1}" for at in range(len(examples[0].negatives)))]
    rows = ((one.query, one.positive, *one.negatives) for one in examples)
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


class ResumableTrainer(SentenceTransformerTrainer):
    """Trainer whose checkpoints contain what is trained, adapters and parameters of the loss included."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder, loss = Path(output_dir or str(self.args.output_dir)), cast("torch.nn.Module", self.loss)
        folder.mkdir(parents=True, exist_ok=True)
        fixed = {name for name, parameter in loss.named_parameters() if not parameter.requires_grad}
        weights = {name: value for name, value in loss.state_dict().items() if name not in fixed}
        torch.save(weights, folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        weights = torch.load(Path(resume_from_checkpoint) / WEIGHTS, weights_only=True)
        cast("torch.nn.Module", self.loss).load_state_dict(weights, strict=False)


class LossNarrator(transformers.TrainerCallback):
    """Callback that reports step and loss."""

    def __init__(self, tell: Progress) -> None:
        self.tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        """Report a step."""
        if logs and "loss" in logs:
            self.tell(state.global_step, state.max_steps, f"loss {logs['loss']:.4f}")


def fit(
    model: SentenceTransformer,
    loss: Any,
    data: Dataset,
    settings: Settings,
    prompts: dict[str, str],
    keeper: checkpoints.Keeper,
    tell: Progress | None,
) -> float:
    """Run the trainer, from the last checkpoint if there is one; return the mean loss of its last tenth."""
    texts = [name for name in data.column_names if name != "label"]
    after = any(re.match(AFTER_BASE, name) for name, _ in loss.named_parameters())
    by_column = {name: prompts["query" if name == "query" else "document"] for name in texts}
    model.model_card_data.widget = [{"text": ""}]  # none are computed: the card is the program's own
    with quiet():
        disable_progress_bars()
        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(keeper.folder), num_train_epochs=settings.epochs, max_steps=settings.steps or -1,
            per_device_train_batch_size=settings.batch, learning_rate=settings.learning_rate, warmup_steps=0.1,
            seed=settings.seed, batch_sampler=BatchSamplers.NO_DUPLICATES, save_strategy="no", save_total_limit=1,
            report_to="none", logging_steps=1, disable_tqdm=True, use_cpu=not torch.cuda.is_available(),
            dataloader_drop_last=False, prompts=by_column if any(by_column.values()) else None,
            learning_rate_mapping={AFTER_BASE: settings.head_rate} if after and settings.head_rate is not None else {},
        )  # fmt: skip
        callbacks = [keeper, *([LossNarrator(tell)] if tell else [])]
        trainer = ResumableTrainer(model, arguments, train_dataset=data, loss=loss, callbacks=callbacks)
        trainer.remove_callback(transformers.PrinterCallback)
        last = checkpoints.last(keeper.folder)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    model.eval()
    seen = [float(one["loss"]) for one in trainer.state.log_history if "loss" in one]
    return float(np.mean(seen[-max(1, len(seen) // 10) :])) if seen else float("nan")


def card(base: Path, shape: Shape, settings: Settings, examples: int) -> str:
    """Return the model card, which says what code the model needs."""
    own = shape.pooling == "attention" or "+" in shape.pooling or shape.head in ("family", "experts")
    argument = ", trust_remote_code=True" if own else ""
    file = "the file mu_modules.py of this folder, hence `trust_remote_code`"
    needs = f"It needs {file if own else 'no code of its own'}."
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [merginguriel, sentence-transformers, feature-extraction]
---
# Embedder on {base.name}

Pooling {shape.pooling}, head {shape.head}{f", LoRA of rank {shape.rank}, merged into the base" if shape.rank else ""}; trained with the
loss {settings.loss} on {examples:,} examples by MergingUriel.

```python
from sentence_transformers import SentenceTransformer
model = SentenceTransformer("FOLDER"{argument})
```

{needs}
"""
