"""Does a damaged or hostile model end in a message that names the place, with nothing left behind?

What the reader of one file refuses is in tests/models/test_checkpoint.py; here whole merges meet such models.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_models import plain

from merginguriel.errors import CheckpointError, MuError
from merginguriel.merging import registry
from merginguriel.merging.engine import merge, merge_tensors
from merginguriel.merging.executor import BLOCK
from merginguriel.merging.recipe import Recipe, Source

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TENSORS = {
    "a.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b.half": np.arange(6, dtype=np.float16),
    "ids": np.arange(4),
    "nothing": np.zeros((0, 3), np.float32),
}


def pair(folder: Path) -> tuple[Path, Path]:
    """A good model and one that a test will harm; both have weights of several kinds."""
    return plain(folder / "m" / "good", TENSORS), plain(folder / "m" / "bad", TENSORS)


def both(*models: Path, method: str = "linear", **rest: object) -> Recipe:
    return Recipe(method, tuple(Source(path.name, path) for path in models), **rest)


def with_header(path: Path, change: Callable[[dict], object]) -> None:
    """Change the header of a safetensors file and leave the data."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    changed = change(header)
    text = changed if isinstance(changed, bytes) else json.dumps(changed or header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def entry(name: str, **changes: object) -> Callable[[Path], None]:
    return lambda folder: with_header(folder / WEIGHTS, lambda header: header[name].update(changes))


def rewritten(tensors: dict[str, np.ndarray]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        save_file({name: torch.from_numpy(array.copy()) for name, array in tensors.items()}, folder / WEIGHTS)

    return write


def sharded(*files: str) -> Callable[[Path], None]:
    """Move the weights out of the folder and name them in an index, as each of `files`."""

    def write(folder: Path) -> None:
        outside = folder.parent / "outside.safetensors"
        (folder / WEIGHTS).rename(outside)
        if files == ("dangling.safetensors",):
            (folder / files[0]).symlink_to(folder / "nowhere")
        elif files == ("circle.safetensors",):
            (folder / files[0]).symlink_to(folder / files[0])
        elif files == ("folder.safetensors",):
            (folder / files[0]).mkdir()
        elif files == ("pipe.safetensors",):
            os.mkfifo(folder / files[0])
        elif files == ("text.safetensors",):
            (folder / files[0]).symlink_to("/etc/hostname")
        table = {name: files[0].format(outside=outside) for name in TENSORS}
        (folder / INDEX).write_text(json.dumps({"weight_map": table}))

    return write


def doubled(header: dict) -> bytes:
    line = json.dumps(header["ids"])
    return json.dumps(header).encode()[:-1] + f', "ids": {line}}}'.encode()


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pickle by another name": (
        lambda folder: (folder / WEIGHTS).write_bytes(pickle.dumps({"a.weight": [1.0]})),
        WEIGHTS,
    ),
    "a pickle beside no weights": (
        lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin"),
        r"pickled \(pytorch_model.bin\)",
    ),
    "a header cut off": (lambda folder: os.truncate(folder / WEIGHTS, 40), WEIGHTS),
    "data cut off": (
        lambda folder: os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size - 1),
        f"{WEIGHTS}: tensor .* ends at byte",
    ),
    "a header longer than the file": (
        lambda folder: (folder / WEIGHTS).write_bytes(b"\xff" * 7 + b"\0" + (folder / WEIGHTS).read_bytes()[8:]),
        f"{WEIGHTS}: the header",
    ),
    "overlapping tensors": (entry("b.half", data_offsets=[0, 12]), f"{WEIGHTS}: tensor .* (overlaps|hole)"),
    "a shape of more entries than exist": (entry("a.weight", shape=[1 << 62, 1 << 62]), "tensor a.weight"),
    "a shape whose size wraps to the right one": (entry("a.weight", shape=[(1 << 64) + 3, 4]), "tensor a.weight"),
    "a shape that hides its size in a zero": (entry("a.weight", shape=[0, 1 << 63]), "tensor a.weight"),
    "a dtype that numpy has not": (entry("b.half", dtype="F8_E4M3"), r"weights are quantised \(dtype F8_E4M3\)"),
    "whole numbers for weights": (entry("a.weight", dtype="I32"), "a.weight is of different kinds: I32 in bad, F32 in good"),
    "the same entry twice": (
        lambda folder: with_header(folder / WEIGHTS, doubled),
        f"{WEIGHTS}: the header .* 'ids' is a duplicate key",
    ),
    "a missing tensor": (
        rewritten({name: array for name, array in TENSORS.items() if name != "a.weight"}),
        "missing in bad: a.weight",
    ),
    "a tensor too many": (rewritten({**TENSORS, "c": np.ones(1, np.float32)}), "missing in good: c"),
    "a tensor turned round": (
        rewritten({**TENSORS, "a.weight": np.ones((4, 3), np.float32)}),
        r"a.weight is \[4, 3\] in bad, \[3, 4\] in good",
    ),
    "an empty tensor that is not empty": (
        rewritten({**TENSORS, "nothing": np.ones((1, 3), np.float32)}),
        r"nothing is \[1, 3\] in bad, \[0, 3\] in good",
    ),
    "no tensor at all": (lambda folder: with_header(folder / WEIGHTS, lambda _: b"{}"), WEIGHTS),
    "a shard further up": (sharded("../outside.safetensors"), f"{INDEX}: the shard '../outside.safetensors'"),
    "a shard anywhere": (sharded("{outside}"), f"{INDEX}: the shard '/"),
    "a shard with a drive": (sharded("C:\\outside.safetensors"), f"{INDEX}: the shard"),
    "a shard that leads nowhere": (sharded("dangling.safetensors"), f"{INDEX}: the shard dangling.* is missing"),
    "a shard that leads to itself": (sharded("circle.safetensors"), f"{INDEX}: the shard circle.* is missing"),
    "a shard that is a folder": (sharded("folder.safetensors"), f"{INDEX}: the shard folder.* is missing"),
    "a shard that is a pipe": (sharded("pipe.safetensors"), f"{INDEX}: the shard pipe.* is missing"),
    "a shard that leads to a text": (sharded("text.safetensors"), "text.safetensors: the header"),
    "a config that is a list": (lambda folder: (folder / "config.json").write_text("[]"), "config.json"),
    "a config without an end": (
        lambda folder: (folder / "config.json").write_text('{"a":' * 100_000),
        "config.json: cannot be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_hostile_model_ends_in_a_message_with_its_place_and_leaves_nothing(
    mu, tmp_path: Path, fault: str
) -> None:
    good, bad = pair(tmp_path)
    harm, place = FAULTS[fault]
    harm(bad)
    for models in ((good, bad), (bad, good)):
        flags = [part for model in models for part in ("--source", model)]
        said = mu("merge", "--method", "linear", *flags, "--out", tmp_path / "o" / "out")
        assert said.code == 1
        assert said.out == ""
    first = mu(
        "merge", "--method", "linear", "--source", good, "--source", bad, "--out", tmp_path / "o" / "out"
    )
    assert_matches(place, first.err)
    assert not (tmp_path / "o").exists() or list((tmp_path / "o").iterdir()) == []


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, " ".join(text.split())), f"{pattern!r} is not in:\n{text}"


def test_a_shard_that_is_a_link_is_read_since_hub_caches_are_made_of_links(tmp_path: Path) -> None:
    good, bad = pair(tmp_path)
    (bad / WEIGHTS).rename(tmp_path / "blob")
    (bad / "one.safetensors").symlink_to(tmp_path / "blob")
    (bad / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(TENSORS, "one.safetensors")}))
    merged = merge_tensors(both(good, bad))
    np.testing.assert_array_equal(merged["a.weight"], TENSORS["a.weight"])


# --- numbers that are none ---

SIZE = 2 * BLOCK + 5
SPOTS = {"first": 0, "end of a block": BLOCK - 1, "start of a block": BLOCK, "last": SIZE - 1}
KINDS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def long_model(folder: Path, seed: int, kind: str, spot: int | None = None, bad: float = 0.0) -> Path:
    plain(folder, {"w": np.zeros(1, np.float32)})
    weights = torch.from_numpy(np.random.default_rng(seed).standard_normal(SIZE, np.float32)).to(KINDS[kind])
    if spot is not None:
        weights[spot] = bad
    save_file({"w": weights}, folder / WEIGHTS)
    return folder


@pytest.mark.parametrize("spot", SPOTS)
@pytest.mark.parametrize(("kind", "bad"), [("float32", np.nan), ("float16", np.inf), ("bfloat16", -np.inf)])
@pytest.mark.parametrize("where", ["base", "a", "b"])
def test_a_nan_is_found_wherever_it_stands(
    tmp_path: Path, where: str, kind: str, bad: float, spot: str
) -> None:
    models = {
        name: long_model(tmp_path / "m" / name, seed, kind, *((SPOTS[spot], bad) if name == where else ()))
        for seed, name in enumerate(["base", "a", "b"])
    }
    for method in ("task_arithmetic", "ties") if where == "base" else ("linear", "ties"):
        with pytest.raises(CheckpointError, match=f"tensor w of {where} holds NaN or infinity") as caught:
            merge(both(models["a"], models["b"], method=method, base=models["base"]), tmp_path / "o" / "out")
        assert str(models[where]) in caught.value.render()
        assert list((tmp_path / "o").iterdir()) == []


def test_a_nan_in_what_is_only_copied_is_laid_at_the_right_door(tmp_path: Path) -> None:
    good, bad = np.ones((8, 6), np.float32), np.full((8, 6), np.nan, np.float32)
    a, b = (plain(tmp_path / name, {"w": good * i, "v": good * i}) for i, name in enumerate("ab", 1))
    base = plain(tmp_path / "base", {"w": good * 0, "v": bad})
    with pytest.raises(CheckpointError, match="tensor v of base holds NaN") as caught:
        merge(both(a, b, method="ties", base=base, exclude=("v",)), tmp_path / "out")
    assert str(base) in caught.value.render()


def test_a_nan_in_the_head_that_is_taken_is_laid_at_that_source(tmp_path: Path) -> None:
    head = np.ones((3, 6), np.float32)
    labels = ("x", "y", "z")
    a = plain(tmp_path / "a", {"w": head, "classifier.weight": head}, labels)
    b = plain(tmp_path / "b", {"w": head * 2, "classifier.weight": head * np.float32(np.nan)}, labels)
    with pytest.raises(CheckpointError, match=r"tensor classifier.weight of b holds NaN") as caught:
        merge(both(a, b, method="average", heads="source:b"), tmp_path / "out")
    assert str(b) in caught.value.render()


@pytest.mark.parametrize("method", [name for name, m in registry.all_methods().items() if not m.needs])
def test_no_method_lets_a_nan_through(tmp_path: Path, method: str) -> None:
    chosen = registry.get(method)
    names = ["a", "b", "c", "d", "e"][: chosen.sources[1] or 3]
    tensors = {
        name: np.random.default_rng(i).standard_normal((8, 6), np.float32) for i, name in enumerate(names)
    }
    tensors["b"][7, 5] = np.nan
    models = [
        plain(tmp_path / "m" / name, {"w": array, "layer.0.w": array}) for name, array in tensors.items()
    ]
    base = plain(tmp_path / "m" / "base", {key: np.zeros((8, 6), np.float32) for key in ("w", "layer.0.w")})
    with pytest.raises(CheckpointError, match="of b holds NaN or infinity"):
        merge(both(*models, method=method, base=base), tmp_path / "o" / "out")
    assert list((tmp_path / "o").iterdir()) == []


# --- a file that changes under the merge ---


def many(folder: Path, seed: int) -> Path:
    draw = np.random.default_rng(seed)
    return plain(folder, {f"w{i:02}": draw.standard_normal((300, 1000), np.float32) for i in range(12)})


@pytest.mark.parametrize("method", ["linear", "ties"])
def test_a_file_that_shrinks_while_it_is_read_is_an_error_and_not_the_end(
    tmp_path: Path, method: str
) -> None:
    base, a, b = (many(tmp_path / "m" / name, i) for i, name in enumerate(["base", "a", "b"]))

    def cut(done: int, total: int, name: str) -> None:
        os.truncate(b / WEIGHTS, 4_000_000)

    with pytest.raises(CheckpointError, match="became shorter while it was read") as caught:
        merge(both(a, b, method=method, base=base), tmp_path / "o" / "out", on_progress=cut)
    assert str(b / WEIGHTS) in caught.value.render()
    assert list((tmp_path / "o").iterdir()) == []


def test_a_file_that_is_written_over_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    base, a, b = (many(tmp_path / "m" / name, i) for i, name in enumerate(["base", "a", "b"]))

    def write_over(done: int, total: int, name: str) -> None:
        with (b / WEIGHTS).open("r+b") as file:
            file.seek(-4, os.SEEK_END)
            file.write(b"\0\0\0\0")

    with pytest.raises(CheckpointError, match="was changed while it was read") as caught:
        merge(both(a, b, method="linear", base=base), tmp_path / "o" / "out", on_progress=write_over)
    assert str(b / WEIGHTS) in caught.value.render()
    assert list((tmp_path / "o").iterdir()) == []


# --- whatever a header says ---

VALUES = st.one_of(
    st.integers(-2, 80), st.sampled_from([1 << 31, 1 << 63, 1 << 64]), st.none(), st.text(max_size=3),
    st.floats(allow_nan=False), st.lists(st.integers(-1, 70), max_size=3), st.booleans(),
    st.sampled_from(["F32", "F16", "BF16", "F64", "I64", "I32", "U8", "BOOL", "F4"]),
)  # fmt: skip


def mutated(content: bytes, data: st.DataObject) -> bytes:
    """The file with a field, a name, a byte, the length or the end of it changed."""
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__")  # nothing reads it; the reference is stricter about it than it need be
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(header)))
        kind = data.draw(st.sampled_from(["field", "number", "rename", "drop", "swap", "entry", "body"]))
        if kind == "entry" or not isinstance(header[name], dict):
            header[name] = data.draw(VALUES)
        elif kind == "field":
            header[name][data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))] = data.draw(VALUES)
        elif kind == "number":
            numbers = header[name].get(data.draw(st.sampled_from(["shape", "data_offsets"])))
            if isinstance(numbers, list) and numbers:
                numbers[data.draw(st.integers(0, len(numbers) - 1))] = data.draw(VALUES)
        elif kind == "rename":
            header[data.draw(st.text(max_size=4))] = header.pop(name)
        elif kind == "drop" and len(header) > 1:
            del header[name]
        elif kind == "swap":
            other = data.draw(st.sampled_from(sorted(header)))
            header[name], header[other] = header[other], header[name]
        else:
            body = body[: data.draw(st.integers(0, len(body)))] + data.draw(st.binary(max_size=9))
    text = json.dumps(header).encode()
    if data.draw(st.integers(0, 3)) == 0:
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.binary(max_size=2)) + text[at + 1 :]
    declared = len(text) + data.draw(st.sampled_from([0] * 9 + [-1, 1, 8]))
    return declared.to_bytes(8, "little") + text + body


@pytest.mark.slow
@given(data=st.data())
def test_any_header_gives_an_error_of_ours_or_the_mean_of_what_the_reference_reads(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    good, bad = pair(tmp_path_factory.mktemp("fuzz"))
    content = mutated((good / WEIGHTS).read_bytes(), data)
    (bad / WEIGHTS).write_bytes(content)
    out = bad.parent.parent / "out"
    try:
        merge(both(good, bad), out)
    except MuError as error:
        assert "bad" in error.render()
        assert not out.exists()
        return
    theirs, merged = load_file(bad / WEIGHTS), load_file(out / WEIGHTS)
    assert set(merged) == set(theirs) == set(TENSORS)
    for name, array in TENSORS.items():
        mean = (torch.from_numpy(array).double() + theirs[name].double()) / 2
        torch.testing.assert_close(merged[name].double(), mean, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["x" * 300, "file/inside"])
def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path, name: str) -> None:
    models = [plain(tmp_path / n, {"w": np.ones((2, 2), np.float32) * i}) for i, n in enumerate("ab")]
    (tmp_path / "file").write_text("")
    with pytest.raises(MuError) as caught:
        merge(both(*models), tmp_path / name)
    assert "shorter name" in caught.value.render() or "is a file" in caught.value.render()


def test_names_that_no_file_and_no_reader_would_take_are_refused(tmp_path: Path) -> None:
    from merginguriel.models.checkpoint import open_checkpoint

    model = plain(tmp_path / "a", {"w": np.ones((2, 2), np.float32)})
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(
        content.replace(b'"w":', b'"\\udc00":').replace(b"    ", b"", 1)
    )
    with pytest.raises(CheckpointError):
        open_checkpoint(model)
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "x" * 5000}}))
    with pytest.raises(CheckpointError, match="is not the name of a file"):
        open_checkpoint(model)
