"""Ledger of the advice asked for in a workspace: one line of JSON for each, and its scores once the arm is measured."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import log, sqrt
from typing import Any

from merginguriel.decision.advice import Advice, Question, advise, read
from merginguriel.decision.context_evidence import ContextEvidence
from merginguriel.decision.evidence import JOINT, Observation
from merginguriel.decision.gains import pool
from merginguriel.decision.question import RETRIEVAL
from merginguriel.knowledge.base import Knowledge
from merginguriel.locales import table
from merginguriel.study import capabilities
from merginguriel.text.numbers import interval, pp
from merginguriel.workspace import Workspace

from . import advise_request

NAME = "advice.jsonl"
BUCKETS = (0.0, 0.5, 0.8, 0.95, 1.0)  # of P(gain > 0)
Z90 = 1.6449
CLOSE = 0.001  # probabilities in the log score are at least so far from 0 and 1


@dataclass(frozen=True)
class LedgerEntry:
    """One advice of the ledger.

    Attributes:
        id: Hash of question and knowledge.
        time: When it was asked first, UTC.
        question: What was asked.
        arm: Method, similarity, k, params and sources of the advised arm.
        mean_pp: Expected gain.
    """

    id: str
    time: str
    question: dict[str, Any]
    knowledge: str
    arm: dict[str, Any]
    mean_pp: float
    ci90_pp: tuple[float, float]
    p_positive: float
    verdict: str
    known: tuple[str, ...]


def id_of(question: Question, advice: Advice) -> str:
    """Return the id of an advice: the same for the same question and knowledge."""
    text = json.dumps([_question_dict(question), advice.knowledge_hash], sort_keys=True)
    return "a" + hashlib.sha256(text.encode()).hexdigest()[:9]


def _question_dict(question: Question) -> dict[str, Any]:
    names = (
        "target", "mode", "context", "method", "similarity", "k", "min_gain_pp", "budget", "ensembles", "width",
    )  # fmt: skip
    return {name: getattr(question, name) for name in names}


def answered(knowledge: Knowledge, question: Question, part: ContextEvidence | None = None) -> Advice:
    """Return the advice, and record it in the workspace's ledger; `part` as in `advise`."""
    advice = advise(knowledge, question, part)
    record(knowledge.space, question, advice)
    return advice


def record(space: Workspace, question: Question, advice: Advice) -> None:
    """Append an advice to the ledger, unless it is there, or the workspace cannot be written, or the day was given."""
    if space.shipped or question.as_of is not None or not os.access(space.root, os.W_OK):
        return
    found = LedgerEntry(
        id=id_of(question, advice),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        question=_question_dict(question),
        knowledge=advice.knowledge_hash,
        arm={
            "method": advice.recipe.method, "similarity": advice.recipe.similarity, "k": advice.recipe.k,
            "params": advice.recipe.params, "sources": [source.locale for source in advice.recipe.sources],
        },
        mean_pp=advice.gain.mean_pp,
        ci90_pp=advice.gain.ci90_pp,
        p_positive=advice.gain.p_positive,
        verdict=advice.verdict,
        known=tuple(row.ref for row in advice.rows),
    )  # fmt: skip
    path = space.root / NAME
    # The advice is worth more than its record: a full disk must not withhold it.
    with contextlib.suppress(OSError):
        if path.is_file() and f'"id": "{found.id}"' in path.read_text(encoding="utf-8", errors="replace"):
            return
        line = json.dumps(asdict(found), ensure_ascii=False) + "\n"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, line.encode("utf-8"))  # one write to a file opened to append is not torn
        finally:
            os.close(file)


def entries(space: Workspace) -> list[LedgerEntry]:
    """Return the ledger in the order of time, each advice once; lines that cannot be read are left out."""
    found: dict[str, LedgerEntry] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (space.root / NAME).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError):
                one = LedgerEntry(**json.loads(line))
                found.setdefault(one.id, one)
    return list(found.values())


@dataclass(frozen=True)
class ScoredAdvice:
    """An advice whose arm was measured afterwards.

    Attributes:
        inside90: Whether the gain is inside the 90% interval, widened by the error of the measurement.
        regret_pp: Gain of the best arm measured on the target, or of none, minus that of the decision; None for a
            verdict that decides nothing.
        refs: The rows that measured it.
    """

    entry: LedgerEntry
    gain_pp: float
    se_pp: float
    inside90: bool
    regret_pp: float | None
    refs: tuple[str, ...]

    @property
    def z(self) -> float:
        """Error of the expected gain in standard deviations of its predictive distribution."""
        return (self.gain_pp - self.entry.mean_pp) / sqrt(_sd(self.entry) ** 2 + self.se_pp**2)

    @property
    def z_unscaled(self) -> float:
        """The same, without the width that the intervals had learned by then."""
        sd = _sd(self.entry) / self.entry.question.get("width", 1.0)
        return (self.gain_pp - self.entry.mean_pp) / sqrt(sd**2 + self.se_pp**2)


def _sd(entry: LedgerEntry) -> float:
    low, high = entry.ci90_pp
    return max((high - low) / 2 / Z90, 1e-6)


def scores(knowledge: Knowledge) -> list[ScoredAdvice]:
    """Return every advice of the ledger whose arm was measured after it was given."""
    known: dict[tuple[str, str, str, str | None], list[Observation]] = {}
    found = []
    for entry in entries(knowledge.space):
        what = entry.question
        key = what["target"], what["mode"], what["context"], JOINT if entry.arm["method"] == JOINT else None
        if key not in known:
            question = Question(target=key[0], mode=key[1], context=key[2], method=key[3])
            observations = read(knowledge, question, excluding=False).found
            known[key] = [o for o in observations if (o.arm.target, o.arm.context) == (key[0], key[2])]
        later = [o for o in known[key] if o.kind == "gain" and o.row.ref not in entry.known]
        own = [o for o in later if _measures(o, entry)]
        if own:
            found.append(_score(entry, own, known[key]))
    return found


def _measures(observation: Observation, entry: LedgerEntry) -> bool:
    """Return whether a row measures the advised arm: its params at least, its sources unless a similarity chooses them."""
    arm, wanted = observation.arm, entry.arm
    same = (arm.method, arm.similarity, arm.k) == (wanted["method"], wanted["similarity"], wanted["k"])
    chosen = arm.similarity or not wanted["sources"] or not arm.sources
    sources = bool(chosen) or sorted(wanted["sources"]) == sorted(arm.sources)
    return same and sources and set(wanted["params"].items()) <= set(arm.params)


def _score(entry: LedgerEntry, own: Sequence[Observation], every: Sequence[Observation]) -> ScoredAdvice:
    gain, variance = pool(own)
    width = Z90 * sqrt(_sd(entry) ** 2 + variance)
    best = max(0.0, *(o.gain_pp for o in every))
    paid = {"merge": gain, "ensemble": gain, "no-merge": 0.0}.get(entry.verdict)
    regret, inside = None if paid is None else max(best - paid, 0.0), abs(gain - entry.mean_pp) <= width
    return ScoredAdvice(entry, gain, sqrt(variance), inside, regret, tuple(o.row.ref for o in own))


@dataclass(frozen=True)
class Bucket:
    """Scores of the advice whose P(gain > 0) is in a range.

    Attributes:
        stated: Mean P.
        gained: Share whose arm gained.
        brier: Mean squared error of P.
        log_score: Mean of −ln P(what happened).
    """

    low: float
    high: float
    count: int
    stated: float
    gained: float
    brier: float
    log_score: float


def buckets(found: Sequence[ScoredAdvice]) -> list[Bucket]:
    """Return the buckets that have advice."""
    parts = []
    for low, high in pairwise(BUCKETS):
        if inside := [
            one for one in found if low <= one.entry.p_positive < high or one.entry.p_positive == high == 1
        ]:
            parts.append(bucket(inside, low, high))
    return parts


def bucket(found: Sequence[ScoredAdvice], low: float = 0.0, high: float = 1.0) -> Bucket:
    """Return the scores of some advice, one or more."""
    pairs = [(one.entry.p_positive, one.gain_pp > 0) for one in found]
    n = len(pairs)
    likely = [min(max(p if gained else 1 - p, CLOSE), 1 - CLOSE) for p, gained in pairs]
    stated, gained = sum(p for p, _ in pairs) / n, sum(gained for _, gained in pairs) / n
    brier = sum((p - gained) ** 2 for p, gained in pairs) / n
    return Bucket(low, high, n, stated, gained, brier, -sum(log(p) for p in likely) / n)


def before(knowledge: Knowledge, entry: str) -> Knowledge:
    """Return the knowledge without an entry, named by its id or the beginning of one, and those of later days."""
    named = knowledge.entry(entry)
    earlier = tuple(one for one in knowledge.entries if one.id[:10] <= named.id[:10] and one != named)
    return Knowledge(knowledge.space, knowledge.skills, earlier, f"before {named.id}")


@dataclass(frozen=True)
class Worth:
    """A target, and what a trial of its advised arm is worth.

    Attributes:
        value_pp: Expected value of the trial, pp.
        cost_pp: Its price, pp.
        expected: Its expected gain, with the 90% interval.
        command: The command that tries it.
    """

    target: str
    value_pp: float
    cost_pp: float
    verdict: str
    arm: str
    expected: str
    command: str


def ranked(knowledge: Knowledge, context: str | None = None) -> list[Worth]:
    """Return the targets of the log and of the workspace's models, the most valuable trial first."""
    about = context or str(knowledge.space.settings["context"])
    targets = {row.target for row in knowledge.rows if row.context == about and row.target in table()}
    targets |= capabilities.trained(knowledge.space, about)
    found = []
    for target in sorted(targets):
        question = advise_request.question(knowledge, target, context=about)
        advice = advise(knowledge, question)
        if question.lab and not question.lab.offers_target:
            continue
        gain, command = advice.gain, f"mu pilot --target {target} --context {about}"
        if about.startswith(RETRIEVAL):  # a pilot merges classifiers
            command = next((step.command for step in advice.next if step.command), "")
        found.append(
            Worth(
                target, advice.pilot.value_pp, advice.pilot.cost_pp, advice.verdict, advice.recipe.short,
                f"{pp(gain.mean_pp)} ({interval(*gain.ci90_pp)})", command,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (one.cost_pp - one.value_pp, one.target))
