"""Types of the keys of a run: what their text may be, and how it is read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from merginguriel import locales
from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.yaml_lines import Text
from merginguriel.merging.recipe import DTYPES, EMBEDDINGS, MODES, TRIMS, VOCABS
from merginguriel.similarity import registry as similarities
from merginguriel.similarity.uriel import SETS
from merginguriel.training.settings import ANCHORS, JUDGES, SCHEDULES

KINDS = ("merge", "train", "nxn", "iterate", "tune", "pilot", "compose", "embed")


@dataclass(frozen=True)
class Kind:
    """What a text key holds, for forms and completion; with choices, one of these words in upper or lower case."""

    name: str
    choices: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        if not self.choices:
            return inner
        return core_schema.no_info_after_validator_function(self.pick, inner)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema) | ({"enum": list(self.choices)} if self.choices else {})

    def pick(self, text: str) -> str:
        """Return the choice that `text` spells. Raises ValueError naming the choices."""
        same = [choice for choice in self.choices if choice.lower() == text.lower()]
        if text in self.choices or same:
            return text if text in self.choices else same[0]
        raise ValueError(f"one of {', '.join(self.choices)}")


def locale_tag(text: str) -> str:
    """Return the tag of the locale that `text` names."""
    try:
        return locales.get(text).tag
    except UsageError as error:
        raise PydanticCustomError("locale", "unknown locale", {"error": error}) from error


def absolute(text: str, info: ValidationInfo) -> str:
    """Return a path as seen from the folder of the file that names it, or from the working directory."""
    context = info.context or {}
    folder = None if info.field_name in context.get("sets", ()) else context.get("folder")
    return os.path.normpath((folder or Path.cwd()) / Path(text).expanduser())


def text_source(text: str, info: ValidationInfo) -> str:
    """Return the path of a text file; the word `sources` as it is."""
    return text if text == "sources" else absolute(text, info)


def base_model(text: str, info: ValidationInfo) -> str:
    """Return the path of a base model's folder. A single word is a name, even where a folder is called so."""
    path = absolute(text, info)
    return path if ("/" in text or os.sep in text) and Path(path).is_dir() else text


def words(value: Any) -> Any:
    """Split text at commas and blanks, as `--set` gives a list."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def scalar(value: Any) -> Any:
    """Return a value of a table with free keys (parameters of a method) as number, truth value or text."""
    if isinstance(value, list | tuple | dict):
        raise ValueError("a number or a word")
    if not isinstance(value, Text) or not value.bare:
        return str(value) if isinstance(value, str) else value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return str(value)


Whole = Annotated[int, Kind("whole")]
Number = Annotated[float, Kind("number")]
Flag = Annotated[bool, Kind("flag")]
Word = Annotated[str, Kind("word")]
Locale = Annotated[str, AfterValidator(locale_tag), Kind("locale")]
Locales = Annotated[tuple[Locale, ...], BeforeValidator(words), Kind("locales")]
Words = Annotated[tuple[str, ...], BeforeValidator(words), Kind("words")]
Table = Annotated[dict[str, Annotated[Any, BeforeValidator(scalar)]], Kind("table")]
Weights = Annotated[dict[Locale, Number], Kind("table")]
Folder = Annotated[str, AfterValidator(absolute), Kind("folder")]
TextSource = Annotated[str, AfterValidator(text_source), Kind("text")]
Base = Annotated[str, AfterValidator(base_model), Kind("base")]
Method = Annotated[str, Kind("method")]
RunKind = Annotated[str, Kind("word", KINDS)]
Mode = Annotated[str, Kind("word", MODES)]
Similarity = Annotated[str, Kind("word", similarities.names())]
Preweight = Annotated[str, Kind("word", similarities.preweights())]
Feature = Annotated[str, Kind("word", SETS)]
Features = Annotated[tuple[Feature, ...], BeforeValidator(words), Kind("words")]
Embeddings = Annotated[str, Kind("word", EMBEDDINGS)]
TrimScope = Annotated[str, Kind("word", TRIMS)]
Vocab = Annotated[str, Kind("word", VOCABS)]
Dtype = Annotated[str, Kind("word", tuple(DTYPES))]
Split = Annotated[str, Kind("word", ("dev", "test"))]
Splits = Annotated[tuple[Split, ...], BeforeValidator(words), Kind("words")]
Tracker = Annotated[str, Kind("word", ("trackio", "mlflow", "wandb"))]
Trackers = Annotated[tuple[Tracker, ...], BeforeValidator(words), Kind("words")]
Schedule = Annotated[str, Kind("word", SCHEDULES)]
Judge = Annotated[str, Kind("word", JUDGES)]
Anchor = Annotated[str, Kind("word", ANCHORS)]
PlainLoss = Annotated[str, Kind("word", ("mnrl", "cached-mnrl", "infonce", "triplet", "circle"))]
Loss = Annotated[
    str, Kind("word", ("mnrl", "cached-mnrl", "infonce", "triplet", "circle", "distill", "gist"))
]
Head = Annotated[str, Kind("word", ("none", "linear", "mlp", "residual", "family", "experts"))]
