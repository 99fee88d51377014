"""Read a mergekit configuration as a recipe, for the methods that both programs have.

mergekit evaluates a parameter per tensor: a number, a list of numbers that is spread over the layers (a gradient), or a
list of `{filter, value}`, of which the first counts whose filter is a part of the tensor's name. Weights and slerp's `t`
are carried over in all three forms, as `weight`, `layer_weights` and `tensor_weights` of the recipe. What the engine
cannot express is refused with its line.

Of a gradient, the embeddings take the first value and what follows the last layer the last, as mergekit does for the
architectures that it describes; for those that it infers (BERT), it gives pooler and classifier the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isclose
from pathlib import Path
from typing import Any

from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.yaml_lines import Text
from merginguriel.merging import registry
from merginguriel.merging.recipe import DTYPES, Recipe, Source, check
from merginguriel.merging.registry import Value
from merginguriel.models.adapters import is_adapter
from merginguriel.text.suggest import suggest

from .mergekit_models import MergekitReader, Model, models_of, parameters
from .mergekit_values import Rules, flag, number, rules_of, same_total, weights_of

TOP = (
    "merge_method", "models", "slices", "base_model", "parameters", "dtype", "out_dtype", "tokenizer_source",
    "tokenizer", "chat_template", "modules", "name",
)  # fmt: skip
NO_EFFECT = ("int8_mask",)  # of mergekit's memory, not of its result


@dataclass(frozen=True)
class SharedMethod:
    """One method of both programs.

    params     mergekit's parameter → ours, one value for all models and tensors; `lambda` becomes `scale` or `alpha`
    fixed      mergekit's parameter → the only value that has the same meaning here
    default    mergekit's defaults where they are not ours
    weights    whether models have weights
    divides    mergekit's default of `normalize`; None: it has no such parameter
    elects     only entries of the elected sign are added
    times      factor on a value of `params`
    """

    params: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    default: Mapping[str, float] = field(default_factory=dict)
    weights: bool = True
    divides: bool | None = None
    elects: bool = False
    times: Mapping[str, float] = field(default_factory=dict)


DENSITY = {"density": "density"}
RESCALED = {**DENSITY, "rescale": "rescale"}
FULL = {"density": 1.0}
METHODS: dict[str, SharedMethod] = {
    "linear": SharedMethod(divides=True),
    "slerp": SharedMethod(weights=False),
    "nuslerp": SharedMethod(fixed={"nuslerp_flatten": True, "nuslerp_row_wise": False}),
    "karcher": SharedMethod(
        {"max_iter": "max_iter", "tol": "tol"}, default={"max_iter": 10, "tol": 1e-5}, weights=False
    ),
    "model_stock": SharedMethod(fixed={"filter_wise": False}, weights=False),
    "sce": SharedMethod({"select_topk": "select_topk"}, weights=False),
    "task_arithmetic": SharedMethod(divides=False),
    "ties": SharedMethod(DENSITY, {"rescale": False}, FULL, divides=True, elects=True),
    "dare_linear": SharedMethod(RESCALED, default=FULL, divides=False),
    "dare_ties": SharedMethod(RESCALED, default=FULL, divides=False, elects=True),
    "breadcrumbs": SharedMethod(
        {**DENSITY, "gamma": "gamma"}, {"rescale": False}, {**FULL, "gamma": 0.01}, divides=False
    ),
    "breadcrumbs_ties": SharedMethod(
        {**DENSITY, "gamma": "gamma"}, {"rescale": False}, {**FULL, "gamma": 0.01}, divides=False, elects=True
    ),
    "della": SharedMethod(
        {**RESCALED, "epsilon": "epsilon"}, default={**FULL, "epsilon": 0.15}, divides=True, elects=True,
        times={"epsilon": 2.0},  # mergekit's is half the width of the interval
    ),
    "della_linear": SharedMethod(
        {**RESCALED, "epsilon": "epsilon"}, default={**FULL, "epsilon": 0.15}, divides=False,
        times={"epsilon": 2.0},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A recipe, and what of the configuration has no effect on it."""

    recipe: Recipe
    notes: tuple[str, ...]


def load_mergekit(path: Path, resolve: Callable[[str], Path]) -> Found:
    """Return the recipe that a mergekit configuration means.

    Args:
        resolve: Returns the folder of a model on the hub.

    Raises:
        MuError: With file and line, for what is invalid, or what this engine cannot express.
    """
    if not path.is_file():
        raise UsageError("no such configuration.", where=str(path))
    reader = MergekitReader(path, resolve)
    table = reader.table
    if not isinstance(table, Mapping):
        raise reader.fail(
            1, "this is not a mergekit configuration: it must be a table of `key: value` lines."
        )
    for key in table:
        if key not in TOP:
            raise reader.fail(reader.line(table, key), f"unknown key {key!r}.", suggest(key, TOP) or None)
    name = str(table.get("merge_method") or "")
    if name not in METHODS:
        line = reader.line(table, "merge_method")
        raise reader.fail(
            line,
            f"merge_method {name!r} is not among the methods that both programs have.",
            "\n".join(filter(None, (suggest(name, METHODS), f"They are: {', '.join(METHODS)}."))),
        )
    refuse_unsupported(reader)
    base = table.get("base_model") or None
    models = models_of(reader, base)
    whole = parameters(reader, table)
    known = METHODS[name]
    check_names(reader, name, known, [whole, *(model.params for model in models)])
    return Found(built(reader, name, known, models, base, whole), tuple(reader.notes))


def refuse_unsupported(reader: MergekitReader) -> None:
    """Refuse keys that this engine has no counterpart of; note those without effect on the weights."""
    table = reader.table
    reasons = {
        "modules": "a merge of one module of a model",
        "tokenizer": "a tokenizer that is put together from several",
    }
    for key, what in reasons.items():
        if table.get(key):
            raise reader.fail(reader.line(table, key), f"{key}: {what} is not supported.")
    if table.get("chat_template"):
        reader.notes.append("chat_template has no effect: the tokenizer is copied as it is.")
    if table.get("tokenizer_source"):
        reader.notes.append(
            "tokenizer_source has no effect: models whose vocabularies differ are refused, and of equal ones it "
            "does not matter which is copied."
        )


def check_names(
    reader: MergekitReader, name: str, known: SharedMethod, tables: list[Mapping[str, Any]]
) -> None:
    """Raise MuError for a parameter that the method does not have; note those without effect."""
    mine = {*known.params, *known.fixed, *NO_EFFECT}
    mine |= {"weight"} if known.weights else set()
    mine |= {"normalize"} if known.divides is not None else set()
    mine |= {"lambda"} if factor_of(name) else set()
    mine |= {"t"} if name == "slerp" else set()
    everyones = {"weight", "density", "normalize", "rescale", "lambda", "t", "gamma", "epsilon"}
    for given, key in ((table, key) for table in tables for key in table):
        if key in NO_EFFECT:
            note = f"{key} has no effect here: it saves memory of mergekit."
        elif key in mine:
            continue
        elif key in everyones:
            note = f"{key} has no effect: {name} has no such parameter."
        else:
            raise reader.fail(
                reader.line(given, key), f"{name} has no parameter {key!r}.", suggest(key, mine) or None
            )
        if note not in reader.notes:
            reader.notes.append(note)


def factor_of(name: str) -> str | None:
    """Return our parameter for `lambda`: `scale`, or `alpha`, a factor on the sum of the task vectors instead of their mean."""
    return next((key for key in ("scale", "alpha") if key in registry.get(name).params), None)


def built(
    reader: MergekitReader,
    name: str,
    known: SharedMethod,
    models: list[Model],
    base: Text | None,
    whole: Mapping[str, Any],
) -> Recipe:
    """Return the recipe of a configuration whose keys are known."""
    table = reader.table
    method = registry.get(name)
    top = reader.line(table, "merge_method")
    base_folder = reader.folder(base) if base is not None else None
    if method.needs_base:
        if base is None or base_folder is None:
            raise reader.fail(top, f"{name} needs base_model.")
        models = [model for model in models if model.text != base]
    elif name == "nuslerp" and base is not None:
        raise reader.fail(
            base.line,
            "nuslerp of task vectors is not supported.",
            "Leave base_model out: nuslerp then merges weights.",
        )
    elif name == "slerp":
        models = slerp_pair(reader, models, base)
    elif base is not None and base not in [model.text for model in models]:
        reader.notes.append(f"base_model has no effect: {name} merges weights.")
    if not models:
        raise reader.fail(top, "no models to merge beside base_model.")
    names = unique_names(models)
    divides = flag(reader, "normalize", whole, models, known.divides)
    rules: dict[str, Rules] = {}
    if name == "slerp":
        t = rules_of(reader, whole, "t", required=top)
        rules = {
            names[0]: [(pattern, tuple(1 - one for one in values)) for pattern, values in t],
            names[1]: t,
        }
    elif known.weights:
        for one, model in zip(names, models, strict=True):
            given = rules_of(reader, model.params, "weight")
            rules[one] = [*given, *rules_of(reader, whole, "weight")] or [(None, (1.0,))]
            if not any(pattern is None for pattern, _ in rules[one]):
                raise reader.fail(
                    model.line, f"some tensors of {model.text} have no weight.", "Add: - value: 1.0"
                )
    params, scale = params_of(reader, name, known, models, whole), 1.0
    weights, by_layer, by_name = weights_of(reader, top, names, rules)
    factor = factor_of(name)
    if factor:
        scale = number(reader, "lambda", whole, models, 1.0)
    if known.divides is not None and not divides:
        total = same_total(reader, top, name, rules, names)
        if name == "linear" and not isclose(total, 1, rel_tol=1e-6):
            raise reader.fail(
                top, f"normalize: false with weights of sum {total:g}: linear weights have the sum 1 here."
            )
        scale *= total
        if known.elects:
            if "normalize" not in method.params:
                raise reader.fail(
                    reader.line(whole, "normalize") if "normalize" in whole else top,
                    f"{name} without `normalize` adds what agrees without dividing it, which is not supported here.",
                    "Write it: parameters: {normalize: true}",
                )
            params["normalize"] = False
    if factor:  # given at 1 too: the defaults of both programs differ
        params[factor] = scale / len(models) if factor == "alpha" else scale
    return check(
        Recipe(
            name,
            tuple(
                Source(one, model.folder, weight)
                for one, model, weight in zip(names, models, weights, strict=True)
            ),
            params,
            base=base_folder if method.needs_base or any(is_adapter(m.folder) for m in models) else None,
            dtype=dtype_of(reader),
            heads="merge",  # mergekit treats a head as any other tensor
            layer_weights=by_layer,
            tensor_weights=by_name,
        )
    )


def slerp_pair(reader: MergekitReader, models: list[Model], base: Text | None) -> list[Model]:
    """Return slerp's two models, the base first: `t` goes from it to the other."""
    line = reader.line(reader.table, "merge_method")
    if base is None:
        raise reader.fail(line, "slerp needs base_model: the model at t = 0.")
    others = [model for model in models if model.text != base]
    if len(others) != 1:
        raise reader.fail(
            line, f"slerp merges base_model and one other model, and there are {len(others)} others."
        )
    own = [model for model in models if model.text == base]
    return [own[0] if own else reader.model(base, {}, None, base.line), others[0]]


def unique_names(models: list[Model]) -> list[str]:
    """Return a name per model: the last part of its folder or hub name, numbered where two are the same."""
    names: list[str] = []
    for model in models:
        name = model.text.rstrip("/").replace("+", "/").rpartition("/")[2]
        same = sum(one == name or one.startswith(f"{name}-") for one in names)
        names.append(f"{name}-{same + 1}" if name in names else name)
    return names


def params_of(
    reader: MergekitReader, name: str, known: SharedMethod, models: list[Model], whole: Mapping[str, Any]
) -> dict[str, Value]:
    """Return our parameters: of each that mergekit has, the one value for all models and tensors."""
    found: dict[str, Value] = {}
    for theirs, ours in known.params.items():
        if theirs == "rescale":
            found[ours] = bool(flag(reader, theirs, whole, models, True))
            continue
        value = number(reader, theirs, whole, models, known.default.get(theirs))
        if value is not None:
            found[ours] = value * known.times.get(theirs, 1)
    for theirs, only in known.fixed.items():
        if flag(reader, theirs, whole, models, only) != only:
            table = next(one for one in (*(m.params for m in models), whole) if theirs in one)
            raise reader.fail(
                reader.line(table, theirs), f"{name} with {theirs}: {not only} is not supported here."
            )
    return found


def dtype_of(reader: MergekitReader) -> str | None:
    """Return the dtype of the output; None for that of the models."""
    table = reader.table
    key = "out_dtype" if table.get("out_dtype") else "dtype"
    value = table.get(key)
    if not value or value == "auto":
        return None
    if value not in DTYPES:
        raise reader.fail(
            reader.line(table, key), f"unknown {key} {value!r}.", f"It is one of: {', '.join(DTYPES)}."
        )
    return str(value)
