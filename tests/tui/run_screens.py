"""What do tests of the screens of runs share? Runs as a worker leaves them, waiting for loads, and what is to be read."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace

import numpy as np
from looking import SIZES, press, settled

from merginguriel.config import run_config as configs
from merginguriel.knowledge.parse.rows import COLUMNS, ResultRow, row_cells
from merginguriel.runs import run_store
from merginguriel.study import item_file

__all__ = ["SIZES", "finished", "press", "settled", "shown", "until", "waiting"]


async def until(app, pilot, true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, shown(app)
        await pilot.pause(0.05)


def shown(app):
    """The cells of the terminal, as lines."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def waiting(space, target, **more):
    """A run that was made and has not begun."""
    table = {
        "kind": "merge",
        "method": "ties",
        "similarity": "REAL",
        "candidates": ["de-DE", "sv-SE"],
        "k": 2,
    }
    return run_store.create(space, configs.from_table({**table, "target": target, **more}))


def finished(space, target, right, *, over=None, **more):
    """A run that has finished: `right` [n] says which items its merge got; `over` (wins, losses): against sv-SE alone."""
    run = waiting(space, target, **more)
    right = np.array(right, dtype=bool)
    value, n = float(right.mean()), len(right)
    names = [f"i{i}" for i in range(n)]
    row = ResultRow("home/e5-small", target, "ExcTar", run.config.method, "accuracy", value, n, k=2,
                    sources=("de-DE", "sv-SE"), seed=run.config.seed, run=run.id)  # fmt: skip
    if over:
        wins, losses = over
        row = replace(row, baseline_kind="best_single_source", baseline=value - (wins - losses) / n, wins=wins,
                      losses=losses, note="sv-SE, the best on the test items")  # fmt: skip
    with (run.folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerow(row_cells(row))
    item_file.write(run.folder / "items.npz", names, names, {"merge": right, run.config.method: right})
    result = {"run": run.id, "kind": "merge", "context": "home/e5-small", "target": target, "mode": "ExcTar",
              "method": run.config.method, "accuracy": value, "ci95": [value - 0.1, value + 0.1], "n": n,
              "sources": ["de-DE", "sv-SE"], "weights": [0.5, 0.5], "baselines": {}}  # fmt: skip
    if over:
        low, high = (100 * (wins - losses) / n + end * 10 for end in (-1, 1))
        found = {"difference": 100 * (wins - losses) / n, "interval": {"low": low, "high": high},
                 "significant": low > 0 or high < 0, "p": 0.01, "p_groups": None}  # fmt: skip
        result["baselines"] = {"best_single_source": {"model": "sv-SE", "value": value, "comparison": found}}
    (run.folder / "result.json").write_text(json.dumps(result))
    (run.folder / "log.txt").write_text("10:00  merge de-DE, sv-SE by ties\n10:01  accuracy told\n")
    events = run_store.Events(run.folder)
    events.add("metric", name="accuracy", value=value)
    events.add("finished", seconds=2.5, peak_memory_mb=100.0)
    return run
