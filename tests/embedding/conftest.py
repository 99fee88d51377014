"""A tiny BERT base with a tokenizer that knows the words of the examples."""

import pytest
import torch
import transformers
from real_folders import SIZE, TEXT, word_tokenizer

pytest.importorskip("sentence_transformers")
from merginguriel.tasks.pairs import Example


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "tiny"
    torch.manual_seed(0)
    config = transformers.BertConfig(**SIZE, vocab_size=120, initializer_range=0.2)
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def examples():
    return [
        Example(a, b, (c,)) for a, b, c in zip(TEXT, TEXT[1:] + TEXT[:1], TEXT[2:] + TEXT[:2], strict=True)
    ]
