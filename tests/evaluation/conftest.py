"""Small real classifiers: an XLM-R of two layers from its config, and a tokenizer trained on a few words."""

from __future__ import annotations

import pytest

from merginguriel.tasks.registry import Item

LABELS = ("off", "on", "weather")
TEXTS = [
    "turn on the lamp", "lamp off", "is it raining", "on", "switch the kitchen lamp on please now",
    "turn off everything in the house", "weather tomorrow", "off", "make it light", "rain",
]  # fmt: skip


@pytest.fixture(scope="session")
def items():
    return tuple(Item(f"t/{i}", text, LABELS[i % 3], f"g{i // 2}") for i, text in enumerate(TEXTS))


@pytest.fixture(scope="session")
def tokenizer():
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    from tokenizers import models, pre_tokenizers, trainers

    raw = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    raw.train_from_iterator(TEXTS, trainers.WordLevelTrainer(special_tokens=special))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="session")
def make_model(tokenizer):
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    def make(seed=0):
        torch.manual_seed(seed)
        config = XLMRobertaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=0.8,  # so that sentences get different answers
            id2label=dict(enumerate(LABELS)),
            label2id={label: i for i, label in enumerate(LABELS)},
        )
        return XLMRobertaForSequenceClassification(config).eval()

    return make


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory, make_model, tokenizer):
    """Source locale → a classifier on disk."""
    pytest.importorskip("merginguriel.models.classifier")
    folders = {}
    for seed, name in enumerate(("sw-KE", "en-US")):
        folder = tmp_path_factory.mktemp("models") / name
        make_model(seed).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders[name] = folder
    return folders
