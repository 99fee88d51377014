"""Train, merge and score: the cells of the evidence in the order of their value."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models import (
    CORE,
    EVERYWHERE,
    REAL3,
    REGIMES,
    SOURCES,
    TARGETS,
    Arm,
    Cell,
    Lab,
    Scorer,
    tensors,
    upper,
)

from merginguriel.evaluation.predict import open_model, predict_with
from merginguriel.evaluation.predictions import (
    Predictions,
    cache_path,
    load,
    scored,
)
from merginguriel.merging import registry
from merginguriel.merging.engine import merge_arrays
from merginguriel.merging.recipe import Recipe, Source, check
from merginguriel.models.checkpoint import open_checkpoint
from merginguriel.similarity import choice, uriel
from merginguriel.study import joint
from merginguriel.study import study as studies
from merginguriel.study.study import Study


class Store:
    """Results in the workspace: a line with the bits of each arm, and the logits of single models per cell."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "results"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lines = self.folder / "evidence.jsonl"
        self.found: dict[tuple[str, str], dict[str, Any]] = {}
        for text in self.lines.read_text(encoding="utf-8").splitlines() if self.lines.is_file() else []:
            try:
                line = json.loads(text)
            except ValueError:
                continue  # cut off when the run was stopped
            self.found[line["cell"], line["arm"]] = line

    def add(self, cell: Cell, arm: str, right: np.ndarray, **more: Any) -> None:
        """Append the bits of an arm."""
        line = {
            "cell": cell.name,
            "arm": arm,
            "n": len(right),
            "right": np.packbits(right).tobytes().hex(),
            **more,
        }
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.found[cell.name, arm] = line

    def right(self, cell: Cell, arm: str) -> np.ndarray:
        """Return the bits of an arm, bool [n]."""
        return bits_of(self.found[cell.name, arm])

    def arms(self, cell: Cell) -> list[str]:
        """Return the arms of a cell."""
        return [arm for name, arm in self.found if name == cell.name]

    def logits_file(self, cell: Cell) -> Path:
        """Return the file of the logits of single models."""
        return self.folder / "logits" / f"{cell.name.replace('/', '-')}.npz"


def bits_of(line: Mapping[str, Any]) -> np.ndarray:
    """Return which items a line of the store says are right, bool [n]."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(line["right"]), np.uint8))[: line["n"]].astype(bool)


class Run:
    """Everything that the stages share. `until`: time at which the run stops between two arms."""

    def __init__(self, lab: Lab, store: Store, until: float) -> None:
        self.lab, self.store, self.until = lab, store, until
        self.scorers: dict[str, Scorer] = {}

    def in_time(self) -> bool:
        """Return whether there is time left."""
        return time.time() < self.until

    def scorer(self, regime: str) -> Scorer:
        """Return the model in memory of a regime; all have the same base, so that one serves for all."""
        if "one" not in self.scorers:
            self.scorers["one"] = Scorer(self.lab.study(regime).root / "base")
        return self.scorers["one"]

    def train(self, regime: str, locales: Sequence[str], seed: int = 0) -> None:
        """Train the models that are missing."""
        study = self.lab.study(regime, seed)
        for locale in locales:
            if not self.in_time():
                return
            if not (study.model(locale) / "training.yaml").is_file():
                begun = time.process_time()
                studies.train(study, locale, **REGIMES[regime].settings)
                say(f"trained {regime} {locale} seed {seed}", begun)

    def train_joint(self, regime: str, budget: str) -> None:
        """Train one model on the sentences of all sources."""
        study = self.lab.study(regime)
        if self.in_time() and not joint.path_of(study, SOURCES, (), budget).is_dir():
            begun = time.process_time()
            joint.train(study, SOURCES, budget=budget, **REGIMES[regime].settings)
            say(f"trained joint {regime}", begun)

    def singles(self, cell: Cell) -> bool:
        """Score the single models on a target, and the joint one; return whether the sources are all there."""
        study = self.lab.study(cell.regime, cell.seed)
        names = [*SOURCES, cell.target]
        if cell.regime == "today" and cell.target in study.trained():
            names += study.trained()  # scored by `mu nxn` already: a merge has to beat the best of all
        models = {name: study.model(name) for name in dict.fromkeys(names)}
        models |= {f"joint:{one.budget}": one.path for one in joint.listed(study) if one.locales == SOURCES}
        models = {name: path for name, path in models.items() if (path / "training.yaml").is_file()}
        if not set(SOURCES) <= set(models):
            return False
        dev, _ = self.lab.items(cell.target)
        missing = [name for name in models if (cell.name, f"single:{name}") not in self.store.found]
        if missing:
            path = self.store.logits_file(cell)
            kept = dict(np.load(path)) if path.is_file() else {}
            for name in missing:
                answers = self.answers(cell, study, models[name])
                kept[name] = answers.astype(np.float16)
                right = self.right(cell, answers)
                kept_dev = float(right[: len(dev)].mean())
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(path, **kept)
                self.store.add(cell, f"single:{name}", right[len(dev) :], dev=kept_dev)
        return True

    def answers(self, cell: Cell, study: Study, model: Path) -> np.ndarray:
        """Return the logits of a single model, development items first; from the predictions of `mu nxn` where it made them."""
        scorer, target, found = self.scorer(cell.regime), cell.target, []
        data = study.data(target)
        for every, wanted in zip((data.dev, data.test), self.lab.items(target), strict=True):
            path = (
                cache_path(study.cache, self.lab.fingerprint(model), every) if study.cache.is_dir() else None
            )
            if path is None or not path.is_file():
                scorer.prepare(target, [*self.lab.items(target)[0], *self.lab.items(target)[1]])
                return scorer.logits(target, self.lab.tensors(model))
            stored = load(path)
            at = {id: row for row, id in enumerate(stored.ids)}
            columns = [stored.labels.index(label) for label in scorer.labels]
            found.append(stored.logits[[at[item.id] for item in wanted]][:, columns])
        return np.concatenate(found)

    def right(self, cell: Cell, logits: np.ndarray) -> np.ndarray:
        """Return which items of the target are answered correctly, development items first."""
        dev, test = self.lab.items(cell.target)
        items = [*dev, *test]
        ids = tuple(item.id for item in items)
        return scored(Predictions(ids, self.scorer(cell.regime).labels, logits), items)

    def dev(self, cell: Cell) -> dict[str, float]:
        """Return source → accuracy on development items."""
        return self.dev_of(cell, SOURCES)

    def chosen(self, cell: Cell) -> dict[str, tuple[str, ...]]:
        """Return how sources are chosen → these, best first."""
        others = [name for name in SOURCES if name != cell.target]
        real, typology = self.dev(cell), uriel.column(cell.target, others)
        drawn = random.Random(f"sources/{cell.target}").sample(others, 3)
        found = {
            "REAL-3": choice.top_k(real, 3, exclude=[cell.target]),
            "REAL-5": choice.top_k(real, 5, exclude=[cell.target]),
            "URIEL-3": choice.top_k(typology, 3),
            "random-3": drawn,
        }
        return {name: tuple(sources) for name, sources in found.items()}

    def own(self, cell: Cell) -> bool:
        """Return whether the target's own model was scored."""
        return (cell.name, f"single:{cell.target}") in self.store.found

    def planned(self, cell: Cell, depth: int = 2) -> Iterator[Arm]:
        """Yield the merges of a cell. depth: 0 the most telling ones, 1 the others of the plan, 2 every method too."""
        sets = self.chosen(cell)
        own = (cell.target, *sets["REAL-3"][:2]) if self.own(cell) else ()
        for kind, sources in sets.items():
            yield Arm("linear", "ExcTar", kind, sources)
        if own:
            yield Arm("linear", "IncTar", "REAL-3", own)
        for method, kind in CORE:
            yield Arm(method, "ExcTar", kind, sets[kind])
        if not depth:
            return
        for kind, sources in sets.items():
            for method in EVERYWHERE:
                if (method, kind) not in CORE:
                    yield Arm(method, "ExcTar", kind, sources)
        for method in [*REAL3, *(others_of_all() if depth > 1 else ())]:
            most = registry.get(method).sources[1]
            yield Arm(method, "ExcTar", "REAL-3", sets["REAL-3"][: most or 3])
        for method in EVERYWHERE if own else ():
            yield Arm(method, "IncTar", "REAL-3", own)

    def recipe(self, cell: Cell, arm: Arm) -> Recipe:
        """Return the recipe of an arm: REAL or URIEL weights for the linear merge, equal ones for the others."""
        study, similarity = self.lab.study(cell.regime, cell.seed), None
        shares, preweight = dict.fromkeys(arm.sources, 1.0), None
        if arm.method == "linear":
            similarity = "URIEL" if arm.chosen_by == "URIEL-3" else "REAL"
            values = (
                uriel.column(cell.target, arm.sources)
                if similarity == "URIEL"
                else self.dev_of(cell, arm.sources)
            )
            shares = choice.shares(values, arm.sources)
            if arm.chosen_by == "random-3":  # the similarity did not choose them
                similarity, preweight = None, "real"
        listed = tuple(Source(name, study.model(name), shares[name]) for name in arm.sources)
        return check(
            Recipe(
                arm.method, listed, base=study.root / "base", target=cell.target, mode=arm.mode, similarity=similarity,
                k=len(listed), preweight=preweight, context=f"{REGIMES[cell.regime].context}/{study.base_name}", seed=cell.seed,
            )
        )  # fmt: skip

    def dev_of(self, cell: Cell, names: Sequence[str]) -> dict[str, float]:
        """Return model → accuracy on development items."""
        return {name: self.store.found[cell.name, f"single:{name}"]["dev"] for name in names}

    def answers_of(self, cell: Cell) -> dict[str, Predictions]:
        """Return single model → its predictions for the test items."""
        dev, test = self.lab.items(cell.target)
        labels = open_checkpoint(self.lab.study(cell.regime).root / "base").labels
        with np.load(self.store.logits_file(cell)) as kept:
            return {
                name: Predictions(
                    tuple(item.id for item in test), labels, kept[name][len(dev) :].astype(np.float32)
                )
                for name in kept.files
            }

    def merges(self, cell: Cell, depth: int = 1) -> None:
        """Score the merges of a cell that are missing."""
        if not self.in_time() or not self.singles(cell):
            return
        begun, done = time.process_time(), 0
        dev, test = self.lab.items(cell.target)
        for arm in self.planned(cell, depth):
            if not self.in_time():
                return
            if (cell.name, arm.key) in self.store.found:
                continue
            recipe = self.recipe(cell, arm)
            merged = self.merged(recipe)
            self.scorer(cell.regime).prepare(cell.target, [*dev, *test])
            self.scorer(cell.regime).prepare(f"{cell.target} test", test)
            answers = self.scorer(cell.regime).logits(f"{cell.target} test", merged)
            ids = tuple(item.id for item in test)
            right = scored(Predictions(ids, self.scorer(cell.regime).labels, answers), test)
            self.store.add(cell, arm.key, right)
            done += 1
        if done:
            say(f"{cell.name}: {done} merges", begun)

    def merged(self, recipe: Recipe) -> dict[str, np.ndarray]:
        """Return the merged tensors of the layers that differ from the base."""
        sources = {source.name: self.lab.tensors(source.path) for source in recipe.sources}
        assert recipe.base is not None
        base = {name: array for name, array in self.lab.base(recipe.base.parent).items() if upper(name)}
        return merge_arrays(recipe, sources, base, vocabulary=28330, threads=1)


def others_of_all() -> list[str]:
    """Return the methods for equal sources that read no data and are in no other list; those that need layer numbers left out."""
    known = {"linear", *EVERYWHERE, *REAL3, "lines", "layer_swap", "localise", "language_arithmetic"}
    known.add("task_arithmetic")  # at its default the same as the average
    return [
        name
        for name, method in registry.all_methods().items()
        if not method.needs and name not in known and (method.sources[1] or 3) >= 2
    ]


def say(text: str, begun: float) -> None:
    """Report a step with its processor time."""
    print(
        f"{datetime.now():%H:%M:%S}  {text}  {time.process_time() - begun:.1f} s", file=sys.stderr, flush=True
    )


def carry_out(run: Run) -> None:
    """Carry out the stages in order."""
    for regime in REGIMES:
        run.train(regime, SOURCES)
    for target in TARGETS:
        for regime in REGIMES:
            run.merges(Cell(regime, target), depth=0)
    for regime in REGIMES:
        run.train_joint(regime, "examples")
    for target in TARGETS:
        for regime in REGIMES:
            if run.in_time():
                run.singles(Cell(regime, target))  # the joint models
    for regime in ("far", "today", "few"):
        run.train(regime, SOURCES, seed=1)
    for target in TARGETS:
        for regime in REGIMES:
            run.merges(Cell(regime, target, 1), depth=0)
    for target in TARGETS:
        run.merges(Cell("today", target), depth=2)
    for target in TARGETS:
        for regime in ("few", "far"):
            run.merges(Cell(regime, target), depth=2)
    run.train("few", [target for target in TARGETS if target not in SOURCES])


def checked(run: Run, cell: Cell) -> None:
    """Compare the short cuts with the engine on whole models and with predict_with, for every method."""
    run.singles(cell)
    test = run.lab.items(cell.target)[1]
    model, tokenizer, labels = open_model(run.lab.study(cell.regime).root / "base")
    for arm in run.planned(cell):
        recipe = run.recipe(cell, arm)
        sources = {source.name: tensors(source.path) for source in recipe.sources}
        whole = merge_arrays(recipe, sources, run.lab.base(recipe.base.parent), vocabulary=28330, threads=1)
        short = run.merged(recipe)
        apart = max(float(np.abs(whole[name] - short[name]).max()) for name in short)
        below = max(
            float(np.abs(whole[n] - run.lab.base(recipe.base.parent)[n]).max()) for n in whole if not upper(n)
        )
        model.load_state_dict({name: torch.from_numpy(array) for name, array in whole.items()})
        run.scorer(cell.regime).prepare(f"{cell.target} test", test)
        ours = run.scorer(cell.regime).logits(f"{cell.target} test", short)
        theirs = predict_with(model, tokenizer, labels, test).logits
        differ = int((ours.argmax(1) != theirs.argmax(1)).sum())
        print(
            f"{arm.key:60s} weights {apart:.1e}, frozen {below:.1e}, logits {np.abs(ours - theirs).max():.1e}, answers {differ}"
        )
