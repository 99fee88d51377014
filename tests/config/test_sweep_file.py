"""Sweep files: the runs they mean, and errors with line."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.config import sweep_file
from merginguriel.errors import MuError


def write(folder, text):
    path = folder / "ablation.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def varied(path):
    return [point.varied for point in sweep_file.read(path).points()]


def refused(folder, text):
    with pytest.raises(MuError) as error:
        list(sweep_file.read(write(folder, text)).points())
    return error.value


def test_a_grid_is_every_combination_and_the_last_key_turns_fastest(tmp_path):
    path = write(tmp_path, "base: {method: linear}\ngrid:\n  target: [cy-GB, fi-FI]\n  k: [3, 5, 7]\n")
    assert [tuple(v.values()) for v in varied(path)] == list(
        itertools.product(["cy-GB", "fi-FI"], ["3", "5", "7"])
    )
    first = next(sweep_file.read(path).points())
    assert first.table == {"method": "linear", "target": "cy-GB", "k": "3"}
    assert first.label == "target=cy-GB k=3"


def test_each_item_of_a_list_is_tried_with_each_combination_of_the_grid(tmp_path):
    path = write(
        tmp_path,
        "grid: {target: [cy-GB, fi-FI]}\nlist:\n- {method: linear}\n- {method: ties, params: {density: 0.2}}\n",
    )
    assert varied(path) == [
        {"target": "cy-GB", "method": "linear"},
        {"target": "cy-GB", "method": "ties", "params.density": "0.2"},
        {"target": "fi-FI", "method": "linear"},
        {"target": "fi-FI", "method": "ties", "params.density": "0.2"},
    ]


def test_without_anything_that_varies_there_is_one_run(tmp_path):
    (point,) = sweep_file.read(write(tmp_path, "base: {target: cy-GB}\n")).points()
    assert point.table == {"target": "cy-GB"} and point.varied == {}


def test_a_dotted_key_sets_one_value_inside_a_section_and_leaves_the_others(tmp_path):
    path = write(
        tmp_path,
        "base:\n  training: {epochs: 3, batch: 8}\n  params.scale: 1\ngrid: {training.epochs: [4]}\n",
    )
    (point,) = sweep_file.read(path).points()
    assert point.table == {"training": {"epochs": "4", "batch": "8"}, "params": {"scale": "1"}}


def test_a_value_may_be_a_list_itself(tmp_path):
    path = write(tmp_path, "grid:\n  sources:\n  - [sv-SE, da-DK]\n  - [de-DE]\n")
    points = list(sweep_file.read(path).points())
    assert [p.table["sources"] for p in points] == [["sv-SE", "da-DK"], ["de-DE"]]
    assert points[0].label == "sources=sv-SE+da-DK"


def test_values_know_their_lines_in_every_run(tmp_path):
    path = write(
        tmp_path,
        "base:\n  method: linear\ngrid:\n  k:\n  - 3\n  - 5\nrandom:\n  n: 2\n  seed: 1\n  over:\n"
        "    params.scale: {uniform: [0, 1]}\n",
    )
    for point in sweep_file.read(path).points():
        assert point.table["method"].line == 2
        assert point.table["k"].line == 3 + {"3": 2, "5": 3}[point.table["k"]]
        assert point.table["params"]["scale"].line == 11


DRAW = "base: {}\n{grid}random:\n  n: {n}\n  seed: {seed}\n  over:\n    params.scale: {range}\n"


def drawn(folder, range, n=50, seed=0, grid=""):
    text = (DRAW.replace("{grid}", grid).replace("{n}", str(n)).replace("{seed}", str(seed))
            .replace("{range}", range))  # fmt: skip
    return varied(write(folder, text))


@given(seed=st.integers(0, 99), low=st.floats(1e-6, 10), width=st.floats(1.01, 1000))
def test_draws_lie_in_their_range(tmp_path_factory, seed, low, width):
    folder = tmp_path_factory.mktemp("draws")
    for kind in ("uniform", "loguniform"):
        found = drawn(folder, f"{{{kind}: [{low!r}, {low * width!r}]}}", n=8, seed=seed)
        for point in found:
            # Four digits: up to half a unit of the last one may lie outside.
            assert low * 0.9995 <= float(point["params.scale"]) <= low * width * 1.0005


def test_loguniform_draws_every_power_of_ten_alike(tmp_path):
    found = [float(v["params.scale"]) for v in drawn(tmp_path, "{loguniform: [1e-6, 1e-2]}", n=2000)]
    shares = [sum(round(math.floor(math.log10(v))) == power for v in found) / 2000 for power in range(-6, -2)]
    assert all(abs(share - 0.25) < 0.04 for share in shares)


def test_the_same_seed_draws_the_same_and_another_one_draws_others(tmp_path):
    one = drawn(tmp_path, "{uniform: [0, 1]}", seed=3)
    assert one == drawn(tmp_path, "{uniform: [0, 1]}", seed=3)
    assert one != drawn(tmp_path, "{uniform: [0, 1]}", seed=4)


def test_every_combination_of_the_grid_gets_the_same_draws(tmp_path):
    found = drawn(tmp_path, "{uniform: [0, 1]}", n=3, grid="grid: {target: [cy-GB, fi-FI]}\n")
    by_target = {
        target: [v["params.scale"] for v in found if v["target"] == target] for target in ("cy-GB", "fi-FI")
    }
    assert by_target["cy-GB"] == by_target["fi-FI"] and len(set(by_target["cy-GB"])) == 3


def test_a_choice_may_be_between_lists(tmp_path):
    found = drawn(tmp_path, "{choice: [[a], [b, c]]}", n=20)
    assert {tuple(v["params.scale"]) for v in found} == {("a",), ("b", "c")}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("bases: {}\n", 1, "unknown key 'bases'"),
        ("base: {}\nmethod: ties\n", 2, "unknown key 'method'"),
        ("base: 3\n", 1, "base must be a table"),
        ("base: {}\ngrid:\n  k: 3\n", 3, "grid.k must be a list"),
        ("base: {}\ngrid:\n  k: []\n", 3, "grid.k must be more than nothing"),
        ("base: {}\nlist: {k: 3}\n", 2, "list must be a list"),
        ("base: {}\nlist:\n- 3\n", 3, "list must be a table"),
        ("base: {}\nrandom:\n  n: many\n", 3, "random.n must be a whole number"),
        ("base: {}\nrandom:\n  n: 3\n  seed: 0\n", 3, "'random.over' is missing"),
        ("base: {}\nrandom:\n  n: 3\n  over: {k: {choice: [1]}}\n", 3, "'random.seed' is missing"),
        ("base: {}\nrandom:\n  n: 3\n  seed: 0\n  over:\n    k: {normal: [0, 1]}\n", 6, "unknown key 'random.over.k.normal'"),
        ("base: {}\nrandom:\n  n: 3\n  seed: 0\n  over:\n    k: {uniform: [2, 1]}\n", 6, "the smaller one first"),
        ("base: {}\nrandom:\n  n: 3\n  seed: 0\n  over:\n    k: {loguniform: [0, 1]}\n", 6, "above 0"),
        ("base: {}\nrandom:\n  n: 3\n  sed: 0\n", 4, "unknown key 'random.sed'"),
        ("base: {}\ngrid: {k: [3]}\nlist:\n- {k: 5}\n", 4, "k is varied twice"),
        ("base: {}\ngrid: {params.scale: [3]}\nlist:\n- {params: none}\n", 4, "params is varied twice"),
        ("base: {method: ties}\ngrid:\n  method.name: [a]\n", 3, "is inside method"),
        ("name: My Sweep\n", 1, "name must be lower-case letters, digits and hyphens (it names a folder), got 'My Sweep'"),
        ("base: {}\ngrid:\n  k: [1\n", 4, "not valid YAML"),
        ("- 1\n", 1, "must be a table"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, line, says):
    error = refused(tmp_path, text)
    assert says in error.what
    assert error.where == f"{tmp_path / 'ablation.yaml'}:{line}"


def test_a_slip_of_the_key_is_answered_with_the_nearest(tmp_path):
    assert refused(tmp_path, "gird: {k: [1]}\n").hint == "Did you mean grid?"


def test_a_grid_that_was_meant_otherwise_is_not_built_in_memory(tmp_path):
    keys = "".join(f"  key{i}: {list(range(20))}\n" for i in range(8))
    assert "25,600,000,000 runs" in refused(tmp_path, f"grid:\n{keys}").what
