"""Statistics and coefficients that a recipe takes from text before it is merged.

By default the text is the target's training sentences without their labels, so that a merge that excludes the target's
own model (ExcTar) sees no label of it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from merginguriel.errors import IncompatibleError, UsageError
from merginguriel.files import Progress
from merginguriel.merging import registry
from merginguriel.merging.recipe import Recipe, check
from merginguriel.merging.registry import Value
from merginguriel.models import build_record
from merginguriel.models.sentence_transformer import is_sentence_transformer

from .study import Study, disk_errors

OWN = "sources"  # instead of a file: each source's own training text, which shows nothing of the target


def read_for(
    study: Study | None,
    recipe: Recipe,
    text: str | None = None,
    *,
    beside: Path | None = None,
    progress: Progress | None = None,
) -> Recipe:
    """Return the recipe with what its method takes from text, or as it is if the method needs nothing more.

    text  a file of the target's sentences, one a line; `sources` for each source's own training text; None for the
          recipe's `text`, else for the target's training text

    Statistics are cached in the study's folder `statistics`; without a study, in a folder beside the output `beside`.
    Raises UsageError (no target and no text), what the task raises for a locale without text, CheckpointError.
    """
    recipe = check(recipe)
    method = registry.get(recipe.method)
    if method.needs is None:
        return recipe
    if all(s.coefficients if method.needs == "coefficients" else s.statistics for s in recipe.sources):
        return recipe
    refuse_embedders(recipe)
    count = int(recipe.params["sentences"])
    texts, what = texts_of(study, recipe, text, count)
    learnt: dict[str, Value] = {"text": what, "sentences": max(map(len, texts.values()))}
    learnt["text_sha256"] = build_record.text_hash(t for name in sorted(texts) for t in texts[name])
    if len(set(map(tuple, texts.values()))) == 1:
        learnt["text_sha256"] = build_record.text_hash(next(iter(texts.values())))
    recipe = replace(recipe, learnt=learnt)
    if method.needs == "coefficients":
        return coefficients(recipe, texts, progress)
    root = study.root / "statistics" if study else Path(f"{beside}-statistics").absolute()
    with disk_errors(root):
        found = statistics(root, recipe, method.needs, texts, progress)
    return replace(recipe, sources=tuple(replace(s, statistics=found[s.name]) for s in recipe.sources))


def texts_of(
    study: Study | None, recipe: Recipe, text: str | None, count: int
) -> tuple[dict[str, list[str]], str]:
    """Return source → sentences, and their origin for the record: a file name, `sources`, or `da-DK train`."""
    from merginguriel.merging.statistics import drawn

    if text == OWN and study:
        own = {s.name: sentences(study, s.name) for s in recipe.sources}
        return {name: drawn(found, count, recipe.seed) for name, found in own.items()}, OWN
    path = Path(text) if text and text != OWN else recipe.text
    if path:
        found, what = lines_of(path), path.name
    elif recipe.target and study:
        found, what = sentences(study, recipe.target), f"{recipe.target} train"
    else:
        raise UsageError(
            f"{recipe.method} reads text before it merges: which?",
            hint="Name the target with --target, whose training text is then read without its labels,\n"
            "or a file of sentences with --text FILE.",
        )
    chosen = drawn(found, count, recipe.seed)
    return {s.name: chosen for s in recipe.sources}, what


def sentences(study: Study, locale: str) -> list[str]:
    """Return the training sentences of a locale, without labels."""
    return [item.text for item in study.data(locale).train]


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file. Raises UsageError for one that cannot be read."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"the text cannot be read: {error}", where=str(path)) from error


def coefficients(recipe: Recipe, texts: dict[str, list[str]], progress: Progress | None) -> Recipe:
    """Return the recipe with learnt coefficients; progress shows the entropy ten times."""
    from merginguriel.training.adamerging_coefficients import learn

    def tell(step: int, total: int, metrics: dict[str, float]) -> None:
        if progress:
            progress(step, total, f"entropy {metrics['entropy']:.3f}")

    every = [t for name in sorted(texts) for t in texts[name]]
    found, trace = learn(recipe, list(dict.fromkeys(every)), on_progress=tell)
    if progress:
        tenths = [
            trace[at : at + max(len(trace) // 10, 1)] for at in range(0, len(trace), max(len(trace) // 10, 1))
        ]
        course = " ".join(f"{sum(m['entropy'] for m in part) / len(part):.3f}" for part in tenths)
        before, after = found.learnt["entropy_before"], found.learnt["entropy_after"]
        progress(0, 0, f"mean entropy {before:.3f} → {after:.3f} in {len(trace)} steps: {course}")
    return found


def statistics(
    root: Path, recipe: Recipe, kind: str, texts: dict[str, list[str]], progress: Progress | None
) -> dict[str, Path]:
    """Return source → file of its statistics, computed or from the cache. The folder name depends on the text."""
    from merginguriel.merging.layerwise_inputs import write_in_order
    from merginguriel.merging.statistics import file_name, write_statistics

    if recipe.method == "regmean++":
        report = (lambda done, total, unit: progress(done, total, unit)) if progress else None
        return write_in_order(recipe, texts, root / f"in-order-{mark(recipe, texts)}", on_progress=report)
    found: dict[str, Path] = {}
    settings: dict[str, Any] = {}
    if kind == "importance":
        settings = {"samples": int(recipe.params["samples"]), "seed": recipe.seed}
    for number, source in enumerate(recipe.sources):

        def tell(done: int, total: int, what: str, number: int = number, name: str = source.name) -> None:
            if progress:
                progress(number + done / total, len(recipe.sources), f"{name}: {done} {what}")

        mine = texts[source.name]
        name = build_record.text_hash([str(source.path), kind, *map(str, settings.values()), *mine])[:10]
        out = root / f"{file_name(source.name)}-{kind}-{name}"
        found[source.name] = write_statistics(kind, source.path, mine, out, on_progress=tell, **settings)
    return found


def refuse_embedders(recipe: Recipe) -> None:
    """Raise IncompatibleError if the method needs the answers of classifiers and a source is an embedder."""
    embedder = next((s.name for s in recipe.sources if is_sentence_transformer(s.path)), None)
    if embedder and recipe.method != "regmean":
        raise IncompatibleError(
            f"{recipe.method} reads the answers of classifiers, and {embedder} is an embedder.",
            hint="Of the methods that read text, regmean merges embedders. Others need none: mu methods",
        )


def as_if_read(recipe: Recipe) -> Recipe:
    """Return a recipe that reads and writes as many bytes, for a plan before the text is read."""
    method = registry.get(recipe.method)
    if method.needs is None:
        return recipe
    refuse_embedders(recipe)
    return replace(recipe, method="task_arithmetic" if method.needs_base else "linear", params={})


def mark(recipe: Recipe, texts: dict[str, list[str]]) -> str:
    """Return ten hex digits that depend on everything that decides this recipe's Gram matrices."""
    parts = [str(sorted(recipe.params.items())), str((recipe.include, recipe.exclude, recipe.heads))]
    for source in sorted(recipe.sources, key=lambda s: s.name):
        parts += [source.name, str(source.path), str(source.weight), *texts[source.name]]
    return build_record.text_hash(parts)[:10]
