"""Folders that are no model but look like one, quantised weights, and custom code: cause and remedy of each."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from merginguriel.errors import CheckpointError

GENERATION = "generation_config.json"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
# Parts that quantisation libraries add beside a weight: bitsandbytes, GPTQ, AWQ, compressed-tensors.
QUANTISED = re.compile(
    r"\.(?:SCB|absmax|quant_map|nested_absmax|quant_state\..*|qweight|qzeros|weight_packed|weight_scale)$"
)
# Names inside a model that peft has wrapped: the weight is split over them.
UNMERGED = re.compile(r"\.(?:lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|base_layer)\b")
ADAPTER_CONFIG = "adapter_config.json"
MERGE_ADAPTER = "Merge it into its base first, with peft: model.merge_and_unload().save_pretrained(FOLDER)"
# Weights that are not read: what they are, what to do, and their files.
OTHER_FORMS = (
    ("a variant", "Load it with from_pretrained(FOLDER, variant=NAME)", ("model.*.safetensors",)),
    ("pickled", "Reading a pickle can run any code. If you trust it, load it with transformers",
     ("*.bin", "*.pt", "*.pth", "*.ckpt")),
    ("in another format", "Convert it", ("*.gguf", "*.h5", "*.msgpack", "*.onnx", "*/*.onnx", "*/*.distcp")),
)  # fmt: skip
# Files of weights that a merge reads, that hold the same model in another form, or that only the Trainer needs.
KNOWN = re.compile(
    r"pytorch_model|(?:adapter_)?model\b|consolidated|optimizer|scheduler|scaler|rng_state|random_states|training_args"
)
RELATIVE_IMPORT = re.compile(r"^\s*(?:from\s+\.(\w+)\s+import|import\s+\.(\w+))", re.MULTILINE)


def not_a_model(path: Path) -> CheckpointError:
    """Return the error for a folder without config.json: what it is instead, and which folder to name."""
    return other_kind(path) or CheckpointError(
        "config.json is missing.",
        where=str(path),
        hint="Save the model with save_pretrained, which writes it.",
    )


def other_kind(path: Path) -> CheckpointError | None:
    """Return the error for a folder that is known to be something else than a model; None for any other."""
    if snapshots := in_hub_cache(path):
        return CheckpointError(
            "this is a repository of the hub's cache; the model is in one of its snapshots.",
            where=str(path),
            hint="Name the snapshot: " + "\nor ".join(map(str, snapshots)),
        )
    if checkpoints := trainer_checkpoints(path):
        named, why = best_checkpoint(checkpoints)
        others = ", ".join(one.name for one in checkpoints if one != named)
        return CheckpointError(
            f"this folder holds no model, only the Trainer's checkpoint{'s' if others else ''}.",
            where=str(path),
            hint=f"Name the {why}: {named}" + (f"\nothers: {others}" if others else ""),
        )
    if (path / ADAPTER_CONFIG).is_file():
        return CheckpointError("this is an adapter, not a model.", where=str(path), hint=MERGE_ADAPTER)
    if adapters := sorted(found.parent for found in path.glob(f"*/{ADAPTER_CONFIG}")):
        return CheckpointError(
            "this folder holds adapters.",
            where=str(path),
            hint="Name one of them: " + "\nor ".join(map(str, adapters)),
        )
    return None


def refuse_two_models(path: Path) -> None:
    """Raise CheckpointError for a folder with a complete model and an adapter, of which transformers loads the adapter."""
    if (path / ADAPTER_CONFIG).is_file():
        raise CheckpointError(
            "this folder holds a complete model and an adapter, so that it is not clear which one is meant.",
            where=str(path),
            hint="Move the files adapter_* into a folder of their own, or remove those that you do not need.",
        )


def without_weights(path: Path) -> CheckpointError:
    """Return the error for a folder without model.safetensors: in which other form the weights are there."""
    for what, how, patterns in OTHER_FORMS:
        if file := first_of(path, *patterns):
            again = "save it again with save_pretrained, which writes model.safetensors."
            return CheckpointError(
                f"the weights are {what} ({file}).", where=str(path), hint=f"{how}, and\n{again}"
            )
    return other_kind(path) or CheckpointError(
        "no weights: neither model.safetensors nor model.safetensors.index.json exists.", where=str(path)
    )


def first_of(path: Path, *patterns: str) -> str | None:
    """Return the first file in `path` of the first pattern that any file has; None if there is none."""
    found = (sorted(path.glob(pattern)) for pattern in patterns)
    return next((str(files[0].relative_to(path)) for files in found if files), None)


def other_weights(path: Path) -> list[str]:
    """Return the files of weights that transformers does not read, such as the head of a SetFit or BGE-M3 model."""
    return sorted(
        one.name
        for one in path.iterdir()
        if one.suffix in (".pkl", ".joblib", ".pt", ".pth", ".npz", ".safetensors", ".bin")
        and not KNOWN.match(one.name)
    )


def in_hub_cache(path: Path) -> list[Path]:
    """Return the snapshots below a folder of the hub's cache, that of `main` first; empty for other folders."""
    root = path.parent if path.name == "snapshots" else path
    if not (root / "snapshots").is_dir():
        return []
    found = sorted(one for one in (root / "snapshots").iterdir() if (one / "config.json").is_file())
    try:
        main = (root / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        main = ""
    return sorted(found, key=lambda one: one.name != main)


def trainer_checkpoints(path: Path) -> list[Path]:
    """Return the Trainer's checkpoints in a folder that hold a model, by their step."""
    if not path.is_dir():
        return []
    found = [
        (int(named[1]), one)
        for one in path.iterdir()
        if (named := CHECKPOINT.fullmatch(one.name)) and (one / "config.json").is_file()
    ]
    return [one for _, one in sorted(found)]


def best_checkpoint(checkpoints: list[Path]) -> tuple[Path, str]:
    """Return the checkpoint that the Trainer's state calls the best, else the last, and which of the two it is."""
    try:
        state = json.loads((checkpoints[-1] / "trainer_state.json").read_text(encoding="utf-8"))
        best = Path(str(state.get("best_model_checkpoint") or "")).name
    except (OSError, ValueError, AttributeError):
        best = ""
    chosen = next((one for one in checkpoints if one.name == best), None)
    return (chosen, "best one") if chosen else (checkpoints[-1], "last one")


def refuse_quantised(
    path: Path, config: Mapping[str, Any], names: Collection[str], types: Collection[str]
) -> None:
    """Raise CheckpointError for quantised weights, which have no values to merge.

    Args:
        types: Their dtypes, as safetensors calls them.
    """
    settings = config.get("quantization_config")
    part = next((name for name in names if QUANTISED.search(name)), None)
    narrow = next((kind for kind in types if kind.startswith(("F8", "F4", "F6"))), None)
    if not (settings or part or narrow):
        return
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    how = method or (
        f"it has the tensor {part}" if part else f"dtype {narrow}" if narrow else "see its config"
    )
    raise CheckpointError(
        f"the weights are quantised ({how}).",
        where=str(path),
        hint="Use the model as it was before quantisation. If that is lost, write full precision with transformers:\n"
        "model = AutoModelForSequenceClassification.from_pretrained(FOLDER)\n"
        "model.dequantize().save_pretrained(OUT)",
    )


def refuse_unmerged(path: Path, names: Collection[str]) -> None:
    """Raise CheckpointError for a complete model that was saved with its adapter beside the weights, not added to them."""
    if part := next((name for name in names if UNMERGED.search(name)), None):
        raise CheckpointError(
            f"an adapter is not yet merged into this model ({part}).", where=str(path), hint=MERGE_ADAPTER
        )


def custom_code(path: Path) -> list[str]:
    """Return the names of the Python files in `path` that `auto_map` needs, with the modules that these import."""
    wanted = named_code(path)
    found: list[str] = []
    while wanted:
        name = wanted.pop()
        if name in found or "/" in name or not (path / name).is_file():
            continue
        found.append(name)
        text = (path / name).read_text(encoding="utf-8", errors="replace")
        wanted += [f"{one or other}.py" for one, other in RELATIVE_IMPORT.findall(text)]
    return sorted(found)


def missing_code(path: Path) -> list[str]:
    """Return the names of Python files that `auto_map` needs and that `path` lacks."""
    return sorted({name for name in named_code(path) if not (path / name).is_file()})


def named_code(path: Path) -> list[str]:
    """Return the Python files that `auto_map` names, but for those in another repository (`owner/name--module.Class`)."""
    named = [one for file in ("config.json", "tokenizer_config.json") for one in references(path / file)]
    return [one.split(".")[0] + ".py" for one in named if "--" not in one]


def references(path: Path) -> list[str]:
    """Return the classes that the `auto_map` of a JSON file names, as `module.Class`."""
    try:
        named = json.loads(path.read_text(encoding="utf-8")).get("auto_map")
    except (OSError, ValueError, AttributeError):
        return []
    values = named.values() if isinstance(named, dict) else named if isinstance(named, list) else []
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return [one for one in flat if isinstance(one, str)]


def companions(path: Path) -> list[str]:
    """Return the files beside weights and tokenizer that belong to the model: generation settings and custom code."""
    return [name for name in (GENERATION, *custom_code(path)) if (path / name).is_file()]


def copy_companions(source: Path, folder: Path) -> list[str]:
    """Copy `companions` unchanged and return their names. Custom code is copied, never executed."""
    names = companions(source)
    for name in names:
        shutil.copyfile(source / name, folder / name)
    return names
