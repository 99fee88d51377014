"""Embedders of sentence-transformers: base model, pooling, head and adapter, and their numbers of parameters."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    LayerNorm,
    Normalize,
    Pooling,
    Transformer,
)
from torch import nn

from merginguriel.errors import CheckpointError, UsageError
from merginguriel.models import remote_code
from merginguriel.models.folder_kinds import custom_code
from merginguriel.models.quiet_transformers import quiet
from merginguriel.models.sentence_transformer import MODULES, OWN_CODE, body_folder

from . import mu_modules

POOLINGS = {  # option → pooling mode of sentence-transformers
    "mean": "mean",
    "last": "lasttoken",
    "cls": "cls",
    "max": "max",
    "sqrt": "mean_sqrt_len_tokens",
    "position": "weightedmean",
}
HEADS = ("none", "linear", "mlp", "residual", "family", "experts")
# Query and value projections of attention, by architecture.
ATTENTION = ("query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "query_proj", "value_proj", "Wqkv", "qkv_proj")  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Options of an embedder.

    pooling  a name of POOLINGS, `attention`, `0.5*mean+0.5*max`, or `learned:mean+max`
    head     one of HEADS
    out      width of the sentence vectors; None for that of the base
    hidden   width inside an MLP; None for half of the base's
    experts  number of experts of the head `experts`
    families script families with a head of their own; none: those of the training data
    rank     of LoRA on the query and value matrices; 0 trains the whole base
    last     number of layers with LoRA, counted from the output; 0 for all
    frozen   whether the base is not trained at all
    """

    pooling: str = "mean"
    head: str = "none"
    out: int | None = None
    hidden: int | None = None
    experts: int = 4
    families: tuple[str, ...] = ()
    rank: int = 0
    last: int = 0
    frozen: bool = False


def build(
    base: Path, shape: Shape, *, max_tokens: int = 64, prompts: dict[str, str] | None = None
) -> SentenceTransformer:
    """Return a new embedder on the transformer in `base`, with the pooling, head and adapter of `shape`.

    Raises:
        UsageError: A part is unknown, or its options contradict each other.
        CheckpointError: The base cannot be loaded.
    """
    body = body_folder(base)
    if not (body / "config.json").is_file():
        hint = "Name the folder of a base model, or e5-small."
        raise CheckpointError("config.json is missing.", where=str(base), hint=hint)
    with quiet():
        transformer = opened_body(body)
        transformer.max_seq_length = max_tokens
    width = transformer.get_embedding_dimension()
    top = [pooling_module(width, shape.pooling), *head_modules(width, shape, transformer.tokenizer)]
    if shape.frozen:
        transformer.model.requires_grad_(False)
    elif shape.rank:
        transformer.model = with_lora(transformer.model, shape.rank, shape.last)
    return SentenceTransformer(modules=[transformer, *top, Normalize()], device=place(), prompts=prompts)


def place() -> str:
    """Return the device of training and encoding."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def opened_body(body: Path) -> Transformer:
    """Return the transformer in a folder, without an unused pooler where the architecture has one."""
    given = {"local_files_only": True, "trust_remote_code": remote_code.trusted(), "use_safetensors": True}
    try:
        try:
            return Transformer(str(body), model_kwargs={**given, "add_pooling_layer": False})
        except TypeError:  # an architecture without a pooler
            return Transformer(str(body), model_kwargs=given)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"this base cannot be loaded: {error}", where=str(body)) from error


def pooling_module(width: int, name: str) -> nn.Module:
    """Return the pooling named by an option. Raises UsageError."""
    if name == "attention":
        return mu_modules.AttentionPooling(width)
    if name in POOLINGS:
        return Pooling(width, pooling_mode=POOLINGS[name])
    learned, text = name.startswith("learned:"), name.removeprefix("learned:")
    parts = [part.rpartition("*") for part in text.split("+")]
    modes = [POOLINGS.get(mode.strip()) for _, _, mode in parts]
    try:
        weights = [float(weight or 1) for weight, _, _ in parts]
    except ValueError:
        weights = []
    if len(parts) < 2 or None in modes or not weights or min(weights) <= 0:
        known = f"{', '.join(POOLINGS)}, attention, 0.5*mean+0.5*max, learned:mean+max"
        raise UsageError(f"unknown pooling {name!r}.", hint=f"Poolings: {known}.")
    return mu_modules.WeightedPooling(width, [str(mode) for mode in modes], weights, learned)


def head_modules(width: int, shape: Shape, tokenizer: Any = None) -> list[nn.Module]:
    """Return the modules of a head on vectors of `width`. Raises UsageError."""
    out = shape.out or width
    hidden = shape.hidden or max(1, width // 2)
    none = nn.Identity()
    if shape.head == "none":
        if shape.out not in (None, width):
            what = f"--out-dim {shape.out} needs a head: the base has {width} dimensions."
            raise UsageError(what, hint="Add: --head linear")
        return []
    if shape.head == "linear":
        return [started(Dense(width, out, activation_function=none))]
    if shape.head == "mlp":
        first = Dense(width, hidden, activation_function=nn.ReLU())
        return [first, Dense(hidden, out, activation_function=none)]
    if shape.head == "residual":
        inner = Dense(hidden, hidden, activation_function=nn.GELU(), use_residual=True)
        first = Dense(width, hidden, activation_function=nn.GELU())
        last = Dense(hidden, out, activation_function=none)
        return [first, LayerNorm(hidden), inner, LayerNorm(hidden), last]
    if shape.head == "experts":
        return [started(mu_modules.MixtureOfExperts(width, out, shape.experts))]
    if shape.head == "family":
        return [family_heads(width, out, shape.families, tokenizer)]
    raise UsageError(f"unknown head {shape.head!r}.", hint=f"Heads: {', '.join(HEADS)}.")


def family_heads(width: int, out: int, families: Sequence[str], tokenizer: Any) -> nn.Module:
    """Return one head per family, which knows the family of every token of the tokenizer. Raises UsageError."""
    unknown = [family for family in families if family not in mu_modules.FAMILIES]
    if unknown or not families:
        what = f"unknown script family {unknown[0]!r}." if unknown else "no script family."
        raise UsageError(what, hint=f"Families: {', '.join(mu_modules.FAMILIES)}.")
    texts = [] if tokenizer is None else tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = set(getattr(tokenizer, "all_special_tokens", ()))
    decoded = ["" if t in special or t is None else tokenizer.convert_tokens_to_string([t]) for t in texts]
    made = mu_modules.FamilyHeads(width, out, families, len(texts))
    made.family.copy_(mu_modules.token_families(decoded, families))
    started(made)
    first, *others = made.heads
    for head in others:  # equal at the start: languages that agree in the base agree after the head
        head.load_state_dict(first.state_dict())
    return made


def started(module: nn.Module) -> nn.Module:
    """Start every linear map of a head as the identity, or, where its sizes differ, with orthogonal rows."""
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear) and "gate" not in name and part.weight.device.type != "meta":
            start = nn.init.eye_ if part.in_features == part.out_features else nn.init.orthogonal_
            start(part.weight)
            nn.init.zeros_(part.bias)
    return module


def with_lora(model: Any, rank: int, last: int = 0) -> Any:
    """Add LoRA factors to the query and value matrices of the last layers (0: all). Raises UsageError."""
    from peft import LoraConfig, get_peft_model

    layers = int(model.config.num_hidden_layers)
    if last > layers:
        raise UsageError(f"--lora-last {last}: the base has {layers} layers.")
    chosen = set(range(layers - last if last else 0, layers))
    names = [
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear)
        and name.rpartition(".")[2] in ATTENTION
        and chosen & {int(word) for word in name.split(".") if word.isdigit()}
    ]
    if not names:
        what = "this base has no query and value matrices that LoRA knows."
        raise UsageError(what, hint=f"Known: {', '.join(ATTENTION)}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads a name that transformers is about to drop
        factors = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names, bias="none")
        return get_peft_model(model, factors)


def parameters(model: SentenceTransformer | Sequence[nn.Module]) -> dict[str, tuple[int, int]]:
    """Return part → (trainable, all) numbers of parameters: base, adapter, and each module after it."""
    found: dict[str, tuple[int, int]] = {}
    body = next(iter(model)) if len(list(model)) > 1 else None
    for module in model:
        for name, parameter in module.named_parameters():
            of_body = "adapter" if "lora_" in name else "base"
            part = of_body if module is body else type(module).__name__
            trainable, total = found.get(part, (0, 0))
            found[part] = trainable + parameter.numel() * parameter.requires_grad, total + parameter.numel()
    return found


def load(folder: Path) -> SentenceTransformer:
    """Load an embedder: a SentenceTransformer folder, or a base, whose tokens are averaged.

    The program's own modules run if the folder's copy of their code is unchanged; other custom code needs permission.

    Raises:
        CheckpointError: The folder cannot be loaded, or its code may not run.
    """
    if not (body_folder(folder) / "config.json").is_file():
        hint = "Name the folder of an embedder."
        raise CheckpointError("config.json is missing.", where=str(folder), hint=hint)
    if not (folder / MODULES).is_file():
        return build(folder, Shape(), max_tokens=512)
    listed = [str(one["type"]) for one in json.loads((folder / MODULES).read_text(encoding="utf-8"))]
    custom = [name for name in listed if not name.startswith("sentence_transformers.")]
    code = folder / OWN_CODE.name
    own = (
        code.is_file() and code.read_bytes() == OWN_CODE.read_bytes() and not custom_code(body_folder(folder))
    )
    if custom and not own and not remote_code.trusted():
        what = f"it needs the custom module {custom[0]}."
        raise CheckpointError(what, where=str(folder), hint=remote_code.HINT)
    trusted = remote_code.trusted() or (bool(custom) and own)
    try:
        with quiet():
            given: Any = {"trust_remote_code": trusted, "local_files_only": True, "device": place()}
            return SentenceTransformer(str(folder), **given)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"this embedder cannot be loaded: {error}", where=str(folder)) from error


def save(model: SentenceTransformer, folder: Path, card: str) -> None:
    """Write an embedder that plain sentence-transformers loads, with the code of the program's own modules in it."""
    with quiet():
        model.save(str(folder), create_model_card=False, safe_serialization=True)
    listed = json.loads((folder / MODULES).read_text(encoding="utf-8"))
    prefix = f"{mu_modules.__name__}."
    own = [one for one in listed if one["type"].startswith(prefix)]
    for one in own:
        one["type"] = f"{OWN_CODE.stem}.{one['type'].removeprefix(prefix)}"
    (folder / MODULES).write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    if own:
        shutil.copyfile(OWN_CODE, folder / OWN_CODE.name)
    (folder / "README.md").write_text(card, encoding="utf-8")
