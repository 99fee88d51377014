"""Edits that let a claim and the sentences that cite it follow its rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims.evidence_tree import prose
from merginguriel.knowledge.claims.pooling import Pool, differences, pooled
from merginguriel.knowledge.parse.claims import Claim
from merginguriel.knowledge.parse.prose_numbers import BRACKETS, NUMBER, Number
from merginguriel.knowledge.parse.skills import Skill
from merginguriel.knowledge.parse.yaml_lines import read_text


@dataclass(frozen=True)
class Edit:
    """Replace `old` in a file of a skill by `new`, once; append `new` where `old` is empty."""

    file: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        """Return the text after the edit."""
        if self.old:
            return text.replace(self.old, self.new, 1)
        return f"{text.rstrip()}\n\n{self.new}".lstrip()


def text_of(path: Path) -> str:
    """Return the text of a file, "" where there is none."""
    return read_text(path) if path.is_file() else ""


def with_evidence(
    skill: Skill, claim: Claim, refs: Sequence[str], knowledge: Knowledge
) -> tuple[list[Edit], str]:
    """Return the edits that add rows or entries to a claim, and the sentence that has to be edited by hand, if any.

    The value of the claim, and its size and number of targets in its text and in sentences that cite it, are replaced by
    those of all its rows. Where these show the opposite, or a text has such a number twice, it has to be edited by hand.
    """

    def pool(evidence: Sequence[str]) -> Pool | None:
        found = differences(claim, [row for ref in evidence for row in knowledge.evidence_rows(ref)])
        return pooled(found) if found else None

    old, new = pool(claim.evidence), pool((*claim.evidence, *refs))
    block = _block(text_of(skill.path.parent / "claims.yaml"), claim.id)
    if old is None or new is None or old.mean * new.mean <= 0:
        return [], f"{claim.where}: {claim.text}"
    lines = block.splitlines(keepends=True)
    for at, line in enumerate(lines):
        if line.startswith("  value:"):
            lines[at] = f"  value: {new.mean:.2f}\n"
        elif not line.lstrip().startswith(("-", "value", "scope")):
            try:
                lines[at] = restated(line, old, new)
            except AmbiguousError:
                return [], f"{claim.where}: {claim.text}"
    changed = "".join(lines)
    last = re.search(r"  evidence:\n(?:\s+-.*\n?)+", changed)
    if last is None:
        return [], f"{claim.where}: {claim.text}"
    cited = last[0].rstrip("\n") + "".join(f"\n    - {ref}" for ref in refs) + "\n"
    edits = [Edit("claims.yaml", block, changed.replace(last[0], cited, 1))]
    for passage in prose(skill):
        if claim.id in passage.refs:
            try:
                text = _cited(passage.text, claim.id, old, new)
            except AmbiguousError:
                return [], f"{skill.path}: {passage.text}"
            edits += [Edit("SKILL.md", passage.text, text)] if text != passage.text else []
    return edits, ""


class AmbiguousError(ValueError):
    """A text that has the same size or number of targets twice: `args[0]`."""


def restated(text: str, old: Pool, new: Pool) -> str:
    """Return a text whose size and number of targets are those of `new` where they were those of `old`.

    Raises:
        AmbiguousError: If it has one of the two twice, so that the other may be of something else.
    """
    sizes = 0

    def number(match: re.Match[str]) -> str:
        decimals = len(match["digits"].partition(".")[2])
        size = Number(match[0], float(match["digits"].replace(",", "")), decimals, False, "pp")
        if match["unit"] not in ("pp", "percentage point", "percentage points") or not size.is_near(old.mean):
            return match[0]
        nonlocal sizes
        sizes += 1
        return match[0].replace(match["digits"], f"{abs(new.mean):.{decimals}f}", 1)

    sized = NUMBER.sub(number, text)
    changed, targets = re.subn(rf"\b{old.targets}(?= targets?\b)", str(new.targets), sized)
    if max(sizes, targets) > 1 and changed != text:
        raise AmbiguousError(text)
    return changed


def _cited(text: str, claim: str, old: Pool, new: Pool) -> str:
    """Return a passage in which what is before the citation of a claim, and after any other, is restated."""
    parts, at = [], 0
    for match in (*BRACKETS.finditer(text), None):
        end = match.start() if match else len(text)
        ours = match is not None and claim in re.split(r",\s*", match[1])
        parts += [restated(text[at:end], old, new) if ours else text[at:end], match[0] if match else ""]
        at = match.end() if match else end
    return "".join(parts)


def _block(text: str, claim: str) -> str:
    """Return the lines of a claim in claims.yaml."""
    found = re.search(rf"(?m)^- id: [\"']?{re.escape(claim)}[\"']?\s*\n(?:(?!- ).*\n?)*", text)
    return found[0].rstrip("\n") + "\n" if found else ""
