"""Rounds of an iterative training: their checkpoints, from which a killed one is resumed, and what came of them.

<out>-rounds/made.yaml                        base, data and settings that the rounds are of
<out>-rounds/round-0002/<locale>.safetensors  weights and AdamW's moments after the locale's turn, before the merge
<out>-rounds/round-0002/<locale>.failed       why the locale could not be trained on
<out>-rounds/round-0002/merge.safetensors     the merge that the locales go on from, if there was one
<out>-rounds/round-0002/round.yaml            what came of the round; written last
<out>-rounds/best.safetensors                 the best merge so far, where the training may stop early

Each file is there whole or not at all. Of rounds before the last, only round.yaml is kept, unless asked otherwise.
A history is the list of the rounds' outcomes, as stored in iterate.yaml.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from merginguriel.errors import CheckpointError, MuError
from merginguriel.files import beside, os_error, write_text
from merginguriel.metrics.registry import Metric

from .settings import IterateSettings

Tensors = dict[str, torch.Tensor]
MERGE = "merge.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class ModelState:
    """State of one locale's model between two turns, on the CPU.

    weights  tensor → float32
    moments  tensor → AdamW's two moments, of the tensors that are trained; empty before the first step
    step     steps done
    figures  of its last turn: loss, dev_loss, dev_<metric>
    """

    weights: Tensors
    moments: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    step: int = 0
    figures: dict[str, float | None] = field(default_factory=dict)


def begin(root: Path, made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the outcomes of the completed rounds; remove rounds of other data or settings, and temporary files."""
    path = root / "made.yaml"
    text = yaml.safe_dump(dict(made), sort_keys=True, allow_unicode=True)
    if root.exists() and not (path.is_file() and path.read_text(encoding="utf-8") == text):
        shutil.rmtree(root)
    for litter in root.rglob(".*.partial"):
        litter.unlink()
    if not path.is_file():
        write_text(path, text)
    return [
        yaml.safe_load(found.read_text(encoding="utf-8")) for found in sorted(root.glob("round-*/round.yaml"))
    ]


def folder(root: Path, number: int) -> Path:
    """Return the folder of the round."""
    return root / f"round-{number:04d}"


def finish(root: Path, number: int, outcome: Mapping[str, Any], *, keep: bool, last_merge: int) -> None:
    """Write the outcome of the round; unless `keep`, remove checkpoints of earlier rounds except the last merge."""
    text = yaml.safe_dump(dict(outcome), sort_keys=False, allow_unicode=True)
    write_text(folder(root, number) / "round.yaml", text)
    for earlier in range(1, number if not keep else 1):
        for path in folder(root, earlier).iterdir():
            if path.name != "round.yaml" and not (path.name == MERGE and earlier == last_merge):
                path.unlink()


def write_state(path: Path, state: ModelState) -> None:
    """Write the state of a locale."""
    tensors = {f"weights/{name}": tensor for name, tensor in state.weights.items()}
    for name, pair in state.moments.items():
        tensors |= {f"{kind}/{name}": tensor for kind, tensor in zip(MOMENTS, pair, strict=True)}
    write_tensors(path, tensors, {"step": state.step, "figures": state.figures})


def read_state(path: Path) -> ModelState:
    """Read the state of a locale. Raises CheckpointError if it is damaged."""
    tensors, more = read_tensors(path)
    parts: dict[str, Tensors] = {"weights": {}, **{kind: {} for kind in MOMENTS}}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        parts[kind][name] = tensor
    first, second = (parts[kind] for kind in MOMENTS)
    moments = {name: (first[name], second[name]) for name in first}
    return ModelState(parts["weights"], moments, more["step"], more["figures"])


def write_tensors(path: Path, tensors: Tensors, more: Mapping[str, Any] | None = None) -> None:
    """Write a safetensors file atomically. Raises MuError if the disk refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path, "partial")
    try:
        save_file(
            {k: t.contiguous() for k, t in tensors.items()}, temporary, {"more": json.dumps(more or {})}
        )
        temporary.replace(path)
    except SafetensorError as error:  # it tells a full disk in words of its own
        raise MuError(
            f"cannot write: {error}", where=str(path), hint="Free some space; then run this again."
        ) from error
    except OSError as error:
        raise os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Read tensors and metadata. Raises CheckpointError if the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["more"])  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"this checkpoint is damaged: {error}",
            where=str(path),
            hint=f"Remove {path.parent.parent}; the training then starts from the beginning.",
        ) from error


def last_merge(history: list[dict[str, Any]]) -> int:
    """Return the number of the last round whose merge was taken; 0 if there is none."""
    return max((outcome["round"] for outcome in history if outcome["merge"]["taken"]), default=0)


def converged(
    settings: IterateSettings, states: Mapping[str, ModelState], history: list[dict[str, Any]]
) -> bool:
    """Return whether no locale's loss fell by more than the tolerance since the last round, which did not merge."""
    if not history or history[-1]["merge"]["taken"]:
        return False
    before = history[-1]["locales"]

    def falls(name: str, figures: Mapping[str, Any]) -> bool:
        key = "dev_loss" if figures.get("dev_loss") is not None else "loss"
        return before[name][key] - figures[key] >= settings.tolerance * abs(before[name][key])

    return not any(falls(name, state.figures) for name, state in states.items())


def is_best(score: float, history: list[dict[str, Any]], metric: Metric) -> bool:
    """Return whether the score is better than those of all merges taken."""
    scores = [outcome["merge"]["score"] for outcome in history if outcome["merge"]["taken"]]
    return all(metric.sign * score > metric.sign * other for other in scores)


def stopped(settings: IterateSettings, history: list[dict[str, Any]], metric: Metric) -> bool:
    """Return whether the last `patience` merges are not better than the best before them."""
    scores = [metric.sign * outcome["merge"]["score"] for outcome in history if outcome["merge"]["taken"]]
    if not settings.patience or len(scores) <= settings.patience:
        return False
    return max(scores[-settings.patience :]) <= max(scores[: -settings.patience])


def in_words(outcome: Mapping[str, Any], last: int, metric: Metric) -> str:
    """Format an outcome: `round 2 of 6: de-DE 81.2%, sv-SE 79.0%; merged, 78.5%`."""
    key, show = f"dev_{metric.name}", metric.unit.show
    parts = [
        f"{name} loss {figures['loss']:.2f}"
        if figures.get(key) is None
        else f"{name} {show(figures[key], 1)}"
        for name, figures in outcome["locales"].items()
    ]
    merge = outcome["merge"]
    scored = f", {show(merge['score'], 1)}" if merge.get("score") is not None else ""
    done = f"merged{scored}" if merge["taken"] else f"not merged{scored and f' (the merge: {scored[2:]})'}"
    return f"round {outcome['round']} of {last}: {', '.join(parts)}; {done}"
