"""Classifier of sentences or words: an encoder with a linear head, its initial state and its loading.

Every source model of a merge starts from one folder that `base_classifier` writes once: task vectors are
computed against it, so its head must be the head that every source started with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from merginguriel.errors import CheckpointError, UsageError
from merginguriel.files import new_folder

from . import build_record, remote_code, tokenizer_files
from .base_models import model_files, pooling_of, weight_files
from .checkpoint import open_checkpoint
from .loading import from_pretrained, not_loaded
from .quiet_transformers import quiet

RECORD = "classifier.yaml"
TOKENS = "tokens"  # in place of a pooling: a label for every token
LONGEST = 512  # tokens
HEAD_SEED = 0  # of the layers of a stock head that come before the last, which is zero


def mean_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average hidden [b, t, h] over the non-padding tokens of mask [b, t] → [b, h]."""
    kept = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * kept).sum(1) / kept.sum(1).clamp(min=1)


def cls_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the first token of hidden [b, t, h] → [b, h]."""
    del mask
    return hidden[:, 0]


def no_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return hidden [b, t, h] as it is: every token is classified."""
    del mask
    return hidden


POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mean": mean_pooling,
    "cls": cls_pooling,
    TOKENS: no_pooling,
}


class EncoderClassifierConfig(PretrainedConfig):
    """Configuration. encoder: the encoder's config as a table; scale: length of the sentence vector."""

    model_type = "mu-encoder-classifier"

    def __init__(
        self, encoder: dict[str, Any] | None = None, pooling: str = "mean", scale: float = 20.0, **kwargs: Any
    ) -> None:
        self.encoder = encoder or {"model_type": "bert"}
        self.pooling = pooling
        self.scale = scale
        for key in ("hidden_size", "vocab_size", "pad_token_id"):
            kwargs.setdefault(key, self.encoder.get(key))
        super().__init__(**kwargs)


class EncoderClassifier(PreTrainedModel):
    """Encoder → pooling → L2 norm × scale → linear head."""

    config_class = EncoderClassifierConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: EncoderClassifierConfig) -> None:
        super().__init__(config)
        self.encoder: Any = encoder_from(config.encoder)
        self.classifier = nn.Linear(int(self.encoder.config.hidden_size), int(config.num_labels or 0))
        self.post_init()

    def features(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return sentence vectors [b, h], or token vectors [b, t, h], of length `scale` from ids and mask [b, t]."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        pooled = POOLINGS[self.config.pooling](hidden.float(), attention_mask)
        return functional.normalize(pooled, dim=-1) * self.config.scale

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Return logits [b, labels], or [b, t, labels]; with `labels` also the mean cross-entropy, −100 left out."""
        del kwargs
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        logits = self.classifier(self.features(input_ids, mask)).float()
        loss = None if labels is None else functional.cross_entropy(logits.flatten(0, -2), labels.flatten())
        return SequenceClassifierOutput(loss=loss, logits=logits)


def encoder_from(table: dict[str, Any]) -> PreTrainedModel:
    """Build an encoder of random weights from its config, without the pooler that only a stock head uses."""
    config = AutoConfig.for_model(**table)
    try:
        return AutoModel.from_config(config, add_pooling_layer=False)
    except TypeError:  # DistilBERT, ModernBERT and others never had one
        return AutoModel.from_config(config)


AutoConfig.register(EncoderClassifierConfig.model_type, EncoderClassifierConfig, exist_ok=True)
AutoModelForSequenceClassification.register(EncoderClassifierConfig, EncoderClassifier, exist_ok=True)


def base_classifier(
    base: Path, labels: Sequence[str], out: Path, *, scale: float = 20.0, tokens: bool = False
) -> Path:
    """Write the pretrained `base` with a fresh head for `labels` into the folder `out`.

    A base that says how it pools its tokens (an embedding model) gets a pooled linear head of zeros; any
    other the stock head of its architecture, last layer zero, layers before it drawn from a fixed seed.

    Args:
        labels: Of the task, in the order of the head's rows.
        out: Folder to write; returned at once if it was made in the same way before.
        scale: Length of the pooled vector before the head.
        tokens: Label every token in place of the sentence.

    Raises:
        UsageError: Fewer than two labels, or one twice.
        CheckpointError: The base cannot be read.
    """
    check_labels(labels)
    made: dict[str, Any] = {
        "inputs": build_record.hashes(model_files(base)),
        "labels": list(labels),
        "scale": scale,
    }
    if tokens:
        made["tokens"] = True
    if build_record.already(out, RECORD, made):
        return out
    pooling = pooling_of(base)
    if pooling is not None and tokens:
        pooling = TOKENS
    model = stock(base, labels, tokens) if pooling is None else pooled(base, labels, pooling, scale)
    with new_folder(out) as folder:
        save(model, folder)
        copy_tokenizer(base, folder)
        packages = build_record.versions("torch", "transformers")
        build_record.write(folder, RECORD, made, head=head_text(pooling), versions=packages)
        body = f"""
A pretrained base with an untrained head: every source model is fine-tuned from it, and
task vectors are computed against it.

- Base: `{base.name}`; its hashes are in `{RECORD}`. Its licence is that of the base.
- Head: {head_text(pooling)}; {len(labels)} labels.
"""
        build_record.card(folder, license=None, title=f"{base.name} with a fresh head", body=body)
    return out


def check_labels(labels: Sequence[str]) -> None:
    """Raise UsageError for fewer than two labels or a duplicate."""
    if len(labels) < 2:
        raise UsageError(f"a classifier needs two labels or more, not {len(labels)}.")
    double = sorted({label for label in labels if list(labels).count(label) > 1})
    if double:
        raise UsageError(f"duplicate labels: {', '.join(double)}.")


def head_text(pooling: str | None) -> str:
    """Return a description of the head for the model card."""
    if pooling is None:
        return f"the stock one of the architecture, last layer zero, the others from seed {HEAD_SEED}"
    if pooling == TOKENS:
        return "L2 norm of every token, linear of zeros"
    return f"{pooling} pooling, L2 norm, linear of zeros"


def pooled(base: Path, labels: Sequence[str], pooling: str, scale: float) -> PreTrainedModel:
    """Build a classifier with a pooled linear head of zeros."""
    encoder = AutoConfig.from_pretrained(base, trust_remote_code=remote_code.trusted()).to_diff_dict()
    for key in ("_name_or_path", "architectures", "dtype", "transformers_version"):
        encoder.pop(key, None)
    config = EncoderClassifierConfig(encoder=encoder, pooling=pooling, scale=scale, **label_maps(labels))
    model = EncoderClassifier(config)
    model.encoder = opened(type(model.encoder), base, encoder_kwargs=True)
    nn.init.zeros_(model.classifier.weight)
    nn.init.zeros_(model.classifier.bias)
    return model.float()


def stock(base: Path, labels: Sequence[str], tokens: bool = False) -> PreTrainedModel:
    """Build a classifier with the architecture's stock head, its last layer zero."""
    kind = AutoModelForTokenClassification if tokens else AutoModelForSequenceClassification
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(HEAD_SEED)
        model = opened(kind, base, fresh_head=True, **label_maps(labels))
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    last = next((module for module in reversed(linears) if module.out_features == len(labels)), None)
    if last is None:
        raise CheckpointError(
            f"{type(model).__name__} has no linear layer with a row per label.", where=str(base)
        )
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
    return model.float()


def label_maps(labels: Sequence[str]) -> dict[str, Any]:
    """Return the config entries id2label and label2id."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def load(path: Path, *, device: str | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the classifier in `path` in float32 and evaluation mode, with its tokenizer.

    Args:
        device: Name of a torch device; None: the CPU.

    Raises:
        CheckpointError: Not a classifier; weights are missing, damaged or pickled; or there is no tokenizer.
    """
    kind = AutoModelForTokenClassification if stock_tokens(path) else AutoModelForSequenceClassification
    model = opened(kind, path)
    nn.Module.to(model, device or "cpu")
    return model.eval(), load_tokenizer(path)


def padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the id that the model takes for padding; None without any, so that it can read one sentence at a time.

    Classifiers of causal models read the last token that is not padding, by the config. One without padding gets that
    of its tokenizer.
    """
    config = model.config
    table: Any = model.get_input_embeddings()
    if not 0 <= (-1 if config.pad_token_id is None else config.pad_token_id) < len(table.weight):
        config.pad_token_id = tokenizer.pad_token_id
    pad: int | None = config.pad_token_id
    return pad


def longest(model: nn.Module) -> int:
    """Return the number of tokens to which a sentence is cut; −1 positions mean relative ones, without a limit."""
    positions = getattr(model.config, "max_position_embeddings", None) or 0
    return min(LONGEST, positions if positions > 0 else LONGEST) - 2


def stock_tokens(path: Path) -> bool:
    """Return whether the folder's config names an architecture that labels tokens; False if it is damaged."""
    try:
        names = json.loads((path / "config.json").read_text(encoding="utf-8")).get("architectures")
        return str(names[0]).endswith("ForTokenClassification")
    except (OSError, ValueError, AttributeError, TypeError, LookupError):
        return False  # `opened` names the fault


def labels_tokens(model: PreTrainedModel) -> bool:
    """Return whether the model labels every token instead of the sentence."""
    stock_head = type(model).__name__.endswith("ForTokenClassification")
    return stock_head or getattr(model.config, "pooling", None) == TOKENS


def encode_words(
    tokenizer: PreTrainedTokenizerBase, sentences: Sequence[Sequence[str]], max_length: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Return token ids of every sentence, and the position of each word's first token, −1 if it has none.

    A word has no token if the sentence was cut before it, or the tokenizer drops all of it.
    """
    if not sentences:
        return [], []
    encoded = tokenizer(
        [list(words) for words in sentences], is_split_into_words=True, truncation=True, max_length=max_length
    )
    firsts = []
    for i, words in enumerate(sentences):
        place = [-1] * len(words)
        for position, word in reversed(list(enumerate(encoded.word_ids(i)))):
            if word is not None:
                place[word] = position
        firsts.append(place)
    return encoded["input_ids"], firsts


def opened(
    kind: Any, path: Path, *, fresh_head: bool = False, encoder_kwargs: bool = False, **kwargs: Any
) -> PreTrainedModel:
    """Call `kind.from_pretrained` quietly: safetensors only, float32, failures as CheckpointError.

    fresh_head      weights that the folder lacks are expected
    encoder_kwargs  leave out the pooler where the architecture has one; its weights may be missing
    """
    weight_files(path, allow_pickle=False)
    if encoder_kwargs and "add_pooling_layer" in kind.__init__.__code__.co_varnames:
        kwargs["add_pooling_layer"] = False
    kwargs["ignore_mismatched_sizes"] = fresh_head
    model, info = from_pretrained(kind, path, **kwargs)
    missing = sorted(n for n in info["missing_keys"] if not (encoder_kwargs and n.startswith("pooler.")))
    encoder = {name for name in model.state_dict() if name.startswith(f"{model.base_model_prefix}.")}
    if fresh_head and encoder and encoder <= set(missing):
        raise CheckpointError(
            "none of the encoder's weights are in this folder.",
            where=str(path),
            hint=f"The architecture expects names such as {min(encoder)}.",
        )
    if missing and not fresh_head:
        raise CheckpointError(
            f"{len(missing)} weights are missing, the first is {missing[0]}.",
            where=str(path),
            hint="Is this a classifier? A base model gets a head with: mu base --task TASK --base FOLDER",
        )
    return model


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write config and safetensors with default file permissions (safetensors gives the owner alone)."""
    with quiet():
        model.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod((folder / "config.json").stat().st_mode & 0o666)


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of the model folder `path`.

    Raises:
        CheckpointError: It is missing or damaged, or has tokens without a row in the model's embeddings.
    """
    rows = open_checkpoint(path).embedding_rows
    tokenizer_files.require(path, rows)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=remote_code.trusted()
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise not_loaded("tokenizer", path, error) from error
    own = tokenizer_files.custom_class(path)
    if own and not remote_code.trusted() and type(tokenizer).__name__.removesuffix("Fast") != own:
        # Not the tokenizer that was trained with.
        raise not_loaded("tokenizer", path, ValueError(f"trust_remote_code: {own}"))
    ids = {token: i for token, i in tokenizer.get_vocab().items() if token != tokenizer.mask_token}
    tokenizer_files.check_rows(path, max(ids.values(), default=-1) + 1, rows)
    return tokenizer


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer's files unchanged. Raises CheckpointError if there is none."""
    tokenizer_files.require(source, None)
    tokenizer_files.copy(source, folder)
