"""Read a mergekit configuration as a recipe, for the methods that both programs have.

mergekit evaluates a parameter per tensor: a number, a list of numbers that is spread over the layers (a gradient), or a
list of `{filter, value}`, of which the first counts whose filter is a part of the tensor's name. Weights and slerp's `t`
are carried over in all three forms, as `weight`, `layer_weights` and `tensor_weights` of the recipe. What the engine
cannot express is refused with its line.

Of a gradient, the embeddings take the first value and what follows the last layer the last, as mergekit does for the
architectures that it describes; for those that it infers (BERT), it gives pooler and classifier the first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isclose, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.errors import CheckpointError, MuError, UsageError
from merginguriel.knowledge.parse.yaml_lines import Text, read_text, read_yaml
from merginguriel.merging import registry
from merginguriel.merging.recipe import DTYPES, Recipe, Source, check
from merginguriel.merging.registry import Value
from merginguriel.models.adapters import is_adapter
from merginguriel.text.suggest import suggest

Gradient = tuple[float, ...]
Rules = list[
    tuple[str | None, Gradient]
]  # filter (None: every tensor) and values; the first that matches counts

TOP = (
    "merge_method", "models", "slices", "base_model", "parameters", "dtype", "out_dtype", "tokenizer_source",
    "tokenizer", "chat_template", "modules", "name",
)  # fmt: skip
NO_EFFECT = ("int8_mask",)  # of mergekit's memory, not of its result


@dataclass(frozen=True)
class Known:
    """One method of both programs.

    params     mergekit's parameter → ours, one value for all models and tensors; `lambda` becomes part of `scale`
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
METHODS: dict[str, Known] = {
    "linear": Known(divides=True),
    "slerp": Known(weights=False),
    "nuslerp": Known(fixed={"nuslerp_flatten": True, "nuslerp_row_wise": False}),
    "karcher": Known(
        {"max_iter": "max_iter", "tol": "tol"}, default={"max_iter": 10, "tol": 1e-5}, weights=False
    ),
    "model_stock": Known(fixed={"filter_wise": False}, weights=False),
    "sce": Known({"select_topk": "select_topk"}, weights=False),
    "task_arithmetic": Known(divides=False),
    "ties": Known(DENSITY, {"rescale": False}, FULL, divides=True, elects=True),
    "dare_linear": Known(RESCALED, default=FULL, divides=False),
    "dare_ties": Known(RESCALED, default=FULL, divides=False, elects=True),
    "breadcrumbs": Known(
        {**DENSITY, "gamma": "gamma"}, {"rescale": False}, {**FULL, "gamma": 0.01}, divides=False
    ),
    "breadcrumbs_ties": Known(
        {**DENSITY, "gamma": "gamma"}, {"rescale": False}, {**FULL, "gamma": 0.01}, divides=False, elects=True
    ),
    "della": Known(
        {**RESCALED, "epsilon": "epsilon"}, default={**FULL, "epsilon": 0.15}, divides=True, elects=True,
        times={"epsilon": 2.0},  # mergekit's is half the width of the interval
    ),
    "della_linear": Known(
        {**RESCALED, "epsilon": "epsilon"}, default={**FULL, "epsilon": 0.15}, divides=False,
        times={"epsilon": 2.0},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A recipe, and what of the configuration has no effect on it."""

    recipe: Recipe
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A model of the configuration: its text, folder and parameters."""

    text: str
    folder: Path
    params: Mapping[str, Any]
    line: int


class Reader:
    """Configuration of one file; `fail` raises with its line."""

    def __init__(self, path: Path, resolve: Callable[[str], Path]) -> None:
        self.path = path
        self.resolve = resolve
        self.table = read_yaml(read_text(path), path)
        self.notes: list[str] = []

    def fail(self, line: int, what: str, hint: str | None = None) -> MuError:
        """Return the error about a line."""
        return MuError(what, where=f"{self.path}:{line}", hint=hint)

    def line(self, table: Mapping[str, Any], key: str) -> int:
        """Return the line of a key's value, or of the table without it."""
        return line_of(table.get(key), getattr(table, "line", 1))

    def folder(self, text: Text) -> Path:
        """Return the folder of a model: as mergekit, from the working directory; else from the file's, or of the hub."""
        for start in (Path.cwd(), self.path.parent):
            if (start / Path(text).expanduser()).is_dir():
                return (start / Path(text).expanduser()).absolute()
        try:
            return self.resolve(str(text))
        except MuError as error:
            raise type(error)(error.what, where=f"{self.path}:{text.line}", hint=error.hint) from error

    def model(self, value: Any, params: Mapping[str, Any], base: Text | None, line: int) -> Model:
        """Return a model; `BASE+ADAPTER` is an adapter if BASE is the base model of the merge."""
        if not isinstance(value, Text) or not value.strip():
            raise self.fail(line, "`model` must be a folder or a name on the hub.", "Write: model: FOLDER")
        first, plus, second = value.partition("+")
        if plus and not Path(value).exists():
            if base is None or first != base:
                raise self.fail(
                    value.line,
                    f"the adapter of {value} is on another model than base_model.",
                    "Merge it into its model first (peft's merge_and_unload), and name that folder.",
                )
            folder = self.folder(Text.at(second, value.line))
            if not is_adapter(folder):
                raise self.fail(value.line, f"{second} is not a LoRA adapter.")
            return Model(str(value), folder, params, value.line)
        return Model(str(value), self.folder(value), params, value.line)


def line_of(value: Any, otherwise: int) -> int:
    """Return the line on which a value of the file starts."""
    first = value[0] if isinstance(value, list) and value else value
    return getattr(first, "line", otherwise)


def load_mergekit(path: Path, resolve: Callable[[str], Path]) -> Found:
    """Return the recipe that a mergekit configuration means.

    Args:
        path: The YAML file.
        resolve: Returns the folder of a model on the hub.

    Raises:
        MuError: With file and line, for what is invalid, or what this engine cannot express.
    """
    if not path.is_file():
        raise UsageError("no such configuration.", where=str(path))
    reader = Reader(path, resolve)
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


def refuse_unsupported(reader: Reader) -> None:
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


def parameters(reader: Reader, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `parameters` of a table; empty without."""
    found = table.get("parameters")
    if not found:
        return {}
    if not isinstance(found, Mapping):
        raise reader.fail(
            reader.line(table, "parameters"), "parameters must be a table of `key: value` lines."
        )
    return found


def models_of(reader: Reader, base: Text | None) -> list[Model]:
    """Return the models of `models`, or of one slice over all layers."""
    table = reader.table
    entries, key = table.get("models"), "models"
    if table.get("slices"):
        if entries:
            raise reader.fail(reader.line(table, "slices"), "give models or slices, not both.")
        key = "slices"
        entries = one_slice(reader, table["slices"], reader.line(table, "slices"))
    if not isinstance(entries, list) or not entries:
        raise reader.fail(reader.line(table, key), f"{key} must be a list of `model: FOLDER` entries.")
    found = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise reader.fail(reader.line(table, key), f"{key} must be a list of `model: FOLDER` entries.")
        line = getattr(entry, "line", 1)
        for name in entry:
            if name not in ("model", "parameters", "layer_range"):
                raise reader.fail(
                    reader.line(entry, name), f"unknown key {name!r}.", suggest(name, ("model", "parameters"))
                )
        model = reader.model(entry.get("model"), parameters(reader, entry), base, line)
        if "layer_range" in entry:
            check_range(reader, entry["layer_range"], model, reader.line(entry, "layer_range"))
        found.append(model)
    return found


def one_slice(reader: Reader, slices: Any, line: int) -> Any:
    """Return the sources of the only slice. Raises MuError for several, which put a model together from pieces."""
    if not isinstance(slices, list) or not all(isinstance(one, Mapping) for one in slices):
        raise reader.fail(line, "slices must be a list of tables.")
    if len(slices) > 1:
        raise reader.fail(
            getattr(slices[1], "line", line),
            "a model that is put together from several slices is not supported.",
            "Layers can be exchanged between models of the same shape: mu methods layer_swap",
        )
    only = slices[0]
    for key in only:
        if key not in ("sources",):
            raise reader.fail(
                reader.line(only, key), f"{key} of a slice is not supported.", "Write it at the top level."
            )
    return only.get("sources")


def check_range(reader: Reader, given: Any, model: Model, line: int) -> None:
    """Raise MuError unless a layer range is the whole model."""
    try:
        low, high = (int(one) for one in given)
    except (TypeError, ValueError):
        raise reader.fail(line, "layer_range must be two whole numbers.") from None
    path = model.folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the configuration of {model.text} cannot be read: {error}", where=str(path)
        ) from error
    layers = next(
        (config[key] for key in ("num_hidden_layers", "n_layer", "n_layers") if key in config), None
    )
    if (low, high) != (0, layers):
        raise reader.fail(
            line,
            f"layer_range [{low}, {high}] is not the whole model: {model.text} has {layers} layers.",
            "Only whole models are merged.",
        )


def check_names(reader: Reader, name: str, known: Known, tables: list[Mapping[str, Any]]) -> None:
    """Raise MuError for a parameter that the method does not have; note those without effect."""
    mine = {*known.params, *known.fixed, *NO_EFFECT}
    mine |= {"weight"} if known.weights else set()
    mine |= {"normalize"} if known.divides is not None else set()
    mine |= {"lambda"} if "scale" in registry.get(name).params else set()
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


def built(
    reader: Reader,
    name: str,
    known: Known,
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
    if "scale" in method.params:
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
    if scale != 1:
        params["scale"] = scale
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


def slerp_pair(reader: Reader, models: list[Model], base: Text | None) -> list[Model]:
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


def rules_of(reader: Reader, table: Mapping[str, Any], key: str, *, required: int | None = None) -> Rules:
    """Return a parameter's values by filter; empty if it is not given."""
    if key not in table:
        if required is not None:
            raise reader.fail(required, f"{key} is missing.", f"Write it under parameters: {key}: 0.5")
        return []
    line, value = reader.line(table, key), table[key]
    if isinstance(value, Mapping) or (
        isinstance(value, list) and any(isinstance(one, Mapping) for one in value)
    ):
        entries = [value] if isinstance(value, Mapping) else value
        found: Rules = []
        for entry in entries:
            at = getattr(entry, "line", line)
            wrong = not isinstance(entry, Mapping) or not {"value"} <= set(entry) <= {"value", "filter"}
            if wrong:
                raise reader.fail(at, f"{key}: each entry must have a `value`, and may have a `filter`.")
            pattern = entry.get("filter") or None
            found.append(
                (None if pattern in (None, "*") else str(pattern), gradient(reader, key, entry["value"], at))
            )
            if found[-1][0] is None:
                break
        return found
    return [(None, gradient(reader, key, value, line))]


def gradient(reader: Reader, key: str, value: Any, line: int) -> Gradient:
    """Return one number, or the numbers of a gradient."""
    values = value if isinstance(value, list) else [value]
    try:
        found = tuple(float(one) for one in values)
    except (TypeError, ValueError):
        found = ()
    if not found or not all(isfinite(one) for one in found):
        raise reader.fail(line, f"{key} must be a number or a list of numbers.")
    if any(one < 0 for one in found) or (key == "t" and any(one > 1 for one in found)):
        raise reader.fail(
            line, f"{key} must be {'from 0 to 1' if key == 't' else '0 or more'}, got {list(found)}."
        )
    return found


def weights_of(
    reader: Reader, line: int, names: list[str], rules: dict[str, Rules]
) -> tuple[list[float], dict[str, Gradient], dict[str, dict[str, Gradient]]]:
    """Return the weights as the recipe has them: by source, by source and layer, by pattern of names."""
    if not rules:
        return [1.0] * len(names), {}, {}
    filters = list(dict.fromkeys(pattern for one in rules.values() for pattern, _ in one if pattern))
    for name, one in rules.items():
        order = [pattern for pattern, _ in one if pattern]
        if order and order != filters:
            raise reader.fail(line, f"the weights of {name} have other filters than those of the other models.",
                              "Write the same filters in the same order for each model that has any.")  # fmt: skip

    def at(pattern: str | None) -> dict[str, Gradient]:
        return {
            name: next(values for own, values in one if own == pattern or own is None)
            for name, one in rules.items()
        }

    last = at(None)
    by_name = {f"*{pattern}*": at(pattern) for pattern in filters}
    if all(len(values) == 1 for values in last.values()):
        return [last[name][0] for name in names], {}, by_name
    return [1.0] * len(names), last, by_name


def same_total(reader: Reader, line: int, name: str, rules: dict[str, Rules], names: list[str]) -> float:
    """Return the sum of the models' weights. Raises MuError if it differs between layers or tensors."""
    weights, by_layer, by_name = weights_of(reader, line, names, rules)
    tables = [
        by_layer or {one: (weight,) for one, weight in zip(names, weights, strict=True)},
        *by_name.values(),
    ]
    totals = []
    for table in tables:
        knots = {i / max(len(values) - 1, 1) for values in table.values() for i in range(len(values))}
        for knot in sorted(knots):
            totals.append(
                sum(float(np.interp(knot * (len(v) - 1), range(len(v)), v)) for v in table.values())
            )
    if not all(isclose(one, totals[0], rel_tol=1e-6, abs_tol=1e-9) for one in totals):
        raise reader.fail(
            line,
            f"{name} without `normalize` and with weights whose sum differs between layers is not supported.",
            "Write weights of the same sum everywhere, or: parameters: {normalize: true}",
        )
    return totals[0]


def params_of(
    reader: Reader, name: str, known: Known, models: list[Model], whole: Mapping[str, Any]
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


def number(reader: Reader, key: str, whole: Mapping[str, Any], models: list[Model], default: Any) -> Any:
    """Return a parameter's one value. Raises MuError if it differs between models, layers or tensors."""
    values: dict[float, int] = {}
    for model in models:
        table = model.params if key in model.params else whole
        rules = rules_of(reader, table, key)
        line = reader.line(table, key) if key in table else 1
        for _, one in rules:
            values.update(dict.fromkeys(one, line))
        if not rules and default is not None:
            values.setdefault(float(default), line)
    if len(values) > 1:
        line = max(values.values())
        raise reader.fail(
            line,
            f"{key} differs between models, layers or tensors ({', '.join(f'{one:g}' for one in values)}), "
            "which is not supported.",
            f"Write one {key} for all.",
        )
    return next(iter(values), default)


def flag(
    reader: Reader, key: str, whole: Mapping[str, Any], models: list[Model], default: bool | None
) -> bool | None:
    """Return a parameter that is true or false."""
    for table in (*(model.params for model in models), whole):
        if key in table:
            text = str(table[key]).lower()
            if text not in ("true", "false", "1", "0", "1.0", "0.0"):
                raise reader.fail(reader.line(table, key), f"{key} must be true or false.")
            return text in ("true", "1", "1.0")
    return default


def dtype_of(reader: Reader) -> str | None:
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
