"""Model card of a merged model: how it was made, from what, and what has not been tested."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from merginguriel import __version__
from merginguriel.similarity import registry as similarities

from .recipe import Recipe
from .registry import Method

RECIPE_HEADER = (
    f"# Written by MergingUriel {__version__}. Repeat it with: mu merge recipe.yaml --out FOLDER\n"
)


def seen(recipe: Recipe, method: Method) -> list[str]:
    """Return sentences on which data of the target the merge used, so that comparisons stay fair."""
    own = method.saw == "nothing" or recipe.learnt.get("text") == "sources"
    found = [] if own else [f"{method.saw}, by the method"]
    if recipe.text is not None:
        text = f"{lines(recipe.text):,} unlabelled sentences ({recipe.text.name})"
        found.append(f"{text}, by the choice of embeddings" if recipe.embeddings == "used" else text)
    for name in (recipe.similarity, recipe.preweight):
        if similarities.sees_labels(name):
            by = similarities.get(str(name)).name
            found.append(f"labels of its development data, by the choice or weights of the sources ({by})")
            break
    if "tuned_on" in recipe.learnt:
        found.append(
            f"labels of {recipe.learnt['items']} sentences ({recipe.learnt['tuned_on']}), by the search of {recipe.learnt['tuned']}"
        )
    if recipe.mode == "IncTar":
        found.append("labels of its training data, by its own model")
    return found or ["nothing"]


def lines(text: Path) -> int:
    """Return the number of lines of a text file; 0 if it does not exist."""
    try:
        return sum(bool(line.strip()) for line in text.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return 0


def model_card(recipe: Recipe, method: Method, metadata: Mapping[str, Any], code: str | None = None) -> str:
    """Return README.md of a merged model, the same bytes for the same merge; code: file with the code of its modules."""
    params = ", ".join(f"{key} {value}" for key, value in recipe.params.items()) or "no parameters"
    title = f"Merged model for {recipe.target}" if recipe.target else "Merged model"
    lines = [
        "---",
        yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {title}",
        "",
        f"{method.summary.rstrip('.')} ({method.name}, {params}; {method.paper}).",
        "",
        "| source | weight | sha256 of the weights |",
        "|---|---|---|",
    ]
    for source in recipe.sources:
        digests = [digest for file, digest in source.sha256.items() if file.endswith(".safetensors")]
        lines.append(f"| {source.name} | {source.weight:.4g} | {' '.join(d[:16] for d in digests)} |")
    lines.append("")
    facts = {
        "Base of the task vectors": recipe.base.name if recipe.base and method.needs_base else None,
        "Target": recipe.target,
        "Mode": recipe.mode,
        "Similarity": recipe.similarity,
        "Context": recipe.context,
        "Embeddings": recipe.embeddings if recipe.embeddings != "merge" else None,
        "Vocabulary": recipe.vocab,
        "Heads": recipe.heads if recipe.heads != method.heads else None,
        "Seen of the target": "; ".join(seen(recipe, method)),
        "Code": f"the file {code} of this folder: SentenceTransformer(FOLDER, trust_remote_code=True)"
        if code
        else None,
    }
    lines += [f"- {key}: {value}" for key, value in facts.items() if value]
    lines += [
        "",
        "`recipe.yaml` repeats the merge. A merge is not better by itself: compare it with the best single",
        "source on the target's own test set before use. The licences of the sources and of the base apply.",
        "",
    ]
    return "\n".join(lines)
