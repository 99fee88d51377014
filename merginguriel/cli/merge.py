"""`mu merge`: the recipe that flags or a file mean, and its merge."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import UsageError
from merginguriel.files import bytes_of
from merginguriel.similarity import registry
from merginguriel.similarity.choice import Options

from .common import LOCALE, emit, json_option, say, space
from .progress import ProgressLine
from .similarity import choosing_options
from .study import FLAGS, make_study, study_flags, trust_option

if TYPE_CHECKING:
    from merginguriel.merging.recipe import Recipe
    from merginguriel.similarity.choice import Choice
    from merginguriel.study.study import Study


class Size(click.ParamType):
    """`2GB`, as bytes."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a size such as `2GB` in bytes."""
        try:
            return value if isinstance(value, int) else bytes_of(value)
        except ValueError as error:
            self.fail(f"it should be {error}.", param, ctx)


@dataclass(frozen=True)
class Flags:
    """Flags that say what is merged, beside the policies of the recipe."""

    method: str | None
    sources: tuple[str, ...]
    weights: tuple[float, ...]
    params: tuple[str, ...]
    target: str | None
    mode: str | None
    similarity: str | None
    k: int | None
    prepare: Options
    pretrained: Path | None
    preweight: str | None
    times: str | None
    text: str | None


@click.command(short_help="Merge models by a recipe.")
@click.argument("recipe_files", metavar="[RECIPE.yaml]", type=click.Path(path_type=Path), nargs=-1)
@click.option("--method", help="See: mu methods. `similarity` is linear with the weights of --similarity.")
@click.option("--source", "sources", multiple=True, metavar="LOCALE[=FOLDER]",
              help="A source model; repeat. Without: the best --k by --similarity.")  # fmt: skip
@click.option(
    "--weight",
    "weights",
    type=float,
    multiple=True,
    help="Weight of a source; one per source, in their order.",
)
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter of the method.")
@click.option("--target", type=LOCALE, help="The locale that the merge is for.")
@choosing_options()
@click.option(
    "--pretrained", type=click.Path(path_type=Path), help="Base of the task vectors. Default: the study's."
)
@click.option("--preweight", type=click.Choice(registry.preweights()),
              help="Weights from a similarity, for any method. Default: that of --similarity, for linear.")  # fmt: skip
@click.option("--times", type=click.Choice(registry.multipliers(), case_sensitive=False),
              help="Multiply the weights by the compatibility of a source with the others: see mu compat.")  # fmt: skip
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Merge only tensors of such names: *.layer.3.*"
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave such tensors as --excluded says.")
@click.option("--excluded", default="auto", show_default=True, metavar="POLICY",
              help="What excluded tensors are: base, mean, best (of the source with the greatest weight), source:NAME.")  # fmt: skip
@click.option("--heads", default="auto", show_default=True, metavar="POLICY",
              help="average or merge (by the method; labels aligned by name); auto: as suits the method; common (labels all "
              "share), base, fresh, source:NAME.")  # fmt: skip
@click.option("--embeddings", type=click.Choice(["merge", "base", "used"]), default="merge", show_default=True,
              help="used: merge only the embedding rows of tokens in --text.")  # fmt: skip
@click.option("--vocab", type=click.Choice(["common", "base", "union"]),
              help="Align the rows of the embeddings by token, and use the tokens that all sources have, those of the base, "
              "or those of any source. Default: vocabularies must be equal.")  # fmt: skip
@click.option("--text", metavar="FILE|sources", help="Sentences of the target, one a line, for a method that reads "
              "text. Default: its training text, without labels.")  # fmt: skip
@click.option("--trim-scope", type=click.Choice(["tensor", "model"]), default="tensor", show_default=True,
              help="What a density is a share of: each tensor, or the whole model.")  # fmt: skip
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of methods and heads that draw random numbers.",
)
@click.option(
    "--dtype", type=click.Choice(["float32", "float16", "bfloat16"]), help="Default: as the sources."
)
@click.option("--shard-size", type=Size(), help="Maximum size of a weights file, such as 2GB.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Default: models/TASK/BASE/merged/NAME in the workspace.",
)
@click.option("--dry-run", is_flag=True, help="Print the recipe and what it would write; merge nothing.")
@click.option("--mergekit", type=click.Path(path_type=Path), metavar="CONFIG.yaml",
              help="Merge by a mergekit configuration, for the methods that both programs have.")  # fmt: skip
@trust_option
@study_flags
@json_option
def merge(
    recipe_files: tuple[Path, ...],
    out: Path | None,
    mergekit: Path | None,
    dry_run: bool,
    as_json: bool,
    **policies: Any,
) -> None:
    """Merge models: by a RECIPE.yaml, by flags that build the same recipe, or by a mergekit configuration.

    With folders and --out it works anywhere, without a workspace.

    \b
    mu merge --method ties --source A --source B --pretrained P --out O
    mu merge --mergekit config.yaml --out O
    mu merge recipe.yaml --out merged/mine
    mu merge --method ties --source sv-SE --source nb-NO --target da-DK --param density=0.3
    mu merge --method similarity --similarity REAL --k 4 --target da-DK
    mu merge --method fisher_dataset --source sv-SE --source nb-NO --target da-DK
    """
    from merginguriel.merging.engine import merge as carry_out
    from merginguriel.merging.engine import plan
    from merginguriel.merging.recipe import dump_recipe, load_recipe, with_name
    from merginguriel.study.statistics_file import as_if_read, read_for

    recipe_file = one_recipe(recipe_files, policies["method"])
    named = {name: policies.pop(name) for name in FLAGS}
    policies["sources"] = tuple(map(with_name, policies["sources"]))
    flags = Flags(**{name: policies.pop(name) for name in Flags.__dataclass_fields__})
    ready = recipe_file is not None or mergekit is not None
    by_folder = bool(flags.sources) and all("=" in source for source in flags.sources)
    alone = out is not None and (
        ready or (by_folder and not flags.mode and not flags.similarity and not flags.preweight)
    )
    study = None if alone and not any(named.values()) and space(None).shipped else make_study(**named)
    if ready:
        refuse_flags_beside_a_recipe()
        recipe = load_recipe(recipe_file) if recipe_file else from_mergekit(mergekit)
    else:
        recipe = from_flags(study, flags, policies)
    path = out or needed(study).merged(recipe)
    if not dry_run:
        with ProgressLine(recipe.method) as bar:
            recipe = read_for(study, recipe, flags.text, beside=path, progress=bar)
        path = out or needed(study).merged(recipe)  # what was read from text is part of the name
    if dry_run:
        planned = plan(as_if_read(recipe))
        if as_json:
            emit({"out": str(path), **planned})
        else:
            click.echo(dump_recipe(recipe).rstrip())
            say("\n".join(in_words(planned, study.space.display(path) if study else str(path))))
        return
    with ProgressLine("merge") as bar:
        carry_out(recipe, path, on_progress=bar)
    emit({"path": str(path), "method": recipe.method}) if as_json else click.echo(path)


def from_mergekit(path: Path | None) -> Recipe:
    """Return the recipe of a mergekit configuration; print what of it has no effect."""
    from merginguriel.config.mergekit_file import load_mergekit
    from merginguriel.models.hub import snapshot

    assert path is not None
    found = load_mergekit(path, lambda name: snapshot(name).folder)
    for note in found.notes:
        say(f"note: {note}")
    return found.recipe


def needed(study: Study | None) -> Study:
    """Return the study. Raises UsageError without one."""
    if study is None:
        raise UsageError(
            "this needs a workspace: no folder is named for it.",
            hint="Name the folders (--source NAME=FOLDER, --pretrained FOLDER, --out FOLDER), or make one with: mu init",
        )
    return study


def one_recipe(given: Sequence[Path], method: str | None) -> Path | None:
    """Return the recipe file, if one is given. Raises UsageError for models, which other programs take in its place."""
    first = given[0] if given else None
    models = [one for one in given if one.is_dir() or (method and one.suffix not in (".yaml", ".yml"))]
    if models:
        sources = " ".join(f"--source {shlex.quote(str(one))}" for one in given)
        raise UsageError(
            f"{models[0]} is no recipe file: each model is named with --source.",
            hint=f"mu merge --method {method or 'METHOD'} {sources} --out FOLDER",
        )
    if len(given) > 1:
        raise UsageError(f"one recipe file at a time, got {len(given)}.", hint=f"First: mu merge {first}")
    return first


# Flags that do not change what a recipe says.
BESIDE_A_RECIPE = {"recipe_files", "mergekit", "out", "dry_run", "as_json", "trust_remote_code", *FLAGS}


def refuse_flags_beside_a_recipe() -> None:
    """Raise UsageError for a flag that a recipe file would silently overrule."""
    context = click.get_current_context()
    if context.params["recipe_files"] and context.params["mergekit"]:
        raise UsageError("give a recipe file or --mergekit, not both.")
    given = [
        option
        for option in context.command.params
        if option.name not in BESIDE_A_RECIPE
        and context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(
            f"give a recipe file or flags, not both: {given[0].opts[0]} is a part of the recipe.",
            hint="Write it into the file; `mu merge FLAGS --dry-run` prints the recipe that flags mean.",
        )


def in_words(planned: dict[str, Any], out: str) -> list[str]:
    """Return the lines that --dry-run prints about a plan."""
    lines = [
        f"would write {planned['bytes'] / 1e6:,.1f} MB to {out}",
        f"reads       {planned['bytes_read'] / 1e6:,.1f} MB; {planned['parameters'] / 1e6:,.1f} M parameters in "
        f"{planned['tensors']} tensors",
    ]
    for text, count in planned["how"].items():
        lines.append(f"{count:>11} {text}")
    time = planned["seconds"]
    about = (
        "not known: it depends on the text"
        if time is None
        else f"about {time:.1f} s"
        if time < 60
        else f"about {time / 60:.0f} min"
    )
    memory = planned["bytes_of_memory"] / 1e6
    return [
        *lines,
        f"time        {about}",
        f"memory      {memory:,.0f} MB for tensors, beside the program itself",
    ]


def from_flags(study: Study | None, flags: Flags, policies: dict[str, Any]) -> Recipe:
    """Return the recipe that the flags mean; sources by name are looked up in the study, if there is one.

    `policies` are fields of the recipe that have the names of their flags.
    """
    from merginguriel.merging import registry as methods
    from merginguriel.merging.recipe import recipe_from_flags
    from merginguriel.models.adapter_bases import announce, named_base
    from merginguriel.models.adapters import is_adapter
    from merginguriel.models.sentence_transformer import is_sentence_transformer
    from merginguriel.similarity import choice
    from merginguriel.study.study import need_trained

    if flags.method is None:
        raise UsageError("name a method with --method, or give a recipe file.", hint="See: mu methods")
    method, similarity, sources, target = flags.method, flags.similarity, flags.sources, flags.target
    if method == "similarity":
        method, similarity = "linear", similarity or "REAL"
    weights, mode, preweight, times = flags.weights, flags.mode, flags.preweight, flags.times
    pretrained = flags.pretrained
    # Before sources are looked for: training them would not help a misspelt method.
    known = methods.get(method)
    if preweight and weights:
        raise UsageError("give the weights, or let --preweight compute them, not both.")
    weigh = None if weights else choice.weighing(similarity, method, preweight, times)
    if times and not weigh:
        raise UsageError(
            "--times multiplies weights from a similarity, and none is given.",
            hint="Add: --similarity REAL or --preweight uriel, and no --weight",
        )
    kind = (similarity or weigh or "").partition("×")[0]
    if not sources and not kind:
        raise UsageError("name the sources with --source, or let --similarity REAL --k N choose them.")
    if kind and target is None:
        raise UsageError("--similarity needs --target: similar to what?")
    chosen = list(sources)
    if target and (kind or mode):
        folders = {s.partition("=")[0]: Path(s.partition("=")[2]) for s in sources if "=" in s}
        found = choose(needed(study), flags, kind, weigh, folders)
        named = dict(zip((s.partition("=")[0] for s in sources), sources, strict=True))
        chosen = [named.get(name, name) for name in found.names]
        weights = weights or (tuple(found.weights.values()) if weigh else ())
    names = [s for s in chosen if "=" not in s]
    trained = need_trained(needed(study), names) if names else {}
    named_paths = [f"{s}={trained[s]}" if s in trained else s for s in chosen]
    paths = [Path(s.partition("=")[2] or trained.get(s, s)) for s in chosen]
    adapters = [path for path in paths if is_adapter(path)]
    its_base = named_base(adapters[0]) if adapters and pretrained is None else None
    if its_base and its_base.folder:
        announce(adapters[0].name, its_base.folder)
        pretrained = its_base.folder
    needs_base = known.needs_base or policies_need_base(policies) or bool(adapters)
    base = pretrained or (study.root / "base" if needs_base and study else None)
    if base and not pretrained and not base.is_dir():
        hint = "Name the model that the sources were trained from: --pretrained FOLDER"
        raise UsageError(f"{method} needs a base, and {base} does not exist.", hint=hint)
    if target and mode is None:
        mode = "IncTar" if any(s.partition("=")[0] == target for s in named_paths) else "ExcTar"
    factor = (weigh or similarity or "").partition("×")[2]
    return recipe_from_flags(
        method,
        named_paths,
        weights=weights or None,
        params=flags.params,
        base=base,
        target=target,
        mode=mode,
        similarity=choice.label((f"{kind}×{factor}" if factor else kind) or None, flags.prepare),
        k=len(named_paths),
        context=study.context if study and not any(map(is_sentence_transformer, paths)) else None,
        preweight=weigh.partition("×")[0].lower() if weigh else preweight,
        text=Path(flags.text) if flags.text and flags.text != "sources" else None,
        **policies,
    )


def choose(study: Study, flags: Flags, kind: str, weigh: str | None, folders: dict[str, Path]) -> Choice:
    """Return the sources that the flags choose, with their weights.

    `kind` is the similarity that chooses, empty where none does; `weigh` the one that weighs; `folders` maps the sources
    that are named with a folder to it.
    """
    from merginguriel.similarity import choice
    from merginguriel.study.source_choice import inputs_of
    from merginguriel.study.study import need_trained

    trained, sources = study.trained(), flags.sources
    if flags.mode == "IncTar" and not sources and trained:
        need_trained(study, [str(flags.target)])
    with ProgressLine("weights") as bar:
        inputs = inputs_of(
            study, flags.prepare, models={**trained, **folders}, base=flags.pretrained, progress=bar
        )
        candidates = [s.partition("=")[0] for s in sources] or list(trained)
        found = choice.choose(
            str(flags.target), flags.mode, flags.k, kind or None, candidates=candidates, named=bool(sources),
            weigh=weigh, inputs=inputs, options=flags.prepare,
        )  # fmt: skip
    for note in found.notes:
        say(note)
    return found


def policies_need_base(policies: dict[str, Any]) -> bool:
    """Return whether a policy keeps something of the base."""
    takes_base = "base" in (policies["heads"], policies["excluded"], policies["vocab"])
    return takes_base or policies["embeddings"] != "merge"
