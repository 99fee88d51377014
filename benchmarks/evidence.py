"""Score merges, ensembles and joint models in three regimes of fine-tuning, for 24 locales, and write them into the log.

    python benchmarks/evidence.py run --workspace evidence --until 14:05
    python benchmarks/evidence.py status --workspace evidence
    python benchmarks/evidence.py log --workspace evidence --log .

A regime says how far the models travel from their base: `few` (100 sentences, 3 epochs), `today` (the defaults of the lab: 600
sentences, 3 epochs; needs no training if the models are there), `far` (100 sentences, 12 epochs at five times the rate). Targets
and test items are the same in each. Every arm is one line of `results/evidence.jsonl` with one bit per test item; a stopped run
goes on where it was. The stages are in the order of their value, so that a run that is stopped early is still of use.

Merges are made and scored in memory. All models of the lab keep embeddings and six layers of the base, so that these layers are
computed once per target, and only the others are merged: `--check` compares both short cuts with the engine and with
`predict_with` for every method.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from merge_quality import tensors
from merginguriel.evaluation import ensemble, packed_inference
from merginguriel.evaluation.baselines import Baseline
from merginguriel.evaluation.predict import batches, open_model, padded, predict_with, tokens_of
from merginguriel.evaluation.significance import compare
from merginguriel.evaluation.predictions import (
    BATCH_TOKENS,
    Predictions,
    cache_path,
    fingerprint,
    load,
    scored,
)
from merginguriel.knowledge.log.append import Draft, add
from merginguriel.knowledge.parse.rows import ResultRow, items_cell
from merginguriel.merging import registry
from merginguriel.merging.engine import merge_arrays
from merginguriel.merging.recipe import Recipe, Source, check
from merginguriel.models.checkpoint import open_checkpoint
from merginguriel.merging.task_vector_measures import task_vectors
from merginguriel.runs.kinds.merge import ensemble_row
from merginguriel.similarity import choice, uriel
from merginguriel.study import joint, results
from merginguriel.study import study as studies
from merginguriel.study.study import Study
from merginguriel.tasks.base import Item, digest
from merginguriel.version import measured_by
from merginguriel.workspace import find

SOURCES = ("en-US", "de-DE", "sv-SE", "es-ES", "it-IT", "cs-CZ", "ru-RU", "fi-FI")
NEW = ("hu-HU", "el-GR", "bg-BG", "eu-ES", "zh-CN", "ar-SA", "th-TH", "sl-SI")  # in no earlier entry
TARGETS = (
    "hu-HU", "en-US", "el-GR", "da-DK", "ar-SA", "fi-FI", "bg-BG", "de-DE", "zh-CN", "pl-PL", "eu-ES", "es-ES",
    "th-TH", "ru-RU", "sl-SI", "ca-ES", "cs-CZ", "ro-RO", "nb-NO", "it-IT", "pt-PT", "fr-FR", "nl-NL", "sv-SE",
)  # fmt: skip
TEST, DEV = 150, 60  # items of each locale, chosen by a hash


@dataclass(frozen=True)
class Regime:
    """How the models of a regime are trained: its part of the context, and the settings that differ from the lab's."""

    context: str
    settings: Mapping[str, Any]
    about: str


REGIMES = {
    "few": Regime("home-few", {"max_train_samples": 100}, "100 sentences, 3 epochs at 1e-4"),
    "today": Regime("home", {}, "600 sentences, 3 epochs at 1e-4, the defaults of the lab"),
    "far": Regime(
        "home-far",
        {"max_train_samples": 100, "epochs": 12, "learning_rate": 5e-4},
        "100 sentences, 12 epochs at 5e-4",
    ),
}
SETS = ("REAL-3", "REAL-5", "URIEL-3", "random-3")  # how the sources of a merge are chosen
EVERYWHERE = ("average", "linear", "ties")  # methods for every set of sources
REAL3 = ("slerp", "model_stock", "fisher_simple", "dare_ties")  # for the set REAL-3 too
INCLUDING = ("average", "linear", "ties")  # with the target's own model and the two best others


@dataclass(frozen=True)
class Arm:
    """A merge: method, mode, how its sources were chosen, and these."""

    method: str
    mode: str
    chosen_by: str
    sources: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name of the arm in the file of results."""
        return "|".join([self.method, self.mode, self.chosen_by, "+".join(self.sources)])


@dataclass(frozen=True)
class Cell:
    """A target in a regime, with the seed of the training."""

    regime: str
    target: str
    seed: int = 0

    @property
    def name(self) -> str:
        """`few/da-DK/0`."""
        return f"{self.regime}/{self.target}/{self.seed}"


# ---------------------------------------------------------------------------------------------------------------- models


class Lab:
    """The studies of the regimes in one folder: one workspace each, with the same base."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cache
    def study(self, regime: str, seed: int = 0) -> Study:
        """Return the study of a regime."""
        return Study(find(explicit=self.root / regime), seed=seed)

    @cache
    def items(self, target: str) -> tuple[list[Item], list[Item]]:
        """Return the development and the test items of a target, the same in every regime."""
        data = self.study("today").data(target)
        return tuple(
            sorted(sorted(found, key=lambda item: digest(item.id, length=16))[:most], key=lambda item: item.id)
            for found, most in ((data.dev, DEV), (data.test, TEST))
        )

    @cache
    def tensors(self, path: Path) -> dict[str, np.ndarray]:
        """Return the tensors of a model that can differ from the base. Raises ValueError if another one does."""
        found = tensors(path)
        base = self.base(path.parent)
        if path.name != "base" and any(not np.array_equal(found[n], base[n]) for n in base if not upper(n)):
            raise ValueError(f"{path} differs from its base in the embeddings or the first layers")
        return {name: array for name, array in found.items() if upper(name)}

    @cache
    def fingerprint(self, path: Path) -> str:
        """Return the fingerprint of a model folder."""
        return fingerprint(path)

    @cache
    def base(self, root: Path) -> dict[str, np.ndarray]:
        """Return all tensors of the base."""
        return tensors(root / "base")


FROZEN = 6  # layers of the encoder that the lab leaves as they are


def upper(name: str) -> bool:
    """Return whether a tensor is in a layer that the lab trains."""
    parts = name.split(".")
    return "classifier" in name or ("layer" in parts and int(parts[parts.index("layer") + 1]) >= FROZEN)


class Feeder(torch.nn.Module):
    """Layer that returns what the frozen layers gave for the batch."""

    now: torch.Tensor

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        """Return the stored hidden states."""
        return self.now


class Scorer:
    """One model in memory that takes merged weights and answers the items of a target."""

    def __init__(self, folder: Path) -> None:
        self.model, self.tokenizer, self.labels = open_model(folder)
        self.model.eval()
        self.state = dict(self.model.named_parameters())
        self.body = self.model.encoder.encoder
        self.layers = list(self.body.layer)
        self.feeder = Feeder()
        self.batches: dict[str, list[tuple[list[int], torch.Tensor, torch.Tensor, torch.Tensor]]] = {}

    def prepare(self, name: str, items: Sequence[Item]) -> None:
        """Compute the frozen layers for the items."""
        if name in self.batches:
            return
        rows, _ = tokens_of(self.model, self.tokenizer, items)
        self.body.layer = torch.nn.ModuleList(self.layers[:FROZEN])
        found = []
        with torch.inference_mode(), packed_inference.packed(self.model):
            for chosen in batches([len(row) for row in rows], BATCH_TOKENS):
                ids, mask = padded([rows[i] for i in chosen], self.tokenizer.pad_token_id or 0)
                hidden = self.model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
                found.append((chosen, ids, mask, hidden))
        self.body.layer = torch.nn.ModuleList([self.feeder, *self.layers[FROZEN:]])
        self.batches[name] = found

    def logits(self, name: str, weights: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the logits [n, L] of the prepared items, for a model with these weights."""
        with torch.no_grad():
            for tensor, array in weights.items():
                self.state[tensor].copy_(torch.from_numpy(np.ascontiguousarray(array)))
        prepared = self.batches[name]
        answers = np.zeros((sum(len(chosen) for chosen, *_ in prepared), len(self.labels)), np.float32)
        with torch.inference_mode(), packed_inference.packed(self.model):
            for chosen, ids, mask, hidden in prepared:
                self.feeder.now = hidden
                answers[chosen] = self.model(input_ids=ids, attention_mask=mask).logits.numpy()
        return answers


# ---------------------------------------------------------------------------------------------------------------- results


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
        line = {"cell": cell.name, "arm": arm, "n": len(right), "right": np.packbits(right).tobytes().hex(), **more}
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.found[cell.name, arm] = line

    def right(self, cell: Cell, arm: str) -> np.ndarray:
        """Return the bits of an arm, bool [n]."""
        line = self.found[cell.name, arm]
        return np.unpackbits(np.frombuffer(bytes.fromhex(line["right"]), np.uint8))[: line["n"]].astype(bool)

    def arms(self, cell: Cell) -> list[str]:
        """Return the arms of a cell."""
        return [arm for name, arm in self.found if name == cell.name]

    def logits_file(self, cell: Cell) -> Path:
        """Return the file of the logits of single models."""
        return self.folder / "logits" / f"{cell.name.replace('/', '-')}.npz"


# ---------------------------------------------------------------------------------------------------------------- the run


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
        models = {name: study.model(name) for name in dict.fromkeys([*SOURCES, cell.target])}
        models |= {f"joint:{one.budget}": one.path for one in joint.listed(study) if one.locales == SOURCES}
        models = {name: path for name, path in models.items() if (path / "training.yaml").is_file()}
        if not set(SOURCES) <= set(models):
            return False
        dev, test = self.lab.items(cell.target)
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
            path = cache_path(study.cache, self.lab.fingerprint(model), every) if study.cache.is_dir() else None
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

    def planned(self, cell: Cell, everything: bool = False) -> Iterator[Arm]:
        """Yield the merges of a cell; with `everything` also every other method that reads no data."""
        sets = self.chosen(cell)
        for kind, sources in sets.items():
            for method in EVERYWHERE:
                yield Arm(method, "ExcTar", kind, sources)
        methods = [*REAL3, *(others_of_all() if everything else ())]
        for method in methods:
            most = registry.get(method).sources[1]
            yield Arm(method, "ExcTar", "REAL-3", sets["REAL-3"][: most or 3])
        if self.own(cell):
            for method in INCLUDING:
                yield Arm(method, "IncTar", "REAL-3", (cell.target, *sets["REAL-3"][:2]))

    def recipe(self, cell: Cell, arm: Arm) -> Recipe:
        """Return the recipe of an arm: REAL or URIEL weights for the linear merge, equal ones for the others."""
        study, similarity = self.lab.study(cell.regime, cell.seed), None
        shares, preweight = dict.fromkeys(arm.sources, 1.0), None
        if arm.method == "linear":
            similarity = "URIEL" if arm.chosen_by == "URIEL-3" else "REAL"
            values = uriel.column(cell.target, arm.sources) if similarity == "URIEL" else self.dev_of(cell, arm.sources)
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
                name: Predictions(tuple(item.id for item in test), labels, kept[name][len(dev) :].astype(np.float32))
                for name in kept.files
            }

    def merges(self, cell: Cell, everything: bool = False) -> None:
        """Score the merges of a cell that are missing."""
        if not self.in_time() or not self.singles(cell):
            return
        begun, done = time.process_time(), 0
        dev, test = self.lab.items(cell.target)
        for arm in self.planned(cell, everything):
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


def rows_of(run: Run, cell: Cell) -> list[ResultRow]:
    """Return the rows of a cell: single models, merges, ensembles of the same sources, and joint models."""
    context, done = f"{REGIMES[cell.regime].context}/e5-small", set(run.store.arms(cell))
    if not {f"single:{name}" for name in SOURCES} <= done:
        return []
    test, dev = run.lab.items(cell.target)[1], run.dev(cell)
    groups = [item.group for item in test]
    shared = {"context": context, "target": cell.target, "metric": "accuracy", "n": len(test), "seed": cell.seed}

    def bits(name: str) -> np.ndarray:
        """Return which test items a single model answers correctly."""
        return run.store.right(cell, f"single:{name}")

    rows = [
        ResultRow(**shared, mode="-", method="single", value=float(bits(name).mean()), sources=(name,))
        for name in dict.fromkeys([*SOURCES, *([cell.target] if run.own(cell) else [])])
    ]

    def beat(sources: Sequence[str], mode: str, whole: bool) -> dict[str, Baseline]:
        """Return the baselines of a set of sources, chosen on development items."""
        found = {}
        others = [name for name in SOURCES if name != cell.target]
        for kind, names in (("best_single_source", sources), ("best_zero_shot", others)):
            names = sorted(set(names) - {cell.target})
            best = max(names, key=lambda name: dev[name])
            note = f"highest of {len(names)} on dev, {dev[best]:.4f}"
            right = bits(best)
            found[kind] = Baseline(kind, float(right.mean()), len(right), best, right, note)
        if found["best_zero_shot"].model == found["best_single_source"].model or mode == "IncTar":
            del found["best_zero_shot"]
        if whole:
            mean = float(np.mean([bits(name).mean() for name in sources]))
            found["source_mean"] = Baseline("source_mean", mean, len(test))
        if mode == "IncTar":
            right = bits(cell.target)
            found = {"target_alone": Baseline("target_alone", float(right.mean()), len(right), cell.target, right)}
        return found

    def compared(row: ResultRow, right: np.ndarray, against: Mapping[str, Baseline]) -> Iterator[ResultRow]:
        """Yield a row for each baseline."""
        for kind, baseline in against.items():
            paired = None if baseline.correct is None else compare(right, baseline.correct, groups=groups, draws=0)
            yield replace(
                row, baseline_kind=kind, baseline=baseline.value, wins=paired.wins if paired else None,
                losses=paired.losses if paired else None, se_pp=paired.se if paired else None,
                note=f"{baseline.model}, {baseline.note}" if kind.startswith("best") else "",
                **items_of(test, right, baseline.correct),
            )  # fmt: skip

    like: dict[tuple[str, ...], ResultRow] = {}
    for arm in run.planned(cell, everything=True):
        if arm.key not in done:
            continue
        right, recipe = run.store.right(cell, arm.key), run.recipe(cell, arm)
        nothing = {"source_mean": Baseline("source_mean", 0.0, len(test))}
        row = replace(results.merge_rows(recipe, right, nothing, {}, context=context, run="")[0], run=None, code=None)
        against = beat(arm.sources, arm.mode, row.similarity == "REAL")
        rows += compared(row, right, against)
        if arm.method == "linear":
            chosen = {"URIEL-3": "URIEL", "random-3": None}.get(arm.chosen_by, "REAL")
            like[arm.mode, arm.chosen_by] = replace(row, similarity=chosen)
    answers = run.answers_of(cell) if like else {}
    for (mode, _), row in like.items():
        models = {name: answers[name] for name in row.sources}
        typology = uriel.column(cell.target, row.sources)
        for name, method in ensemble.METHODS.items():
            weights = typology if method.weights == "URIEL" else run.dev_of(cell, row.sources)
            right = scored(ensemble.combine(models, name, weights), test)
            together = ensemble_row(row, name, right)
            rows += compared(replace(together, code=None), right, beat(row.sources, mode, False))
    for name in sorted(done):
        if name.startswith("single:joint:"):
            mode = "IncTar" if cell.target in SOURCES else "ExcTar"
            right = run.store.right(cell, name)
            one = ResultRow(
                **shared, mode=mode, method="joint", value=float(right.mean()), k=len(SOURCES), sources=SOURCES,
                params=(("budget", name.rpartition(":")[2]),), saw="labels" if mode == "IncTar" else "nothing",
            )  # fmt: skip
            rows += compared(one, right, beat(SOURCES, mode, False) if mode == "ExcTar" or run.own(cell) else {})
    return rows


def items_of(test: Sequence[Item], right: np.ndarray, baseline: np.ndarray | None) -> dict[str, str]:
    """Return the cell `items` of a row that is paired with a baseline."""
    if baseline is None:
        return {}
    return {"items": items_cell([item.id for item in test], right.tolist(), baseline.tolist())}


def artefact(run: Run, folder: Path) -> str:
    """Write which items every arm answers correctly into one file, and return its name and sha256.

    ids:TARGET, groups:TARGET [n] of its test items; arms [A] `regime/target/seed|method|mode|set|sources`; dev [A] accuracy on
    development items of single models, else NaN; bits [A, ⌈TEST/8⌉]
    """
    names, bits, dev = [], [], []
    for (cell, arm), line in sorted(run.store.found.items()):
        names.append(f"{cell}|{arm}")
        packed = np.frombuffer(bytes.fromhex(line["right"]), np.uint8)
        bits.append(np.pad(packed, (0, -(-TEST // 8) - len(packed))))
        dev.append(line.get("dev", np.nan))
    targets = sorted({name.split("/")[1] for name in names})
    items = {f"ids:{t}": np.array([item.id for item in run.lab.items(t)[1]]) for t in targets}
    items |= {f"groups:{t}": np.array([item.group for item in run.lab.items(t)[1]]) for t in targets}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, arms=np.array(names), bits=np.stack(bits), dev=np.array(dev), **items)
    digest_ = hashlib.sha256(buffer.getvalue()).hexdigest()
    name = f"{date.today().isoformat()}-items-of-{len(names)}-arms-{digest_[:8]}.npz"
    (folder / name).write_bytes(buffer.getvalue())
    return f"{name} sha256:{digest_}"


def others_of_all() -> list[str]:
    """Return the methods for three sources that read no data and are in no other list; those that need layer numbers left out."""
    known = {*EVERYWHERE, *REAL3, "lines", "layer_swap", "task_arithmetic", "localise"}
    return [
        name
        for name, method in registry.all_methods().items()
        if not method.needs and name not in known and (method.sources[1] or 3) >= 2
    ]


def say(text: str, begun: float) -> None:
    """Report a step with its processor time."""
    print(f"{datetime.now():%H:%M:%S}  {text}  {time.process_time() - begun:.1f} s", file=sys.stderr, flush=True)


def carry_out(run: Run) -> None:
    """Carry out the stages in order."""
    run.train("few", SOURCES)
    run.train("far", SOURCES)
    for target in TARGETS:
        run.merges(Cell("few", target))
        run.merges(Cell("far", target))
    for target in NEW:
        run.merges(Cell("today", target))
    run.train_joint("few", "epochs")
    run.train_joint("far", "examples")
    for target in TARGETS:
        for regime in ("few", "far"):
            if run.in_time():
                run.singles(Cell(regime, target))  # joint models that came later
    for target in TARGETS:
        run.merges(Cell("today", target))
    run.train("few", SOURCES, seed=1)
    for target in NEW:
        run.merges(Cell("few", target, 1))
    run.train("few", [target for target in TARGETS if target not in SOURCES])
    for target in TARGETS:
        for regime in REGIMES:
            run.merges(Cell(regime, target), everything=True)


def checked(run: Run, cell: Cell) -> None:
    """Compare the short cuts with the engine on whole models and with predict_with, for every method."""
    run.singles(cell)
    dev, test = run.lab.items(cell.target)
    model, tokenizer, labels = open_model(run.lab.study(cell.regime).root / "base")
    for arm in run.planned(cell, everything=True):
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
        print(f"{arm.key:60s} weights {apart:.1e}, frozen {below:.1e}, logits {np.abs(ours - theirs).max():.1e}, answers {differ}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("do", choices=["run", "status", "log", "check"])
    parser.add_argument("--workspace", type=Path, required=True, help="folder with a workspace few, today and far")
    parser.add_argument("--until", help="HH:MM, UTC: stop then")
    parser.add_argument("--log", type=Path, help="workspace whose log gets the entries")
    options = parser.parse_args()
    until = time.time() + 1e9
    if options.until:
        now = datetime.now()
        hour, minute = map(int, options.until.split(":"))
        until = now.replace(hour=hour, minute=minute, second=0).timestamp()
    run = Run(Lab(options.workspace), Store(options.workspace), until)
    torch.set_num_threads(1)
    if options.do == "run":
        carry_out(run)
    elif options.do == "check":
        checked(run, Cell("today", "da-DK"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
