"""Files that make up a tokenizer: presence, fingerprint, number of tokens and copying. No transformers.

The lists hold every name that AutoTokenizer reads; a test compares them with the tokenizer classes of transformers.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from merginguriel.errors import CheckpointError
from merginguriel.files import sha256

FAST = "tokenizer.json"
# Files that hold tokens. A folder without any of them has no tokenizer, whatever its tokenizer_config.json says.
VOCABULARY_FILES = (
    FAST,
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spiece.model",
    "spm.model",
    "spm_char.model",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "vocab.bpe",
    "source.spm",
    "target.spm",
    "vocab-src.json",
    "vocab-tgt.json",
    "target_vocab.json",
    "dict.txt",
    "prophetnet.tokenizer",
    "byte_maps.json",
    "tekken.json",
    "tokenizer.tiktoken",
)
RULE_FILES = (  # how text is split with these tokens
    "merges.txt",
    "bpe.codes",
    "entity_vocab.json",
    "emoji.json",
    "normalizer.json",
    "word_pronunciation.json",
    "word_shape.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
CONFIG = "tokenizer_config.json"
CHAT_FILES = ("chat_template.jinja", "chat_template.json")
TOKENIZER_FILES = (*VOCABULARY_FILES, *RULE_FILES, CONFIG, *CHAT_FILES)
CHAT_TEMPLATES = "additional_chat_templates/*.jinja"
# Tokenizers of bytes and characters, which have no vocabulary to store.
WITHOUT_VOCABULARY = frozenset({"ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer"})
# Keys of tokenizer_config.json that change no token id, or that only say where the tokenizer came from.
USE_KEYS = frozenset({
    "model_max_length", "name_or_path", "padding_side", "truncation_side", "padding", "truncation", "max_length",
    "stride", "truncation_strategy", "pad_to_multiple_of", "pad_token_type_id", "clean_up_tokenization_spaces",
    "processor_class", "special_tokens_map_file", "tokenizer_file", "vocab_file", "chat_template", "is_local",
    "local_files_only", "backend", "use_fast", "auto_map", "model_input_names", "transformers_version",
    "spaces_between_special_tokens",
})  # fmt: skip
# A mask token above the embedding rows is harmless: text that is classified does not contain it.
MASKS = frozenset({"[MASK]", "<mask>"})


def present(folder: Path) -> list[str]:
    """Return the tokenizer's files in `folder`, as paths relative to it."""
    named = [name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return [*named, *sorted(path.relative_to(folder).as_posix() for path in folder.glob(CHAT_TEMPLATES))]


def fingerprint(folder: Path) -> str | None:
    """Return "<vocabulary file>:<digest>" of the tokenizer in `folder`; None if it holds no vocabulary.

    Equal fingerprints mean equal token ids. Tokenizers with different ones can still agree: they may be written in two
    notations, which `tokenizer_comparison.compare` finds out. Padding and truncation vary by use and do not count.
    """
    found = vocabulary_file(folder)
    if found is None:
        return None
    parts = [json.dumps(settings(folder), sort_keys=True)]
    if found == FAST:
        parts.append(fast_content(folder / FAST)[0])
    else:
        names = [name for name in (*VOCABULARY_FILES, *RULE_FILES) if (folder / name).is_file()]
        parts += [part for name in names for part in (name, sha256(folder / name))]
    return f"{found}:{hashlib.sha256(chr(31).join(parts).encode()).hexdigest()}"


def vocabulary_file(folder: Path) -> str | None:
    """Return the first vocabulary file in `folder`, tokenizer_config.json for a tokenizer of bytes, None without any."""
    found = next((name for name in VOCABULARY_FILES if (folder / name).is_file()), None)
    if found is None and (folder / CONFIG).is_file():
        kind = str(table(folder / CONFIG).get("tokenizer_class"))
        return CONFIG if kind in WITHOUT_VOCABULARY else None
    return found


def settings(folder: Path) -> dict[str, Any]:
    """Return what tokenizer_config.json says about token ids, in one notation for its two forms."""
    if not (folder / CONFIG).is_file():
        return {}
    found = {key: value for key, value in table(folder / CONFIG).items() if key not in USE_KEYS}
    if isinstance(found.get("tokenizer_class"), str):
        found["tokenizer_class"] = found["tokenizer_class"].removesuffix("Fast")
    plain = {
        key: value["content"] if isinstance(value, dict) and "content" in value else value
        for key, value in found.items()
    }
    return {key: value for key, value in plain.items() if value is not None}


def custom_class(folder: Path) -> str | None:
    """Return the name of the tokenizer's class, without `Fast`, if its code is in the folder; None for others."""
    config = table(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    named = config.get("auto_map")
    custom = isinstance(named, dict) and "AutoTokenizer" in named
    return str(config.get("tokenizer_class")).removesuffix("Fast") if custom else None


def token_count(folder: Path) -> int | None:
    """Return the number of embedding rows that the tokenizer in `folder` needs; None if its files do not say.

    For SentencePiece files this is a lower bound, since transformers may add special tokens.
    """
    if (folder / FAST).is_file():
        return fast_content(folder / FAST)[1]
    found = list(counts(folder))
    return max(found) if found else None


def counts(folder: Path) -> Iterator[int]:
    """Yield the number of rows that each vocabulary file of a tokenizer without tokenizer.json needs."""
    for name in VOCABULARY_FILES:
        path = folder / name
        if not path.is_file():
            continue
        if name == "vocab.txt":
            yield len(re.findall(rb"\S[^\r\n]*", path.read_bytes()))
        elif name in ("vocab.json", "added_tokens.json"):
            yield highest(table(path)) + 1
        elif path.suffix == ".model" and (pieces := sentencepieces(path)):
            yield pieces
    if (folder / "added_tokens.json").is_file():
        yield highest(table(folder / "added_tokens.json")) + 1


def highest(ids: Mapping[str, Any]) -> int:
    """Return the highest id of a table of token to id, the mask token aside; −1 without any."""
    return max((i for token, i in ids.items() if isinstance(i, int) and token not in MASKS), default=-1)


def sentencepieces(path: Path) -> int:
    """Return the number of pieces in a SentencePiece model; 0 for a file of another format.

    The file is a protobuf message whose field 1 is repeated once per piece: sentencepiece_model.proto.
    """
    pieces = 0
    try:
        for number, content in protobuf_fields(path.read_bytes()):
            if content is None or number == 0:
                return 0
            pieces += number == 1
    except (IndexError, ValueError):
        return 0
    return pieces


def protobuf_fields(message: bytes) -> Iterator[tuple[int, bytes | None]]:
    """Yield number and content of each field of a protocol buffer message; the content of a plain number is None.

    Raises IndexError or ValueError for what is not such a message.
    """
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key, size = varint(), varint()
        if key & 7 not in (0, 2):
            raise ValueError(f"wire type {key & 7}")
        content = message[at : at + size] if key & 7 else None
        at += size if key & 7 else 0
        yield key >> 3, content


# Parsing a tokenizer.json of 17 MB takes a second, and the sources of a merge usually share one.
parsed: dict[str, tuple[str, int]] = {}


def fast_content(path: Path) -> tuple[str, int]:
    """Return the digest of a tokenizer.json without padding and truncation, and the embedding rows it needs."""
    digest = sha256(path)
    if digest not in parsed:
        content = table(path)
        used = {key: value for key, value in content.items() if key not in ("padding", "truncation")}
        canonical = hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()
        parsed[digest] = canonical, fast_count(content)
    return parsed[digest]


def fast_count(content: Mapping[str, Any]) -> int:
    """Return the embedding rows that the content of a tokenizer.json needs."""
    model, added = content.get("model"), content.get("added_tokens")
    words = model.get("vocab") if isinstance(model, dict) else None
    rows = 0
    if isinstance(words, dict):
        rows = highest(words) + 1
    elif isinstance(words, list):  # Unigram: pieces in the order of their ids
        last = words[-1][0] if words and isinstance(words[-1], list) and words[-1] else None
        rows = len(words) - (last in MASKS)
    ids = {
        str(one.get("content")): one.get("id")
        for one in (added if isinstance(added, list) else [])
        if isinstance(one, dict)
    }
    return max(rows, highest(ids) + 1)


def table(path: Path) -> dict[str, Any]:
    """Read a JSON file of the tokenizer that holds an object. Raises CheckpointError."""
    hint = "Save the tokenizer again with save_pretrained."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot be read: {error}", where=str(path), hint=hint) from error
    if not isinstance(content, dict):
        raise CheckpointError("is not a JSON table.", where=str(path), hint=hint)
    return content


def require(folder: Path, rows: int | None) -> None:
    """Raise CheckpointError unless `folder` has a tokenizer whose tokens all have an embedding row.

    transformers builds an empty tokenizer where the files are missing, and its predictions are at chance level.

    Args:
        rows: Rows of its table of input embeddings; None for a model without any.
    """
    if vocabulary_file(folder) is None:
        raise CheckpointError(
            "this model folder has no tokenizer.", where=str(folder), hint=missing_hint(folder)
        )
    tokens = token_count(folder)
    if tokens == 0:
        raise CheckpointError("the tokenizer is empty.", where=str(folder), hint=missing_hint(folder))
    check_rows(folder, tokens, rows)


def check_rows(folder: Path, tokens: int | None, rows: int | None) -> None:
    """Raise CheckpointError if there are more tokens than embedding rows."""
    if tokens is not None and rows is not None and tokens > rows:
        raise CheckpointError(
            f"the tokenizer has {tokens:,} tokens, but the model has embeddings for {rows:,}.",
            where=str(folder),
            hint="This is the tokenizer of another model, or tokens were added without resize_token_embeddings.\n"
            "Copy the tokenizer that the model was trained with into the folder.",
        )


def missing_hint(folder: Path) -> str:
    """Return how to add the tokenizer that a training without `processing_class` did not save."""
    base = recorded_base(folder) or "BASE"
    return (
        "The Trainer saves it only with processing_class=tokenizer. Add that of the base model:\n"
        f"AutoTokenizer.from_pretrained({base!r}).save_pretrained({str(folder)!r})"
    )


def recorded_base(folder: Path) -> str | None:
    """Return the base model that the config or the model card in `folder` names; None if neither does."""
    try:
        name = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_name_or_path")
        if isinstance(name, str) and name and Path(name).resolve() != folder.resolve():
            return name
        card = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError, AttributeError):
        return None
    named = [line.partition(":")[2].strip() for line in card.splitlines() if line.startswith("base_model:")]
    return (named[0].strip("'\"") or None) if named else None


def copy(source: Path, folder: Path) -> None:
    """Copy the tokenizer's files unchanged: loading and saving could alter them, and sources must agree."""
    for name in present(source):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / name, folder / name)
