"""Tokens of a tokenizer by id, and tokenizer.json files with other added tokens."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merginguriel.errors import CheckpointError, IncompatibleError

from .checkpoint import read_json
from .tokenizer_files import FAST

SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
LISTS = ("additional_special_tokens", "extra_special_tokens")


@dataclass(frozen=True)
class Tokens:
    """Content of a tokenizer.json. ids: every token; core: those of its model, without added ones; dropped: left out."""

    content: Mapping[str, Any]
    ids: Mapping[str, int]
    core: Mapping[str, int]
    changed: bool = False
    dropped: frozenset[str] = frozenset()


def read_tokens(folder: Path) -> Tokens:
    """Read the tokenizer in a folder; one without tokenizer.json is converted by transformers.

    Raises:
        CheckpointError: The tokenizer cannot be read.
    """
    hint = "Save the tokenizer again with save_pretrained."
    if (folder / FAST).is_file():
        content = read_json(folder / FAST, hint)
    else:
        from .classifier import load_tokenizer

        backend = getattr(load_tokenizer(folder), "backend_tokenizer", None)
        if backend is None:
            raise CheckpointError("this tokenizer cannot be written as tokenizer.json.", where=str(folder))
        content = json.loads(backend.to_str())
    return parsed(content, folder / FAST)


def parsed(content: Mapping[str, Any], where: Path) -> Tokens:
    """Return the tokens of the content of a tokenizer.json. Raises CheckpointError."""
    try:
        vocabulary = content["model"]["vocab"]
        if isinstance(vocabulary, list):  # Unigram: [piece, score] in the order of their ids
            core = {str(piece): i for i, (piece, _) in enumerate(vocabulary)}
        else:
            core = {str(token): int(i) for token, i in vocabulary.items()}
        added = {str(one["content"]): int(one["id"]) for one in content.get("added_tokens") or []}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"is not a tokenizer: {error!r}.", where=str(where)) from error
    return Tokens(content, {**core, **added}, core)


def rebuilt(tables: Sequence[Tokens], wanted: Collection[str]) -> Tokens:
    """Return the first tokenizer with exactly the tokens `wanted`: its model's, then added ones in order of appearance.

    Raises:
        IncompatibleError: Its post-processor needs a token that is not wanted.
    """
    first = tables[0]
    core = dict(first.core)
    entries = {
        one["content"]: one for one in first.content.get("added_tokens") or [] if one["content"] in core
    }
    beyond: dict[str, Any] = {}
    for table in tables:
        for one in table.content.get("added_tokens") or []:
            if one["content"] in wanted and one["content"] not in core:
                beyond.setdefault(one["content"], one)
    start = max(core.values(), default=-1) + 1
    added = [*entries.values(), *({**one, "id": start + i} for i, one in enumerate(beyond.values()))]
    ids = {**core, **{one["content"]: one["id"] for one in added}}
    content = {**first.content, "added_tokens": added}
    content["post_processor"] = renumbered(content.get("post_processor"), ids)
    if isinstance(content.get("padding"), dict):
        pad = content["padding"]
        content["padding"] = {**pad, "pad_id": ids.get(pad.get("pad_token"), pad.get("pad_id"))}
    return Tokens(content, ids, core, changed=True, dropped=frozenset(first.ids.keys() - ids.keys()))


def renumbered(part: Any, ids: Mapping[str, int]) -> Any:
    """Return a post-processor with the tokens' new ids. Raises IncompatibleError for a token that is left out."""
    if not isinstance(part, dict):
        return part
    found = dict(part)
    if isinstance(part.get("processors"), list):
        found["processors"] = [renumbered(one, ids) for one in part["processors"]]
    for key in ("sep", "cls"):  # of BERT and RoBERTa: [token, id]
        if isinstance(part.get(key), list):
            found[key] = [part[key][0], new_id(part[key][0], ids)]
    if isinstance(part.get("special_tokens"), dict):
        found["special_tokens"] = {
            name: {**one, "ids": [new_id(token, ids) for token in one["tokens"]]}
            for name, one in part["special_tokens"].items()
        }
    return found


def new_id(token: str, ids: Mapping[str, int]) -> int:
    """Return the id of a token. Raises IncompatibleError if it is left out."""
    if token not in ids:
        raise IncompatibleError(
            f"the tokenizer puts {token} around every text, and not all sources have that token.",
            hint="Use: --vocab union",
        )
    return ids[token]


def write_tokens(folder: Path, tokens: Tokens) -> None:
    """Change the files of the tokenizer in `folder` to these tokens, if they are not its own."""
    if not tokens.changed:
        return
    write(folder / FAST, tokens.content)
    added = [one for one in tokens.content["added_tokens"] if one["content"] not in tokens.core]
    if (folder / "added_tokens.json").is_file():
        write(folder / "added_tokens.json", {one["content"]: one["id"] for one in added})
    for name in SETTINGS:
        if (folder / name).is_file():
            table = read_json(folder / name, "Save the tokenizer again with save_pretrained.")
            write(folder / name, without(table, tokens))


def without(table: Mapping[str, Any], tokens: Tokens) -> dict[str, Any]:
    """Return the settings of a tokenizer without the tokens that were left out, and with the ids of the others."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key == "added_tokens_decoder":
            found[key] = {
                str(one["id"]): {k: v for k, v in one.items() if k != "id"}
                for one in tokens.content["added_tokens"]
            }
        elif key in LISTS and isinstance(value, list):
            found[key] = [one for one in value if text(one) not in tokens.dropped]
        elif not (key.endswith("_token") and text(value) in tokens.dropped):
            found[key] = value
    return found


def text(token: Any) -> Any:
    """Return a token that may be given with its flags as text."""
    return token.get("content") if isinstance(token, dict) else token


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
