"""Config, labels, vocabulary and tensors of a Hugging Face folder, read without torch.

The safetensors format is eight bytes (length of the header, little endian), a JSON header and the tensors.
The header is checked against the file before a tensor is read, so that a damaged or hostile file gives an error
that names it. Weights stay on disk and are mapped, not loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.errors import CheckpointError

from . import folder_kinds, tokenizer_files

# How each dtype lies on disk. BF16 has no numpy type: it is the upper half of a float32, kept as uint16.
STORAGE: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
FLOATS = ("F64", "F32", "F16", "BF16")
MAX_HEADER = 100_000_000  # bytes; the limit of the format's own reader

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# A head's tensors have one row per label and one of these words among the parts of their name.
HEAD_WORDS = frozenset({"classifier", "out_proj", "score", "logits_proj", "summary"})
# The table of input embeddings, by the names that the architectures of transformers give it.
INPUT_TABLE = re.compile(
    r"(?:^|\.)(?:word_embeddings?|embed_tokens|wte|tok_embeddings|token_embedding|embed_in|shared)\.weight$"
)
# Wrappers that put a name into that of every tensor: torch.compile, FSDP, activation checkpointing; then DDP, peft, and a
# module with the attribute `model`. Causal models begin with `model.` themselves, but then none of HEADS follows it.
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
PREFIXES = ("module.", "base_model.model.", "model.")
HEADS = HEAD_WORDS | {"model", "lm_head", "cls", "qa_outputs", "classification_head"}
# Names in checkpoints that TensorFlow wrote, such as bert-base-uncased.
LEGACY = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@dataclass(frozen=True)
class TensorInfo:
    """Location of one tensor: bytes `start` to `end` of `file`, as `dtype` (safetensors name), row by row."""

    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """Folder with config.json and safetensors; no weights are in memory.

    labels       by index, from id2label; None if the config names none
    tokenizer    fingerprint of the tokenizer (tokenizer_files.fingerprint), None without one
    tokenizer_folder  where its files are: `path`, or the folder of the base
    """

    path: Path
    config: dict[str, Any]
    tensors: dict[str, TensorInfo]
    labels: tuple[str, ...] | None
    architecture: str
    vocabulary: int | None
    tokenizer: str | None
    tokenizer_folder: Path

    @property
    def embedding_rows(self) -> int | None:
        """Return the rows of the table of input embeddings; None for a model that reads no tokens."""
        tables = [
            info.shape[0] for name, info in self.tensors.items() if INPUT_TABLE.search(name) and info.shape
        ]
        return max(tables) if tables else self.vocabulary

    @property
    def files(self) -> tuple[Path, ...]:
        """Return every file that decides the result of a merge of this checkpoint."""
        names = ("config.json", "adapter_config.json", INDEX, *tokenizer_files.present(self.path))
        present = (self.path / name for name in (*names, *folder_kinds.companions(self.path)))
        # An adapter's other tensors lie in the folder of its base.
        weights = {info.file for info in self.tensors.values() if info.file.parent == self.path}
        return (*(p for p in present if p.is_file()), *sorted(weights))


def open_checkpoint(path: Path) -> Checkpoint:
    """Read and check everything but the weights. Raises CheckpointError with the file and a hint."""
    path = Path(path)
    if not path.is_dir():
        raise CheckpointError("no such model folder.", where=str(path), hint="Check the path.")
    if not (path / "config.json").is_file():
        raise folder_kinds.not_a_model(path)
    config = read_json(path / "config.json", "Save the model with save_pretrained, which writes it.")
    folder_kinds.refuse_two_models(path)
    tensors = unwrapped(find_tensors(path))
    folder_kinds.refuse_quantised(path, config, tensors, {info.dtype for info in tensors.values()})
    folder_kinds.refuse_unmerged(path, tensors)
    architectures = config.get("architectures") or [config.get("model_type")]
    architecture = architectures[0] if isinstance(architectures, list) else None
    if not isinstance(architecture, str):
        raise CheckpointError(
            "names no architecture.",
            where=str(path / "config.json"),
            hint='Add "architectures" or "model_type".',
        )
    vocabulary = config.get("vocab_size")
    return Checkpoint(
        path=path,
        config=config,
        tensors=tensors,
        labels=label_names(config, path / "config.json"),
        architecture=architecture,
        vocabulary=vocabulary if isinstance(vocabulary, int) else None,
        tokenizer=tokenizer_files.fingerprint(path),
        tokenizer_folder=path,
    )


def read(checkpoint: Checkpoint, name: str) -> np.ndarray:
    """Return tensor `name` as float32 [*shape]; mapped from the file and read-only if stored as float32."""
    if name not in checkpoint.tensors:
        raise CheckpointError(f"unknown tensor {name}.", where=str(checkpoint.path))
    info = checkpoint.tensors[name]
    return to_float32(map_tensor(info), info.dtype).reshape(info.shape)


def map_tensor(info: TensorInfo) -> np.ndarray:
    """Map the tensor's entries as stored: [size], dtype STORAGE[info.dtype], read-only, not loaded."""
    if info.size == 0:
        return np.empty(0, STORAGE[info.dtype])
    try:
        mapped = np.memmap(
            info.file, dtype=STORAGE[info.dtype], mode="r", offset=info.start, shape=(info.size,)
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot be read: {error}", where=str(info.file)) from error
    return np.asarray(mapped)


def to_float32(raw: np.ndarray, dtype: str) -> np.ndarray:
    """Convert entries from their storage dtype to float32; float32 arrays are returned unchanged."""
    if dtype == "BF16":
        wide = raw.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    return raw.astype(np.float32, copy=False)


def from_float32(values: np.ndarray, dtype: str) -> np.ndarray:
    """Convert float32 to the storage dtype, rounded to nearest, ties to even. NaN is not expected."""
    if dtype == "BF16":
        bits = values.view(np.uint32)
        return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    with np.errstate(over="ignore"):
        return values.astype(STORAGE[dtype], copy=False)


def is_head(name: str, shape: tuple[int, ...], labels: int | None) -> bool:
    """Return whether this tensor has one row per label. Defines how a head is recognised.

    True if its first dimension is the number of labels and a part of its name is in HEAD_WORDS, unless it is
    the dense layer before the head or belongs to attention (which calls a projection `out_proj` in places).
    """
    parts = name.split(".")
    named = (
        HEAD_WORDS.intersection(parts) and "dense" not in parts and not any("att" in part for part in parts)
    )
    return bool(named and labels and shape and shape[0] == labels)


def label_names(config: Mapping[str, Any], where: Path) -> tuple[str, ...] | None:
    """Return labels by index from `id2label`. They must be 0 … n−1 and distinct, to be aligned by name."""
    table = config.get("id2label")
    if not table:
        return None
    if not isinstance(table, dict):
        raise CheckpointError("id2label is not a table of index to label.", where=str(where))
    names = [table.get(str(i)) for i in range(len(table))]
    labels = tuple(name for name in names if isinstance(name, str))
    if len(labels) < len(names):
        raise CheckpointError(
            f"id2label does not name labels 0 to {len(names) - 1}, each once.", where=str(where)
        )
    if len(set(labels)) < len(labels):
        double = next(name for name in labels if labels.count(name) > 1)
        raise CheckpointError(f"id2label gives {double!r} to more than one index.", where=str(where))
    return labels


def unwrapped(tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Return the tensors under the names that they have without torch.compile, DDP and FSDP, and since PyTorch.

    Raises:
        CheckpointError: Two names become one.
    """
    plain = plain_names(tensors)
    for old, new in LEGACY.items():
        plain = {name: short.removesuffix(old) + new * short.endswith(old) for name, short in plain.items()}
    found = {plain[name]: info for name, info in tensors.items()}
    if len(found) < len(tensors):
        names = list(plain.values())
        double = next(name for name in names if names.count(name) > 1)
        where = str(next(iter(tensors.values())).file)
        raise CheckpointError(f"two tensors are called {double} without wrappers.", where=where)
    return found


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Return the name of each tensor without WRAPPERS, and without a prefix of PREFIXES that every name has."""
    plain = {name: name for name in names}
    for name in plain:
        for wrapper in WRAPPERS:
            plain[name] = plain[name].replace(wrapper, "")
    for prefix in PREFIXES:
        shorter = {name: short.removeprefix(prefix) for name, short in plain.items()}
        whole = all(short != plain[name] for name, short in shorter.items())
        if whole and (prefix != "model." or HEADS & {short.partition(".")[0] for short in shorter.values()}):
            plain = shorter
    return plain


def find_tensors(path: Path) -> dict[str, TensorInfo]:
    """Return every tensor of the folder, from model.safetensors or from the shards of the index."""
    if (path / WEIGHTS).is_file():
        return read_header(path / WEIGHTS)
    if (path / INDEX).is_file():
        return read_shards(path / INDEX)
    raise folder_kinds.without_weights(path)


def read_shards(index: Path) -> dict[str, TensorInfo]:
    """Return the tensors of all shards; index and shards must name the same ones, each once."""
    table = read_json(index, "Save the model again with save_pretrained.").get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(file, str) for file in table.values()):
        raise CheckpointError("weight_map is not a table of tensor to file.", where=str(index))
    tensors: dict[str, TensorInfo] = {}
    for file in sorted(set(table.values())):
        odd = "\\" in file or "\0" in file or file in ("", ".", "..") or len(file) > 200
        if odd or Path(file).name != file:
            raise CheckpointError(
                f"the shard {file[:200]!r} is not the name of a file in this folder.", where=str(index)
            )
        if not (index.parent / file).is_file():
            raise CheckpointError(
                f"the shard {file} is missing.", where=str(index), hint="Fetch the model again."
            )
        for name, info in read_header(index.parent / file).items():
            if name in tensors:
                raise CheckpointError(
                    f"tensor {name} is also in {tensors[name].file.name}.", where=str(info.file)
                )
            if table.get(name) != file:
                raise CheckpointError(f"tensor {name} is in {file}, but not by this index.", where=str(index))
            tensors[name] = info
    missing = sorted(set(table) - set(tensors))
    if missing:
        raise CheckpointError(f"tensor {missing[0]} is not in {table[missing[0]]}.", where=str(index))
    return tensors


def read_header(file: Path) -> dict[str, TensorInfo]:
    """Return every tensor of one safetensors file in byte order, checked against the file's size."""
    damaged = "The file is damaged or was not written to its end: fetch or save it again."

    def wrong(what: str) -> CheckpointError:
        return CheckpointError(what, where=str(file), hint=damaged)

    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            if start == b"version ":  # the first word of a Git LFS pointer
                raise CheckpointError(
                    "this is a Git LFS pointer, and not the weights.",
                    where=str(file),
                    hint=f"Download them: git -C {file.parent} lfs pull",
                )
            length = int.from_bytes(start, "little")
            if size < 8 or length > min(size - 8, MAX_HEADER):
                raise wrong("the header is cut off, or this is not a safetensors file.")
            text = stream.read(length)
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", where=str(file)) from error
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=without_duplicates)
    except (ValueError, RecursionError) as error:
        raise wrong(f"the header is not what the format asks for: {error}") from error
    if not isinstance(header, dict):
        raise wrong("the header is not a table.")
    header.pop("__metadata__", None)
    for name in header:
        if any(
            "\ud800" <= letter <= "\udfff" for letter in name
        ):  # half a character, which no other reader takes
            raise wrong(f"the tensor name {name!r} is not text.")
    body = 8 + length
    tensors = {name: parse_entry(name, entry, file, body, wrong) for name, entry in header.items()}
    ordered = dict(sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)))
    position = body
    for name, info in ordered.items():
        if info.end > size:
            raise wrong(f"tensor {name} ends at byte {info.end}, but the file has {size}.")
        if info.start != position:
            fault = "overlaps" if info.start < position else "leaves a gap after"
            raise wrong(f"tensor {name} {fault} the one before.")
        position = info.end
    if position != size:
        raise wrong(f"{size - position} bytes at the end belong to no tensor.")
    return ordered


def parse_entry(name: str, entry: Any, file: Path, body: int, wrong: Any) -> TensorInfo:
    """Parse one header entry into a TensorInfo, if its dtype, shape and offsets agree."""
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise wrong(f"tensor {name} lacks dtype, shape or data_offsets.") from None
    if not isinstance(dtype, str) or dtype not in STORAGE:
        folder_kinds.refuse_quantised(file, {}, (), {str(dtype)})
        raise CheckpointError(
            f"tensor {name} has dtype {dtype!r}, which cannot be read here.",
            where=str(file),
            hint=f"Save the model in one of: {', '.join(FLOATS)}.",
        )
    numbers = [*shape, start, end] if isinstance(shape, list) else [None]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise wrong(f"tensor {name} has a shape or offsets that are not whole numbers from 0.")
    if end - start != prod(shape) * STORAGE[dtype].itemsize:
        raise wrong(f"tensor {name}: {end - start} bytes do not make {dtype} of shape {shape}.")
    return TensorInfo(dtype, tuple(shape), file, body + start, body + end)


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a dict from JSON pairs. Raises ValueError for a duplicate key."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is a duplicate key")
    return table


def read_json(path: Path, hint: str) -> dict[str, Any]:
    """Read a JSON file that holds an object. Raises CheckpointError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.name} is missing.", where=str(path.parent), hint=hint) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot be read: {error}", where=str(path), hint=hint) from error
    if not isinstance(content, dict):
        raise CheckpointError("is not a JSON table.", where=str(path), hint=hint)
    return content
