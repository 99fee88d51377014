"""Rule: a claim uses no strong words and names no size that its rows do not support."""

from __future__ import annotations

import re

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.claim_status import ClaimStanding
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.claims import STRONG_WORDS, Claim

LOSES = re.compile(r"\b(?:costs?|loses?|lost|losing|falls?|fell|worse)\b", re.IGNORECASE)
GAINS = re.compile(
    r"\b(?:gain(?:s|ed)?|beats?|wins?|above|over|better|higher|more|level|reach(?:es|ed)?)\b", re.IGNORECASE
)


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the words, the sign and the size of every claim."""
    problems: list[Problem] = []
    for claim in knowledge.claims:
        now = knowledge.standings[claim.id]
        word = STRONG_WORDS.search(claim.text)
        if word and claim.predicate == "requires" and word[0].lower() in ("every", "none"):
            word = None  # "Every row states its mode" is a requirement and no finding
        if word and now.status in ("under noise", "contested"):
            problems.append(Problem(claim.where, f"says {word[0]!r}, but the claim is {now.status}: {now.reason}.",
                                 "Say what was measured and how sure it is."))  # fmt: skip
        if now.status != "superseded" and claim.predicate == "beats":
            problems += _turned(claim)
        if not shows_claimed_size(claim, now):
            problems.append(
                Problem(
                    claim.where,
                    f"claims {claim.value:g} {claim.unit}, but its rows give {now.mean_pp:+.2f} pp.",
                    "Percentage points are accuracy minus accuracy; name the unit rel_pct for percent of the baseline.",
                )
            )
        if now.status == "refuted":
            problems.append(
                Problem(claim.where, f"is refuted: {now.reason}.", "Supersede it with what the rows say.")
            )
    return problems


def _turned(claim: Claim) -> list[Problem]:
    """Report a claim of a gain whose text states a loss only."""
    word = LOSES.search(claim.text)
    if not word or GAINS.search(claim.text):
        return []
    return [Problem(claim.where, f"says {word[0]!r}, but its predicate is {claim.predicate}: one of them has the wrong sign.",
                    "Let text, value and predicate say the same; a loss is `fails`.")]  # fmt: skip


def shows_claimed_size(claim: Claim, now: ClaimStanding) -> bool:
    """Return whether a claim's rows, pooled, show the size that it names, to half a unit of its last digit.

    A size may be written without its sign, as the predicate says the direction. `accuracy` names a level and not
    a difference, and is not checked; nor is a claim whose rows were not compared.
    """
    if claim.value is None or now.mean_pp is None or claim.unit == "accuracy":
        return True
    measured = abs(now.mean_pp)
    if claim.unit == "rel_pct":
        baselines = [row.baseline for row in now.rows if row.baseline]
        if not baselines:
            return True
        measured /= sum(baselines) / len(baselines)
    return abs(abs(claim.value) - measured) <= 0.06
