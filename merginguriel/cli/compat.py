"""`mu compat`: how well models fit each other, by task vectors and hidden states."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from merginguriel.errors import UsageError

from .common import emit, json_option, say
from .progress import ProgressLine
from .study import study_options, trust_option

if TYPE_CHECKING:
    from merginguriel.merging.task_vector_measures import Compatibility
    from merginguriel.study.study import Study

MEANING = {
    "cosine": "cosine of task vectors, −1 to 1",
    "sign_conflict": "share of the entries that both change, in opposite directions",
    "weighted_sign_conflict": "the same, weighted by the magnitudes: 0 no conflict, 0.5 as by chance",
    "cka": "linear CKA of pooled hidden states, 0 to 1",
}


@click.command(short_help="Measure how well models fit each other.")
@click.option("--source", "sources", multiple=True, metavar="LOCALE[=FOLDER]",
              help="A model; repeat. Default: all that are trained.")  # fmt: skip
@click.option(
    "--pretrained", type=click.Path(path_type=Path), help="Base of the task vectors. Default: the study's."
)
@click.option("--cka", is_flag=True, help="Also compare hidden states on shared text (needs torch).")
@click.option("--text", type=click.Path(path_type=Path, dir_okay=False),
              help="Text file, one sentence per line. Default: development sentences of the models' locales.")  # fmt: skip
@click.option("--sentences", type=click.IntRange(min=3), default=256, show_default=True,
              help="Maximum number of sentences.")  # fmt: skip
@click.option("--part", default="model", show_default=True,
              help="Print this part: model, body, embeddings, 'layer 0', other, head.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for CSV and PNG files. Default: results/.")  # fmt: skip
@click.option("--log", "to_log", is_flag=True,
              help="Write the result into the experiment log, where mu advise reads it.")  # fmt: skip
@trust_option
@study_options()
@json_option
def compat(
    study: Study,
    sources: tuple[str, ...],
    pretrained: Path | None,
    cka: bool,
    text: Path | None,
    sentences: int,
    part: str,
    out: Path | None,
    to_log: bool,
    as_json: bool,
) -> None:
    """Measure how well models fit each other.

    The measures are cosine and sign conflict of the task vectors, and with --cka the similarity of hidden states. Heat
    maps are printed; a CSV and a PNG per measure, and one CSV with all parts of the model, are written to results/.
    """
    from merginguriel.evaluation import heatmap
    from merginguriel.merging import task_vector_measures
    from merginguriel.similarity import compat as square
    from merginguriel.study import compat_rows

    models = models_of(study, sources)
    if to_log:
        compat_rows.need_locales(list(models))
    # Asked before the long work: a text that is not there should not cost minutes.
    lines = shared_text(study, list(models), text, sentences) if cka else []
    with ProgressLine("compat") as bar:
        result = task_vector_measures.task_vectors(models, pretrained or study.root / "base", on_progress=bar)
    matrices = dict(result.matrices)
    if cka:
        with ProgressLine("cka") as bar:
            matrices.update(task_vector_measures.representations(models, lines, on_progress=bar).matrices)
    result = task_vector_measures.Compatibility(result.names, matrices)
    selected = {m: result.matrix(m, part) for m, by_part in matrices.items() if m != "cka" or part in by_part}
    where = out or study.space.results
    for measure in matrices:
        path = compat_path(study, measure, where)
        square.save(path, result.names, result.matrix(measure))
        heatmap.save_square_png(
            result.names, result.matrix(measure), MEANING[measure], path.with_suffix(".png")
        )
    parts = compat_path(study, "parts", where)
    save_parts(parts, result)
    entry = None
    if to_log:
        whole = {measure: result.matrix(measure) for measure in matrices}
        figure = (
            f"Between models, {MEANING['cosine']}",
            compat_path(study, "cosine", where).with_suffix(".png"),
        )
        entry = compat_rows.record(study, result.names, whole, figure)
    if as_json:
        emit({"names": list(result.names), "part": part, "folder": str(where), "csv": parts.name,
              "entry": entry.id if entry else None,
              **{measure: table(result.names, matrix) for measure, matrix in selected.items()}})  # fmt: skip
        return
    width = shutil.get_terminal_size().columns
    blocks = [
        f"{MEANING[measure]}: {part}\n"
        + heatmap.render_square(result.names, matrix, depth=heatmap.depth(sys.stdout, environ), width=width)
        for measure, matrix in selected.items()
    ]
    click.echo("\n\n".join(blocks))
    say(f"written to {study.space.display(parts).replace('-parts.csv', '-*.csv')} and .png")
    if entry:
        say(
            f"{study.space.display(entry.path)}\nNow part of: mu advise --target LOCALE --context {study.context}"
        )


def models_of(study: Study, sources: tuple[str, ...]) -> dict[str, Path]:
    """Return name → folder of the requested models, at least two. Raises UsageError, UnavailableError."""
    from merginguriel.study.study import need_trained

    named = {}
    for source in sources:
        name, equals, path = source.partition("=")
        named[name if equals else Path(name).name] = Path(path if equals else name)
    inside = need_trained(study, [s for s in sources if "=" not in s and not Path(s).is_dir()])
    models = {**named, **inside} if sources else study.trained()
    if len(models) < 2:
        raise UsageError(
            "only one model to compare." if models else "no trained model to compare.",
            hint=f"Name two with --source, or train some: mu train --locale de-DE --locale sv-SE{study.flags()}",
        )
    return models


def shared_text(study: Study, names: list[str], text: Path | None, limit: int) -> list[str]:
    """Return the sentences that every model reads: from the file, or evenly from the development data of the locales."""
    if text is not None:
        try:
            lines = [line.strip() for line in text.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise UsageError(f"the text cannot be read: {error}", where=str(text)) from error
        return [line for line in lines if line][:limit]
    from merginguriel.study import source_choice

    return source_choice.shared_text(study, names, limit)


def compat_path(study: Study, measure: str, folder: Path) -> Path:
    """Return the path of a measure: `cosine`, `sign_conflict`, `weighted_sign_conflict`, `cka`."""
    return folder / f"compat-{study.task}-{study.base_name}-{measure}.csv"


def save_parts(path: Path, compatibility: Compatibility) -> None:
    """Write one line per measure, part and pair."""
    from merginguriel.files import csv_text, write_text

    rows: list[list[str]] = [["measure", "part", "source", "other", "value"]]
    for measure, by_part in compatibility.matrices.items():
        for part, matrix in by_part.items():
            for i, name in enumerate(compatibility.names):
                for j, other in enumerate(compatibility.names[:i]):
                    value = float(matrix[i, j])
                    rows.append([measure, part, name, other, "" if np.isnan(value) else repr(value)])
    write_text(path, csv_text(rows))


def table(names: tuple[str, ...], matrix: np.ndarray) -> Mapping[str, Mapping[str, float | None]]:
    """Return name → name → value; None in place of NaN, which JSON lacks."""
    return {
        item: {other: None if np.isnan(v) else float(v) for other, v in zip(names, row, strict=True)}
        for item, row in zip(names, matrix, strict=True)
    }
