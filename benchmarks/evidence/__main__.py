"""Score merges, ensembles and joint models in three regimes of fine-tuning, for 24 locales, and write them into the log.

    python benchmarks/evidence run --workspace evidence --until 14:05
    python benchmarks/evidence status --workspace evidence
    python benchmarks/evidence log --workspace evidence --log . --plan ENTRY

A regime says how far the models travel from their base: `few` (100 sentences, 3 epochs), `today` (the defaults of the lab: 600
sentences, 3 epochs; needs no training if the models are there), `far` (100 sentences, 12 epochs at five times the rate). Targets
and test items are the same in each. Every arm is one line of `results/evidence.jsonl` with one bit per test item; a stopped run
goes on where it was. The stages are in the order of their value, so that a run that is stopped early is still of use.

Merges are made and scored in memory. All models of the lab keep embeddings and six layers of the base, so that these layers are
computed once per target, and only the others are merged: `--check` compares both short cuts with the engine and with
`predict_with` for every method.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime
from pathlib import Path

import torch
from models import Cell, Lab
from run import Run, Store, carry_out, checked

from merginguriel.version import measured_by


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("do", choices=["run", "status", "log", "check"])
    parser.add_argument(
        "--workspace", type=Path, required=True, help="folder with a workspace few, today and far"
    )
    parser.add_argument("--until", help="HH:MM: stop then")
    parser.add_argument("--log", type=Path, help="workspace whose log gets the entry")
    parser.add_argument("--plan", default="", help="entry of the log that the new one answers")
    parser.add_argument(
        "--code", default=measured_by(), help="commit of the program that measured; default: this one"
    )
    parser.add_argument(
        "--title", default="three regimes of fine-tuning, embedded lab", help="end of the entry's title"
    )
    parser.add_argument("--notes", type=Path, help="Markdown file with further sections of the entry")
    parser.add_argument(
        "--runs", type=Path, help="folder of runs of an earlier study: its items are kept too"
    )
    options = parser.parse_args()
    until = time.time() + 1e9
    if options.until:
        hour, minute = map(int, options.until.split(":"))
        until = datetime.now().replace(hour=hour, minute=minute, second=0).timestamp()
    run = Run(Lab(options.workspace), Store(options.workspace), until)
    torch.set_num_threads(1)
    if options.do == "run":
        carry_out(run)
        return 0
    if options.do == "check":
        checked(run, Cell("today", "da-DK"))
        return 0
    from findings import report
    from log import gathered, write

    if options.do == "status":
        print(report(run.lab, gathered(run)))
    else:
        print(write(run, options.log, options.plan, options.notes, options.code, options.runs, options.title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
