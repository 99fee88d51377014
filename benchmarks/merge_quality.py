"""Accuracy of every merging method on several targets, without and with the target's own model among the sources.

    python benchmarks/merge_quality.py --workspace my-workspace --target da-DK --target gl-ES … --source de-DE … --log .

Real models of the embedded lab, trained where they are missing. For each target the `--k` best sources by REAL
similarity (accuracy on the target's development data) are merged by every method, with equal and with REAL weights
where it takes weights, all at their defaults, and scored on the target's test sentences beside the best source (chosen
on development data), the mean of the sources, their ensemble (mean probability) and the target's own model, where it was
trained. Methods that read text read the target's training sentences without labels. Where the target's own model was trained,
the methods of INCLUDING also merge it with the k − 1 best sources (IncTar). Of merges only a line each is written, so that a
stopped run goes on. `--log WORKSPACE` adds the rows to its experiment log.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np
import torch

from merginguriel.evaluation.baselines import Baseline, baselines
from merginguriel.evaluation.nxn import Matrix, nxn
from merginguriel.evaluation.predict import open_model, predict_with
from merginguriel.evaluation.predictions import cache_path, fingerprint, load, scored
from merginguriel.knowledge.log.append import add
from merginguriel.knowledge.log.draft_text import Draft
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.merging import registry
from merginguriel.merging.engine import merge_arrays, merge_tensors
from merginguriel.merging.recipe import Recipe, Source, check
from merginguriel.models.checkpoint import open_checkpoint, read
from merginguriel.similarity import choice
from merginguriel.study import results
from merginguriel.study import study as studies
from merginguriel.study.statistics_file import read_for
from merginguriel.study.study import Study
from merginguriel.workspace import find

INCLUDING = (
    "average",
    "linear",
    "slerp",
    "task_arithmetic",
    "ties",
    "consensus",
    "localise",
)  # merged as IncTar too


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--target", action="append", required=True)
    parser.add_argument("--source", action="append", required=True)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--method", action="append", help="only these; default: every method")
    parser.add_argument(
        "--mode", choices=["ExcTar", "IncTar"], help="only merges without, or with, the target's own model"
    )
    parser.add_argument("--equal", action="store_true", help="REAL weights for the linear merge only")
    parser.add_argument("--log", type=Path, help="add the rows to the experiment log of this workspace")
    parser.add_argument("--supersedes", default="", help="the entry of the log whose rows stop counting")
    options = parser.parse_args()
    study = Study(find(explicit=options.workspace))
    for locale in options.source:
        if not study.model(locale).is_dir():
            studies.train(study, locale)
    data = {target: study.data(target) for target in options.target}
    own = [target for target in options.target if study.model(target).is_dir()]
    models = {locale: study.model(locale) for locale in dict.fromkeys([*options.source, *own])}
    dev = nxn(models, data, split="dev", cache=study.cache)
    test = nxn(models, data, cache=study.cache)
    store = study.space.results / "merge-quality.jsonl"
    store.parent.mkdir(parents=True, exist_ok=True)
    found = known(store)
    names = options.method or list(registry.all_methods())
    for target in options.target:
        chosen = choice.top_k({s: dev.value(s, target) for s in options.source}, options.k, exclude=[target])
        merger = None
        for recipe in planned(study, dev, target, chosen, names, options):
            key = name_of(recipe)
            if (target, key) in found:
                continue
            merger = merger or Merger(study, [*chosen, *([target] if target in own else [])])
            right = merger.score(recipe, data[target].test)
            line = {
                "target": target,
                "recipe": key,
                "right": np.packbits(right).tobytes().hex(),
                "n": len(right),
            }
            with store.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            found[target, key] = right
            print(f"{target}  {label(recipe):40s} {100 * right.mean():5.1f}", file=sys.stderr, flush=True)
    report(study, options, dev, test, data, names, found)
    return 0


class Merger:
    """The sources and the base in memory, merged into one model again and again."""

    def __init__(self, study: Study, chosen: list[str]) -> None:
        self.study = study
        self.sources = {source: tensors(study.model(source)) for source in chosen}
        self.base = tensors(study.root / "base")
        self.model, self.tokenizer, self.labels = open_model(study.model(sorted(chosen)[0]))

    def score(self, recipe: Recipe, items: list) -> np.ndarray:
        """bool [n]: which test items the merge gets right."""
        if registry.get(recipe.method).needs:
            merged = merge_tensors(read_for(self.study, recipe))
        else:
            sources = {source.name: self.sources[source.name] for source in recipe.sources}
            merged = merge_arrays(recipe, sources, self.base, vocabulary=self.model.config.vocab_size)
        weights = {name: torch.from_numpy(array) for name, array in merged.items()}
        lacking = set(self.model.state_dict()) - set(weights)
        if lacking:
            raise RuntimeError(f"the merge lacks {sorted(lacking)[0]}")
        self.model.load_state_dict(weights)
        return scored(predict_with(self.model, self.tokenizer, self.labels, items), items)


def tensors(folder: Path) -> dict[str, np.ndarray]:
    checkpoint = open_checkpoint(folder)
    return {name: np.array(read(checkpoint, name)) for name in checkpoint.tensors}


def planned(
    study: Study, dev: Matrix, target: str, chosen: list[str], names: list[str], options: argparse.Namespace
) -> list[Recipe]:
    """Return all recipes of one target: ExcTar of every method, and IncTar of those in INCLUDING if its own model is trained."""
    found = []
    if options.mode != "IncTar":
        found += recipes(study, dev, target, chosen, [n for n in names if n != "localise"], options.equal)
    if options.mode != "ExcTar" and target in dev.sources:
        including = [name for name in names if name in INCLUDING]
        found += recipes(study, dev, target, [target, *chosen[:-1]], including, options.equal, "IncTar")
    return found


def recipes(
    study: Study,
    dev: Matrix,
    target: str,
    chosen: list[str],
    names: list[str],
    equal: bool,
    mode: str = "ExcTar",
) -> list[Recipe]:
    """Return every method at its defaults, with equal weights and, where it takes them, with those of REAL similarity."""
    shares = choice.shares({source: dev.value(source, target) for source in chosen}, chosen)
    built = []
    for name in names:
        method = registry.get(name)
        least, most = method.sources
        used = chosen[: most or len(chosen)]
        if len(used) < least:
            continue
        for similarity in (None, "REAL") if method.weighted else (None,):
            if name == "linear" and similarity is None:
                continue  # that is `average`
            if equal and similarity and name != "linear":
                continue
            listed = tuple(Source(s, study.model(s), shares[s] if similarity else 1.0) for s in used)
            recipe = Recipe(
                name, listed, base=study.root / "base", target=target, mode=mode,
                similarity=similarity, k=len(used), context=study.context,
            )  # fmt: skip
            built.append(check(recipe))
    return built


def name_of(recipe: Recipe) -> str:
    """What decides the result, in short: a run that is repeated knows what it has done."""
    parts = [recipe.method, json.dumps(dict(recipe.params), sort_keys=True), recipe.similarity or "-"]
    parts += [recipe.heads] if recipe.heads != "merge" else []
    parts += [f"{s.name}={s.weight:.6f}@{fingerprint(s.path)[:12]}" for s in recipe.sources]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def label(recipe: Recipe) -> str:
    own = "IncTar " if recipe.mode == "IncTar" else ""
    return f"{own}{recipe.method}{', REAL weights' if recipe.similarity else ''}"


def known(store: Path) -> dict[tuple[str, str], np.ndarray]:
    """What earlier runs scored: (target, recipe) → bool [n]. A line that was cut off is left out."""
    found = {}
    for text in store.read_text(encoding="utf-8").splitlines() if store.is_file() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(line["right"]), np.uint8))[: line["n"]]
        found[line["target"], line["recipe"]] = bits.astype(bool)
    return found


def ensemble(study: Study, chosen: list[str], items: list) -> np.ndarray:
    """bool [n]: which items the mean of the sources' probabilities gets right."""
    total, labels = None, ()
    for source in chosen:
        model = fingerprint(study.model(source))
        answers = load(cache_path(study.cache, model, items), model)
        odds = np.exp(answers.logits - answers.logits.max(1, keepdims=True))
        order = [answers.labels.index(label) for label in labels or answers.labels]
        shares = (odds / odds.sum(1, keepdims=True))[:, order]
        labels = labels or answers.labels
        total = shares if total is None else total + shares
    return np.array([labels[i] == item.label for i, item in zip(total.argmax(1), items, strict=True)])


def report(study: Study, options: argparse.Namespace, dev: Matrix, test: Matrix, data: dict, names: list[str], found: dict) -> None:  # fmt: skip
    """Print the table; with --log, add the rows to the log."""
    table: dict[str, dict[str, float]] = defaultdict(dict)
    gains: dict[str, list[float]] = defaultdict(list)
    rows: list[ResultRow] = []
    run = (
        "merge-quality-"
        + hashlib.sha256("".join([*options.target, *options.source]).encode()).hexdigest()[:8]
    )
    for target in options.target:
        chosen = choice.top_k({s: dev.value(s, target) for s in options.source}, options.k, exclude=[target])
        beat: dict[str, Baseline] = baselines(target, dev, test, chosen, data[target])
        source = beat["best_single_source"]
        for kind, baseline in beat.items():
            table[f"[{kind.replace('_', ' ')}]"][target] = baseline.value
        together = ensemble(study, chosen, data[target].test)
        table["[ensemble]"][target] = float(together.mean())
        gains["[ensemble]"].append(100 * (float(together.mean()) - source.value))
        own = beat
        if target in dev.sources:
            own = baselines(target, dev, test, [target, *chosen[:-1]], data[target])
        for recipe in planned(study, dev, target, chosen, names, options):
            right, including = found[target, name_of(recipe)], recipe.mode == "IncTar"
            goal = own["target_alone"] if including else source
            table[label(recipe)][target] = float(right.mean())
            gains[label(recipe)].append(100 * (float(right.mean()) - goal.value))
            against = own if including else beat
            compared = results.compare_all(right, test.groups[target], against)
            rows += results.merge_rows(recipe, right, against, compared, context=study.context, run=run)
    ranked = sorted(table, key=lambda name: (not name.startswith("["), -np.mean(gains.get(name, [0]))))
    width = max(map(len, table)) + 2
    print(
        f"{'accuracy in %':{width}s}"
        + "".join(f"{t:>8s}" for t in options.target)
        + "    gain over the best source (IncTar: over the target's own model)"
    )
    for name in ranked:
        cells = "".join(
            f"{100 * table[name][t]:8.1f}" if t in table[name] else f"{'':8s}" for t in options.target
        )
        gain = (
            f"{np.mean(gains[name]):+8.1f} pp (worst {min(gains[name]):+.1f}, best {max(gains[name]):+.1f})"
            if name in gains
            else ""
        )
        print(
            f"{name:{width}s}{cells}{gain}".replace("-", "−") if name in gains else f"{name:{width}s}{cells}"
        )
    if options.log:
        print(write(study, options, rows, run, ranked, gains))


def write(study: Study, options: argparse.Namespace, rows: list[ResultRow], run: str, ranked: list[str], gains: dict) -> str:  # fmt: skip
    """The entry in the log: what was tried, what was found, all rows in a CSV."""
    best = [name for name in ranked if name in gains and not name.startswith(("[", "IncTar"))][
        : len(options.method) if options.method else 3
    ]
    including = [name for name in ranked if name.startswith("IncTar")][:1]
    findings = "\n".join(
        f"- {name}: mean gain over the best single source {np.mean(gains[name]):+.1f} pp over {len(gains[name])} targets, "
        f"from {min(gains[name]):+.1f} pp to {max(gains[name]):+.1f} pp."
        for name in [*best, "[ensemble]"]
    )
    findings += "".join(
        f"\n- {name}: mean gain over the target's own model {np.mean(gains[name]):+.1f} pp over {len(gains[name])} targets."
        for name in including
    )
    real = " and with REAL weights" + " for linear" * options.equal
    real *= not options.method or "linear" in options.method
    tried = (
        f"Models of {', '.join(options.source)} were fine-tuned from one base ({study.base_name}). For each of "
        f"{', '.join(options.target)} the {options.k} best by REAL similarity on development data were merged by "
        f"{', '.join(options.method or ['every method'])} at the defaults, with equal weights{real}. Methods that "
        "read text read the target's training sentences without labels."
        + " Where the target's own model was trained, some methods merged it with the best sources too (IncTar)."
        * bool(including)
    )
    draft = Draft(
        title=f"{', '.join(options.method or ['Every merging method'])} on {len(options.target)} targets of the embedded lab",
        type="Retrospective",
        date=date.today().isoformat(),
        summary=f"Compared {len({r.method for r in rows})} merging methods on {len(options.target)} targets with the best single source.",
        context=study.context,
        metric="accuracy",
        seed=str(study.seed),
        tags="merge-quality",
        supersedes=options.supersedes,
        origin=f"benchmarks/merge_quality.py, run {run}",
        sections=(
            ("What was tried", tried),
            ("Findings", findings),
            ("Open questions", "- [open] Which of the differences between methods hold with other seeds?"),
        ),
    )
    return add(find(explicit=options.log).log, draft, more_rows=rows).id


if __name__ == "__main__":
    sys.exit(main())
