"""Time and memory of a merge of five XLM-R-base-size models, against the disk and mergekit.

    python benchmarks/merge_speed.py --mergekit OTHER_ENVIRONMENT/bin/mergekit-yaml

Builds a base and five fine-tunes (278 M parameters, float32, 6.7 GB) in --folder, or takes those that are there.
Then whole processes in turn, so that a busy machine slows all alike; medians of --runs, files in the page cache:
the floor (read five files, write one), a streaming mean in numpy, an average with torch in memory, mergekit, `mu
merge`. Memory is anonymous memory (RssAnon), sampled. Exit code 1 if a bar is missed.

The inputs' sha256 are computed at the first merge of a set and then kept in the user's cache; the first is timed
by itself. Kernels compiled on first use are compiled before the clock starts, and the time that takes is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from mergekit_pairs import (
    PAIRS,
    mergekit_command,
    offline,
    our_recipe,
    ours_has,
    their_recipe,
    version,
    write_yaml,
)

from merginguriel.files import new_folder
from merginguriel.models.safetensors_writer import shard, sorted_layout

MODELS = ("base", "m1", "m2", "m3", "m4", "m5")
NEEDED = 9.2e9  # bytes: six models, and two outputs for a moment
MEMORY_BAR = 1024  # MiB
FLOOR_BAR = 2.0
CHUNK = 1 << 22  # entries drawn at once
MU = [sys.executable, "-m", "merginguriel.cli.main"]

FLOOR = """
import sys
*inputs, out = sys.argv[1:]
buffer = memoryview(bytearray(1 << 20))
for path in inputs[:-1]:
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
with open(inputs[-1], "rb", buffering=0) as file, open(out, "wb", buffering=0) as written:
    while count := file.readinto(buffer):
        written.write(buffer[:count])
"""
STREAM = """
import sys
import numpy as np
*inputs, out = sys.argv[1:]
files = [open(path, "rb", buffering=0) for path in inputs]
with open(out, "wb", buffering=0) as written:
    for file in files:
        header = file.read(8)
        header += file.read(int.from_bytes(header, "little"))
    written.write(header)
    total, block = np.empty(1 << 18, np.float32), np.empty(1 << 18, np.float32)
    while count := files[0].readinto(total.data.cast("B")) // 4:
        for file in files[1:]:
            file.readinto(block[:count].data.cast("B"))
            total[:count] += block[:count]
        total[:count] /= len(files)
        written.write(total[:count].data.cast("B"))
"""
NAIVE = """
import sys
from safetensors.torch import load_file, save_file
*inputs, out = sys.argv[1:]
models = [load_file(path) for path in inputs]
save_file({name: sum(m[name] for m in models) / len(models) for name in models[0]}, out)
"""


@dataclass
class Timed:
    """Whole processes: seconds of each run, on the clock and of the processors, and the most anonymous MiB of any."""

    seconds: list[float]
    busy: list[float]
    peak: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def build(folder: Path, shape: dict[str, int] | None = None) -> None:
    """Write MODELS as folders, a few million entries at a time; one that is there is kept."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    sizes = shape or {
        "vocab_size": 250002,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    labels = [f"intent_{i}" for i in range(60)]
    config = XLMRobertaConfig(
        **sizes,
        max_position_embeddings=514,
        type_vocab_size=1,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        architectures=["XLMRobertaForSequenceClassification"],
    )
    with torch.device("meta"):
        state = XLMRobertaForSequenceClassification(config).state_dict()
    layout = sorted_layout({name: ("F32", tuple(tensor.shape)) for name, tensor in state.items()})
    for number, name in enumerate(MODELS):
        if (folder / name / "model.safetensors").is_file():
            continue
        print(f"building {folder / name}", file=sys.stderr)
        with new_folder(folder / name) as new:
            config.save_pretrained(new)
            words = (f"w{i}" for i in range(config.vocab_size))  # mu merges no model without a tokenizer
            (new / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
            with shard(new, layout, None) as place:
                for tensor, (_, dimensions) in layout.items():
                    size = prod(dimensions)
                    for start in range(0, size, CHUNK):
                        key = [zlib.crc32(tensor.encode()), start]
                        count = min(CHUNK, size - start)
                        values = drawn([0, *key], count, 0.02)
                        if number:
                            values += drawn([number, *key], count, 0.001)
                        place[tensor].write(tensor, start, values)


def drawn(key: list[int], count: int, deviation: float) -> np.ndarray:
    values = np.random.default_rng(key).standard_normal(count, dtype=np.float32)
    values *= np.float32(deviation)
    return values


def run(command: list[str], environment: dict[str, str] | None = None) -> tuple[float, float, float]:
    """Seconds, seconds of processor, peak anonymous MiB of one process. If it fails, its last words end all."""
    with tempfile.TemporaryFile() as said:
        before, start = processor(), time.perf_counter()
        with subprocess.Popen(command, stdout=said, stderr=said, env=environment) as process:
            peak, status = 0, Path(f"/proc/{process.pid}/status")
            while process.poll() is None:
                peak = max(peak, anonymous(status))
                time.sleep(0.01)
            seconds = time.perf_counter() - start
        if process.returncode:
            said.seek(0)
            words = said.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(command)[:200]}\nended with {process.returncode}:\n{words[-2000:]}")
    return seconds, processor() - before, peak / 1024


def processor() -> float:
    """Seconds that children which have ended spent on processors, in all."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def anonymous(status: Path) -> int:
    """RssAnon in KiB; 0 where the system does not tell, or if the process has just ended."""
    try:
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


class Bench:
    """The models, the processes to time, and what was measured so far."""

    def __init__(self, folder: Path, mergekit: Path | None) -> None:
        self.folder, self.mergekit = folder, mergekit
        self.base, self.sources = folder / "base", [folder / name for name in MODELS[1:]]
        self.environment = {**offline(), "XDG_CACHE_HOME": str(folder / "cache")}
        self.found: dict[tuple[str, str], Timed] = {}

    def time(self, side: str, name: str) -> None:
        """One process more of this kind; its output is removed afterwards."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        if side == "ours":
            config = write_yaml(self.folder / "ours.yaml", our_recipe(name, self.base, self.sources))
            command = [*MU, "merge", str(config), "--out", str(out)]
        elif side == "mergekit" and self.mergekit:
            config = write_yaml(self.folder / "theirs.yaml", their_recipe(name, self.base, self.sources))
            command = mergekit_command(self.mergekit, config, out)
        else:
            out.mkdir()
            inputs = [str(source / "model.safetensors") for source in self.sources]
            script = {"floor": FLOOR, "numpy mean": STREAM, "torch mean": NAIVE}[name]
            command = [sys.executable, "-c", script, *inputs, str(out / "model.safetensors")]
        read_all(self.folder)  # some systems drop what was read a minute ago
        seconds, busy, peak = run(command, self.environment)
        shutil.rmtree(out, ignore_errors=True)
        timed = self.found.setdefault((side, name), Timed([], []))
        timed.seconds.append(seconds)
        timed.busy.append(busy)
        timed.peak = max(timed.peak, peak)
        print(
            f"  {side:9s} {name:18s} {seconds:7.2f} s  {busy:7.2f} s busy  {peak:7.0f} MiB", file=sys.stderr
        )

    def verdict(self, name: str) -> tuple[list[str], bool]:
        """One line of the table, and whether every bar that could be judged is met."""
        ours, theirs = self.found["ours", name], self.found.get(("mergekit", name))
        floor = self.found["plain", "floor"].median
        ratio = theirs.median / ours.median if theirs else None
        bar, bars, met = PAIRS[name].bar, ["≤ 1 GiB"], ours.peak <= MEMORY_BAR
        if name in ("average", "linear"):
            bars.insert(0, f"≤ {FLOOR_BAR:g} × floor")
            met = met and ours.median <= FLOOR_BAR * floor
        if bar:
            bars.insert(0, f"≥ {bar:g} ×" + ("" if ratio else " (not measured)"))
            met = met and (ratio is None or ratio >= bar)
        line = [name, f"{ours.median:.2f}", f"{ours.peak:.0f}", f"{ours.median / floor:.2f}"]
        if theirs and ratio:
            busy = statistics.median(theirs.busy) / statistics.median(ours.busy)
            line += [f"{theirs.median:.1f}", f"{theirs.peak:.0f}", f"{ratio:.1f}", f"{busy:.1f}"]
        else:
            line += ["–"] * 4
        word = "MISSED" if not met else "met" if ratio or not bar else "met, but for what was not measured"
        return [*line, ", ".join(bars), word], met


def warm(folder: Path, names: list[str]) -> None:
    """Compile what the methods compile, on tiny models; says on stderr what that cost."""
    with tempfile.TemporaryDirectory(dir=folder) as tiny:
        root = Path(tiny)
        build(root, {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                     "intermediate_size": 32})  # fmt: skip
        environment = {**offline(), "XDG_CACHE_HOME": tiny}
        first: dict[str, float] = {}
        for turn in range(2):
            for name in names:
                config = write_yaml(
                    root / "r.yaml", our_recipe(name, root / "base", [root / m for m in MODELS[1:]])
                )
                seconds, *_ = run(
                    [*MU, "merge", str(config), "--out", str(root / f"{name}{turn}")], environment
                )
                if turn:
                    print(
                        f"  tiny      {name:18s} {seconds:7.2f} s, first {first[name]:.2f} s", file=sys.stderr
                    )
                first.setdefault(name, seconds)


def read_all(folder: Path) -> None:
    """Bring every model into the page cache."""
    for name in MODELS:
        with (folder / name / "model.safetensors").open("rb", buffering=0) as file:
            while file.read(1 << 22):
                pass


def columns(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in (0, len(row) - 1, len(row) - 2) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "merge_speed")
    parser.add_argument("--mergekit", type=Path, help="mergekit-yaml of an environment of its own")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one run of each")
    parser.add_argument("--methods", nargs="*", metavar="METHOD", help="default: all that can be compared")
    parser.add_argument("--json", type=Path, help="write what was measured here too")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    names = [name for name in given.methods or PAIRS if name in ours_has()]
    if missing := [name for name in given.methods or PAIRS if name not in names]:
        print(f"left out, not a method here: {', '.join(missing)}")
    if given.mergekit is not None and not given.mergekit.is_file():
        print(f"left out: there is no {given.mergekit}")
        given.mergekit = None
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(file.stat().st_size for name in MODELS for file in (folder / name).glob("*.safetensors"))
    if (free := shutil.disk_usage(folder).free) < NEEDED - there:
        raise SystemExit(f"{folder} needs {(NEEDED - there) / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
    build(folder)
    warm(folder, names)
    bench = Bench(folder, given.mergekit)
    plain = ["floor", "numpy mean", "torch mean"]
    shutil.rmtree(folder / "cache", ignore_errors=True)
    bench.time("ours", names[0])
    first = bench.found.pop(("ours", names[0])).median
    for _ in range(1 if given.quick else given.runs):
        for name in plain:
            bench.time("plain", name)
        for name in names:
            bench.time("ours", name)
            if given.mergekit:
                bench.time("mergekit", name)
    report(bench, plain, names, first)
    verdicts = [bench.verdict(name) for name in names]
    head = ["method", "ours s", "MiB", "/ floor", "mergekit s", "MiB", "ratio", "of cpu", "bar", ""]
    print(columns([head, *(line for line, _ in verdicts)]))
    if given.json:
        table = {f"{side} {name}": vars(timed) for (side, name), timed in bench.found.items()}
        given.json.write_text(json.dumps(table, indent=2) + "\n")
    return int(not all(met for _, met in verdicts))


def report(bench: Bench, plain: list[str], names: list[str], first: float) -> None:
    """What stands beside the table: the machine, the floor, and what is paid for starting."""
    print(f"{os.cpu_count()} cores; {version(bench.mergekit) if bench.mergekit else 'mergekit not measured'}")
    print(columns([["", "s", "MiB"], *(
        [name, f"{bench.found['plain', name].median:.2f}", f"{bench.found['plain', name].peak:.0f}"] for name in plain
    )]))  # fmt: skip
    warm_time = bench.found["ours", names[0]].median
    print(f"first {names[0]} of these models, with their sha256: {first:.2f} s; then {warm_time:.2f} s")
    for label, command in (
        ("import torch", [sys.executable, "-c", "import torch"]),
        ("mu merge --help", [*MU, "merge", "--help"]),
    ):
        print(f"{label}: {statistics.median(run(command)[0] for _ in range(3)):.2f} s")
    print()


if __name__ == "__main__":
    sys.exit(main())
