"""Cold start of `mu advise` against `import numpy` alone.

    python benchmarks/advise_cold.py

The two are started in turn, fifteen times each. A busy machine slows both alike, so each start of `mu advise` is divided
by the start of numpy before it, and the median of these ratios counts (the bar is 2.5). Also prints the median times and
which heavy modules the command imported (there must be none). Exit code 1 if the bar is missed. Run from a checkout or in
a workspace: the nearest knowledge answers.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

RUNS = 15
BAR = 2.5
TARGET = ["advise", "--target", "sw-KE", "--json"]
HEAVY = ("torch", "transformers", "datasets", "pandas", "textual", "rich", "scipy", "sklearn", "matplotlib")
ADVISE = [sys.executable, "-m", "merginguriel.cli.main", *TARGET]
NUMPY = [sys.executable, "-c", "import numpy"]
# Byte code is kept, as after an installation.
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
IMPORTS = (
    "import contextlib, io, sys\n"
    "from merginguriel.cli.main import run\n"
    f"with contextlib.redirect_stdout(io.StringIO()): run({TARGET!r})\n"
    f"print(*[m for m in {HEAVY!r} if m in sys.modules])"
)


def seconds(command: list[str]) -> float:
    """Wall time of one process. Stops the benchmark if it fails."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=COMPILED)
    return time.perf_counter() - start


def main() -> int:
    seconds(ADVISE)  # once, so that byte code is compiled for all
    times: dict[str, list[float]] = {"advise": [], "numpy": []}
    for _ in range(RUNS):
        times["numpy"].append(seconds(NUMPY))
        times["advise"].append(seconds(ADVISE))
    advise, numpy = (statistics.median(times[name]) for name in ("advise", "numpy"))
    ratios = sorted(a / n for a, n in zip(times["advise"], times["numpy"], strict=True))
    ratio = statistics.median(ratios)
    heavy = subprocess.run(
        [sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(f"mu advise      {1000 * advise:6.0f} ms   (fastest {1000 * min(times['advise']):.0f})")
    print(f"import numpy   {1000 * numpy:6.0f} ms   (fastest {1000 * min(times['numpy']):.0f})")
    print(
        f"ratio          {ratio:6.2f}      (half of them {ratios[RUNS // 4]:.2f} … {ratios[-1 - RUNS // 4]:.2f}; bar: {BAR})"
    )
    print(f"heavy modules  {heavy or 'none'}")
    return int(ratio > BAR or bool(heavy))


if __name__ == "__main__":
    sys.exit(main())
