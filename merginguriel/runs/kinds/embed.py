"""Runs of kind `embed`: one embedder trained on pairs or triples, or one per script family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merginguriel.config.schema import Config, Embed
from merginguriel.embedding import architecture, training
from merginguriel.embedding.architecture import Shape
from merginguriel.embedding.losses import TAUGHT
from merginguriel.embedding.training import RECORD, Settings, Window, ranks
from merginguriel.errors import CheckpointError, UsageError
from merginguriel.evaluation.predictions import fingerprint
from merginguriel.models import build_record
from merginguriel.models.base_models import embedder_base
from merginguriel.runs.run_store import Run
from merginguriel.runs.worker import Outcome, Tell
from merginguriel.tasks.pairs import Example, read, text_hash
from merginguriel.workspace import Workspace

from .shared_steps import with_losses

MINING = ("mine_ranks", "mine_margin", "mine_highest")
KEPT = ("parameters", "seconds", "loss", "usage")  # of the record of a training, in the result of the run


@dataclass(frozen=True)
class EmbedderPlan:
    """What a run trains. window: where negatives are mined, or None; families: a model per script family."""

    examples: Sequence[Example]
    shape: Shape
    settings: Settings
    window: Window | None
    teacher: Path | None
    families: bool


def run(run: Run, space: Workspace, tell: Tell) -> Outcome:
    """Carry out the run."""
    config, plan = run.config, plan_of(run.config)
    tell.step("make the base")
    base, examples = embedder_base(str(config.base), space), plan.examples
    if plan.window:
        tell.step("mine negatives")
        examples = training.mine(architecture.load(base), examples, plan.window)
    out = Path(config.embed.out) if config.embed.out else space.embedders / run.id
    parts = training.by_family(examples) if plan.families else {out.name: examples}
    models = []
    for number, (name, part) in enumerate(parts.items(), 1):
        folder = out / name if plan.families else out
        if not build_record.already(
            folder, RECORD, training.made_by(base, part, plan.shape, plan.settings, plan.teacher)
        ):
            tell.step(f"train {name} ({number} of {len(parts)})")
            training.train(
                base, part, folder, plan.shape, plan.settings, teacher=plan.teacher,
                keep_every=60 * config.embed.checkpoint_minutes,
                on_parameters=lambda counted: tell.note(trainable(counted)), on_progress=with_losses(tell, name),
            )  # fmt: skip
        record = build_record.read(folder / RECORD)
        if lacking := [key for key in KEPT if key not in record]:
            what, hint = (
                f"another program wrote this record: it lacks {', '.join(lacking)}.",
                "Name a new folder: --out",
            )
            raise CheckpointError(what, where=str(folder / RECORD), hint=hint)
        kept = {key: record[key] for key in KEPT}
        models.append({"folder": space.display(folder), "examples": len(part), **kept})
    context = f"{config.task}/{Path(str(config.base)).name.lower()}"
    data, weights = text_hash(plan.examples), fingerprint(base)
    result = {"kind": "embed", "data": data, "base_weights": weights, "context": context, "seed": config.seed}
    return Outcome({**result, "models": models, "path": space.display(out)})


def trainable(counted: dict[str, tuple[int, int]]) -> str:
    """Return the numbers of trainable parameters of each part in a line."""
    return f"trainable parameters: {', '.join(f'{part} {own:,} of {total:,}' for part, (own, total) in counted.items())}"


def plan_of(config: Config) -> EmbedderPlan:
    """Return the plan of a configuration, with its pairs read. Raises MuError for invalid data or options."""
    given = config.embed
    shape = Shape(
        given.pooling, given.head, given.out_dim, given.hidden, given.experts, given.families, given.lora_rank,
        given.lora_last, given.freeze,
    )  # fmt: skip
    settings = Settings(
        given.loss, given.epochs, given.steps, given.batch_size, given.learning_rate, given.head_learning_rate,
        given.margin, given.max_tokens, config.seed, given.query_prompt, given.document_prompt,
    )  # fmt: skip
    learned = shape.head != "none" or shape.pooling == "attention" or shape.pooling.startswith("learned:")
    unmined = [name for name in MINING if getattr(given, name) != getattr(Embed(), name) and not given.mine]
    for option, unused, needed in (
        ("--lora-families", given.lora_families and not shape.rank, "--lora-rank 16"),
        ("--lora-last", shape.last and not shape.rank, "--lora-rank 16"),
        ("--family", shape.families and shape.head != "family", "--head family"),
        ("--hidden", shape.hidden and shape.head not in ("mlp", "residual"), "--head mlp"),
        ("--margin", given.margin is not None and given.loss not in ("triplet", "circle"), "--loss triplet"),
        ("--teacher", given.teacher and given.loss not in TAUGHT, "--loss distill"),
        ("--experts", given.experts != Embed().experts and shape.head != "experts", "--head experts"),
        ("--head-learning-rate", given.head_learning_rate is not None and not learned, "--head linear"),
        *((f"--{name.replace('_', '-')}", True, "--mine 5") for name in unmined),
    ):
        if unused:
            raise UsageError(f"{option} has no effect here.", hint=f"Add: {needed}")
    if shape.rank and shape.frozen:
        raise UsageError("--freeze leaves nothing for --lora-rank to adapt.", hint="Leave out one of them.")
    limits = *ranks(given.mine_ranks), given.mine_margin, given.mine_highest
    window = Window(given.mine, *limits) if given.mine else None
    examples, teacher = read(Path(str(config.data))), Path(given.teacher) if given.teacher else None
    training.check(examples, settings, teacher, mined=bool(window))
    contrast = {text for one in examples for text in (one.positive, *one.negatives)}
    if settings.loss != "distill" and len(contrast) < 2:
        what = "all pairs have the same document, from which nothing is learned."
        raise UsageError(what, where=str(config.data), hint="Add pairs with other documents.")
    if window:
        window.end(len({one.positive for one in examples}))
    shape = training.with_families(shape, examples)
    return EmbedderPlan(examples, shape, settings, window, teacher, given.lora_families)
