"""How long does `mu advise` take from a cold start, against `import numpy` alone?

    python benchmarks/advise_cold.py

The two are started in turn, nine times each, so that a busy machine slows both alike. Prints the medians, their
ratio (the bar is 2.5) and which heavy modules the command imported (there must be none). Exit code 1 if the bar is
missed. Run from a checkout or in a workspace: the nearest knowledge answers.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 9
BAR = 2.5
TARGET = ["advise", "--target", "sw-KE", "--json"]
HEAVY = ("torch", "transformers", "datasets", "pandas", "textual", "rich", "scipy", "sklearn", "matplotlib")
ADVISE = [sys.executable, "-m", "merginguriel.cli.main", *TARGET]
NUMPY = [sys.executable, "-c", "import numpy"]
IMPORTS = (
    "import contextlib, io, sys\n"
    "from merginguriel.cli.main import run\n"
    f"with contextlib.redirect_stdout(io.StringIO()): run({TARGET!r})\n"
    f"print(*[m for m in {HEAVY!r} if m in sys.modules])"
)


def seconds(command: list[str]) -> float:
    """Wall time of one process. Stops the benchmark if it fails."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    seconds(ADVISE)  # once, so that byte code is compiled for all
    times: dict[str, list[float]] = {"advise": [], "numpy": []}
    for _ in range(RUNS):
        times["numpy"].append(seconds(NUMPY))
        times["advise"].append(seconds(ADVISE))
    advise, numpy = (statistics.median(times[name]) for name in ("advise", "numpy"))
    heavy = subprocess.run(
        [sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(f"mu advise      {1000 * advise:6.0f} ms   (fastest {1000 * min(times['advise']):.0f})")
    print(f"import numpy   {1000 * numpy:6.0f} ms   (fastest {1000 * min(times['numpy']):.0f})")
    print(f"ratio          {advise / numpy:6.2f}      (bar: {BAR})")
    print(f"heavy modules  {heavy or 'none'}")
    return int(advise / numpy > BAR or bool(heavy))


if __name__ == "__main__":
    sys.exit(main())
