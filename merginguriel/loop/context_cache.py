"""Cache of the evidence of one context and mode, so that a new question on a large log does not read the whole log."""

from __future__ import annotations

import pickle
from pathlib import Path

from merginguriel import cache
from merginguriel.decision import context_evidence
from merginguriel.decision.context_evidence import ContextEvidence
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse import parse_cache
from merginguriel.workspace import Workspace

LARGE = 5_000  # rows of a log from which on the evidence is cached
KEPT = 32  # files
ALLOWED = {
    "merginguriel.decision.context_evidence": {"ContextEvidence"},
    "merginguriel.decision.evidence": {"Arm", "Combination", "Gap", "Observation"},
    "merginguriel.decision.gains": {"Cell"},
    "merginguriel.knowledge.claims.claim_status": {"ClaimStanding"},
    "merginguriel.knowledge.parse.claims": {"Claim"},
    "merginguriel.knowledge.parse.rows": {"ResultRow"},
}
Part = tuple[Knowledge, ContextEvidence]


def recall(space: Workspace, key: str) -> Part | None:
    """Return what `remember` stored under a key; None if nothing is stored."""
    stored = parse_cache.loaded(cache.read(_place(key)), ALLOWED)
    if not isinstance(stored, tuple) or len(stored) != 5:
        return None
    digest, rows, claims, standings, part = stored
    knowledge = Knowledge(space, (), (), digest)
    vars(knowledge).update(rows=rows, claims=claims, standings=standings)
    return knowledge, part


def remember(knowledge: Knowledge, context: str, mode: str, key: str) -> Part | None:
    """Compute and store the evidence of a context; None for a small log, and where `of_context` has none."""
    if len(knowledge.rows) < LARGE:
        return None
    found = context_evidence.of_context(knowledge, context, mode)
    if found is not None:
        own, part = found
        stored = own.hash, own.rows, own.claims, own.standings, part
        cache.write(_place(key), pickle.dumps(stored, protocol=5), keep=KEPT)
    return found


def _place(key: str) -> Path:
    return cache.folder("contexts") / f"{key}.pickle"
