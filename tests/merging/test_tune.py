"""Does the search of weights and parameters find the best recipe, stay deterministic, and go on where it stopped?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from merginguriel.errors import UsageError
from merginguriel.merging import tune
from merginguriel.merging.recipe import Recipe, Source, check, dump_recipe, load_recipe, seen_of_target

pytest.importorskip("cma")


def recipe(method="task_arithmetic", **more):
    sources = tuple(Source(name, Path("/models") / name) for name in ("de-DE", "sv-SE", "nb-NO"))
    return check(Recipe(method, sources, base=Path("/models/base"), target="da-DK", mode="ExcTar", **more))


class Hill:
    """Scores a recipe by its distance from one with these weights and this scale; counts the parts that were scored."""

    def __init__(self, weights=(0.1, 0.6, 0.3), scale=1.6):
        self.weights, self.scale, self.parts = np.array(weights), scale, []

    def __call__(self, found):
        weights = np.array([source.weight for source in found.sources])
        value = -float(
            ((weights - self.weights) ** 2).sum() + (float(found.params["scale"]) - self.scale) ** 2
        )
        self.parts.append(0)
        for _ in tune.RUNGS:
            self.parts[-1] += 1
            yield value, 0.0


def test_the_search_finds_weights_and_scale():
    space = tune.space_of(recipe())
    best = tune.best_of(tune.search(space, Hill(), 200))
    found = space.at(best.point)
    assert [source.weight for source in found.sources] == pytest.approx([0.1, 0.6, 0.3], abs=0.03)
    assert found.params["scale"] == pytest.approx(1.6, abs=0.05)


def test_equal_seeds_give_equal_searches_and_leave_numpys_generator_alone():
    space = tune.space_of(recipe())
    before = np.random.get_state()[1].copy()
    first, same, other = (tune.search(space, Hill(), 30, seed=seed) for seed in (0, 0, 1))
    assert first == same and first != other
    assert (np.random.get_state()[1] == before).all()


def test_the_first_candidate_is_the_recipe_before_the_search_and_wins_where_nothing_is_better():
    started = recipe(params={"scale": 0.7})
    space = tune.space_of(started)
    assert space.at(space.start) is started or space.at(space.start) == started
    done = tune.search(space, Hill((1 / 3, 1 / 3, 1 / 3), 0.7), 12)
    assert space.at(tune.best_of(done).point) == started


def test_a_candidate_in_the_worse_half_is_not_scored_on_more_items():
    hill = Hill()
    done = tune.search(tune.space_of(recipe()), hill, 60)
    assert hill.parts[0] == len(tune.RUNGS)
    assert [len(one.scores) for one in done] == hill.parts
    assert sum(hill.parts) < 0.8 * len(done) * len(tune.RUNGS)
    every = Hill()
    tune.search(tune.space_of(recipe()), every, 20, drop=False)
    assert set(every.parts) == {len(tune.RUNGS)}


@pytest.mark.parametrize("done_before", [1, 9, 29])
def test_an_interrupted_search_goes_on_where_it_stopped(done_before):
    space = tune.space_of(recipe())
    whole = tune.search(space, Hill(), 30)
    rest, seen = Hill(), []
    again = tune.search(
        space, rest, 30, before=whole[:done_before], on_evaluation=lambda one, number: seen.append(number)
    )
    assert again == whole and len(rest.parts) == 30 - done_before
    assert seen == list(range(done_before + 1, 31))


def test_one_number_can_be_searched_alone_in_a_given_range():
    space = tune.space_of(recipe(), ["scale"], {"scale": (1.0, 2.0)})
    found = space.at(tune.best_of(tune.search(space, Hill((1 / 3,) * 3), 40)).point)
    assert found.params["scale"] == pytest.approx(1.6, abs=0.05)
    assert {source.weight for source in found.sources} == {source.weight for source in recipe().sources}


def test_layers_have_weights_of_their_own_that_a_recipe_file_holds(tmp_path):
    space = tune.space_of(recipe(), ["layers"], knots=2)
    found = check(space.at([0.9, 0.0, 0.1, 0.8, 0.0, 0.2]))
    assert found.layer_weights == {"de-DE": (0.9, 0.0), "sv-SE": (0.1, 0.8), "nb-NO": (0.0, 0.2)}
    (tmp_path / "recipe.yaml").write_text(dump_recipe(found), encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.yaml") == found


def test_a_tuned_recipe_states_that_it_saw_labels():
    assert seen_of_target(recipe()) == "nothing"
    assert seen_of_target(recipe(learnt={"tuned_on": "da-DK dev"})) == "labels"


@pytest.mark.parametrize(
    ("method", "what", "ranges", "message"),
    [
        ("adamerging", [], {}, "without labels"),
        ("average", [], {}, "neither weights nor numbers"),
        ("task_arithmetic", ["density"], {}, "no number called 'density'"),
        ("task_arithmetic", ["weights", "layers"], {}, "exclude each other"),
        ("ties", ["density"], {"density": (0.5, 1.5)}, "out of range"),
        ("ties", [], {"scale": (2.0, 1.0)}, r"2\.\.1"),
    ],
)
def test_what_cannot_be_searched_is_refused(method, what, ranges, message):
    with pytest.raises(UsageError, match=message):
        tune.space_of(recipe(method), what, ranges)
