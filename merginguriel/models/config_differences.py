"""Differences between two config.json files that change what the weights mean.

Every key at every depth is compared, but for HARMLESS keys. Where the files differ, both are first completed with the
defaults of their class in transformers, because a file leaves out what its writer took for the default, and versions
differ in names (`rope_theta` became `rope_parameters.rope_theta`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Keys that change neither weights nor predictions of the encoder. Labels and architectures are compared elsewhere.
HARMLESS = frozenset({
    # where the file comes from
    "transformers_version", "_name_or_path", "_commit_hash", "architectures", "auto_map", "torch_dtype", "dtype",
    "finetuning_task", "adapters", "unsloth_version", "unsloth_fixed", "model_name", "is_local",
    # labels, aligned by name
    "id2label", "label2id", "num_labels", "_num_labels",
    # how it is run or was trained
    "use_cache", "gradient_checkpointing", "output_attentions", "output_hidden_states", "return_dict",
    "use_return_dict", "torchscript", "attn_implementation", "_attn_implementation", "_attn_implementation_internal",
    "_attn_implementation_autoset", "_experts_implementation", "experts_implementation", "reference_compile",
    "repad_logits_with_grad", "deterministic_flash_attn", "sparse_prediction", "sparse_pred_ignore_index",
    "chunk_size_feed_forward", "pretraining_tp", "keys_to_ignore_at_inference",
    "initializer_range", "initializer_factor", "initializer_cutoff_factor", "init_std",
    "tokenizer_class", "tie_word_embeddings", "tie_encoder_decoder", "tf_legacy_loss", "use_bfloat16",
    # generation, which old files hold here
    "task_specific_params", "max_length", "min_length", "max_new_tokens", "do_sample", "early_stopping",
    "num_beams", "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p", "typical_p",
    "repetition_penalty", "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
    "bad_words_ids", "num_return_sequences", "output_scores", "return_dict_in_generate", "forced_bos_token_id",
    "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
    "begin_suppress_tokens", "prefix",
})  # fmt: skip
HARMLESS_PARTS = ("dropout", "_pdrop", "layerdrop", "drop_path_rate", "drop_rate")
# Keys of the head, which a base does not need to share with the models trained from it.
HEAD_PARTS = ("classifier_", "summary_", "pooler_", "head_")
# Keys that matter in generation only, or in how scores are read; a difference is worth a note.
NOTED = frozenset({
    "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "unk_token_id",
    "decoder_start_token_id", "problem_type",
})  # fmt: skip
PRUNED = "pruned_heads"  # layer → heads removed; a key of transformers 4, no default of a class
UNSET = "not set"


@dataclass(frozen=True)
class ConfigDifference:
    """Path of a key (`encoder.hidden_size`) with its value in both configs; None for a key that is not set."""

    key: str
    one: Any
    two: Any

    @property
    def name(self) -> str:
        """Return the last part of the key's path."""
        return self.key.rpartition(".")[2]

    def text(self, name: str, other: str) -> str:
        """Return a sentence: `key is 2 in fr-FR, 4 in vi-VN.`."""
        return f"{self.key} is {shown(self.one)} in {name}, {shown(self.two)} in {other}."


def differences(
    one: Mapping[str, Any], two: Mapping[str, Any], *, head: bool = True
) -> tuple[list[ConfigDifference], list[ConfigDifference]]:
    """Return the differences that forbid a merge and those that are worth a note.

    A key that only one file has forbids nothing: it is worth a note if its class is unknown to transformers, and
    nothing otherwise, since a class ignores keys that it does not define.

    Args:
        one: Content of a config.json.
        two: Of another.
        head: Compare settings of the head too; False for a base against a model trained from it.
    """
    if not unequal(one, two, head):
        return [], []
    full = [completed(config) for config in (one, two)]
    forbidding, noted = [], []
    defined = full[0].defined & full[1].defined if full[0].defined and full[1].defined else None
    for found in unequal(full[0].values, full[1].values, head):
        top = found.key.partition(".")[0]
        lone = found.one is None or found.two is None
        if top == PRUNED:
            forbidding.append(found)
        elif defined is not None and top not in defined:
            if not lone:
                noted.append(found)
        elif found.name in NOTED or (lone and defined is None):
            noted.append(found)
        else:
            forbidding.append(found)
    return forbidding, noted


def unequal(one: Mapping[str, Any], two: Mapping[str, Any], head: bool = True) -> list[ConfigDifference]:
    """Return every key whose values differ, at any depth, but for HARMLESS ones; null equals a missing key."""
    ours, theirs = flat(one), flat(two)
    return [
        ConfigDifference(key, ours.get(key), theirs.get(key))
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and not harmless(key, head)
    ]


def harmless(key: str, head: bool = True) -> bool:
    """Return whether no part of the key's path can change predictions; without `head`, those of the body."""
    parts = key.split(".")
    return any(
        part in HARMLESS
        or any(word in part for word in HARMLESS_PARTS)
        or (not head and part.startswith(HEAD_PARTS))
        for part in parts
    )


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return path → value with tables within tables spelled out, lists as JSON text and without nulls and empty tables."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        elif value not in (None, {}, "single_label_classification"):  # a problem_type, which is the default
            found[f"{prefix}{key}"] = json.loads(json.dumps(value, default=str))
    return found


@dataclass(frozen=True)
class Completed:
    """Config with the defaults of its class, and the top-level keys that the class defines (None: class unknown)."""

    values: Mapping[str, Any]
    defined: frozenset[str] | None


def completed(config: Mapping[str, Any]) -> Completed:
    """Return the config with the defaults of its class in transformers; unchanged where the class is unknown.

    Configs within it that name their own model_type are completed likewise.
    """
    try:
        from huggingface_hub.errors import StrictDataclassError
        from transformers import CONFIG_MAPPING
    except ImportError:
        return Completed(config, None)
    within = {
        key: completed(value).values if isinstance(value, Mapping) and "model_type" in value else value
        for key, value in config.items()
    }
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        return Completed(within, None)
    try:
        made = CONFIG_MAPPING[kind]
        return Completed(made.from_dict(dict(config)).to_dict(), frozenset(made().to_dict()))
    except (ValueError, TypeError, KeyError, AttributeError, StrictDataclassError):
        return Completed(within, None)  # values that the class does not accept, as they are written


def shown(value: Any) -> str:
    """Return a value in at most 80 characters; `not set` for None."""
    text = UNSET if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
