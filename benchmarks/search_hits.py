"""Share of questions that the search of the shipped knowledge answers first, and in its first three hits.

    python benchmarks/search_hits.py             # lexical search
    python benchmarks/search_hits.py --rerank    # with e5-small
    python benchmarks/search_hits.py --misses    # and the questions of the tuning half that fail

The questions are in tests/fixtures/search_questions.yaml. Those of the test half are never listed: they measure only.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import yaml

from merginguriel.knowledge.search.query import search
from merginguriel.workspace import find

ROOT = Path(__file__).resolve().parents[1]
QUESTIONS = ROOT / "tests" / "fixtures" / "search_questions.yaml"


@dataclass(frozen=True)
class Asked:
    """A question and the hits of the search, best first."""

    question: str
    language: str
    half: str
    answers: tuple[str, ...]
    hits: tuple[str, ...]

    def within(self, first: int) -> bool:
        """Return whether one of the first hits is an answer."""
        return any(name in self.answers for name in self.hits[:first])


def asked(root: Path, *, rerank: bool, half: str = "", language: str = "") -> list[Asked]:
    """Search for each question, or those of one half or language, in the workspace `root`."""
    space = find(explicit=root)
    result = []
    for item in yaml.safe_load(QUESTIONS.read_text(encoding="utf-8")):
        if half not in ("", item["half"]) or language not in ("", item["language"]):
            continue
        hits = search(space, item["question"], limit=3, **({"rerank": True} if rerank else {}))
        names = tuple(hit.name for hit in hits)
        result.append(Asked(item["question"], item["language"], item["half"], tuple(item["answers"]), names))
    return result


def rates(found: list[Asked]) -> tuple[float, float]:
    """Return hit@1 and hit@3."""
    return tuple(sum(one.within(first) for one in found) / len(found) for first in (1, 3))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rerank", action="store_true")
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--workspace", type=Path, default=ROOT)
    given = parser.parse_args()
    found = asked(given.workspace, rerank=given.rerank)
    print(f"{'half':6} {'language':9} {'n':>3} {'hit@1':>7} {'hit@3':>7}")
    for half in ("tune", "test"):
        for language in ("all", "en", "de", "es"):
            some = [one for one in found if one.half == half and language in ("all", one.language)]
            first, third = rates(some)
            print(f"{half:6} {language:9} {len(some):3} {first:7.1%} {third:7.1%}")
    for one in found if given.misses else ():
        if one.half == "tune" and not one.within(1):
            print(f"\n{'3' if one.within(3) else '-'} {one.question}\n   wanted {', '.join(one.answers)}")
            print("\n".join(f"   got    {name}" for name in one.hits))


if __name__ == "__main__":
    main()
