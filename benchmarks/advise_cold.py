"""Cold start of `mu advise`, in user and system time of the processor.

    python benchmarks/advise_cold.py
    python benchmarks/advise_cold.py --rows 0      # without the large log, whose first reading takes half a minute

Every figure is the median of three processes, started in turn with the others, so that a busy machine slows all alike:
`import numpy`; a question that was asked before and one that was not, on the shipped log; and the same on logs of 2,000 and
of 100,000 rows. Bars: at most twice `import numpy` on the shipped log, and at most twice the time at 2,000 rows. Also prints
which heavy modules the command imported (none). Exit code 1 if a bar is missed.
Run from a checkout.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

RUNS = 3
BAR = 2.0
SMALL, LARGE = 2000, 100_000
RECIPES, CELL_BAR = 400, 2.0  # in one cell; seconds
LINES, BYTES = 20, 8192  # of an answer, and of its JSON
HEAVY = (
    "torch", "transformers", "datasets", "pandas", "textual", "rich", "scipy", "sklearn", "matplotlib", "numpy",
)  # fmt: skip
MU = [sys.executable, "-m", "merginguriel.cli.main", "advise", "--json", "--target"]
PRINTED = [word for word in MU if word != "--json"]
NUMPY = [sys.executable, "-c", "import numpy"]
# Byte code is kept, as after an installation.
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
IMPORTS = (
    "import contextlib, io, sys\n"
    "from merginguriel.cli.main import run\n"
    "with contextlib.redirect_stdout(io.StringIO()): run(['advise', '--target', 'sw-KE', '--min-gain', '0.123'])\n"
    f"print(*[m for m in {HEAVY!r} if m in sys.modules])"
)
ROOT = Path(__file__).resolve().parent.parent
CONTEXTS = ("massive/xlm-roberta-base", "home/e5-small", "topics/e5-small", "news/mini", "names/mini")
METHODS = ("similarity", "average", "ties", "task_arithmetic", "slerp", "dare_linear", "ensemble_soft")
COLUMNS = [
    "target",
    "mode",
    "method",
    "similarity",
    "k",
    "params",
    "value",
    "baseline_kind",
    "baseline",
    "sources",
    "seed",
]


def make(root: Path, rows: int) -> Path:
    """Write a workspace with the shipped skills and `rows` result rows, 100 an entry, in five contexts."""
    from merginguriel.locales import table

    drawn = random.Random(1)
    start(root)
    tags = sorted(table())[:40]
    for number in range(rows // 100):
        write(root, number, [row(drawn, tags, number) for _ in range(100)])
    return root


def make_cell(root: Path) -> Path:
    """Write a workspace in which a target has `RECIPES` recipes, each measured on four other targets too."""
    drawn = random.Random(1)
    start(root)
    for number, target in enumerate(("da-DK", "sv-SE", "nb-NO", "nl-NL", "de-DE")):
        lines = []
        for recipe in range(RECIPES):
            base = 0.5 + 0.2 * drawn.random()
            value = base + 0.05 * drawn.gauss(0.2, 1)
            what = f"{METHODS[recipe % 6]} | REAL | 3 | scale={0.1 + recipe / RECIPES:.4f}"
            lines.append(
                f"| {target} | ExcTar | {what} | {value:.4f} | best_single_source | {base:.4f} | en-US fr-FR it-IT | 0 |"
            )
        write(root, 5 * number, lines)
    return root


def start(root: Path) -> None:
    """Write the settings of a workspace and copy the shipped skills into it."""
    shutil.copytree(ROOT / "skills", root / "skills")
    (root / "mu.toml").write_text("", encoding="utf-8")


def write(root: Path, number: int, lines: list[str]) -> None:
    """Write a log entry with these rows, in one of the contexts."""
    head = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
    day = date(2024, 1, 1) + timedelta(days=number % 700)
    path = root / "experiment_log" / str(day.year) / f"{day}-entry-{number:08x}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'---\ntitle: "Entry {number}"\ntype: "Retrospective"\ndate: "{day}"\nsummary: "Rows of a large log."\n'
        f'context: "{CONTEXTS[number % 5]}"\nmetric: "accuracy"\nn: "2974"\n---\n\n## Results\n\n{head}'
        + "\n".join(lines)
        + "\n\n## Findings\n\nNone.\n",
        encoding="utf-8",
    )


def row(drawn: random.Random, tags: list[str], seed: int) -> str:
    """Return a row: a single model in one of seven, else a merge or an ensemble."""
    target, *sources = drawn.sample(tags, 4)
    base = 0.5 + 0.2 * drawn.random()
    if drawn.random() < 1 / 7:
        return f"| {target} | - | single | - | - | - | {base:.4f} | - | - | {sources[0]} | {seed} |"
    value = base + 0.05 * drawn.gauss(0.2, 1)
    recipe = f"{drawn.choice(METHODS)} | {drawn.choice(('REAL', 'URIEL'))} | 3 | scale={drawn.choice((0.3, 0.5, 0.7, 1.0))}"
    return (
        f"| {target} | ExcTar | {recipe} | {value:.4f} | best_single_source | {base:.4f} "
        f"| {' '.join(sources)} | {seed} |"
    )


def seconds(command: list[str]) -> float:
    """Processor time of one process. Stops the benchmark if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=COMPILED)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(target: str, root: Path | None, number: int) -> tuple[list[str], list[str]]:
    """Return a question that was asked before, and one that was not."""
    again = [*MU, target, *(("--workspace", str(root)) if root else ())]
    return again, [*again, "--min-gain", f"{1 + random.SystemRandom().random():.9f}{number}"]


def main() -> int:
    """Measure, print, and return the exit code."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, default=LARGE, help="of the large log; 0: leave it out")
    rows = asked.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        COMPILED["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        logs: dict[str, tuple[str, Path | None]] = {"shipped log": ("sw-KE", None)}
        if rows:
            for size in (SMALL, rows):
                logs[f"{size:,} rows"] = ("da-DK", make(Path(folder) / str(size), size))
        cell = f"{RECIPES} recipes in a cell"
        logs[cell] = "da-DK", make_cell(Path(folder) / "cell")
        times: dict[str, list[float]] = {"import numpy": []}
        for target, root in logs.values():
            for command in commands(target, root, 0):
                seconds(command)  # parses, compiles byte code, and fills the caches
        for number in range(RUNS):
            times["import numpy"].append(seconds(NUMPY))
            for name, (target, root) in logs.items():
                again, new = commands(target, root, number)
                times.setdefault(f"{name}, asked before", []).append(seconds(again))
                times.setdefault(f"{name}, new question", []).append(seconds(new))
        heavy = subprocess.run(
            [sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True, env=COMPILED
        )
    middle = {name: statistics.median(found) for name, found in times.items()}
    for name, took in middle.items():
        print(f"{name:32} {1000 * took:7.0f} ms   {took / middle['import numpy']:6.2f} × import numpy")
    missed = False
    for kind in ("asked before", "new question"):
        bars = [(f"shipped log, {kind}", "import numpy")]
        if rows:
            bars += [
                (f"{SMALL:,} rows, {kind}", "import numpy"),
                (f"{rows:,} rows, {kind}", f"{SMALL:,} rows, {kind}"),
            ]
        for name, other in bars:
            ratio = middle[name] / middle[other]
            missed |= ratio > BAR
            print(f"{name:32} {ratio:7.2f} × {other}: {'missed' if ratio > BAR else 'met'}, at most {BAR:g}")
    took = middle[f"{cell}, new question"]
    text, data = (subprocess.check_output([*words, "sw-KE"], env=COMPILED) for words in (PRINTED, MU))
    lines = len(text.decode().strip().splitlines())
    for name, value, most in (
        (f"{cell}, s", took, CELL_BAR), ("lines of an answer", lines, LINES), ("bytes of its JSON", len(data), BYTES),
    ):  # fmt: skip
        missed |= value > most
        print(f"{name:32} {value:7,.4g}: {'missed' if value > most else 'met'}, at most {most:g}")
    print(f"{'heavy modules':32} {heavy.stdout.strip() or 'none'}")
    return int(missed or bool(heavy.stdout.strip()))


if __name__ == "__main__":
    sys.exit(main())
