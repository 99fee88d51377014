"""Can any text make a parser crash, hang or say something that is not one of our errors?

MU_FUZZ=100000 pytest -q -s tests/knowledge/test_fuzz.py     (25,000 for each of the four parsers; prints the count)
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import HEAD, SKILL, row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.parse.claims import parse_claims
from merginguriel.knowledge.parse.entries import parse_entry
from merginguriel.knowledge.parse.row_parser import read_csv
from merginguriel.knowledge.parse.skills import parse_skill

LONGEST = 2.0  # seconds of the processor for one text; a machine may be busy with something else
EXAMPLES = int(os.environ.get("MU_FUZZ", "1200")) // 4
COUNTED: Counter[tuple[str, str]] = Counter()
# What means something to a parser, to YAML, to a terminal or to a number's reader; random letters seldom do.
PIECES = st.sampled_from(
    ["---", "\n", "\r\n", "\r", "\t", " ", ":", ": ", "- ", "|", "\\|", "|-|", "#", "## ", "## Results\n", "```", "~~~", '"', "'", "\\",
     "&a", "*a", "!!python/object:os.system", "%", "5%", "+3.4 pp", "{", "}", "[", "]", "[open] ", "[closed", "<<", "null", "~", "-", "–",
     "1e999", "nan", "inf", "-0", "0x1f", "1_000", "٣", "9" * 30, "0." + "9" * 40, "sw-KE", "sw_ke", "xx-XX", "ExcTar", "ties", "2026-01-20",
     "2026-02-30", "rows: x.csv sha256:" + "0" * 64, "rows: ../x.csv sha256:" + "0" * 64, "\x00", "\x1b[31m", "\x1b]8;;http://x\x07", "\u202e",
     "\u2028", "\x85", "\ufeff", "\U0001f600", "é", "e\u0301", "k: 5", "over: best_single_source", "predicate: beats", ","]
)  # fmt: skip
RANDOM = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ENTRY_TEXT = (
    '---\ntitle: "T"\ntype: "Retrospective"\ndate: "2026-01-20"\nsummary: "S."\ncontext: "a/b"\nmetric: "accuracy"\nn: "100"\n---\n\n'
    f"## Results\n\n{HEAD}{row()}\n\n## Open questions\n\n- [open] Why?\n"
)
SKILL_TEXT = SKILL.format(name="a-skill")
CLAIMS_TEXT = (
    '- id: a-claim\n  text: "It wins."\n  scope:\n    target: sw-KE\n    k: [3, 5]\n  predicate: beats\n'
    '  over: best_single_source\n  value: 1.5\n  unit: pp\n  evidence:\n    - 2026-01-20-a-00000001#r1\n  since: "2026-01-20"\n'
)
CSV_TEXT = (
    "context,target,mode,method,metric,value,n,baseline_kind,baseline,wins,losses,params,sources,weights\n"
    'a/b,sw-KE,ExcTar,ties,accuracy,0.48,100,best_single_source,0.46,5,3,"density=0.2 scale=1","de-DE fr-FR","0.5 0.5"\n'
)


@st.composite
def damaged(draw, whole: str) -> str:
    """A sound text with some of its pieces replaced, repeated, cut out or swapped; or no sound text at all."""
    text = whole if draw(st.integers(0, 9)) else ""
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 5]))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 3, 10, 60])))
        piece = draw(st.one_of(PIECES, RANDOM, st.lists(PIECES, max_size=6).map("".join)))
        again = draw(st.sampled_from([1, 1, 1, 2, 30, 300]))
        text = text[:start] + piece * again + text[end:]
    return text


def parse(kind: str, text: str) -> None:
    if kind == "skill":
        parse_skill(text, Path("skills/a-skill/SKILL.md"), None)
    elif kind == "claims":
        parse_claims(text, Path("skills/a-skill/claims.yaml"), "a-skill")
    elif kind == "entry":
        parse_entry(text, Path("experiment_log/2026/2026-01-20-a-00000001.md"))
    else:
        read_csv(text, {"metric": "accuracy"}, Path("rows.csv"))


@pytest.fixture(scope="module", autouse=True)
def told():
    yield
    for kind in ("skill", "claims", "entry", "rows"):
        read, refused = COUNTED[kind, "read"], COUNTED[kind, "refused"]
        print(f"\n{kind}: {read + refused:,} texts, {read:,} read, {refused:,} refused", end="")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "whole"),
    [("skill", SKILL_TEXT), ("claims", CLAIMS_TEXT), ("entry", ENTRY_TEXT), ("rows", CSV_TEXT)],
)
def test_any_text_is_read_or_refused_with_its_place(kind, whole):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=EXAMPLES <= 1000,
    )
    @given(damaged(whole))
    def attempt(text: str) -> None:
        begin = time.process_time()
        try:
            parse(kind, text)
            COUNTED[kind, "read"] += 1
        except KnowledgeError as error:
            COUNTED[kind, "refused"] += 1
            assert error.what and error.where, "an error says what is wrong, and where"
        assert time.process_time() - begin < LONGEST, "this text takes too long"

    parse(kind, whole)  # the text that is damaged is sound
    attempt()
    assert COUNTED[kind, "refused"], "nothing was refused: the texts are too tame"
