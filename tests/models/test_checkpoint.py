"""Is a checkpoint read as the reference reader reads it, and is a damaged one refused by name?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from merginguriel.errors import CheckpointError
from merginguriel.models.checkpoint import (
    from_float32,
    is_head,
    map_tensor,
    open_checkpoint,
    read,
    read_header,
    to_float32,
)
from merginguriel.models.safetensors_writer import SafetensorsFile, sorted_layout

CONFIG = {"architectures": ["Plain"], "model_type": "plain", "vocab_size": 7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tensors = {
        "a.weight": torch.randn(3, 5),
        "b.weight": torch.randn(4, 2).to(torch.bfloat16),
        "c.weight": torch.randn(7).to(torch.float16),
        "d.ids": torch.arange(6),
        "e.empty": torch.zeros(0, 3),
        "f.scalar": torch.tensor(2.5),
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def raw_file(path: Path, header: object, body: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def entry(
    start: int, end: int, dtype: str = "F32", shape: tuple[int, ...] | None = None
) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape or ((end - start) // 4,)), "data_offsets": [start, end]}


def test_every_dtype_is_read_as_the_reference_reads_it(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    expected = load_file(folder / "model.safetensors")
    assert set(checkpoint.tensors) == set(expected)
    for name, tensor in expected.items():
        found = read(checkpoint, name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, tensor.to(torch.float32).numpy())


def test_float32_is_mapped_and_cannot_be_written_to(folder: Path) -> None:
    array = read(open_checkpoint(folder), "a.weight")
    assert not array.flags.owndata
    with pytest.raises(CheckpointError, match="unknown tensor z"):
        read(open_checkpoint(folder), "z")
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=50))
def test_rounding_to_bfloat16_and_float16_is_that_of_torch(values: list[float]) -> None:
    array = np.array(values, np.float32)
    for code, dtype in (("BF16", torch.bfloat16), ("F16", torch.float16)):
        rounded = to_float32(from_float32(array, code), code)
        np.testing.assert_array_equal(rounded, torch.tensor(array).to(dtype).to(torch.float32).numpy())


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=8).filter(
            lambda name: name != "__metadata__"
        ),
        st.tuples(st.sampled_from(["F32", "F16", "I64", "U8"]), st.lists(st.integers(0, 4), max_size=3)),
        max_size=5,
    )
)
def test_what_is_written_is_what_the_reference_reader_finds(
    tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, tuple[str, list[int]]]
) -> None:
    path = tmp_path_factory.mktemp("w") / "x.safetensors"
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64, "U8": np.uint8}
    layout = sorted_layout({name: (dtype, tuple(shape)) for name, (dtype, shape) in wanted.items()})
    arrays = {name: np.arange(int(np.prod(s))).astype(kinds[d]) for name, (d, s) in layout.items()}
    # Two blocks per tensor, the last first: what arrives in pieces must not differ from what arrives whole.
    written = SafetensorsFile(path, layout)
    for name, array in arrays.items():
        written.write(name, array.size // 2, array[array.size // 2 :])
        written.write(name, 0, array[: array.size // 2])
    written.close()
    with safe_open(path, "np") as reference:
        assert set(reference.keys()) == set(wanted)
        for name, (_, shape) in layout.items():
            np.testing.assert_array_equal(reference.get_tensor(name), arrays[name].reshape(shape))
    assert {n: (i.dtype, i.shape) for n, i in read_header(path).items()} == layout
    for name, info in read_header(path).items():
        np.testing.assert_array_equal(map_tensor(info), arrays[name])


def test_a_block_too_many_is_an_error_not_a_shifted_file(tmp_path: Path) -> None:
    written = SafetensorsFile(tmp_path / "x", {"a": ("F32", (2,)), "b": ("F32", (2,))})
    with pytest.raises(ValueError, match="past its end"):
        written.write("a", 0, np.zeros(3, np.float32))
    written.close()


HOSTILE = {
    "empty": b"",
    "only a length": (99).to_bytes(8, "little"),
    "a header longer than any": (1 << 63).to_bytes(8, "little") + b"{}",
    "not JSON": (4).to_bytes(8, "little") + b"\xff\xfe{}",
    "deeply nested": (200_000).to_bytes(8, "little") + b"[" * 200_000,
}
HEADERS = {
    "a list": ([], 0),
    "overlapping": ({"a": entry(0, 8), "b": entry(4, 12)}, 12),
    "the same place twice": ({"a": entry(0, 8), "b": entry(0, 8)}, 8),
    "a hole": ({"a": entry(0, 4), "b": entry(8, 12)}, 12),
    "past the end": ({"a": entry(0, 40)}, 8),
    "bytes left over": ({"a": entry(0, 4)}, 8),
    "backwards": ({"a": entry(8, 0, shape=(2,))}, 8),
    "negative": ({"a": entry(-4, 0, shape=(1,))}, 0),
    "shape too large": ({"a": entry(0, 8, shape=(1 << 40, 1 << 40))}, 8),
    "negative shape": ({"a": entry(0, 8, shape=(-1, -2))}, 8),
    "a truth value as size": ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, 4),
    "unknown dtype": ({"a": entry(0, 4, dtype="F4_X")}, 4),
    "no offsets": ({"a": {"dtype": "F32", "shape": [1]}}, 4),
    "an entry of text": ({"a": "F32"}, 4),
}


@pytest.mark.parametrize("name", [*HOSTILE, *HEADERS])
def test_a_hostile_file_is_refused_as_the_reference_refuses_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.safetensors"
    if name in HOSTILE:
        path.write_bytes(HOSTILE[name])
    else:
        header, size = HEADERS[name]
        raw_file(path, header, bytes(size))
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    assert str(path) in caught.value.render()
    assert caught.value.hint
    with pytest.raises(SafetensorError), safe_open(path, "np"):
        pass


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    line = json.dumps(entry(0, 4))
    path = raw_file(tmp_path / "x", f'{{"a":{line},"a":{line}}}'.encode(), bytes(4))
    with pytest.raises(CheckpointError, match="'a' is a duplicate key"):
        read_header(path)


@given(st.data())
def test_a_truncated_or_altered_file_never_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = raw_file(tmp_path_factory.mktemp("t") / "x", {"a": entry(0, 8), "b": entry(8, 12)}, bytes(12))
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(CheckpointError):
            read_header(path)
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            read_header(path)
        except CheckpointError:
            return


def shards(folder: Path, weight_map: object) -> None:
    save_file({"a": torch.zeros(2)}, folder / "one.safetensors")
    save_file({"b": torch.ones(2)}, folder / "two.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_shards_are_read_as_one_model(tmp_path: Path) -> None:
    shards(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    checkpoint = open_checkpoint(tmp_path)
    np.testing.assert_array_equal(read(checkpoint, "b"), [1, 1])
    assert {file.name for file in checkpoint.files} >= {"one.safetensors", "two.safetensors"}


@pytest.mark.parametrize(
    "weight_map",
    [
        {"a": "../one.safetensors"},
        {"a": "/etc/passwd"},
        {"a": "sub/one.safetensors"},
        {"a": ".."},
        {"a": "three.safetensors"},
        {"a": "one.safetensors", "b": "one.safetensors"},
        {"a": "two.safetensors", "b": "one.safetensors"},
        {"a": 3},
        ["one.safetensors"],
        {},
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, weight_map: object) -> None:
    (tmp_path / "m").mkdir()
    save_file({"a": torch.zeros(2)}, tmp_path / "one.safetensors")
    shards(tmp_path / "m", weight_map)
    with pytest.raises(CheckpointError, match=r"index\.json"):
        open_checkpoint(tmp_path / "m")


def test_pickled_weights_are_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    torch.save({"a": torch.zeros(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickled") as caught:
        open_checkpoint(tmp_path)
    assert "save_pretrained" in (caught.value.hint or "")


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model folder"):
        open_checkpoint(tmp_path / "nowhere")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    with pytest.raises(CheckpointError, match="no weights: neither"):
        open_checkpoint(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"0": "a", "2": "b"}, "0 to 1"),
        ({"0": "a", "1": "a"}, "'a'"),
        ([1], "not a table"),
        ({"0": 5}, "0 to 0"),
    ],
)
def test_a_label_map_that_cannot_be_aligned_is_refused(folder: Path, table: object, fault: str) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, "id2label": table}))
    with pytest.raises(CheckpointError, match=fault):
        open_checkpoint(folder)


def test_padding_does_not_change_the_tokenizers_fingerprint_and_a_token_does(folder: Path) -> None:
    def fingerprint(content: object) -> str | None:
        (folder / "tokenizer.json").write_text(json.dumps(content))
        return open_checkpoint(folder).tokenizer

    one = fingerprint({"model": {"vocab": {"a": 0}}, "padding": None})
    assert fingerprint({"padding": {"length": 5}, "model": {"vocab": {"a": 0}}}) == one
    assert fingerprint({"model": {"vocab": {"b": 0}}}) != one


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("classifier.weight", (60, 8), True),
        ("classifier.bias", (60,), True),
        ("classifier.out_proj.weight", (60, 8), True),
        ("score.weight", (60, 8), True),
        ("classifier.dense.weight", (60, 60), False),
        ("encoder.layers.0.self_attn.out_proj.weight", (60, 60), False),
        ("bert.pooler.dense.weight", (60, 60), False),
        ("classifier.weight", (59, 8), False),
        ("classifier.scale", (), False),
    ],
)
def test_a_head_is_told_by_its_name_and_its_rows(name: str, shape: tuple[int, ...], expected: bool) -> None:
    assert is_head(name, shape, 60) is expected
