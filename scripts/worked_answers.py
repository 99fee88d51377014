"""Write docs/answers.md: ten answers of `mu advise` over two contexts, from the log up to a day.

python scripts/worked_answers.py --as-of 2026-11-30
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME, MASSIVE = "home/e5-small", "massive/xlm-roberta-base"
QUESTIONS = (
    ("A target with many measurements, and sources of equal quality.", ["en-US", "--context", HOME]),
    ("A target whose best source is far ahead of the others.", ["da-DK", "--context", HOME]),
    ("A single model is required.", ["ro-RO", "--context", HOME, "--no-ensembles"]),
    ("A target of the all-methods table, whose own model was never trained.", ["gl-ES", "--context", HOME]),
    ("A target far from its sources.", ["fi-FI", "--context", HOME, "--no-ensembles"]),
    ("A target that was never measured in this context.", ["lt-LT", "--context", HOME]),
    ("The target's own model is among the sources.", ["cs-CZ", "--context", HOME, "--mode", "IncTar"]),
    ("A target measured by the original study.", ["sw-KE", "--context", MASSIVE]),
    ("A target of the original study without a gain over a single source.", ["cy-GB", "--context", MASSIVE]),
    ("A target that was never measured in this context, with little work allowed.", ["ja-JP", "--context", MASSIVE, "--budget", "4"]),
)  # fmt: skip
HEAD = """# Ten answers

What `mu advise` answers to ten questions over two contexts of the log, from evidence up to {day}. `scripts/worked_answers.py` writes
this page; more evidence and later versions of the program answer differently. [architecture.md](architecture.md#how-a-gain-is-estimated) explains the
parts, [backtest/report.md](backtest/report.md) shows how such answers fared on targets that were left out.
"""


def answer(words: list[str]) -> str:
    """Return what the command prints on stdout."""
    command = [sys.executable, "-m", "merginguriel.cli.main", *words, "--workspace", str(ROOT)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
    )
    if done.returncode not in (0, 4):
        raise SystemExit(done.stderr)
    return done.stdout.rstrip()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--as-of", required=True, help="YYYY-MM-DD: use the log up to this day")
    options = parser.parse_args()
    parts = [HEAD.format(day=options.as_of)]
    for number, (about, words) in enumerate(QUESTIONS, 1):
        words = ["advise", "--target", *words, "--as-of", options.as_of]
        parts.append(f"## {number}. {about}\n\n```text\n$ mu {shlex.join(words)}\n{answer(words)}\n```\n")
    (ROOT / "docs" / "answers.md").write_text("\n".join(parts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
