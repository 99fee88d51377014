"""Small real model folders as the ecosystem's own tools write them: transformers, sentencepiece, tokenizers."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

LABELS = ("weather", "music", "light")
NAMED: dict[str, Any] = {
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: i for i, label in enumerate(LABELS)},
}
SIZE: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 64,
}  # fmt: skip
TEXT = [
    "turn the light on", "how is the weather", "play some music now", "Licht an bitte", "hali ya hewa ikoje",
    "what is the time", "switch it off please", "das Wetter ist gut",
]  # fmt: skip
OTHER_TEXT = ["je voudrais écouter", "quelle heure est il", "allume la lampe du salon", "il pleut souvent"]


def spm_model(folder: Path, texts: list[str] = TEXT, size: int = 40, name: str = "spm.model") -> Path:
    """Train a SentencePiece model with the special tokens of DeBERTa-v3 and write it alone into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / "trained"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 20), model_prefix=str(prefix), vocab_size=size, model_type="unigram",
        pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]",
        unk_piece="[UNK]", minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    prefix.with_suffix(".model").rename(folder / name)
    prefix.with_suffix(".vocab").unlink()
    return folder


def deberta(folder: Path, seed: int, texts: list[str] = TEXT, **changes: Any) -> Path:
    """A DeBERTa-v2 classifier with spm.model and nothing else of a tokenizer, as microsoft/deberta-v3-base."""
    save(transformers.DebertaV2ForSequenceClassification, deberta_config(**changes), folder, seed)
    return spm_model(folder, texts)


def deberta_config(**changes: Any) -> Any:
    settings: dict[str, Any] = {
        **SIZE, "vocab_size": 60, "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm", "share_att_key": True, "position_biased_input": False, **NAMED,
    }  # fmt: skip
    return transformers.DebertaV2Config(**{**settings, **changes})


def xlm_r(folder: Path, seed: int, texts: list[str] = TEXT) -> Path:
    """An XLM-R classifier with sentencepiece.bpe.model alone, as FacebookAI/xlm-roberta-base once was."""
    config = transformers.XLMRobertaConfig(**{**SIZE, "vocab_size": 80, "pad_token_id": 1, **NAMED})
    save(transformers.XLMRobertaForSequenceClassification, config, folder, seed)
    prefix = folder / "sentencepiece.bpe"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 20), model_prefix=str(prefix), vocab_size=60, model_type="unigram",
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    (folder / "sentencepiece.bpe.vocab").unlink()
    return folder


def word_tokenizer(texts: list[str] = TEXT, lower: bool = True) -> Any:
    """Return a WordPiece tokenizer of BERT's form: special tokens, letters, and the words of the texts."""
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz" + "".join(texts)) - {" "})
    words = sorted({word for text in texts for word in text.split()} - set(letters))
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{one}" for one in letters),
        *words,
    ]
    made = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return transformers.BertTokenizerFast(tokenizer_object=made, do_lower_case=lower)


def bert(folder: Path, seed: int, *, tokenizer: Any = None, kind: Any = None, **changes: Any) -> Path:
    """A BERT classifier with its tokenizer, saved by transformers."""
    kind = kind or transformers.BertForSequenceClassification
    save(kind, transformers.BertConfig(**{**SIZE, "vocab_size": 120, **NAMED, **changes}), folder, seed)
    (tokenizer or word_tokenizer()).save_pretrained(folder)
    return folder


@functools.cache
def byte_pairs() -> Any:
    """Train a byte-level BPE tokenizer of GPT-2's form."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(
        TEXT * 20,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )  # fmt: skip
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|endoftext|>")


def causal(folder: Path, seed: int, *, kind: str = "Llama", **changes: Any) -> Path:
    """A causal language model with generation_config.json and a byte-level tokenizer."""
    settings = {**SIZE, "vocab_size": 310, "num_key_value_heads": 1, "bos_token_id": 0, "eos_token_id": 0}
    config = getattr(transformers, f"{kind}Config")(**{**settings, **changes})
    save(transformers.AutoModelForCausalLM.from_config, config, folder, seed)
    byte_pairs().save_pretrained(folder)
    return folder


def modernbert(folder: Path, seed: int, **changes: Any) -> Path:
    """A ModernBERT classifier with a WordPiece tokenizer."""
    settings: dict[str, Any] = {
        **SIZE, "vocab_size": 120, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2,
        "sep_token_id": 3, "local_attention": 8, "attn_implementation": "eager", **NAMED, **changes,
    }  # fmt: skip
    save(
        transformers.ModernBertForSequenceClassification,
        transformers.ModernBertConfig(**settings),
        folder,
        seed,
    )
    word_tokenizer().save_pretrained(folder)
    return folder


def save(kind: Any, config: Any, folder: Path, seed: int) -> None:
    """Save a model of random weights, larger than transformers draws them so that logits differ visibly."""
    torch.manual_seed(seed)
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    model.save_pretrained(folder)


def copied(source: Path, folder: Path) -> Path:
    """Copy a model folder."""
    return Path(shutil.copytree(source, folder))


def logits(folder: Path, texts: list[str] = TEXT, auto: Any = None) -> torch.Tensor:
    """Return the logits that transformers alone computes with the folder's model and tokenizer."""
    auto = auto or transformers.AutoModelForSequenceClassification
    model, info = auto.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        found = [model.eval()(**encoded(tokenizer, text)).logits for text in texts]
    return torch.cat(
        [one.reshape(-1, one.shape[-1])[-1:] for one in found]
    )  # of a causal model: the last token


def encoded(tokenizer: Any, text: str) -> dict[str, torch.Tensor]:
    ids = tokenizer(text, return_tensors="pt")
    return {"input_ids": ids["input_ids"], "attention_mask": ids["attention_mask"]}


def mean_by_hand(one: Path, two: Path, folder: Path, auto: Any = None) -> Path:
    """Average two models with transformers and torch alone, and save the result with the tokenizer of the first."""
    auto = auto or transformers.AutoModelForSequenceClassification
    model, other = auto.from_pretrained(one), auto.from_pretrained(two)
    with torch.no_grad():
        for a, b in zip(model.parameters(), other.parameters(), strict=True):
            a.copy_((a + b) / 2)
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(one).save_pretrained(folder)
    return folder
