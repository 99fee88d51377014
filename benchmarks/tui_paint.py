"""First paint and longest stall of `mu-tui`, against an empty Textual app.

    python benchmarks/tui_paint.py                # all of it, with 10,000 runs and 10,000 entries
    python benchmarks/tui_paint.py --count 300    # a smaller crowd, to see that it works
    python benchmarks/tui_paint.py --only paint   # or: advice, stall

Paint: each program is started in a pseudo-terminal of 120 × 40. The clock runs from before exec to the read in which a whole
frame is there: after the switch to the alternate screen, the last of the 40 lines has been painted (of mu-tui, its line of
tabs too). The programs take turns, nine times; the medians count, and a busy machine slows all alike.

Advice: `mu-tui advise sw-KE`, until the drawn interval is there, against `mu advise --target sw-KE`; each with an empty cache.

Stall: the application in a pseudo-terminal, keys pressed by a script in it. A task wakes every 10 ms; how late it wakes is how
long the screen stood still. Beside it, the most processor time that the thread of the screen took in one go: where the
clock says much more, something else had the processor, or another thread Python's lock. A screen that opens reads files in
such a thread: its bar is on processor time.

The crowd is written once into the user's cache, and kept. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merginguriel_tui.app import MuApp
    from textual.pilot import Pilot

TIMES = 9
LINES, COLUMNS = 40, 120
BARS = {"mu-tui": 1.2, "mu-tui, crowd": 1.2}  # × the empty app
ADVICE = 2.0  # × the command
STALL = 100.0  # ms
TICK = 0.01  # s
PATIENCE = 120.0  # s, for one start
EMPTY = "from textual.app import App\nApp().run()"
LIVE, RATE = 5, 10  # runs, events a second of each
SCREENS = ("home", "advise", "skills", "log", "runs", "compare", "matrix")
KEYS = ["j"] * 40 + ["pagedown"] * 10 + ["k"] * 20 + ["pageup"] * 10
SEARCH = ["slash", *"merge sw", *["backspace"] * 8, "escape"]
ENTRY = """---
title: "Entry {i}"
type: "Observation"
date: "{day}"
summary: "What was seen the {i}th time."
context: "massive/xlm-roberta-base"
metric: "accuracy"
n: "2974"
---

## Results

| target | mode | method | similarity | k | value | baseline_kind | baseline |
|---|---|---|---|---|---|---|---|
| sw-KE | ExcTar | ties | REAL | 5 | 0.{a:04d} | best_single_source | 0.{b:04d} |
"""


# What is shown: a workspace with a crowd in it


def crowd(count: int) -> Path:
    """A workspace with so many runs and entries, from the user's cache; made there if it is not."""
    from runs_index import write_run

    from merginguriel import workspace
    from merginguriel.files import new_folder

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "merginguriel-benchmarks"
    root = cache / f"tui-{count}"
    if not root.is_dir():
        print(f"writing {count:,} runs and entries into {root}", file=sys.stderr)
        with new_folder(root) as folder:
            (folder / "mu.toml").write_text("")
            (folder / "skills").symlink_to(workspace.shipped().skills.resolve())
            (folder / "experiment_log" / "2025").mkdir(parents=True)
            for i in range(count):
                day = f"2025-{i % 12 + 1:02d}-{i % 28 + 1:02d}"
                text = ENTRY.format(i=i, day=day, a=4000 + i % 3000, b=4000 + i * 7 % 3000)
                (folder / "experiment_log" / "2025" / f"{day}-entry-{i:08x}.md").write_text(text)
                write_run(folder, i)
            matrix(folder / "results" / "nxn-home-e5-small-test.csv", 200)
    return root


def matrix(path: Path, size: int) -> None:
    """An N×N matrix of that many locales, with figures that look like some."""
    from merginguriel.locales import table

    names = list(table())[:size]
    cells = [
        f"{s},{t},{0.9 if i == j else 0.3 + (7 * i + 13 * j) % 400 / 1000},500"
        for i, s in enumerate(names)
        for j, t in enumerate(names)
    ]
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["source,target,accuracy,n", *cells]) + "\n")


# A program in a pseudo-terminal


@contextmanager
def terminal(command: list[str], home: Path) -> Iterator[tuple[int, float]]:
    """The command in a pseudo-terminal: its descriptor, and when it was started. Ended by SIGKILL."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "NO_COLOR")}
    environment |= {
        "TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
    }  # fmt: skip
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    start = time.perf_counter()
    child = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    try:
        yield ours, start
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.wait()
        os.close(ours)


def read(descriptor: int, seconds: float) -> bytes:
    """What the program wrote next; empty at its end, or when the time is over."""
    ready, _, _ = select.select([descriptor], [], [], seconds)
    if not ready:
        return b""
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""


def painted(seen: bytes, marker: bytes) -> bool:
    """Is a whole frame there?"""
    _, switched, frame = seen.partition(b"\x1b[?1049h")
    whole = frame.count(b"\n") >= LINES - 1 or b"\x1b[%d;1H" % LINES in frame
    return bool(switched) and whole and marker in frame


def first_paint(command: list[str], marker: bytes, home: Path) -> float:
    """Milliseconds from exec to the first whole frame. Stops the benchmark if there is none."""
    seen = b""
    with terminal(command, home) as (descriptor, start):
        while not painted(seen, marker):
            more = read(descriptor, PATIENCE)
            if not more:
                sys.exit(f"{' '.join(command)} painted nothing:\n{seen[-2000:].decode(errors='replace')}")
            seen += more
        return 1000 * (time.perf_counter() - start)


def paint(small: Path, large: Path, times: int, home: Path) -> bool:
    """Print the table; True if every bar holds."""
    program = [sys.executable, "-m", "merginguriel_tui.main", "--workspace"]
    starts = {
        "empty Textual app": ([sys.executable, "-c", EMPTY], b""),
        "mu-tui": ([*program, str(small)], b"home]"),
        "mu-tui, crowd": ([*program, str(large)], b"home]"),
    }
    for command, marker in starts.values():
        first_paint(command, marker, home)  # once, so that byte code is compiled for all
    found: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(times):
        for name, (command, marker) in starts.items():
            found[name].append(first_paint(command, marker, home))
    floor = statistics.median(found["empty Textual app"])
    kept = True
    print(f"first paint, median of {times}          ms      ×   bar")
    for name, measured in found.items():
        median = statistics.median(measured)
        bar = BARS.get(name)
        missed = bar is not None and median / floor > bar
        kept = kept and not missed
        told = f"{bar:5.1f}{'  missed' if missed else ''}" if bar else ""
        print(f"{name:30} {median:8.0f}  {median / floor:5.2f} {told}")
    return kept


def advice(small: Path, times: int, home: Path) -> bool:
    """Print the time until a new question is answered, by the command and on the screen; True if the bar holds."""
    words = [sys.executable, "-m", "merginguriel.cli.main", "advise", "--target", "sw-KE", "--workspace"]
    screen = [sys.executable, "-m", "merginguriel_tui.main", "advise", "sw-KE", "--workspace", str(small)]
    found: dict[str, list[float]] = {"mu advise": [], "mu-tui advise": []}
    for _ in range(times):
        shutil.rmtree(home / "cache", ignore_errors=True)
        start = time.perf_counter()
        environment = {**os.environ, "XDG_CACHE_HOME": str(home / "cache")}
        subprocess.run([*words, str(small)], check=True, capture_output=True, env=environment)
        found["mu advise"].append(1000 * (time.perf_counter() - start))
        shutil.rmtree(home / "cache")
        found["mu-tui advise"].append(first_paint(screen, "◆".encode(), home))
    command, shown = (statistics.median(measured) for measured in found.values())
    missed = shown > ADVICE * command
    print(f"\nadvice complete, median of {times}      ms      ×   bar")
    print(f"{'mu advise':30} {command:8.0f}   1.00")
    print(
        f"{'mu-tui advise':30} {shown:8.0f}  {shown / command:5.2f} {ADVICE:5.1f}{'  missed' if missed else ''}"
    )
    return not missed


# Does the screen stand still?


class Watch:
    """late: the most that the task woke late, ms; busy: the most processor time of the screen's thread in one go, ms."""

    def __init__(self) -> None:
        self.late = self.busy = 0.0

    async def run(self) -> None:
        while True:
            clock, processor = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK)
            self.late = max(self.late, 1000 * (time.perf_counter() - clock - TICK))
            self.busy = max(self.busy, 1000 * (time.thread_time() - processor))


@contextmanager
def watched(name: str, told: dict[str, Any]) -> Iterator[None]:
    watch = Watch()
    task = asyncio.ensure_future(watch.run())
    try:
        yield
    finally:
        task.cancel()
        told[name] = [watch.late, watch.busy]


async def press(pilot: Pilot[None], keys: list[str]) -> None:
    """As a hand at the keys would: one in 20 ms, whether or not the last was drawn."""
    for key in keys:
        pilot.app.simulate_key(key)
        await asyncio.sleep(0.02)


def inside(root: Path, out: Path) -> None:
    """The application itself, with a script at its keys; what it measured goes into `out`."""
    from merginguriel_tui.app import MuApp
    from textual.widgets import Input

    from merginguriel import workspace

    app: MuApp = MuApp(workspace.find(explicit=root))
    told: dict[str, Any] = {}

    async def script(pilot: Pilot[None]) -> None:
        for screen in SCREENS:
            app.action_go(screen, *(("home/e5-small", "test") if screen == "matrix" else ()))
            with watched(f"{screen}, opening", told):
                await asyncio.sleep(0.5)
                while any(worker.is_running for worker in app.workers):
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.5)
            if isinstance(app.focused, Input):  # a letter typed into a field is no scrolling
                app.action_focus_next()
            with watched(f"{screen}, scrolling", told):
                await press(pilot, KEYS)
            with watched(f"{screen}, searching", told):
                await press(pilot, SEARCH)
                await asyncio.sleep(0.5)
        app.action_go("runs")
        writer = subprocess.Popen([sys.executable, __file__, "--write", str(root)])
        try:
            with watched(f"runs, {LIVE} live", told):
                await asyncio.sleep(2)
                await press(pilot, KEYS)
        finally:
            writer.terminate()
            writer.wait()
        out.write_text(json.dumps(told))
        app.exit()

    app.run(auto_pilot=script)


def write_events(root: Path) -> None:
    """Be five runs: their locks held, ten events a second each, until told to end."""
    from merginguriel.runs import run_store

    folders = sorted((root / "runs").glob("merge-*"))[:LIVE]
    held = []
    for folder in folders:
        file = (folder / "lock").open("a")
        fcntl.flock(file, fcntl.LOCK_EX)
        held.append(file)
    before = {folder: (folder / "events.jsonl").read_text() for folder in folders}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for step in range(600 * RATE):
            for folder in folders:
                event = {"time": run_store.now(), "event": "metric", "name": "loss", "value": 1 / (step + 1)}
                with (folder / "events.jsonl").open("a") as file:
                    file.write(json.dumps(event) + "\n")
            time.sleep(1 / RATE)
    except KeyboardInterrupt:
        pass
    finally:
        for folder, text in before.items():
            (folder / "events.jsonl").write_text(text)


def stall(large: Path, home: Path) -> bool:
    """Print the table; True if the bar holds while scrolling, searching and with live runs."""
    out = home / "stall.json"
    seen = b""
    with terminal([sys.executable, __file__, "--inside", str(large), str(out)], home) as (descriptor, _):
        end = time.perf_counter() + 10 * PATIENCE
        while not out.is_file() and time.perf_counter() < end and (more := read(descriptor, PATIENCE)):
            seen += more
    if not out.is_file():
        sys.exit(f"the script in the application did not end:\n{seen[-3000:].decode(errors='replace')}")
    kept = True
    print(f"\nstood still, at most            ms   of processor   bar {STALL:g}")
    for name, (late, busy) in json.loads(out.read_text()).items():
        missed = (busy if name.endswith("opening") else late) > STALL
        kept = kept and not missed
        print(f"{name:30} {late:6.0f} {busy:14.0f}   {'missed' if missed else ''}")
    return kept


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--count", type=int, default=10_000, help="runs, and entries, of the crowd")
    asked.add_argument("--times", type=int, default=TIMES)
    asked.add_argument("--only", choices=["paint", "advice", "stall"])
    asked.add_argument("--inside", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    wanted = asked.parse_args()
    if wanted.inside:
        inside(*wanted.inside)
        return 0
    if wanted.write:
        write_events(wanted.write)
        return 0
    large = crowd(wanted.count)
    kept = True
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        subprocess.run([sys.executable, "-m", "merginguriel.cli.main", "init", str(home / "small")], check=True, capture_output=True)  # fmt: skip
        load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        print(f"{wanted.count:,} runs and {wanted.count:,} entries in the crowd; {load}")
        if wanted.only in (None, "paint"):
            kept = paint(home / "small", large, wanted.times, home)
        if wanted.only in (None, "advice"):
            kept = advice(home / "small", wanted.times, home) and kept
        if wanted.only in (None, "stall"):
            kept = stall(large, home) and kept
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
