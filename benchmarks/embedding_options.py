"""Train each pooling, head, adapter and loss of `mu embed train` at one small setting, and write one table.

    python benchmarks/embedding_options.py --workspace DIR --out docs/embeddings/options.md --seeds 2 --minutes 30

The base is the first layers of e5-small. Data: Home Assistant's parallel text of two locales; queries in the first,
documents in the second. A combination that is not finished within the minutes is listed as not run.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from transformers import AutoModel, AutoTokenizer

from merginguriel import tasks
from merginguriel.embedding import architecture, retrieval, training
from merginguriel.embedding.architecture import Shape
from merginguriel.embedding.training import Settings
from merginguriel.evaluation.sentence_pairs import correlate, cosines
from merginguriel.models.base_models import base_model
from merginguriel.models.sentence_transformer import body_folder
from merginguriel.tasks import parallel

LAYERS, STEPS, BATCH = 2, 10, 16
TRAINED = Settings(steps=STEPS, batch=BATCH, learning_rate=1e-3, max_tokens=32)
HALF = 192
OPTIONS: dict[str, tuple[Shape, Settings]] = {
    "mean (reference)": (Shape(), TRAINED),
    **{f"pooling {name}": (Shape(pooling=name), TRAINED)
       for name in ("attention", "last", "cls", "max", "sqrt", "0.5*mean+0.5*max", "learned:mean+max")},
    **{f"head {name}": (Shape(head=name, out=HALF), TRAINED) for name in ("linear", "mlp", "residual", "family", "experts")},
    "LoRA, rank 8, all layers": (Shape(rank=8), TRAINED),
    "LoRA, rank 8, last 2 layers": (Shape(rank=8, last=2), TRAINED),
    "LoRA, attention pooling": (Shape(rank=8, pooling="attention"), TRAINED),
    "LoRA, family heads": (Shape(rank=8, head="family", out=HALF), TRAINED),
    **{f"loss {name}": (Shape(), replace(TRAINED, loss=name))
       for name in ("infonce", "cached-mnrl", "triplet", "circle", "distill", "gist")},
}  # fmt: skip


def main() -> None:
    """Run what fits, then write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workspace", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--seeds", type=int, default=2)
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--locales", nargs=2, default=["ko-KR", "en-US"])
    given = arguments.parse_args()
    end = time.monotonic() + 60 * given.minutes
    text = parallel.load("home", *given.locales, size=160)
    learn, held = text.split()
    intents = tasks.load("home", given.locales[1], train=120, dev=50, test=120)
    base = small_base(given.workspace, text, [item.text for item in (*intents.train, *intents.test)])
    first, second = given.locales
    keys = sorted(learn.relevant)
    negatives = {id: (keys[(at + 7) % len(keys)],) for at, id in enumerate(keys)}
    examples = parallel.examples_of(learn, first, second, second, negatives)
    journal = given.workspace / "options.jsonl"
    done = [json.loads(line) for line in journal.read_text().splitlines()] if journal.is_file() else []
    have = {(row["option"], row["seed"]) for row in done}
    for seed in range(given.seeds):
        for option, (shape, settings) in {"untrained base": (Shape(), TRAINED), **OPTIONS}.items():
            if (option, seed) in have or time.monotonic() > end or (option == "untrained base" and seed):
                continue
            folder = given.workspace / "options" / f"{len(done)}"
            start, trainable = time.monotonic(), 0
            if option == "untrained base":
                model = architecture.load(base)
            else:
                made = training.train(
                    base,
                    examples,
                    folder,
                    shape,
                    replace(settings, seed=seed),
                    teacher=base if settings.loss in ("distill", "gist") else None,
                )
                trainable = sum(count for count, _ in made.parameters.values())
                model = architecture.load(folder)
            row = {
                "option": option,
                "seed": seed,
                "parameters": trainable,
                "seconds": time.monotonic() - start,
            }
            row |= scores(model, held, intents)
            done.append(row)
            with journal.open("a") as file:
                file.write(json.dumps(row) + "\n")
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(table(done, given, len(examples), len(held.relevant)), encoding="utf-8")


def small_base(workspace: Path, text: parallel.Parallel, more: list[str]) -> Path:
    """Return the first LAYERS layers of e5-small, with the word pieces of the texts."""
    texts = [
        t for side in (text.queries, text.documents) for one in side.values() for t in one.values()
    ] + more
    out = workspace / f"e5-small-{LAYERS}-layers"
    if not out.is_dir():
        body = body_folder(base_model("e5-small", workspace / "e5-small", texts=texts))
        AutoModel.from_pretrained(body, num_hidden_layers=LAYERS, add_pooling_layer=False).save_pretrained(
            out
        )
        AutoTokenizer.from_pretrained(body).save_pretrained(out)
    return out


def scores(
    model: architecture.SentenceTransformer, held: parallel.Parallel, intents: tasks.TaskData
) -> dict[str, float]:
    """Return NDCG@10 over all four directions, nearest-neighbour accuracy of intents, and Spearman on pairs of equal and other meaning."""
    first, second = held.locales
    found = [
        retrieval.measured(model, held.pair(a, b))["ndcg_at_10"].mean()
        for a in (first, second)
        for b in (first, second)
    ]
    known, asked = (
        model.encode([i.text for i in items], normalize_embeddings=True)
        for items in (intents.train, intents.test)
    )
    nearest = (asked @ known.T).argmax(1)
    right = [intents.train[at].label == item.label for at, item in zip(nearest, intents.test, strict=True)]
    ids = list(held.relevant)
    texts = [held.queries[second][id] for id in ids], [held.documents[first][id] for id in ids]
    asking, answering = (model.encode(side, normalize_embeddings=True) for side in texts)
    same, other = cosines(asking, answering), cosines(asking, np.roll(answering, 1, axis=0))
    spearman = correlate(np.concatenate([same, other]), np.repeat([1.0, 0.0], len(ids))).spearman
    return {"ndcg": float(np.mean(found)), "intent": float(np.mean(right)), "spearman": spearman}


def table(done: list[dict], given: argparse.Namespace, examples: int, queries: int) -> str:
    """Return the page."""
    base = next(row for row in done if row["option"] == "untrained base")
    lines = [
        "# Options of an embedder at one small setting\n",
        f"Base: the first {LAYERS} layers of e5-small. {examples} training pairs of Home Assistant's parallel text, queries in {given.locales[0]}, "
        f"documents in {given.locales[1]}, {STEPS} steps of {BATCH}, learning rate {TRAINED.learning_rate:g} of all parts; heads are {HALF} wide. Scores: mean over seeds. NDCG@10 over all four directions on {queries} held-out "
        "queries; accuracy of the nearest neighbour's intent; Spearman of the cosine of cross-lingual pairs with 1 (same meaning) or 0. One "
        "small setting ranks no options in general: ± is half the range over seeds. Seconds are wall time on a shared machine. Teacher of `distill` and guide of `gist`: the untrained base. Vectors are compared by cosine, under which `sqrt` is the mean; with two layers, both LoRA rows without another part train the same factors.\n",
        "| option | seeds | NDCG@10 | intent accuracy | Spearman | trainable parameters | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for option in ["untrained base", *OPTIONS]:
        rows = [row for row in done if row["option"] == option]
        if not rows:
            continue
        mean = {
            key: float(np.mean([row[key] for row in rows]))
            for key in ("ndcg", "intent", "spearman", "seconds")
        }
        half = (max(row["ndcg"] for row in rows) - min(row["ndcg"] for row in rows)) / 2
        worse = " (worse than the untrained base)" if mean["ndcg"] < base["ndcg"] else ""
        spread = f" ± {half:.3f}" if len(rows) > 1 else ""
        lines.append(
            f"| {option}{worse} | {len(rows)} | {mean['ndcg']:.3f}{spread} | {mean['intent']:.3f} | {mean['spearman']:.3f} | "
            f"{rows[0]['parameters']:,} | {mean['seconds']:.0f} |"
        )
    names = {row["option"] for row in done}
    missing = [option for option in OPTIONS if option not in names]
    once = [
        option for option in OPTIONS if sum(row["option"] == option for row in done) == 1 and given.seeds > 1
    ]
    if missing:
        lines.append(f"\nNot run: {', '.join(missing)}.")
    if once:
        lines.append(f"\nOne seed only: {', '.join(once)}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
