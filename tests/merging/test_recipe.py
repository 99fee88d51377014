"""Is a recipe the same from YAML and from flags, and is a wrong one refused with its line?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.errors import MuError, UsageError
from merginguriel.files import bytes_of
from merginguriel.merging.recipe import (
    Recipe,
    Source,
    check,
    dump_recipe,
    load_recipe,
    recipe_from_flags,
)

TEXT = """\
method: ties
params: {density: 0.3}
base: ../base
target: sw-KE
mode: ExcTar
similarity: REAL
k: 2
context: home/e5-small
sources:
  - name: sq-AL
    path: ../sq-AL
    weight: 3
  - name: fr-FR
    path: ../fr-FR
    weight: 1
"""


def written(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_and_flags_build_the_same_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = recipe_from_flags(
        "ties",
        ["sq-AL", "fr-FR=fr-FR"],
        weights=[3, 1],
        params=["density=0.3"],
        base=Path("base"),
        target="sw-KE",
        mode="ExcTar",
        similarity="REAL",
        k=2,
        context="home/e5-small",
    )
    assert load_recipe(written(tmp_path / "recipes", TEXT)) == flags
    assert [source.weight for source in flags.sources] == [0.75, 0.25]
    assert flags.params == {"density": 0.3, "scale": 1.0, "normalize": True}


@pytest.mark.slow
@given(
    weights=st.lists(st.floats(0.001, 1000), min_size=1, max_size=6),
    density=st.floats(0, 1),
    target=st.sampled_from([None, "no-NO", "sw-KE"]),
    digest=st.dictionaries(
        st.sampled_from(["config.json", "a b: #.safetensors"]), st.text("0123456789abcdef", min_size=1)
    ),
)
def test_a_recipe_survives_being_written_and_read(
    tmp_path_factory: pytest.TempPathFactory,
    weights: list[float],
    density: float,
    target: str | None,
    digest: dict[str, str],
) -> None:
    folder = tmp_path_factory.mktemp("r")
    sources = tuple(Source(f"m{i}", folder / "models" / f"m{i}", w, digest) for i, w in enumerate(weights))
    recipe = check(Recipe("ties", sources, {"density": density}, base=folder / "base", target=target, seed=7))
    assert load_recipe(written(folder / "out", dump_recipe(recipe, folder / "out"))) == recipe
    assert check(recipe) == recipe


def test_a_workspace_that_is_moved_keeps_its_recipes(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path / "one" / "recipes", TEXT))
    text = dump_recipe(recipe, tmp_path / "one" / "recipes")
    moved = load_recipe(written(tmp_path / "two" / "recipes", text))
    assert moved.sources[0].path == tmp_path / "two" / "sq-AL"


@pytest.mark.parametrize(
    ("old", "new", "line", "fault"),
    [
        ("k: 2", "kk: 2", 7, "unknown key 'kk'"),
        ("    weight: 3", "    wieght: 3", 12, "unknown key 'sources.wieght'"),
        ("k: 2", "k: two", 7, "whole number"),
        ("weight: 3", "weight: heavy", 12, "a number"),
        ("target: sw-KE", "target: no", 4, "quotes"),
        ("mode: ExcTar", "method: ties", 5, "twice"),
        ("    path: ../fr-FR\n", "", 13, "'sources.path' is missing"),
        ("method: ties\n", "", 1, "'method' is missing"),
        ("params: {density: 0.3}", "params: {density: [1]}", 2, "a number or a word"),
        ("params: {density: 0.3}", "params: 3", 2, "params must be a table"),
        ("context: home/e5-small", "context: 2026-99-99", 8, "not a valid value"),
        ("base: ../base", "base: [", 5, "not valid YAML"),
        ("k: 2", "include: '*.bias'", 7, "include must be a list"),
        ("k: 2", "exclude: [[a]]", 7, "exclude must be"),
        ("k: 2", "shard_size: large", 7, "a size such as 2GB"),
        ("k: 2", "trim: model", 7, "unknown key 'trim'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, old: str, new: str, line: int, fault: str) -> None:
    assert old in TEXT
    path = written(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(MuError, match=fault) as caught:
        load_recipe(path)
    assert (caught.value.where or "").startswith(f"{path}:{line}")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("method: ties", "method: tise", "not a merging method"),
        ("density: 0.3", "density: 3", "out of range"),
        ("mode: ExcTar", "mode: IncTar", "sw-KE is not a source"),
        ("target: sw-KE", "target: fr-FR", "fr-FR is a source"),
        ("mode: ExcTar", "mode: Both", "'Both'"),
        ("similarity: REAL", "similarity: real", "'real'"),
        ("k: 2", "k: 3", "there are 2 sources"),
        ("k: 2", "heads: both", "'both'"),
        ("k: 2", "heads: source:vi-VN", "source:sq-AL"),
        ("k: 2", "embeddings: some", "'some'"),
        ("k: 2", "embeddings: used", "--text FILE"),
        ("k: 2", "trim_scope: layer", "'layer'"),
        ("k: 2", "shard_size: 0", "shard_size is 0"),
        (
            "method: ties\nparams: {density: 0.3}\nbase: ../base",
            "method: linear\nheads: base",
            "there is none",
        ),
        ("weight: 1", "weight: -1", "weight of fr-FR"),
        ("weight: 1", "weight: .nan", "weight of fr-FR"),
        ("name: fr-FR", "name: sq-AL", "two sources"),
        ("base: ../base\n", "", "needs the pretrained base"),
        ("method: ties\nparams: {density: 0.3}", "method: average", "weighs all sources the same"),
        ("weight: 3\n  - name: fr-FR\n    path: ../fr-FR\n    weight: 1", "weight: 0\nk: 1", "twice"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in TEXT
    with pytest.raises(MuError, match=fault) as caught:
        load_recipe(written(tmp_path, TEXT.replace(old, new, 1)))
    assert "recipe.yaml" in (caught.value.where or "")


def test_all_weights_zero_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="all weights are 0"):
        recipe_from_flags("linear", [f"a={tmp_path}"], weights=[0])
    with pytest.raises(UsageError, match="2 sources, but 1 weights"):
        recipe_from_flags("linear", ["a", "b"], weights=[1])


@pytest.mark.slow
def test_anything_at_all_in_a_recipe_ends_in_a_message(tmp_path: Path) -> None:
    for text in (
        "",
        "3",
        "[]",
        "- a",
        "a: &x [*x]",
        "\x00",
        "? [1]\n: 2",
        "<<: {method: ties}",
        "[" * 3000,
        "!!python/x a",
    ):
        with pytest.raises(MuError):
            load_recipe(written(tmp_path, text))
    (tmp_path / "recipe.yaml").write_bytes(b"\xff\xfe\x00method")
    with pytest.raises(MuError):
        load_recipe(tmp_path / "recipe.yaml")
    with pytest.raises(UsageError, match="no such recipe"):
        load_recipe(tmp_path / "none.yaml")


def test_policies_survive_being_written_and_moved(tmp_path: Path) -> None:
    policies = (
        "include: ['*.layer.*', classifier]\nexclude: ['*.bias']\nheads: source:fr-FR\nembeddings: used\n"
        "text: ../text.txt\ntrim_scope: model\nseed: 5\ndtype: float16\nshard_size: 1.5 MB\n"
    )
    recipe = load_recipe(written(tmp_path / "one" / "recipes", TEXT.replace("k: 2\n", policies)))
    assert recipe.include == ("*.layer.*", "classifier")
    assert recipe.text == tmp_path / "one" / "text.txt"
    assert recipe.shard_size == 1_500_000
    text = dump_recipe(recipe, tmp_path / "one" / "recipes")
    assert load_recipe(written(tmp_path / "one" / "recipes", text)) == recipe
    assert load_recipe(written(tmp_path / "two" / "recipes", text)).text == tmp_path / "two" / "text.txt"


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * 10**9), ("500 MB", 5 * 10**8), ("7kb", 7000), ("12", 12), ("0.5G", 5 * 10**8)],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert bytes_of(text) == size
    for wrong in ("", "GB", "-1GB", "2PB", "1e9", "2 GB a file"):
        with pytest.raises(ValueError, match="2GB"):
            bytes_of(wrong)
