"""Speed of search, lint and advice with 10,000 entries and 300 skills.

    python benchmarks/knowledge_scale.py                  # the whole, several minutes
    python benchmarks/knowledge_scale.py --entries 500 --skills 15
    python benchmarks/knowledge_scale.py --make DIR       # only write the workspace, for a look at it

A workspace of that size is written from a fixed seed: entries with text, result rows, links and corrections, skills with
two claims each, resting on rows. Every figure is the wall time of a process of its own, from the start of Python to its
end; of those that are repeated, the median. The cache is a folder of this run. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

BARS = {  # seconds, at full size
    "first index (mu log search)": 60.0,
    "mu log search": 0.4,
    "mu log search, pasted error": 0.4,
    "mu lint --full": 20.0,
    "mu lint, nothing changed": 1.0,
    "mu log search, one entry more": 0.6,
}
REPEATS = 5
ADVISE = ("advise", "--target", "sw-KE", "--json")
TARGETS = (
    "sw-KE",
    "cy-GB",
    "vi-VN",
    "sq-AL",
    "da-DK",
    "gl-ES",
    "fi-FI",
    "tr-TR",
    "th-TH",
    "is-IS",
    "af-ZA",
    "jv-ID",
)
METHODS = ("similarity", "average", "ties", "task_arithmetic", "slerp", "neuromerging", "adamerging")
WORDS = (
    "merge", "source", "target", "language", "accuracy", "noise", "baseline", "weights", "head", "layer",
    "trim", "density", "scale", "vector", "cosine", "entropy", "seed", "sentence", "locale", "encoder",
    "embedding", "gradient", "optimiser", "batch", "curve", "plateau", "variance", "interval", "paired",
    "items", "wins", "losses", "typology", "script", "family", "transfer", "interference", "synergy",
    "estimate", "pilot", "evidence", "claim", "rerun", "corrected", "reproduced",
)  # fmt: skip
ERROR = """Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/torch/nn/modules/module.py", line 1511, in _wrapped_call_impl
    return self._call_impl(*args, **kwargs)
RuntimeError: The size of tensor a (60) must match the size of tensor b (58) at non-singleton dimension 0
"""


def make(root: Path, entries: int, skills: int) -> None:
    """Write the workspace: the same for the same numbers."""
    drawn = random.Random(1)
    (root / "mu.toml").write_text("", encoding="utf-8")
    made: list[str] = []
    for number in range(entries):
        day = date(2024, 1, 1) + timedelta(days=number * 700 // entries)
        name = f"{day}-{'-'.join(drawn.sample(WORDS, 3))}-{number:08x}"
        path = root / "experiment_log" / str(day.year) / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(entry(drawn, day, number, made), encoding="utf-8")
        made.append(name)
    for number in range(skills):
        folder = root / "skills" / f"skill-{number:03d}-{drawn.choice(WORDS)}"
        folder.mkdir(parents=True)
        (folder / "SKILL.md").write_text(skill(drawn, folder.name), encoding="utf-8")
        (folder / "claims.yaml").write_text(claims(drawn, number, made), encoding="utf-8")


def prose(drawn: random.Random, words: int) -> str:
    """Words of the field, and as many others, few of which are alike: no two texts share all of their words."""
    return (
        " ".join(
            drawn.choice(WORDS) if drawn.random() < 0.5 else other(drawn) for _ in range(words)
        ).capitalize()
        + "."
    )


def other(drawn: random.Random) -> str:
    return "".join(drawn.choice("bdfgklmnprstvz") + drawn.choice("aeiou") for _ in range(3))


def entry(drawn: random.Random, day: date, number: int, made: list[str]) -> str:
    more = f'supersedes: "{drawn.choice(made)}"\n' if made and number % 50 == 0 else ""
    more += f'links: "{drawn.choice(made)}"\n' if made and number % 3 == 0 else ""
    rows = "\n".join(
        f"| {drawn.choice(TARGETS)} | ExcTar | {drawn.choice(METHODS)} | REAL | {drawn.choice((3, 5))} "
        f"| {drawn.uniform(0.3, 0.8):.4f} | best_single_source | {drawn.uniform(0.3, 0.8):.4f} |"
        for _ in range(drawn.randint(0, 4))
    )
    head = (
        "| target | mode | method | similarity | k | value | baseline_kind | baseline |\n"
        + "|---" * 8
        + "|\n"
    )
    table = f"## Results\n\n{head}{rows}\n\n" if rows else ""
    return (
        f'---\ntitle: "{prose(drawn, 6)}"\ntype: "{"Retrospective" if rows else "Observation"}"\ndate: "{day}"\n'
        f'summary: "{prose(drawn, 14)}"\ncontext: "massive/xlm-roberta-base"\nmetric: "accuracy"\nn: "2974"\n{more}---\n\n'
        f"## What was tried\n\n{prose(drawn, 60)}\n\n{table}## Findings\n\n{prose(drawn, 80)}\n\n"
        f"## Open questions\n\n- [open] {prose(drawn, 9)}\n"
    )


def skill(drawn: random.Random, name: str) -> str:
    headings = ("General Description", "When to Apply", "Results Summary", "Recommended Practice", "Failure Modes",
                "Configuration", "References")  # fmt: skip
    body = "\n\n".join(f"## {heading}\n\n{prose(drawn, 50)}" for heading in headings)
    return (
        f'---\nname: {name}\ndescription: "{prose(drawn, 15)} Use when {prose(drawn, 6)}"\nlicense: "Apache-2.0"\nmetadata:\n'
        f'  version: "1.0.0"\n  created: "2025-01-20"\n  updated: "2025-01-20"\n  domain: "research"\n  tags: "made"\n'
        f'  short-description: "{prose(drawn, 7)}"\n---\n\n{body}\n'
    )


def claims(drawn: random.Random, number: int, made: list[str]) -> str:
    return "".join(
        f'- id: claim-{number}-{i}\n  text: "{prose(drawn, 12)}"\n  scope:\n    context: massive/xlm-roberta-base\n'
        f"    target: {drawn.choice(TARGETS)}\n    method: {drawn.choice(METHODS)}\n  predicate: beats\n"
        f'  over: best_single_source\n  evidence:\n    - {drawn.choice(made)}\n    - {drawn.choice(made)}\n  since: "2025-06-01"\n'
        for i in range(2)
    )


def seconds(root: Path, cache: Path, *arguments: str, given: str | None = None) -> float:
    """Wall time of one `mu`. Stops the benchmark if it ends with a traceback."""
    # Byte code is kept, as after an installation.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["XDG_CACHE_HOME"] = str(cache)
    start = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", "merginguriel.cli.main", *arguments, "--workspace", str(root)],
        env=environment, capture_output=True, text=True, input=given, check=False,
    )  # fmt: skip
    took = time.perf_counter() - start
    if "Traceback" in ran.stderr:
        sys.exit(ran.stderr)
    return took


def measure(root: Path, entries: int) -> dict[str, float]:
    """What is measured → seconds."""
    time.sleep(2.5)  # so that no file was written just now
    with tempfile.TemporaryDirectory() as place:
        cache = Path(place)
        query = ("log", "search", "gradient", "plateau", "--target", "sw-KE")
        found = {"first index (mu log search)": seconds(root, cache, *query)}
        found["mu log search"] = median(lambda: seconds(root, cache, *query))
        found["mu log search, pasted error"] = median(
            lambda: seconds(root, cache, "log", "search", "-", given=ERROR)
        )
        found["mu search"] = median(lambda: seconds(root, cache, "search", "gradient", "plateau"))
        found["mu lint --full"] = seconds(root, cache, "lint", "--full")
        seconds(root, cache, "lint")
        found["mu lint, nothing changed"] = median(lambda: seconds(root, cache, "lint"))
        path = root / "experiment_log" / "2026" / "2026-01-01-one-more-00ffffff.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(entry(random.Random(2), date(2026, 1, 1), entries, []), encoding="utf-8")
        found["mu log search, one entry more"] = seconds(root, cache, *query)
        found["mu log list, next"] = seconds(root, cache, "log", "list")
        found["mu lint, next"] = seconds(root, cache, "lint")
        found["mu advise, fitting"] = seconds(root, cache, *ADVISE)
        found["mu advise, again"] = median(lambda: seconds(root, cache, *ADVISE))
    return found


def median(measured: object, repeats: int = REPEATS) -> float:
    assert callable(measured)
    return statistics.median(measured() for _ in range(repeats))


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--entries", type=int, default=10_000)
    asked.add_argument("--skills", type=int, default=300)
    asked.add_argument("--make", type=Path, help="only write the workspace, into this new folder")
    asked.add_argument("--json", action="store_true")
    wanted = asked.parse_args()
    if wanted.make:
        wanted.make.mkdir(parents=True)
        make(wanted.make, wanted.entries, wanted.skills)
        return 0
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        make(root, wanted.entries, wanted.skills)
        found = measure(root, wanted.entries)
    missed = [name for name, bar in BARS.items() if found[name] > bar]
    if wanted.json:
        print(json.dumps({"entries": wanted.entries, "skills": wanted.skills, "seconds": found}, indent=2))
        return int(bool(missed))
    print(f"{wanted.entries} entries, {wanted.skills} skills")
    for name, took in found.items():
        bar = f"bar {BARS[name]:g}" if name in BARS else ""
        print(f"{name:32} {took:8.2f} s   {bar}{'  missed' if name in missed else ''}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
