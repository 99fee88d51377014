"""The one chooser of sources: which models a merge, an ensemble or an advice takes, and with what weights.

Steps, in this order: similarity of each candidate to the target, filter (`nearest`), balance (`sinkhorn`), select (`k`),
weights. In mode IncTar the target's own model is always one of the k; in ExcTar it never is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isnan, nan
from pathlib import Path

from merginguriel.errors import UnavailableError, UsageError
from merginguriel.locales import table

from . import registry
from .registry import NO_INPUTS, Inputs

USUAL_K = 5  # sources where no k is given


@dataclass(frozen=True)
class Options:
    """How a similarity is prepared before sources are chosen by it.

    features  sets of URIEL features, with their own weight each; empty for all
    nearest   keep the N nearest foreign sources of each target; None for all
    sinkhorn  balance rows and columns, so that a source that is near to everything loses weight
    steps     of the balancing, at most
    table     a CSV file, dense or sparse, to read the similarities from instead of computing them
    """

    features: tuple[str, ...] = ()
    nearest: int | None = None
    sinkhorn: bool = False
    steps: int = 100
    table: Path | None = None


AS_IT_IS = Options()
# The label of a similarity, as label() builds it: `URIEL+features=family-geography+nearest=5+sinkhorn×cosine`.
_LABEL = re.compile(
    r"(?P<name>[^+×]+)(\+features=(?P<features>[a-z-]+))?(\+table=(?P<table>[\w.-]+))?(\+nearest=(?P<nearest>[1-9]\d*))?"
    r"(?P<sinkhorn>\+sinkhorn(=(?P<steps>[1-9]\d*))?)?(×(?P<times>\w+))?"
)


@dataclass(frozen=True)
class ChosenSource:
    """A chosen source. weight: its share of the merge; reason: why it was chosen, in words."""

    name: str
    weight: float
    reason: str


@dataclass(frozen=True)
class Choice:
    """Chosen sources, best first and the target's own model last. notes: how a balancing went."""

    sources: tuple[ChosenSource, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Return the names of the sources."""
        return [source.name for source in self.sources]

    @property
    def weights(self) -> dict[str, float]:
        """Return source → weight, with the sum 1."""
        return {source.name: source.weight for source in self.sources}


@dataclass(frozen=True)
class SimilarityColumn:
    """Similarities to one target: source → value of those that are known. notes: how a balancing went."""

    values: dict[str, float]
    notes: tuple[str, ...] = ()


def choose(
    target: str,
    mode: str | None,
    k: int | None,
    similarity: str | None,
    *,
    candidates: Sequence[str],
    inputs: Inputs = NO_INPUTS,
    named: bool = False,
    weigh: str | None = None,
    options: Options = AS_IT_IS,
    usable: Callable[[str], bool] = lambda name: True,
) -> Choice:
    """Return the sources for a target, and their weights.

    Args:
        target: locale that the sources are for.
        mode: `IncTar`: the target's own model is one of the k; `ExcTar` or None: it is not. None leaves named sources
            as they are.
        k: number of sources; None for USUAL_K, or as many as there are.
        similarity: registered name by which candidates are ranked; of a product, by its first factor. None takes
            them in the order of their names.
        candidates: sources to choose from, or the sources themselves.
        inputs: what similarities are computed from.
        named: the candidates are the sources, in their order; only the mode adds or removes the target's own model.
        weigh: similarity or product whose values are the weights; None for equal weights.
        options: how a similarity is prepared.
        usable: whether a candidate can be used; asked in the order of rank until k are found.

    Raises:
        UsageError: fewer than k candidates, or an unknown name.
        UnavailableError: no candidate at all, or a similarity that cannot be computed.
    """
    inside = mode == "IncTar"
    own = [target] if inside and not (named and target in candidates) else []
    pool = [n for n in dict.fromkeys(candidates) if n != target or (named and mode != "ExcTar")]
    notes: tuple[str, ...] = ()
    ranked = dict.fromkeys(pool, 0.0)
    if named:
        chosen = [*pool, *own]
        if set(chosen) != set(candidates):
            change = "is added to" if own else "is left out of"
            notes = (f"{target} {change} the named sources: the mode is {mode}",)
    else:
        if similarity and (k is None or k > len(own)):
            if not pool:
                raise no_source(target)
            found = column(target, [*pool, *own], similarity, inputs, options, foreign=not inside)
            ranked = {name: value for name, value in found.values.items() if name != target}
            notes = found.notes
        chosen = [*_best(ranked, target, k, own, options, usable), *own]
    weight = dict.fromkeys(chosen, 1 / max(len(chosen), 1))
    if weigh:
        foreign = not (inside or target in chosen)
        found = column(target, [*pool, *own], weigh, inputs, options, foreign=foreign)
        _check_values(found.values, chosen, target, weigh, inputs)
        weight = weights(found.values, chosen, weigh.partition("×")[2], inputs)
        notes = tuple(dict.fromkeys((*notes, *found.notes)))
    reason = dict.fromkeys(chosen, "named" if named else "one of the candidates")
    if similarity and not named:
        order = top_k(ranked, len(ranked))
        by = similarity.partition("×")[0]
        reason |= {
            name: f"{by} {ranked[name]:.3f}, rank {rank} of {len(order)}"
            for rank, name in enumerate(order, 1)
        }
    reason |= dict.fromkeys(own, "the target's own model")
    return Choice(tuple(ChosenSource(name, weight[name], reason[name]) for name in chosen), notes)


def weighing(
    similarity: str | None, method: str | None, preweight: str | None, times: str | None = None
) -> str | None:
    """Return the similarity or product that weighs the sources; None for equal weights.

    Args:
        similarity: what sources are chosen by, or a product.
        method: how they are merged; `linear` and `similarity` take the weights of the similarity unasked.
        preweight: `equal`, or the similarity that weighs, in lower case; None for what is usual.
        times: measure of the fit among the sources that multiplies the weights; None for that of `similarity`.
    """
    kind, _, factor = (similarity or "").partition("×")
    factor = times or factor
    if preweight == "equal" or not (preweight or kind):
        return None
    if not preweight and method not in ("linear", "similarity") and not factor:
        return None
    name = registry.get(preweight or kind).name
    return f"{name}×{factor}" if factor else name


def label(similarity: str | None, options: Options = AS_IT_IS) -> str | None:
    """Return the name that recipes and rows record for a similarity: with its preparation, so that it is an arm of its own.

    A plain choice has the plain name. A table is named by its file and a digest of its content.

    Raises:
        UnavailableError: no such table.
    """
    if not similarity or options == AS_IT_IS:
        return similarity
    name, times, factor = similarity.partition("×")
    if options.features:
        name += f"+features={'-'.join(sorted(options.features))}"
    if options.table:
        name += f"+table={_table_name(options.table)}"
    if options.nearest:
        name += f"+nearest={options.nearest}"
    if options.sinkhorn:
        name += "+sinkhorn" if options.steps == AS_IT_IS.steps else f"+sinkhorn={options.steps}"
    return name + times + factor


@cache
def parsed(text: str) -> tuple[str, Options]:
    """Return the plain name and the preparation of a label; its table is a name, not the path of a file.

    Raises:
        UsageError: a similarity or preparation that does not exist, or parts in another order than `label` writes.
    """
    from .uriel import SETS

    found = _LABEL.fullmatch(text)
    if found:
        times = f"×{found['times']}" if found["times"] else ""
        sets = tuple(found["features"].split("-")) if found["features"] else ()
        if found["name"] + times in registry.names() and set(sets) <= set(SETS):
            return found["name"] + times, Options(
                sets,
                int(found["nearest"]) if found["nearest"] else None,
                bool(found["sinkhorn"]),
                int(found["steps"] or AS_IT_IS.steps),
                Path(found["table"]) if found["table"] else None,
            )
    raise UsageError(
        f"unknown similarity {text!r}.",
        hint=f"Known: {', '.join(registry.names())}; the first part may be prepared, in this order: "
        "+features=SET-SET, +table=NAME, +nearest=N, +sinkhorn.",
    )


def is_known(text: str) -> bool:
    """Return whether a text is the label of a similarity that exists."""
    try:
        return bool(parsed(text))
    except UsageError:
        return False


def flags(text: str) -> str:
    """Return the flags of `mu merge` that mean a label: ` --similarity URIEL --nearest 5 --sinkhorn --times cosine`."""
    name, options = parsed(text)
    kind, _, times = name.partition("×")
    words = [f" --similarity {kind}"]
    words += [f" --features {','.join(options.features)}"] * bool(options.features)
    words += [f" --table {options.table}"] * bool(options.table)
    words += [f" --nearest {options.nearest}"] * bool(options.nearest)
    words += [" --sinkhorn"] * options.sinkhorn
    words += [f" --steps {options.steps}"] * (options.steps != AS_IT_IS.steps)
    return "".join([*words, f" --times {times}" * bool(times)])


def _table_name(path: Path) -> str:
    """Return the name of a table in a label: its file's name, and 8 hex digits of its content."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnavailableError("no such table of similarities.", where=str(path)) from error
    stem = re.sub(r"[^\w.-]", "-", path.stem)
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}"


def _best(
    ranked: Mapping[str, float],
    target: str,
    k: int | None,
    own: Sequence[str],
    options: Options,
    usable: Callable[[str], bool],
) -> list[str]:
    """Return the usable candidates of the highest value, as many as k asks for beside the own model."""
    wanted = (USUAL_K if k is None else k) - len(own)
    found: list[str] = []
    for name in top_k(ranked, len(ranked)):
        if len(found) < wanted and not (options.nearest and ranked[name] <= 0) and usable(name):
            found.append(name)
    if wanted and not found:
        raise no_source(target)
    if k is not None and len(found) < wanted:
        beside = " beside its own" if own else ""
        raise UsageError(
            f"k is {k}, but there are {len(found)} sources to choose from for {target}{beside}: {', '.join(found)}.",
            hint=f"Train more models, or take --k {len(found) + len(own)}.",
        )
    return found


def column(
    target: str,
    sources: Sequence[str],
    similarity: str,
    inputs: Inputs = NO_INPUTS,
    options: Options = AS_IT_IS,
    *,
    foreign: bool = True,
) -> SimilarityColumn:
    """Return the prepared similarity of each source to the target, without those that it does not know.

    Args:
        target: locale of the column.
        sources: rows of the matrix that is filtered and balanced; its columns are the target and the sources.
        similarity: registered name; of a product, the first factor counts.
        inputs: what similarities are computed from.
        options: filter and balance.
        foreign: whether a model counts as no source of its own language when filtering and balancing.
    """
    if options == AS_IT_IS and inputs.accuracy and registry.get(similarity).needs == "accuracy":
        # Without numpy, whose import would take `mu advise` as long as the answer.
        measured = inputs.accuracy([target])
        scores = {source: measured.get(source, {}).get(target, nan) for source in sources}
        return SimilarityColumn(
            {source: float(value) for source, value in scores.items() if not isnan(value)}, ()
        )
    import numpy as np

    from .select import balanced, read_table

    others = [name for name in dict.fromkeys(sources) if name != target] if options.sinkhorn else []
    targets = [target, *others]
    if options.table:
        values = read_table(options.table, sources, targets)
    else:
        values = registry.get(similarity).function(sources, targets, inputs)
    known = ~np.isnan(values[:, 0])
    measured = ~np.isnan(values).all(axis=0)
    measured[0] = True
    rows = [name for name, one in zip(sources, known, strict=True) if one]
    columns = [name for name, one in zip(targets, measured, strict=True) if one]
    values = np.nan_to_num(values[np.ix_(known, measured)])
    note = ""
    if options.nearest or options.sinkhorn:
        is_own = np.equal.outer(np.array(rows, object), np.array(columns, object))
        values, note = balanced(
            values, is_own, options.nearest, options.steps if options.sinkhorn else None, foreign
        )
    return SimilarityColumn(dict(zip(rows, map(float, values[:, 0]), strict=True)), (note,) if note else ())


def values(
    target: str, sources: Sequence[str], similarity: str, inputs: Inputs = NO_INPUTS
) -> dict[str, float]:
    """Return the similarity of every source to the target, as it is. Raises as `choose` for one without a value."""
    found = column(target, sources, similarity, inputs).values
    _check_values(found, sources, target, similarity, inputs)
    return found


def top_k(column: Mapping[str, float], k: int, *, exclude: Sequence[str] = ()) -> list[str]:
    """Return the `k` names with the highest value, best first; equal values in the order of names."""
    ranked = sorted((name for name in column if name not in exclude), key=lambda name: (-column[name], name))
    return ranked[:k]


def shares(values: Mapping[str, float], sources: Sequence[str]) -> dict[str, float]:
    """Return the values of the sources divided by their sum; below 0 counts as 0, and all 0 as all equal."""
    positive = {source: max(values[source], 0.0) for source in sources}
    total = sum(positive.values())
    if total <= 0:
        return {source: 1 / len(sources) for source in sources}
    return {source: value / total for source, value in positive.items()}


def weights(
    values: Mapping[str, float], sources: Sequence[str], times: str = "", inputs: Inputs = NO_INPUTS
) -> dict[str, float]:
    """Return the weight of each source: its value, times its mean fit with the others where `times` is a measure."""
    if not times or len(sources) < 2:
        return shares(values, sources)
    if inputs.fit is None:
        raise UnavailableError(
            f"the fit of sources by {times} is measured on models, and none is available here."
        )
    from . import compat

    return compat.weights(values, inputs.fit(times, sources), sources)


def no_source(target: str) -> UnavailableError:
    """Return the error for a target without any candidate."""
    return UnavailableError(
        f"no trained model to choose sources for {target} from.",
        hint="Train some, of other locales: mu train --locale … --locale …\n"
        "or name the sources, models that you have: --source LOCALE=FOLDER",
    )


def _check_values(
    values: Mapping[str, float], names: Sequence[str], target: str, similarity: str, inputs: Inputs
) -> None:
    unknown = [name for name in names if name not in values]
    if not unknown:
        return
    strange = [name for name in unknown if name not in table()]
    if strange and registry.get(similarity).needs == "nothing":
        raise UsageError(
            f"{similarity} similarity is between locales, and {strange[0]!r} is not one.",
            hint="Name a source by its locale: sv-SE=FOLDER.",
        )
    raise UnavailableError(
        f"no {similarity} similarity of {', '.join(unknown)} to {target}.",
        hint=f"Measure it with: mu nxn --split dev{inputs.flags}"
        if registry.get(similarity).needs == "accuracy"
        else "Use another similarity, or other sources.",
    )
