"""Merge recipes: method, parameters, base, sources and weights, from YAML or flags.

`load_recipe` and `recipe_from_flags` build the same object, checked and complete: missing parameters have
their defaults, and weights have the sum 1. Equal recipes give equal bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import fsum, isfinite
from pathlib import Path
from typing import Any, ClassVar

import yaml

from merginguriel.errors import MuError, UsageError
from merginguriel.files import bytes_of
from merginguriel.similarity import choice
from merginguriel.similarity import registry as similarities
from merginguriel.validation import Location, did_you_mean, mu_error

from . import registry
from .registry import Value

MODES = ("ExcTar", "IncTar")
HEADS = ("auto", "average", "merge", "base", "fresh", "common")
EMBEDDINGS = ("merge", "base", "used")
TRIMS = ("tensor", "model")
VOCABS = ("common", "base", "union")
EXCLUDED = ("auto", "base", "mean", "best")
STRICT = {"extra": "forbid"}  # for pydantic: an unknown key is an error
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


@dataclass(frozen=True)
class Source:
    """One model of a merge. sha256: digest by file name, written by a merge; if given, the file must match it.

    statistics    a safetensors file of what the model does on some text, for methods that need one
    coefficients  a factor on its task vector, for methods that learn one: by name of a tensor, else of a layer
                  (`embeddings`, `layer 0` …, `head`), else `all`
    """

    __pydantic_config__: ClassVar = STRICT
    name: str
    path: Path
    weight: float = 1.0
    sha256: Mapping[str, str] = field(default_factory=dict)
    statistics: Path | None = None
    coefficients: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """Everything needed to repeat a merge.

    weights of the sources: non-negative, and `check` brings them to the sum 1; a `signed` method takes any, as given
    base: the pretrained model with the sources' head, for methods that work on task vectors
    dtype: of the output (`float32`, `float16`, `bfloat16`); None for that of the sources
    target, mode, similarity, k, context: what the merge is for; they do not change the arithmetic
    preweight: origin of the weights: `equal`, `real` or `uriel`; None if they were given. For the record, too
    include, exclude: patterns of tensor names (`*.layer.3.*`) that the method merges, or leaves alone
    excluded: what the tensors are that it leaves alone: `base`, `mean` (weighted, of the sources), `best` (those of the
        source with the greatest weight, of equals the first), `source:NAME`, or `auto`: base if there is one, else mean
    heads: `average` (their weighted mean, rows aligned by label name), `merge` (by the method, rows likewise), `auto`
        (the one of these that the method declares; `check` fills it in), `base`, `fresh` (random, by the seed),
        `source:NAME`, or `common`: auto, and keep only the labels that all sources have. With `base` and `source:NAME`
        the output has the labels of that model, and the sources may have been trained on other ones
    embeddings: `merge`, `base`, or `used`: merge the rows of tokens that `text` uses, keep the base's others
    text: a UTF-8 file of the target's sentences, one a line, for `embeddings: used`
    vocab: tokens of the output where the vocabularies differ: `common` (those that all sources have), `union` (of any
        source) or `base` (those of the base); rows of the embeddings are aligned by token. None: vocabularies are equal
    layer_weights: a list of weights per source, spread over the layers from first to last, instead of `weight`
    tensor_weights: such lists by pattern of tensor names, before `layer_weights`; the first pattern that matches counts
    trim_scope: over what a share of kept entries is counted, `tensor` or `model`
    shard_size: bytes after which a new file of weights begins; None for one file
    learnt: for the record, on what text the sources' statistics or coefficients were found, and how
    """

    __pydantic_config__: ClassVar = STRICT
    method: str
    sources: tuple[Source, ...]
    params: Mapping[str, Value] = field(default_factory=dict)
    base: Path | None = None
    base_sha256: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    mode: str | None = None
    similarity: str | None = None
    k: int | None = None
    context: str | None = None
    preweight: str | None = None
    seed: int = 0
    dtype: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    excluded: str = "auto"
    heads: str = "auto"
    embeddings: str = "merge"
    text: Path | None = None
    layer_weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    vocab: str | None = None
    tensor_weights: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    trim_scope: str = "tensor"
    shard_size: int | None = None
    learnt: Mapping[str, Value] = field(default_factory=dict)


def check(recipe: Recipe) -> Recipe:
    """Return the recipe with all parameters and with weights of sum 1. Raises UsageError if it is invalid."""
    method = registry.get(recipe.method)
    params = registry.complete(method, recipe.params)
    names = [source.name for source in recipe.sources]
    if not names:
        raise UsageError("the recipe has no sources.", hint="Name at least one: name=folder.")
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"two sources are called {double}.", hint="Give each source a name of its own.")
    given = [source.weight for source in recipe.sources]
    weights = checked_weights(names, given, method.signed)
    if not method.weighted and max(weights) - min(weights) > 1e-6:
        raise UsageError(
            f"{method.name} weighs all sources the same, but the weights differ.",
            hint="Leave the weights out, or use the method linear.",
        )
    for table in filter(None, (recipe.layer_weights, *recipe.tensor_weights.values())):
        from .methods.layers import check_layer_weights

        check_layer_weights(table, names, method)
    if method.needs_base and recipe.base is None:
        raise UsageError(
            f"{method.name} works on task vectors and needs the pretrained base.",
            hint="Name it with: --pretrained FOLDER, or as `base` in the recipe\n"
            "It must have the sources' head; write one with: mu base --task TASK --base MODEL",
        )
    for value, allowed, what in (
        (recipe.mode, MODES, "mode"),
        ((recipe.preweight or "equal").partition("+")[0], similarities.preweights(), "preweight"),
        (recipe.dtype, tuple(DTYPES), "dtype"),
        (recipe.embeddings, EMBEDDINGS, "embeddings"),
        (recipe.trim_scope, TRIMS, "trim_scope"),
        (recipe.vocab, VOCABS, "vocab"),
        (recipe.heads, (*HEADS, *(f"source:{name}" for name in names)), "heads"),
        (recipe.excluded, (*EXCLUDED, *(f"source:{name}" for name in names)), "excluded"),
    ):
        if value is not None and value not in allowed:
            raise UsageError(f"{what} is {value!r}.", hint=f"It is one of: {', '.join(allowed)}.")
    if recipe.similarity:
        choice.parsed(recipe.similarity)
    name, plus, rest = (recipe.preweight or "").partition("+")
    if plus:
        choice.parsed(similarities.get(name).name + plus + rest)
    least, most = method.sources
    if len(names) < least or (most is not None and len(names) > most):
        wanted = (
            f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        )
        raise UsageError(f"{method.name} merges {wanted} sources, and there are {len(names)}.")
    if recipe.embeddings == "used" and recipe.text is None:
        raise UsageError(
            "embeddings: used needs the target's text.",
            hint="Name a file, one sentence a line: --text FILE, or `text` in the recipe.",
        )
    policies = ("heads", "embeddings", "excluded", "vocab")
    kept = next((key for key in policies if getattr(recipe, key) in ("base", "used")), None)
    if kept and recipe.base is None:
        raise UsageError(
            f"{kept}: {getattr(recipe, kept)} keeps what the pretrained base has, and there is none.",
            hint="Name it with: --pretrained FOLDER, or as `base` in the recipe",
        )
    if recipe.shard_size is not None and recipe.shard_size <= 0:
        raise UsageError(f"shard_size is {recipe.shard_size}.", hint="Write a size such as 2GB.")
    if recipe.k is not None and recipe.k != len(names):
        raise UsageError(f"k is {recipe.k}, but there are {len(names)} sources: {', '.join(names)}.")
    if recipe.target is not None and recipe.mode is not None:
        included = recipe.target in names
        if included != (recipe.mode == "IncTar"):
            raise UsageError(
                f"mode is {recipe.mode}, but {recipe.target} {'is' if included else 'is not'} a source.",
                hint="ExcTar: the target's own model is not among the sources; IncTar: it is.",
            )
    sources = tuple(replace(s, weight=w) for s, w in zip(recipe.sources, weights, strict=True))
    heads = method.heads if recipe.heads == "auto" else recipe.heads
    return replace(recipe, params=params, sources=sources, heads=heads)


def seen_of_target(recipe: Recipe) -> str:
    """Return the most that this merge uses of its target, one of registry.SAW: by method, text, similarity, sources."""
    chosen = similarities.sees_labels(recipe.similarity) or similarities.sees_labels(recipe.preweight)
    found = ["labels"] if chosen or recipe.mode == "IncTar" else ["nothing"]
    if recipe.learnt.get("text") != "sources":
        found.append(registry.get(recipe.method).saw)
    if recipe.embeddings == "used":
        found.append("unlabelled text")
    if "tuned_on" in recipe.learnt:
        found.append("labels")
    return max(found, key=registry.SAW.index)


def checked_weights(names: list[str], weights: list[float], signed: bool) -> list[float]:
    """Return the weights scaled to the sum 1; unchanged if they have it, or if the method takes them as given."""
    for name, weight in zip(names, weights, strict=True):
        if not isfinite(weight) or (weight < 0 and not signed):
            raise UsageError(
                f"the weight of {name} is {weight}.",
                hint="Weights are numbers from 0 upwards. The method language_arithmetic takes negative ones too.",
            )
    if max(weights) <= 0:
        what = "no weight is above 0." if signed else "all weights are 0."
        raise UsageError(what, hint="At least one source must have a weight above 0.")
    total = fsum(weights)
    return weights if signed or abs(total - 1) < 1e-9 else [weight / total for weight in weights]


def with_name(source: str) -> str:
    """Return `NAME=FOLDER` for a folder that exists (`runs/lr=2e-5` is called lr-2e-5); other text unchanged."""
    folder = Path(source)
    return f"{folder.absolute().name.replace('=', '-')}={source}" if folder.is_dir() else source


def recipe_from_flags(
    method: str,
    sources: Iterable[str],
    *,
    weights: Iterable[float] | None = None,
    params: Iterable[str] = (),
    base: Path | None = None,
    **rest: Any,
) -> Recipe:
    """Build a recipe from command line flags. Relative paths start at the working directory.

    sources  `fr-FR=models/fr-FR`, or only a folder, whose name is then the source's
    weights  one per source, or None for equal ones
    params   `density=0.2`
    rest     the other fields of a Recipe: target, mode, seed, heads, text and so on
    """
    pairs = []
    for text in sources:
        name, equals, path = with_name(text).partition("=")
        folder = Path(path if equals else name).absolute()
        pairs.append((name if equals else folder.name, folder))
    given = [1.0] * len(pairs) if weights is None else list(weights)
    if len(given) != len(pairs):
        raise UsageError(
            f"{len(pairs)} sources, but {len(given)} weights.", hint="Give one weight per source."
        )
    if rest.get("text") is not None:
        rest["text"] = rest["text"].absolute()
    values: dict[str, Value] = {}
    for text in params:
        key, equals, value = text.partition("=")
        if not equals or key in values:
            raise UsageError(f"cannot use the parameter {text!r}.", hint="Write each once, like density=0.2.")
        values[key] = value
    built = tuple(Source(n, p, w) for (n, p), w in zip(pairs, given, strict=True))
    return check(Recipe(method, built, values, base=base.absolute() if base else None, **rest))


def dump_recipe(recipe: Recipe, folder: Path | None = None) -> str:
    """Return the recipe as YAML. Paths are relative to `folder`, where the file will be; absolute without it."""
    table: dict[str, Any] = {"method": recipe.method, "params": dict(recipe.params)}
    for f in fields(Recipe):
        value = getattr(recipe, f.name)
        shown = f.name == "seed" or value not in (None, {}, f.default)
        if shown and f.name not in ("method", "params", "sources"):
            table[f.name] = written(value, folder)
    table["sources"] = [
        {
            f.name: written(getattr(s, f.name), folder)
            for f in fields(Source)
            if getattr(s, f.name) not in ({}, None)
        }
        for s in recipe.sources
    ]
    return yaml.safe_dump(table, sort_keys=False, allow_unicode=True, width=110)


def written(value: Any, folder: Path | None) -> Any:
    """Return a field in its YAML form; a path relative to `folder`, unless they share only the root."""
    if isinstance(value, Mapping):
        return {key: written(item, folder) for key, item in value.items()}
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, Path):
        return value
    path = value.resolve()
    if folder is None:
        return str(path)
    here = folder.resolve()
    try:
        shared = Path(os.path.commonpath([path, here]))
    except ValueError:  # two drives
        return str(path)
    return str(path) if shared == Path(shared.anchor) else Path(os.path.relpath(path, here)).as_posix()


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from YAML. Relative paths in it start at its folder.

    Raises:
        MuError: For a wrong key or value, with file and line.
    """
    from pydantic import TypeAdapter, ValidationError  # advice and `mu --help` start without it

    try:
        document = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        table = python_value(document, path)
    except FileNotFoundError:
        raise UsageError("no such recipe.", where=str(path)) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise MuError(f"this is not valid YAML: {error.problem}.", where=f"{path}:{line}") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise MuError(f"cannot be read: {error}", where=str(path)) from error

    def place(loc: Location) -> str:
        return f"{path}:{line_at(document, loc)}"

    def hint(loc: Location) -> str:
        return did_you_mean(str(loc[-1]), [f.name for f in fields(Source if loc[0] == "sources" else Recipe)])

    if isinstance(table, dict):
        check_values(table, place)
    try:
        recipe = TypeAdapter(Recipe).validate_python(table)
    except ValidationError as error:
        raise mu_error(error, place, hint) from error
    try:
        return check(from_folder(recipe, path.absolute().parent))
    except MuError as error:
        raise type(error)(error.what, where=str(path), hint=error.hint) from error


def python_value(node: Any, path: Path) -> Any:
    """Return a YAML node as Python values, without keys that are null. Raises MuError for a key that is given twice."""
    if isinstance(node, yaml.MappingNode):
        table: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if name in table:
                raise MuError(f"the key {name!r} appears twice.", where=f"{path}:{key.start_mark.line + 1}")
            table[name] = python_value(value, path)
        return {name: value for name, value in table.items() if value is not None}
    if isinstance(node, yaml.SequenceNode):
        return [python_value(item, path) for item in node.value]
    try:
        return yaml.SafeLoader("").construct_object(node) if node is not None else None
    except (yaml.YAMLError, ValueError) as error:  # `2026-99-99` looks like a date
        raise MuError(
            f"{node.value!r} is not a valid value.",
            where=f"{path}:{node.start_mark.line + 1}",
            hint="Put it in quotes if it is text.",
        ) from error


def line_at(node: Any, loc: Location) -> int:
    """Return the line of the key at `loc` in a YAML document; of the table that it should be in, if it is missing."""
    line = node.start_mark.line if node is not None else 0
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = (node.value[part], node.value[part])
        else:
            break
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return line + 1


def check_values(table: dict[str, Any], place: Callable[[Location], str]) -> None:
    """Bring a size in words to bytes. Raises MuError for one that is none, and for a parameter that is not one value."""
    for key in ("params", "learnt"):
        values = table.get(key)
        for name, value in values.items() if isinstance(values, dict) else ():
            if not isinstance(value, bool | int | float | str):
                raise MuError(f"{key}.{name} must be a number or a word.", where=place((key, name)))
    if isinstance(table.get("shard_size"), str):
        try:
            table["shard_size"] = bytes_of(table["shard_size"])
        except ValueError as error:
            raise MuError(f"shard_size must be {error}.", where=place(("shard_size",))) from error


def from_folder(found: Any, folder: Path) -> Any:
    """Return a Recipe or Source with its relative paths, and those of its sources, starting at `folder`."""
    values = {f.name: getattr(found, f.name) for f in fields(found)}
    paths: dict[str, Any] = {
        name: Path(os.path.normpath(folder / value.expanduser()))
        for name, value in values.items()
        if isinstance(value, Path)
    }
    if isinstance(found, Recipe):
        paths["sources"] = tuple(from_folder(source, folder) for source in found.sources)
    return replace(found, **paths)
