"""`mu embed compose`: study the languages of queries, positives and negatives, and merge the specialists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from merginguriel.errors import UsageError

from .common import LOCALE, columns, emit, json_option, say, space, workspace_option
from .progress import Bar
from .study import trust_option

Command = Callable[..., Any]


def training_options(*, batch: int) -> Callable[[Command], Command]:
    """Add the options that `train` and `compose` share. batch: default of --batch-size."""
    options = (
        click.option(
            "--base", default="e5-small", show_default=True, help="e5-small, a folder, or a name on the hub."
        ),
        click.option(
            "--mine-ranks", default="50-300", show_default=True, metavar="A-B", help="Ranks of the hard negatives."
        ),
        click.option("--epochs", type=float, default=1.0, show_default=True),
        click.option("--steps", type=click.IntRange(min=0), default=0, help="Optimizer steps; 0: by --epochs."),
        click.option("--batch-size", "batch", type=click.IntRange(min=2), default=batch, show_default=True),
        click.option("--learning-rate", type=float, default=5e-5, show_default=True),
        click.option("--max-tokens", type=click.IntRange(min=2), default=64, show_default=True),
        click.option("--seed", type=int, default=0, show_default=True),
        trust_option, json_option, workspace_option,
    )  # fmt: skip

    def around(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return around


@click.command(short_help="Study the languages of training data, and merge the specialists.")
@click.option("--locale", "locales", type=LOCALE, multiple=True, required=True, help="Two locales.")
@click.option("--data", default="home", show_default=True,
              help="Parallel text: home, a JSONL/TSV file with query_LANG and positive_LANG, or a folder like Belebele or StrategyQA.")  # fmt: skip
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the study. Default: models/embed/compose-LANG-LANG.",
)
@click.option(
    "--report", type=click.Path(path_type=Path), help="Folder of report and figure. Default: --out."
)
@click.option(
    "--size",
    type=click.IntRange(min=20),
    default=500,
    show_default=True,
    help="Most queries taken from home.",
)
@click.option(
    "--negatives", type=click.IntRange(min=1), default=5, show_default=True, help="Hard negatives per query."
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    default=("average",),
    show_default=True,
    help="Merge method; repeat.",
)
@click.option("--pooling", default="mean", show_default=True, help="As for mu embed train.")
@click.option(
    "--lora-rank", type=click.IntRange(min=0), default=0, help="LoRA instead of training the whole base."
)
@click.option("--loss", default="mnrl", show_default=True)
@training_options(batch=16)
@click.option("--dry-run", is_flag=True, help="Print the sizes of the data; train nothing.")
def compose(
    locales: tuple[str, ...],
    data: str,
    base: str,
    out: Path | None,
    report: Path | None,
    size: int,
    negatives: int,
    mine_ranks: str,
    methods: tuple[str, ...],
    pooling: str,
    lora_rank: int,
    dry_run: bool,
    as_json: bool,
    workspace_path: Path | None,
    **given: Any,
) -> None:
    """Train on all eight compositions D(query, positive, negative language), score four directions, merge, and report.

    A study that was interrupted continues with the models that it has; other settings need another --out.
    entry.md in its folder is for: mu log add

    \b
    mu embed compose --locale ko-KR --locale en-US
    mu embed compose --locale ko-KR --locale en-US --data belebele/ --method average --method slerp
    """
    from merginguriel.embedding import compose as study_of
    from merginguriel.embedding import compose_report
    from merginguriel.embedding.architecture import Shape
    from merginguriel.embedding.train import Settings, Window
    from merginguriel.study import composition_rows
    from merginguriel.tasks import parallel
    from merginguriel.version import measured_by
    from merginguriel.workspace import writable

    if len(locales) != 2:
        raise UsageError(
            f"a study has two locales, got {len(locales)}.", hint="--locale ko-KR --locale en-US"
        )
    window = Window(negatives, *ranks(mine_ranks))
    seed = given["seed"]
    text = parallel.load(data, *locales, seed=seed, size=size)
    short = "-".join(tag.partition("-")[0] for tag in text.locales)
    learn, held = text.split(seed=seed)
    if dry_run:
        sizes = {
            "train": len(learn.relevant),
            "test": len(held.relevant),
            "documents": len(held.documents[text.locales[0]]),
        }
        emit(sizes) if as_json else click.echo(columns([[name, str(count)] for name, count in sizes.items()]))
        return
    folder = out or writable(space(workspace_path)).models / "embed" / f"compose-{short}"
    texts = [t for side in (text.queries, text.documents) for table in side.values() for t in table.values()]
    plan = study_of.Plan(
        text, base_folder(base, workspace_path, texts), folder, Shape(pooling=pooling, rank=lora_rank),
        Settings(**given), window, methods,
    )  # fmt: skip
    with Bar("compose") as bar:
        found = study_of.study(plan, on_progress=bar, note=lambda words: bar(0, 0, words))
    path = compose_report.write(plan, found, report or folder, measured_by() or "this program")
    base_name = Path(base).name.lower()
    title = f"Languages of training data for retrieval: {short} with {base_name}"
    (folder / "entry.md").write_text(composition_rows.entry(plan, found, base_name, title), encoding="utf-8")
    if as_json:
        models = {n: {d: found.value(n, [d]) for d in (*found.within, *found.cross)} for n in found.scores}
        effects = [{**asdict(one), "found": asdict(one.found)} for one in found.effects]
        emit({"ndcg_at_10": models, "effects": effects, "merged": [found.specialist, found.mono], "pareto": sorted(found.pareto()),
              "report": str(path), "entry": str(folder / "entry.md")})  # fmt: skip
        return
    table = [
        [n, f"{found.value(n, found.within):.4f}", f"{found.value(n, found.cross):.4f}"] for n in found.scores
    ]
    click.echo(columns([["NDCG@10", "mono-lingual", "cross-lingual"], *table]))
    for one in found.effects:
        low, high = one.found.interval.low, one.found.interval.high
        click.echo(f"{one.found.difference:+.2f} pt  95% {low:+.2f} … {high:+.2f}  {one.name}")
    say(f"report: {path}\nTo log it: mu log add {folder / 'entry.md'} --anyway")


def ranks(text: str) -> tuple[int, int]:
    """Return the ends of a range of ranks such as 50-300. Raises UsageError."""
    first, sign, last = text.partition("-")
    if not (sign and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise UsageError(f"--mine-ranks {text!r} is not A-B with A below B.")
    return int(first), int(last)


def base_folder(name: str, workspace_path: Path | None, texts: Sequence[str] = ()) -> Path:
    """Return the folder of a base model, written into the workspace if it is e5-small or on the hub.

    texts  for e5-small: keep only the word pieces that these need
    """
    from merginguriel.models.base import base_model
    from merginguriel.models.build_record import text_hash
    from merginguriel.workspace import writable

    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    kept = f"-{text_hash(sorted(set(texts)))[:8]}" if texts and name == "e5-small" else ""
    out = writable(space(workspace_path)).models / "embed" / "bases" / f"{name.replace('/', '--')}{kept}"
    return base_model(name, out, texts=texts if kept else None)
