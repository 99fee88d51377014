"""A sweep's file for the tiny study of lab_fixtures: real runs that take a few seconds each."""

from __future__ import annotations

from pathlib import Path

import yaml
from lab_fixtures import Lab
from run_files import QUICK as TRAINING

MERGE = {"target": "sv-SE", "sources": ["de-DE", "en-US"], "method": "average"}
# Runs of this kind find their models trained: half a second each, because they need no torch.
QUICK = {"kind": "train"}


def write_sweep(
    lab: Lab, *, name: str = "tiny", file: str = "sweep.yaml", base: dict | None = None, **parts
) -> Path:
    """base: keys beside those of the tiny study, by default a merge; grid, list, random: as in the file."""
    study = {"task": "rooms", "data": str(lab.sentences), "base": str(lab.encoder), "training": TRAINING}
    base = {**study, **(MERGE if base is None else base)}
    path = lab.space / file
    table = {"name": name, "base": base, **parts}
    path.write_text(yaml.safe_dump(table, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def events(lab: Lab, id: str) -> list[str]:
    from merginguriel.runs import run_store

    return [event["event"] for event in run_store.events(run_store.Run(id, lab.space / "runs" / id))]
