"""`mu embed`: train embedders, count tokens, score retrieval, and study the languages of training data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from merginguriel.errors import UsageError

from .common import LOCALE, columns, emit, json_option, say, space, workspace_option
from .embed_compose import compose
from .progress import ProgressLine
from .study import trust_option

POOLING = "mean, last, cls, max, sqrt (length-normalised), position, attention, 0.5*mean+0.5*max, or learned:mean+max."
HEAD = ("none", "linear", "mlp", "residual", "family", "experts")
LOSS = ("mnrl", "cached-mnrl", "infonce", "triplet", "circle", "distill", "gist")
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(short_help="Sentence embeddings: train, count tokens, score retrieval, study data.")
def embed() -> None:
    """Train sentence embedders, count tokens per language, score retrieval, and study the languages of training data.

    \b
    mu embed tokens --base e5-small --locale ko-KR --locale en-US
    mu embed train pairs.jsonl --base e5-small --out models/embed/first
    mu embed eval models/embed/first test.jsonl
    mu embed compose --locale ko-KR --locale en-US --base e5-small
    """


@embed.command(short_help="Train an embedder on pairs or triples.")
@click.argument("pairs", type=FILE)
@click.option("--base", default="e5-small", show_default=True, help="e5-small, a folder, or a name on the hub.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New folder of sentence-transformers.")  # fmt: skip
@click.option("--pooling", default="mean", show_default=True, help=POOLING)
@click.option("--head", type=click.Choice(HEAD), default="none", show_default=True)
@click.option("--out-dim", type=click.IntRange(min=1), help="Width of the vectors. Default: that of the base.")  # fmt: skip
@click.option("--hidden", type=click.IntRange(min=1), help="Width inside --head mlp and residual. Default: half the base's.")  # fmt: skip
@click.option("--experts", type=click.IntRange(min=2), default=4, show_default=True)
@click.option("--family", "families", multiple=True, help="Script family with a head of its own; repeat. Default: those of the data.")  # fmt: skip
@click.option("--lora-rank", type=click.IntRange(min=0), default=0, help="LoRA on query and value matrices; 0 trains the base.")  # fmt: skip
@click.option("--lora-last", type=click.IntRange(min=0), default=0, help="LoRA on the last N layers only; 0: all.")  # fmt: skip
@click.option("--lora-families", is_flag=True, help="One adapter per script family of the queries: a model each, OUT/FAMILY.")  # fmt: skip
@click.option("--freeze", is_flag=True, help="Train pooling and head only.")
@click.option("--loss", type=click.Choice(LOSS), default="mnrl", show_default=True)
@click.option("--teacher", type=click.Path(path_type=Path), help="Embedder for --loss distill and gist.")
@click.option("--margin", type=float, help="Of triplet (0.3) and circle (0.25).")
@click.option("--mine", type=click.IntRange(min=1), metavar="K", help="Mine K hard negatives per query with the base.")  # fmt: skip
@click.option("--mine-ranks", default="50-300", show_default=True, metavar="A-B", help="Ranks of the candidates.")  # fmt: skip
@click.option("--mine-margin", type=float, default=0.05, show_default=True,
              help="A candidate is at most (1 - this) times as similar as the positive.")  # fmt: skip
@click.option("--mine-highest", type=float, help="Largest similarity of a candidate.")
@click.option("--epochs", type=float, default=1.0, show_default=True)
@click.option("--steps", type=click.IntRange(min=0), default=0, help="Optimizer steps; 0: by --epochs.")
@click.option("--batch-size", "batch", type=click.IntRange(min=2), default=32, show_default=True)
@click.option("--learning-rate", type=float, default=5e-5, show_default=True)
@click.option("--head-learning-rate", "head_rate", type=float, help="Of pooling and head. Default: that of the base.")  # fmt: skip
@click.option("--max-tokens", type=click.IntRange(min=2), default=64, show_default=True)
@click.option("--query-prompt", default="", help="Text before queries; E5 models expect 'query: '.")
@click.option("--document-prompt", default="", help="Text before documents; E5 models expect 'passage: '.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--dry-run", is_flag=True, help="Print the trainable parameters of each part; train nothing.")
@trust_option
@json_option
@workspace_option
def train(
    pairs: Path, base: str, out: Path, dry_run: bool, as_json: bool, workspace_path: Path | None, **given: Any
) -> None:
    """Train an embedder on PAIRS (JSONL, TSV or CSV: query, positive and, optionally, negatives) into a new folder.

    The folder loads in sentence-transformers. The trainable parameters of each part are printed first.

    \b
    mu embed train pairs.jsonl --out models/embed/a --pooling attention --head linear --out-dim 256
    mu embed train pairs.tsv --out models/embed/b --lora-rank 16 --lora-last 4 --loss infonce --mine 5
    """
    from merginguriel.embedding import architecture, training
    from merginguriel.embedding.architecture import Shape
    from merginguriel.models.base_models import embedder_base
    from merginguriel.tasks.pairs import read

    if out.exists() and not dry_run:
        raise UsageError(f"{out} exists.", hint="Name a new folder.")
    window = window_of(given)
    examples = read(pairs)
    teacher, by_family = given.pop("teacher"), given.pop("lora_families")
    shape = Shape(
        given.pop("pooling"), given.pop("head"), given.pop("out_dim"), given.pop("hidden"), given.pop("experts"),
        given.pop("families"), given.pop("lora_rank"), given.pop("lora_last"), given.pop("freeze"),
    )  # fmt: skip
    if by_family and not shape.rank:
        raise UsageError("--lora-families needs a rank.", hint="Add: --lora-rank 16")
    settings = training.Settings(**given)
    folder = embedder_base(base, space(workspace_path))
    if dry_run:
        model = architecture.build(
            folder, training.with_families(shape, examples), max_tokens=settings.max_tokens
        )
        show_parameters(architecture.parameters(model), as_json)
        return
    if window:
        examples = training.mine(architecture.load(folder), examples, window)
    found = []
    for name, part in (training.by_family(examples) if by_family else {"": examples}).items():
        with ProgressLine(f"train {name}".strip()) as bar:
            made = training.train(
                folder, part, out / name if name else out, shape, settings, teacher=teacher,
                on_parameters=lambda counted: None if as_json else show_parameters(counted, False), on_progress=bar,
            )  # fmt: skip
        found.append(made)
    if as_json:
        plain = [
            {"folder": str(made.folder), "parameters": parameter_rows(made.parameters)} for made in found
        ]
        emit([{**asdict(made), **one} for made, one in zip(found, plain, strict=True)])
        return
    for made in found:
        click.echo(f"{made.folder}  loss {made.loss:.4f}  {made.seconds:.0f} s")
        if made.usage:
            say("load of the experts: " + ", ".join(f"{share:.2f}" for share in made.usage))


def window_of(given: dict[str, Any]) -> Any:
    """Remove the options of mining and return the window; None without --mine. Raises UsageError."""
    from merginguriel.embedding.training import Window, ranks

    k, text, margin, highest = (given.pop(f"mine{name}") for name in ("", "_ranks", "_margin", "_highest"))
    return Window(k, *ranks(text), margin, highest) if k else None


def parameter_rows(counted: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Return the numbers of parameters as JSON data."""
    return [{"part": part, "trainable": own, "all": total} for part, (own, total) in counted.items()]


def show_parameters(counted: dict[str, tuple[int, int]], as_json: bool) -> None:
    """Print trainable and all parameters by part."""
    if as_json:
        emit(parameter_rows(counted))
        return
    rows = [[part, f"{trainable:,}", f"{total:,}"] for part, (trainable, total) in counted.items()]
    click.echo(columns([["part", "trainable", "parameters"], *rows]))


@embed.command(short_help="Count tokens per sentence by language.")
@click.argument("files", nargs=-1, metavar="[LOCALE=FILE]...")
@click.option("--base", default="e5-small", show_default=True, help="Whose tokenizer: e5-small, a folder, or a name on the hub.")  # fmt: skip
@click.option("--locale", "locales", type=LOCALE, multiple=True, help="Locale of Home Assistant's sentences; repeat.")  # fmt: skip
@click.option("--figure", type=FILE, help="PNG file of a bar chart.")
@trust_option
@json_option
@workspace_option
def tokens(
    files: tuple[str, ...],
    base: str,
    locales: tuple[str, ...],
    figure: Path | None,
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """Print tokens per sentence by language, and which pooling their spread argues for.

    FILES are texts with a sentence a line, such as ko-KR=korean.txt.

    \b
    mu embed tokens --base e5-small --locale ko-KR --locale en-US --locale de-DE
    """
    from merginguriel.embedding import token_lengths
    from merginguriel.knowledge.parse.yaml_lines import read_text
    from merginguriel.models.base_models import embedder_base
    from merginguriel.models.classifier import load_tokenizer
    from merginguriel.models.sentence_transformer import body_folder
    from merginguriel.tasks import registry as tasks

    texts: dict[str, list[str]] = {}
    for text in files:
        locale, sign, path = text.partition("=")
        if not sign:
            raise UsageError(f"{text!r} is not LOCALE=FILE.")
        texts[locale] = [line for line in read_text(Path(path)).splitlines() if line.strip()]
    for locale in locales:
        texts[locale] = [item.text for item in tasks.load("home", locale).train]
    folder = embedder_base(base, space(workspace_path))
    rows = token_lengths.count(load_tokenizer(body_folder(folder)), texts)
    if figure:
        token_lengths.figure(rows, figure)
    if as_json:
        table = [asdict(one) for one in rows]
        advice = {"disparity": token_lengths.disparity(rows), "advice": token_lengths.argues_for(rows)}
        emit({"rows": table, **advice})
        return
    cells = [[r.locale, f"{r.mean:.1f}", f"{r.low:.0f} … {r.high:.0f}", f"{r.sentences:,}"] for r in rows]
    click.echo(columns([["locale", "tokens", "middle 80%", "sentences"], *cells]))
    say(token_lengths.argues_for(rows))


@embed.command("eval", short_help="Score retrieval: NDCG@10, recall, reciprocal rank.")
@click.argument("model", type=click.Path(path_type=Path, file_okay=False))
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option("--against", type=click.Path(path_type=Path, file_okay=False), help="Another embedder, compared on the same queries.")  # fmt: skip
@click.option("--mteb", "mteb_tasks", multiple=True, metavar="TASK", help="Run a task of mteb, if installed; repeat.")  # fmt: skip
@trust_option
@json_option
def evaluate(
    model: Path, data: Path | None, against: Path | None, mteb_tasks: tuple[str, ...], as_json: bool
) -> None:
    """Score MODEL on DATA: a file of pairs, or a folder with queries.jsonl, corpus.jsonl and qrels.jsonl.

    With --against, differences have paired 95% intervals over queries.

    \b
    mu embed eval models/embed/first test.jsonl --against models/embed/second
    mu embed eval models/embed/first --mteb STSBenchmark
    """
    from merginguriel.embedding import architecture, retrieval
    from merginguriel.evaluation.significance import value_interval
    from merginguriel.tasks import pairs, parallel

    if bool(data) == bool(mteb_tasks):
        raise UsageError("name either DATA or --mteb TASK.")
    if mteb_tasks:
        rows = retrieval.mteb(model, list(mteb_tasks), Path("results") / "mteb")
        emit(rows) if as_json else click.echo(columns([[str(v) for v in row.values()] for row in rows]))
        return
    if data is None:
        return
    texts = parallel.beir(data) if data.is_dir() else parallel.of_examples(pairs.read(data))
    ours = retrieval.measured(architecture.load(model), texts)
    seen = (
        retrieval.differences(ours, retrieval.measured(architecture.load(against), texts)) if against else {}
    )
    found: list[dict[str, Any]] = []
    table = [["metric", "value", "95%", *(["against", "difference, pt", "95%"] if against else [])]]
    for name, values in ours.items():
        low, high = value_interval(values, metric=name)
        found.append(
            {"metric": name, "value": float(values.mean()), "ci95": [low, high], "queries": len(values)}
        )
        table.append([name, f"{values.mean():.4f}", f"{low:.4f} … {high:.4f}"])
        if name in seen:
            one = seen[name]
            low, high = one.interval.low, one.interval.high
            found[-1] |= {"against": one.value_b, "difference_pt": one.difference, "difference_ci95": [low, high], "p": one.p}  # fmt: skip
            table[-1] += [f"{one.value_b:.4f}", f"{one.difference:+.2f}", f"{low:+.2f} … {high:+.2f}"]
    if as_json:
        emit(found)
        return
    click.echo(columns(table))
    say(f"{found[0]['queries']} queries, {len(texts.documents)} documents")


embed.add_command(compose)
