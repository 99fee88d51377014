"""Checks that two models have one encoder: config, tokenizer, and a tokenizer at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from merginguriel.errors import IncompatibleError, warn
from merginguriel.models import tokenizer_comparison, tokenizer_files
from merginguriel.models.checkpoint import Checkpoint
from merginguriel.models.config_differences import differences

SAME_BASE = "Sources must be fine-tuned from one and the same base model."
BY_TOKEN = "Merge the rows of equal tokens with: --vocab common, --vocab union or --vocab base"
Named = tuple[str, Checkpoint]  # what messages call a model, and the model
MOST = 5  # differences that a message lists


def check_encoder(a: Named, b: Named, *, head: bool = True) -> None:
    """Raise IncompatibleError unless config and tokenizer agree; warn about lesser differences.

    head  False: settings of the head may differ, as between a base and the models trained from it
    """
    check_config(a, b, head=head)
    check_tokenizers(a, b)


def check_config(a: Named, b: Named, *, head: bool = True) -> None:
    """Raise IncompatibleError for a setting that changes predictions and differs, with the key's path and both values."""
    (name, one), (other, two) = a, b
    forbidding, noted = differences(one.config, two.config, head=head)
    if one.architecture.endswith("ForCausalLM"):  # it pads no text that it is trained on or scored with
        noted += [found for found in forbidding if found.name == "pad_token_id"]
        forbidding = [found for found in forbidding if found.name != "pad_token_id"]
    for found in noted:
        warn(f"{found.text(name, other)} The merged model has that of {name}.")
    if forbidding:
        lines = [found.text(name, other) for found in forbidding[:MOST]]
        if len(forbidding) > MOST:
            lines.append(f"and {len(forbidding) - MOST} more")
        raise refusal(name, other, "their configs differ.", "\n".join([*lines, SAME_BASE]))


def check_tokenizers(a: Named, b: Named) -> None:
    """Raise IncompatibleError if a token has another row of the embeddings in the two models."""
    (name, one), (other, two) = a, b
    if not one.tokenizer or not two.tokenizer or one.tokenizer == two.tokenizer:
        return
    found = tokenizer_comparison.compare(name, one.tokenizer_folder, other, two.tokenizer_folder)
    if found.refusal:
        raise refusal(
            name,
            other,
            "their tokenizers differ, so a row of the embeddings is another token in each.",
            f"{found.refusal}\n{SAME_BASE}\n{BY_TOKEN}",
        )
    for note in found.notes:
        warn(note)


def refusal(name: str, other: str, why: str, hint: str) -> IncompatibleError:
    """Return the error for two models that cannot be merged."""
    return IncompatibleError(f"{name} and {other} cannot be merged: {why}", hint=hint)


def with_tokenizers(sources: Sequence[Named], base: Path | None) -> list[Named]:
    """Return the sources, each with a tokenizer that fits its embeddings; one without gets that of the base.

    Args:
        sources: Models; those without a table of embeddings need no tokenizer.
        base: Folder of the pretrained base that the user named; None without.

    Raises:
        CheckpointError: A source has no tokenizer and the base gives none, or one does not fit.
    """
    theirs = tokenizer_files.fingerprint(base) if base else None
    complete = []
    for name, source in sources:
        rows = source.embedding_rows
        if rows is None:
            complete.append((name, source))
            continue
        if source.tokenizer is None and base and theirs:
            tokenizer_files.check_rows(base, tokenizer_files.token_count(base), rows)
            warn(f"{name} has no tokenizer: that of the base is used ({base}).")
            source = replace(source, tokenizer=theirs, tokenizer_folder=base)
        tokenizer_files.require(source.tokenizer_folder, rows)
        complete.append((name, source))
    return complete
