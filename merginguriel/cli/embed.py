"""`mu embed`: train embedders, count tokens, score retrieval, and study the languages of training data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from merginguriel.config.schema import Embed
from merginguriel.errors import UsageError
from merginguriel.models import remote_code
from merginguriel.text.numbers import count

from .common import LOCALE, columns, emit, json_option, say, space, workspace_option
from .embed_compose import compose, time_text
from .embed_nxn import nxn
from .run import carry_out, section_options
from .study import trust_option

OPTIONS = (
    "out", "pooling", "head", "out_dim", "hidden", "experts", "lora_rank", "lora_last", "lora_families", "freeze", "loss",
    "teacher", "margin", "mine", "mine_ranks", "mine_margin", "mine_highest", "epochs", "steps", "batch_size",
    "learning_rate", "head_learning_rate", "max_tokens", "query_prompt", "document_prompt", "checkpoint_minutes",
)  # fmt: skip
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(short_help="Sentence embeddings: train, count tokens, score retrieval, study data.")
def embed() -> None:
    """Train sentence embedders, count tokens per language, score retrieval, and study the languages of training data.

    \b
    mu embed tokens --base e5-small --locale ko-KR --locale en-US
    mu embed train pairs.jsonl --base e5-small --out models/embed/first
    mu embed eval models/embed/first test.jsonl
    mu embed nxn models/embed/first --locale ko-KR --locale en-US
    mu embed compose --locale ko-KR --locale en-US --base e5-small
    """


@embed.command(short_help="Train an embedder on pairs or triples.")
@click.argument("pairs", type=FILE)
@click.option("--base", default="e5-small", show_default=True, help="e5-small, a folder, or a name on the hub.")  # fmt: skip
@click.option("--family", "families", multiple=True, help="Script family with a head of its own: latin, cyrillic, cjk, arabic, indic, greek, other; repeat. Default: those of the data.")  # fmt: skip
@section_options("embed", OPTIONS, Embed())
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--detach", is_flag=True, help="Run in a process of its own, which outlives this terminal.")
@click.option(
    "--dry-run", is_flag=True, help="Print parameters, pairs, steps and expected time; train nothing."
)
@trust_option
@json_option
@workspace_option
def train(
    pairs: Path,
    base: str,
    seed: int,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    workspace_path: Path | None,
    **given: Any,
) -> int:
    """Train an embedder on PAIRS (JSONL, TSV or CSV: query, positive and, optionally, negatives) into a new folder.

    The training is a run of kind embed: the same command continues it from its last checkpoint.

    \b
    mu embed train pairs.jsonl --out models/embed/a --pooling attention --head linear --out-dim 256
    mu embed train pairs.tsv --lora-rank 16 --lora-last 4 --loss infonce --mine 5
    """
    from merginguriel.config.run_config import from_table
    from merginguriel.embedding import architecture, training
    from merginguriel.models.base_models import embedder_base
    from merginguriel.runs import planning, resolve, run_store
    from merginguriel.runs.kinds.embed import plan_of

    options = {name: value for name, value in given.items() if value not in (None, ())}
    trust = {"trust_remote_code": remote_code.trusted()}
    config = from_table(
        {"kind": "embed", "data": str(pairs), "base": base, "seed": seed, **trust, "embed": options}
    )
    plan = plan_of(config)  # errors in data and options come before the run
    where = space(workspace_path)
    resolved = resolve.resolved(config, where)
    if dry_run:
        model = architecture.build(embedder_base(str(config.base), where), plan.shape, max_tokens=2)
        counted = training.trained_parameters(model)
        parts = training.by_family(plan.examples) if plan.families else {"training": plan.examples}
        steps = {
            name: (len(part), planning.steps_of(config.embed, len(part))) for name, part in parts.items()
        }
        show_plan(counted, steps, planning.plan(where, resolved).seconds, as_json)
        return 0
    out, run = config.embed.out, run_store.run_id(resolved)
    if out and Path(out).exists() and not (where.runs / run).exists():
        raise UsageError(f"{out} exists.", hint="Name a new folder.")
    return carry_out(where, config, detach, as_json)


def show_plan(
    counted: dict[str, tuple[int, int]],
    steps: dict[str, tuple[int, int]],
    seconds: float | None,
    as_json: bool,
) -> None:
    """Print parameters by part, pairs and steps of each model, and the time that earlier runs let expect."""
    if as_json:
        parts = [{"part": part, "trainable": own, "all": total} for part, (own, total) in counted.items()]
        models = [{"model": name, "pairs": pairs, "steps": number} for name, (pairs, number) in steps.items()]
        emit({"parameters": parts, "models": models, "seconds": seconds})
        return
    rows = [[part, f"{own:,}", f"{total:,}"] for part, (own, total) in counted.items()]
    click.echo(columns([["part", "trainable", "parameters"], *rows]))
    for name, (pairs, number) in steps.items():
        click.echo(f"{name}: {count(pairs, 'pair')}, {count(number, 'step')}")
    click.echo(f"time: {time_text(seconds)}")


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

    if not (files or locales):
        raise UsageError(
            "no text to count.", hint="Name texts: --locale ko-KR for those of home, or ko-KR=FILE."
        )
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
    advice = token_lengths.argues_for(rows)
    if figure:
        token_lengths.figure(rows, figure)
    if as_json:
        emit(
            {
                "rows": [asdict(one) for one in rows],
                "disparity": token_lengths.disparity(rows),
                "advice": advice,
            }
        )
        return
    cells = [[r.locale, f"{r.mean:.1f}", f"{r.low:.0f} … {r.high:.0f}", f"{r.sentences:,}"] for r in rows]
    click.echo(columns([["locale", "tokens", "middle 80%", "sentences"], *cells]))
    say(advice)


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
    theirs = retrieval.measured(architecture.load(against), texts) if against else None
    seen = retrieval.differences(ours, theirs) if theirs else {}
    found: list[dict[str, Any]] = []
    table = [["metric", "value", "95%", *(["against", "difference, pt", "95%"] if against else [])]]
    for name, values in ours.items():
        mean, (low, high) = float(values.mean()), value_interval(values, metric=name)
        found.append({"metric": name, "value": mean, "ci95": [low, high], "queries": len(values)})
        table.append([name, f"{mean:.4f}", f"{low:.4f} … {high:.4f}"])
        if one := seen.get(name):
            low, high = one.interval.low, one.interval.high
            found[-1] |= {"against": one.value_b, "difference_pt": one.difference, "difference_ci95": [low, high], "p": one.p}  # fmt: skip
            table[-1] += [f"{one.value_b:.4f}", f"{one.difference:+.2f}", f"{low:+.2f} … {high:+.2f}"]
    emit(found) if as_json else click.echo(columns(table))
    say(f"{count(len(texts.relevant), 'query', 'queries')}, {count(len(texts.documents), 'document')}")


embed.add_command(compose)
embed.add_command(nxn)
