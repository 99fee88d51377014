"""Pairs of equal merges: one row per method, with our recipe and mergekit's YAML.

mergekit (LGPL) runs as a program in an environment of its own; nothing of it is imported or copied here.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EVEN = (1.0, 1.0, 1.0, 1.0, 1.0)
UNEVEN = (0.1, 0.15, 0.2, 0.25, 0.3)


@dataclass(frozen=True)
class Pair:
    """One method on both sides.

    theirs   mergekit's name for it
    ours     our parameters
    each     mergekit's parameters of each model, beside its weight
    all      mergekit's parameters of the merge
    weights  of as many sources as there are, brought to the sum 1 on both sides
    sources  how many, where the method takes a fixed number
    base     `base` for the pretrained model, `first` for the first source (SLERP's name for its start), or none
    bar      mergekit's time over ours that must be reached
    random   it draws random numbers, so that only statistics can agree
    """

    theirs: str
    ours: dict[str, float] = field(default_factory=dict)
    each: dict[str, float] = field(default_factory=dict)
    all: dict[str, Any] = field(default_factory=dict)
    weights: tuple[float, ...] = EVEN
    sources: int | None = None
    base: str | None = "base"
    bar: float | None = None
    random: bool = False


HALF = {"density": 0.5}
CRUMBS = {"density": 0.5, "gamma": 0.01}
AGREEING = {"normalize": True}  # divide by the weights that agree, as TIES does; not mergekit's default here
MAGPRUNE = {"density": 0.5, "epsilon": 0.15}  # mergekit's epsilon is half of ours
PAIRS = {
    "average": Pair("linear", base=None, bar=2),
    "linear": Pair("linear", weights=UNEVEN, base=None, bar=2),
    "slerp": Pair(
        "slerp", all={"t": 0.4}, weights=(0.6, 0.4), sources=2, base="first", bar=3,
    ),
    "nuslerp": Pair("nuslerp", weights=(0.6, 0.4), sources=2, base=None),
    "karcher": Pair("karcher", base=None),
    "task_arithmetic": Pair("task_arithmetic", {"scale": 0.7}, all={"lambda": 0.7}, weights=UNEVEN, bar=3),
    "model_stock": Pair("model_stock", bar=3),
    "sce": Pair(
        "sce", {"select_topk": 0.2}, all={"select_topk": 0.2}
    ),
    "dare_linear": Pair("dare_linear", HALF, HALF, weights=UNEVEN, random=True),
    "dare_ties": Pair("dare_ties", HALF, HALF, AGREEING, UNEVEN, bar=25, random=True),
    "della": Pair(
        "della", {"density": 0.5, "epsilon": 0.3, "scale": 1.0}, MAGPRUNE, weights=UNEVEN, bar=25, random=True
    ),
    "della_linear": Pair(
        "della_linear", {"density": 0.5, "epsilon": 0.3, "scale": 1.0}, MAGPRUNE, weights=UNEVEN, random=True
    ),
    "ties": Pair(
        "ties", {"density": 0.2, "scale": 0.7}, {"density": 0.2}, {"lambda": 0.7}, UNEVEN, bar=15
    ),
    "breadcrumbs": Pair("breadcrumbs", CRUMBS, CRUMBS, weights=UNEVEN, bar=25),
    "breadcrumbs_ties": Pair("breadcrumbs_ties", CRUMBS, CRUMBS, AGREEING, UNEVEN),
}  # fmt: skip
# What makes it work without a network, and nothing that slows it. Its other options stay at their defaults.
OPTIONS = ["--no-copy-tokenizer"]


def ours_has() -> list[str]:
    """The pairs whose method is there on our side."""
    from merginguriel.merging import registry

    return [name for name in PAIRS if name in registry.all_methods()]


def used(pair: Pair, sources: list[Path]) -> tuple[list[Path], list[float]]:
    """The sources that the pair merges, and their weights with sum 1."""
    chosen = sources[: pair.sources or len(sources)]
    weights = pair.weights[: len(chosen)]
    return chosen, [weight / sum(weights) for weight in weights]


def our_recipe(name: str, base: Path, sources: list[Path], seed: int = 0) -> dict[str, Any]:
    """The recipe as `mu merge` reads it; `first` needs no base on our side."""
    from merginguriel.merging import registry

    pair = PAIRS[name]
    chosen, weights = used(pair, sources)
    method = registry.get(name)
    # mergekit knows no head: it merges one as any other tensor.
    table: dict[str, Any] = {"method": name, "params": dict(pair.ours), "seed": seed, "heads": "merge"}
    if name == "breadcrumbs":
        table["params"]["alpha"] = 1 / len(chosen)  # mergekit adds the mean, ours α times the sum
    if method.needs_base:
        table["base"] = str(base)
    table["sources"] = [
        {"name": path.name, "path": str(path), "weight": weight}
        for path, weight in zip(chosen, weights if method.weighted else [1.0] * len(chosen), strict=True)
    ]
    return table


def their_recipe(name: str, base: Path, sources: list[Path], dtype: str = "float32") -> dict[str, Any]:
    """The same merge as mergekit's configuration."""
    pair = PAIRS[name]
    chosen, weights = used(pair, sources)
    models = [
        {"model": str(path), "parameters": {"weight": weight, **pair.each}}
        for path, weight in zip(chosen, weights, strict=True)
    ]
    table: dict[str, Any] = {"merge_method": pair.theirs, "models": models, "dtype": dtype}
    if pair.base:
        table["base_model"] = str(base if pair.base == "base" else chosen[0])
    if pair.all:
        table["parameters"] = dict(pair.all)
    return table


def write_yaml(path: Path, table: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")
    return path


def mergekit_command(program: Path, config: Path, out: Path, options: list[str] | None = None) -> list[str]:
    return [str(program), str(config), str(out), *(OPTIONS if options is None else options)]


def offline() -> dict[str, str]:
    """The environment of a process that must not ask a hub."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def version(program: Path) -> str:
    """Which mergekit this is, asked of the Python beside it."""
    code = "from importlib.metadata import version as v; print('mergekit', v('mergekit'), 'on torch', v('torch'))"
    asked = subprocess.run(
        [program.parent / "python", "-c", code], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "mergekit of unknown version"
