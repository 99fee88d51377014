"""Time to list ten thousand stored runs, and to rebuild their index.

Writes runs as `mu run` leaves them into a temporary workspace, then times the program itself, each call in a process
of its own: the first `mu runs list`, which builds the index; with the index there; with an empty page cache, where
emptying it is allowed; and after one run was added.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from merginguriel.config import run_config as configs
from merginguriel.knowledge.parse.rows import COLUMNS, ResultRow, row_cells
from merginguriel.locales import table
from merginguriel.runs import run_store

METHODS = ("average", "ties", "task_arithmetic", "dare_ties", "breadcrumbs")
KINDS = ("best_single_source", "source_mean", "target_alone", "average_merge", "majority_class")


def write_run(root: Path, number: int) -> None:
    """One finished run with five rows."""
    targets = sorted(table())
    config = configs.from_table(
        {
            "kind": "merge",
            "task": "home",
            "base": "e5-small",
            "target": targets[number % len(targets)],
            "method": METHODS[number % len(METHODS)],
            "similarity": "REAL",
            "candidates": ["de-DE", "en-US", "sv-SE"],
            "seed": number,
        }
    )
    run = run_store.Run(run_store.run_id(config), root / "runs" / run_store.run_id(config))
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(configs.dump(config), encoding="utf-8")
    (run.folder / "lock").touch()
    value = 0.4 + (number % 100) / 500
    happened = [
        {"event": "created", "config": configs.as_table(config), "digest": configs.digest(config)},
        {"event": "started", "pid": 1},
        *({"event": "step", "text": text} for text in ("score", "merge", "compare with the baselines")),
        {"event": "metric", "name": "accuracy", "value": value},
        {"event": "finished", "seconds": 12.5, "peak_memory_mb": 900.0},
    ]
    lines = [json.dumps({"time": run_store.now(), **event}) for event in happened]
    (run.folder / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [
        ResultRow("home/e5-small", str(config.target), "ExcTar", str(config.method), "accuracy", value, 800,
                  sources=("de-DE", "en-US", "sv-SE"), seed=number, baseline_kind=kind, baseline=0.45, run=run.id)
        for kind in KINDS
    ]  # fmt: skip
    with (run.folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(row_cells(row) for row in rows)


def drop_caches() -> bool:
    """Empty the system's page cache, where we may."""
    subprocess.run(["sync"], check=False)
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def timed(root: Path, *arguments: str, times: int = 3) -> str:
    """Seconds of `mu runs ARGUMENTS`, the least of so many calls: on the clock, and of one processor."""
    words = [sys.executable, "-m", "merginguriel.cli.main", "runs", *arguments, "--workspace", str(root)]
    found = []
    for _ in range(times):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append((clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    clock, processor = min(found)
    return f"{clock:6.2f} s   {processor:6.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "mu.toml").write_text('context = "home/e5-small"\n')
        for number in range(count):
            write_run(root, number)
        print(
            f"{count:,} runs{'':24}clock   processor   (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)"
        )
        print(f"list, no index yet (rebuild)    {timed(root, 'list', times=1)}")
        print(f"list, index there               {timed(root, 'list')}")
        if drop_caches():
            print(f"list, nothing in the page cache {timed(root, 'list', times=1)}")
        print(f"list --json, all of them        {timed(root, 'list', '--json')}")
        write_run(root, count)
        print(f"list, one run more              {timed(root, 'list', times=1)}")
        query = "select method, avg(gain_pp) from rows group by method"
        print(f"sql over {5 * count:,} rows            {timed(root, 'sql', query)}")


if __name__ == "__main__":
    main()
