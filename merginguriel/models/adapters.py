"""LoRA adapters opened as models: the tensors of the base plus low-rank products.

A folder written by peft (adapter_config.json, adapter_model.safetensors) is opened as a Checkpoint. The full matrices
are never materialised: `LowRank.add` computes any run of their entries. Hu et al. 2021, arXiv:2106.09685.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from merginguriel.errors import CheckpointError

from . import folder_kinds, tokenizer_files
from .checkpoint import (
    INDEX,
    WEIGHTS,
    Checkpoint,
    TensorInfo,
    map_tensor,
    read_header,
    read_json,
    to_float32,
)

CONFIG, ADAPTER = folder_kinds.ADAPTER_CONFIG, "adapter_model.safetensors"
PREFIX = "base_model.model."
# Which of the two matrices a tensor is; those of an embedding have rows and columns the other way round.
PARTS = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_embedding_A": "A",
    ".lora_embedding_B": "B",
}
# Settings under which the model is not base + scaling·B·A, and beginnings that change the base's own weights.
OTHERWISE = (
    "use_dora", "use_qalora", "use_bdlora", "lora_bias", "alora_invocation_tokens", "arrow_config", "kasa_config",
    "monteclora_config", "velora_config", "layer_replication", "target_parameters", "trainable_token_indices",
)  # fmt: skip
CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
HINT = folder_kinds.MERGE_ADAPTER


@dataclass(frozen=True)
class LowRank(TensorInfo):
    """Tensor of the base plus left @ right: float32 [rows, r] and [r, columns], with the scaling in `left`."""

    under: TensorInfo = field(kw_only=True)
    left: np.ndarray = field(kw_only=True, compare=False, repr=False)
    right: np.ndarray = field(kw_only=True, compare=False, repr=False)

    def add(self, start: int, out: np.ndarray) -> None:
        """Add entries start … start + len(out) of the product to `out`."""
        width = self.shape[-1]
        if not out.size:
            return
        first, last = start // width, -(-(start + out.size) // width)
        rows = (self.left[first:last] @ self.right).reshape(-1)
        out += rows[start - first * width :][: out.size]


def is_adapter(path: Path) -> bool:
    """Return whether `path` is a peft folder and not a complete model."""
    path = Path(path)
    return (path / CONFIG).is_file() and not (path / WEIGHTS).is_file() and not (path / INDEX).is_file()


def open_adapter(path: Path, base: Checkpoint) -> Checkpoint:
    """Open the adapter in `path` on `base`, whose config, labels and tensor names it takes.

    The base must have every tensor that the adapter touches, the head included.

    Raises:
        CheckpointError: The adapter is not LoRA, or does not fit the base.
    """
    path = Path(path)
    config = read_json(path / CONFIG, "Save the adapter again with save_pretrained.")
    check_kind(config, path / CONFIG)
    if not (path / ADAPTER).is_file():
        pickled = (path / "adapter_model.bin").is_file()
        what = (
            "the adapter's weights are pickled (adapter_model.bin)." if pickled else f"{ADAPTER} is missing."
        )
        raise CheckpointError(what, where=str(path), hint="Save it again with peft's save_pretrained.")
    tensors = dict(base.tensors)
    factors: dict[str, dict[str, TensorInfo]] = {}
    for key, info in read_header(path / ADAPTER).items():
        name = key.removeprefix(PREFIX)
        ending = next((ending for ending in PARTS if name.endswith(ending)), None)
        if ending:
            factors.setdefault(name.removesuffix(ending), {})[PARTS[ending]] = info
            continue
        if ".original_module." in name:  # saved with bias="all", and not used
            continue
        name = name_in(tensors, name.replace(".modules_to_save.", ".").replace(".base_layer.", "."))
        known = tensors.get(name)
        if known is None or known.shape != info.shape:
            raise misfit(name, known, info.shape, path, base)
        tensors[name] = info
    for module, pair in factors.items():
        name = name_in(tensors, f"{module}.weight")
        if name not in tensors:
            raise misfit(name, None, (), path, base)
        tensors[name] = low_rank(module, tensors[name], pair, config, path)
    own = tokenizer_files.fingerprint(path)
    folder = path if own else base.tokenizer_folder  # peft alone saves no tokenizer
    return replace(base, path=path, tensors=tensors, tokenizer=own or base.tokenizer, tokenizer_folder=folder)


def name_in(tensors: Mapping[str, TensorInfo], name: str) -> str:
    """Return the name of tensor `encoder.x` in the base: `bert.encoder.x` where the base is a model with a head."""
    if name in tensors:
        return name
    longer = [tensor for tensor in tensors if tensor.endswith(f".{name}")]
    return longer[0] if len(longer) == 1 else name


def check_kind(config: Mapping[str, Any], where: Path) -> None:
    """Raise CheckpointError for an adapter that is not plain LoRA."""
    if config.get("peft_type") != "LORA":
        raise CheckpointError(
            f"this is an adapter of the kind {config.get('peft_type')}; LoRA can be read.",
            where=str(where),
            hint=HINT,
        )
    start = config.get("init_lora_weights")
    odd = next((key for key in OTHERWISE if config.get(key)), None)
    if isinstance(start, str) and start.lower().startswith(CHANGES_THE_BASE):
        odd = f"init_lora_weights: {start}"
    if odd:
        raise CheckpointError(f"an adapter with {odd} cannot be read here.", where=str(where), hint=HINT)


def low_rank(
    module: str, under: TensorInfo, pair: Mapping[str, TensorInfo], config: Mapping[str, Any], path: Path
) -> LowRank:
    """Return `under` + scaling·B·A, transposed where the base stores it so (fan_in_fan_out, embeddings)."""
    name = f"{module}.weight"
    if len(pair) < 2 or any(len(info.shape) != 2 for info in pair.values()) or len(under.shape) != 2:
        raise CheckpointError(f"the factors of {name} are not two matrices.", where=str(path), hint=HINT)
    a, b = (to_float32(map_tensor(pair[key]), pair[key].dtype).reshape(pair[key].shape) for key in "AB")
    rank = a.shape[0]
    if b.shape[1] != rank:
        raise CheckpointError(
            f"the factors of {name} differ in rank: {rank} and {b.shape[1]}.", where=str(path)
        )
    alpha = float(by_pattern(config.get("alpha_pattern") or {}, module, config.get("lora_alpha", rank), path))
    b = b * np.float32(alpha / (rank**0.5 if config.get("use_rslora") else rank))
    shape = (b.shape[0], a.shape[1])
    turned = shape[::-1] == under.shape and (shape != under.shape or bool(config.get("fan_in_fan_out")))
    if shape != under.shape and not turned:
        raise CheckpointError(
            f"the factors of {name} make {list(shape)}, but the base has {list(under.shape)}.",
            where=str(path),
            hint="Name the base that the adapter was trained on.",
        )
    left, right = (a.T, b.T) if turned else (b, a)
    start = pair["A"].start  # with the file, what distinguishes it from the other tensors of the adapter
    return LowRank(
        under.dtype, under.shape, pair["A"].file, start, start + sum(i.end - i.start for i in pair.values()),
        under=under, left=np.ascontiguousarray(left), right=np.ascontiguousarray(right),
    )  # fmt: skip


def by_pattern(patterns: Mapping[str, Any], module: str, default: Any, path: Path) -> Any:
    """Return the value for a module, by the first pattern that matches the end of its name, as peft does."""
    for pattern, value in patterns.items():
        try:
            if re.match(rf"(.*\.)?({pattern})$", module):
                return value
        except re.error as error:
            raise CheckpointError(
                f"{pattern!r} is not a pattern: {error}", where=str(path / CONFIG)
            ) from error
    return default


def misfit(
    name: str, known: TensorInfo | None, shape: tuple[int, ...], path: Path, base: Checkpoint
) -> CheckpointError:
    """Return the error for a tensor that the base lacks or has in another shape."""
    has = (
        f"has no {name}" if known is None else f"has {name} as {list(known.shape)}, the adapter {list(shape)}"
    )
    return CheckpointError(
        f"the base of this adapter {has}.",
        where=f"{path}, on {base.path}",
        hint="Name the base that the adapter was trained on, with its head: mu base --task TASK --base MODEL",
    )
