"""Comparison of two tokenizers by what they do: token ids, and the split of sample texts. Needs transformers.

Files of equal content can differ in notation (a SentencePiece model against its tokenizer.json, BPE merges as text or as
pairs, old and new names of settings), so both tokenizers are loaded and asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from merginguriel.errors import CheckpointError, missing_extra

from . import tokenizer_files

SAMPLES = (
    "Turn on the light, please!",
    "WHAT'S THE WEATHER LIKE IN NEW-YORK?",
    "  two  spaces,\ttab\nand new line ",
    "it is 12.50 €, 3/4 or 1e-9 at 07:30",
    "naïve café, Zu\u0308rich, Zürich, ﬁne, ＡＢＣ",  # composed, decomposed, compatibility forms
    "ẞß İı Ǆ ŉ",
    "你好，世界。今天天气怎么样？",
    "東京の天気 한국어 날씨",
    "السلام عليكم، كيف الطقس؟",
    "नमस्ते, मौसम कैसा है?",
    "habari za asubuhi",
    "สวัสดีครับ",
    "😀👩‍👩‍👧 \u200b\u00a0\ufeff",
    "hello<mask>world [MASK] here <s> </s> [SEP]",
    "user@example.org http://a.b/c?d=e&f#g __init__ <tag>",
)


@dataclass(frozen=True)
class TokenizerDifference:
    """refusal: why rows of the embeddings mean different tokens, None if they do not; notes: lesser differences."""

    refusal: str | None
    notes: tuple[str, ...] = ()


def compare(name: str, one: Path, other: str, two: Path) -> TokenizerDifference:
    """Compare the tokenizers in the folders `one` and `two`, which messages call `name` and `other`.

    Different ids of a token, or tokens that only one has, are a reason to refuse; another split of a sample text and
    other rules for spaces around an added token are notes.
    """
    try:
        a, b = loaded(one, tokenizer_files.fingerprint(one)), loaded(two, tokenizer_files.fingerprint(two))
    except CheckpointError as error:
        return TokenizerDifference(f"the files differ, and they cannot be compared by content: {error.what}")
    if why := vocabulary_difference(name, a.get_vocab(), other, b.get_vocab()):
        return TokenizerDifference(why)
    notes = []
    for text in SAMPLES:
        ids, theirs = (t(text, add_special_tokens=True)["input_ids"] for t in (a, b))
        if ids != theirs:
            pieces = [" ".join(t.convert_ids_to_tokens(i)[:12]) for t, i in ((a, ids), (b, theirs))]
            notes.append(
                f"{name} and {other} have the same tokens but split {text!r} differently: "
                f"{pieces[0]} / {pieces[1]}. The merged model splits like {name}."
            )
            break
    notes += flag_differences(name, a, other, b)
    return TokenizerDifference(None, tuple(notes))


def vocabulary_difference(name: str, one: dict[str, int], other: str, two: dict[str, int]) -> str | None:
    """Describe the first tokens that have other ids or are missing; None if both tables are equal."""
    moved = sorted((i, token) for token, i in one.items() if token in two and two[token] != i)
    missing = [
        (holder, sorted(table.keys() - there.keys()))
        for holder, table, there in ((other, one, two), (name, two, one))
    ]
    if not moved and not any(tokens for _, tokens in missing):
        return None
    parts = [f"{name} has {len(one):,} tokens, {other} has {len(two):,}"]
    for holder, tokens in missing:
        if tokens:
            more = f" and {len(tokens) - 3} more" if len(tokens) > 3 else ""
            parts.append(f"missing in {holder}: {', '.join(map(repr, tokens[:3]))}{more}")
    if moved:
        row, token = moved[0]
        parts.append(
            f"{len(moved)} tokens have another row: {token!r} is {row} in {name}, {two[token]} in {other}"
        )
    return "; ".join(parts) + "."


def flag_differences(name: str, a: Any, other: str, b: Any) -> list[str]:
    """Return one note for each added token that treats the spaces around it differently."""
    ours, theirs = a.added_tokens_decoder, b.added_tokens_decoder
    notes = []
    for i in sorted(ours.keys() & theirs.keys()):
        flags = [
            {flag: getattr(table[i], flag) for flag in ("lstrip", "rstrip", "single_word", "normalized")}
            for table in (ours, theirs)
        ]
        differing = [flag for flag in flags[0] if flags[0][flag] != flags[1][flag]]
        if differing:
            notes.append(
                f"{ours[i].content!r} has another {' and '.join(differing)} in {name} than in {other}; "
                f"the merged model has that of {name}."
            )
    return notes


@lru_cache(maxsize=4)
def loaded(folder: Path, fingerprint: str | None) -> Any:
    """Return the tokenizer in `folder`; cached by its fingerprint. Raises CheckpointError."""
    del fingerprint
    try:
        from transformers import AutoTokenizer

        from . import remote_code
        from .quiet_transformers import quiet
    except ImportError as error:
        raise missing_extra("transformers") from error
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=remote_code.trusted()
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise CheckpointError(str(error).strip().split("\n")[0], where=str(folder)) from error
