"""Check that every acknowledged entry is in the log, whole and once, when its writers are killed at random.

    python benchmarks/log_append.py [WRITERS] [ENTRIES]      (8 and 500 by default)

Each writer is a process that appends entries, every fifth with a CSV of rows, and says so on a pipe once an entry has
landed. Each is ended six times with SIGKILL, a random moment after a random entry, and started again where it stopped.
Readers load the log all the while. Printed: what was acknowledged, what is there, what was torn.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from merginguriel.errors import MuError
from merginguriel.knowledge.parse.entries import entry_paths, load_entry

WRITER = """
import sys
from pathlib import Path
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.knowledge.log.append import add, add_text
from merginguriel.knowledge.log.draft_text import Draft, render
from merginguriel.errors import KnowledgeError
log, writer, first, last = Path(sys.argv[1]), *map(int, sys.argv[2:])
row = ResultRow("a/b", "sw-KE", "ExcTar", "ties", "accuracy", 0.5, n=100)
for number in range(first, last):
    # The title differs from entry to entry, as the work of one day does.
    draft = Draft(f"Writer {writer}, entry {number}", "Observation", "2026-11-21", "S.", sections=(("Findings", "x " * 400),))
    try:
        if number % 5:
            add_text(log, render(draft))
        else:
            add(log, draft, more_rows=[row])
    except KnowledgeError as error:
        if "the log already has this entry" not in error.what:
            raise  # killed after it had landed and before it was said: it is in the log
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def started(log: Path, writer: int, first: int, last: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(log), str(writer), str(first), str(last)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def driven(log: Path, writer: int, entries: int, kills: int, seed: int) -> int:
    """Entries that one writer acknowledged, after it was killed `kills` times, each a moment after some entry of its own."""
    draw = random.Random(f"{seed} {writer}")
    acknowledged = 0
    for left in reversed(range(kills + 1)):
        process = started(log, writer, acknowledged, entries)
        assert process.stdout is not None
        if left:
            for _ in range(draw.randint(1, max(1, (entries - acknowledged) // (left + 1)))):
                acknowledged += bool(process.stdout.readline())
            time.sleep(0.01 * draw.random())
            os.kill(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        acknowledged += said.count("\n")
    return acknowledged


def stress(log: Path, writers: int, entries: int, *, kills: int = 6, seed: int = 0) -> dict[str, int]:
    """Counts: acknowledged, missing, torn (of readers too), repeated beyond what a kill explains, kills, reads."""
    draw = random.Random(seed)
    reads = torn = 0
    with ThreadPoolExecutor(writers) as pool:
        waiting = [pool.submit(driven, log, writer, entries, kills, seed) for writer in range(writers)]
        while not all(one.done() for one in waiting):
            time.sleep(0.05)
            found = entry_paths(log)
            for path in draw.sample(found, min(20, len(found))):
                reads += 1
                try:
                    load_entry(path)
                except MuError:
                    torn += 1
        acknowledged = dict(enumerate(one.result() for one in waiting))
    there: dict[str, int] = {}
    for path in entry_paths(log):
        try:
            title = load_entry(path).title
        except MuError:
            torn += 1
            continue
        there[title] = there.get(title, 0) + 1
    wanted = {f"Writer {w}, entry {n}" for w, count in acknowledged.items() for n in range(count)}
    # add() with rows makes a new entry each time: one killed between landing and saying so is written again.
    repeated = sum(count - 1 for title, count in there.items() if int(title.split()[-1]) % 5)
    again = sum(count - 1 for title, count in there.items()) - repeated
    return {
        "acknowledged": sum(acknowledged.values()), "missing": len(wanted - there.keys()), "torn": torn,
        "repeated": repeated, "written again after a kill": again, "kills": kills * writers, "reads": reads,
    }  # fmt: skip


def main() -> None:
    words = [int(word) for word in sys.argv[1:]]
    writers, entries = (*words, *(8, 500)[len(words) :])
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        found = stress(Path(folder), writers, entries)
        seconds = time.perf_counter() - begin
    print(f"{writers} writers, {entries} entries each, {seconds:.0f} s")
    for name, count in found.items():
        print(f"{name:28}{count:8,}")
    sys.exit(bool(found["missing"] or found["torn"] or found["repeated"]))


if __name__ == "__main__":
    main()
