"""Types of the advice; the JSON Schema of `mu advise --json` is derived from them."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from merginguriel.text.numbers import count

from .arm_types import AdviceBaseline, AdvisedArm, ArmName, BaselineKind, Gain, GainParts, Part

Verdict = Literal["merge", "ensemble", "pilot", "no-merge", "unknown"]
SHORT = 3  # rows of the target in the short form


@dataclass(frozen=True)
class EvidenceRow(Part):
    """A result row on the target."""

    ref: str
    """Result row: <entry id>#r<n>."""
    date: str
    """Date of the log entry, YYYY-MM-DD."""
    context: str
    """Task and base model, like massive/xlm-roberta-base."""
    target: str
    """Locale."""
    arm: ArmName
    """What was measured."""
    value: float | None
    """Accuracy of the merge, a fraction."""
    baseline: float | None
    """Accuracy that it is compared with, a fraction."""
    gain_pp: float
    """Measured gain, pp; for an effect: effect − gap."""
    se_pp: float
    """Standard error of the gain, pp."""
    n: int | None
    """Number of test items."""
    kind: Literal["gain", "effect", "agreement"]
    """gain: over the baseline. effect: inferred from the mean of the sources. agreement: without labels, weaker."""
    paired: bool
    """Whether wins and losses were recorded."""
    saw: str | None
    """The most that the method used of the target: nothing, unlabelled text, labels."""
    p_value: float
    """Two-sided p that the gain is zero."""
    within_noise: bool
    """Whether p is 0.05 or more."""
    contribution_pp: float | None
    """Part of gain.mean_pp, pp; the parts add up to it. Null under dissent."""


@dataclass(frozen=True)
class PriorRows(Part):
    """The rows of other targets that the prior rests on, together."""

    ref: Literal["prior"]
    """`prior`."""
    rows: int
    """Number of rows."""
    targets: int
    """Number of other targets."""
    gain_pp: float
    """Mean of their gains, pp."""
    se_pp: float | None
    """Standard deviation of their gains, pp; null for one row."""
    kind: Literal["prior"]
    """`prior`."""
    contribution_pp: float
    """Part of gain.mean_pp, pp."""
    digest: str
    """Hash of their ids."""

    @property
    def label(self) -> str:
        """`303 rows on 39 other targets`."""
        return f"{count(self.rows, 'row')} on {count(self.targets, 'other target')}"


@dataclass(frozen=True)
class OtherRows(Part):
    """Rows of the target with smaller parts, together."""

    ref: Literal["rest"]
    """`rest`."""
    rows: int
    """Number of rows."""
    contribution_pp: float
    """Part of gain.mean_pp, pp."""
    kind: Literal["rest"]
    """`rest`."""


@dataclass(frozen=True)
class UncountedRow(Part):
    """A result row that the estimate does not use."""

    ref: str
    """Result row: <entry id>#r<n>."""
    date: str
    """Date of the log entry, YYYY-MM-DD."""
    arm: ArmName
    """What was measured."""
    gain_pp: float
    """Measured gain, pp."""
    n: int | None
    """Number of test items."""
    kind: str
    """Why it is not counted: contested, invalidated, superseded."""
    note: str
    """Note of the row."""


@dataclass(frozen=True)
class AppliedClaim(Part):
    """A claim that bears on the question."""

    claim: str
    """Id of the claim."""
    skill: str
    """Skill that it belongs to."""
    predicate: str
    """Kind of the claim: forbids, beats, fails, requires or prefers."""
    text: str
    """Text of the claim."""
    status: str
    """Status against the log: supported, under noise, contested."""
    reason: str
    """Why it has this status."""

    @property
    def standing(self) -> str:
        """Status in words: `supported`, or `under noise: not tested by rows`."""
        # Imported here, for the first frame of mu-tui needs no knowledge.
        from merginguriel.knowledge.claims.claim_status import NOT_TESTED

        return f"{self.status}: {NOT_TESTED}" if self.reason.startswith(NOT_TESTED) else self.status


@dataclass(frozen=True)
class PredictedArm(Gain):
    """Another arm of the same mode, with its predicted gain."""

    arm: ArmName
    """What would be merged."""
    mode: str
    """Mode of the question."""
    measured_here: bool
    """Whether it was measured on this target."""
    runnable: bool
    """Whether this program has the method with these parameters."""
    saw: str | None
    """The most that the method used of the target: nothing, unlabelled text, labels."""
    passed_over: str | None
    """Id of the claim that prefers another arm."""


@dataclass(frozen=True)
class MeasuredArm(Part):
    """An arm of the other mode, as it was measured; method `single` is the target's own model."""

    arm: ArmName
    """What was measured."""
    mode: str
    """The other mode."""
    needs: str
    """What the other mode needs."""
    value: float
    """Accuracy, a fraction."""
    baseline_kind: BaselineKind | None
    """What it is compared with; null for the target's own model, like the three that follow."""
    baseline: float | None
    """Accuracy of the baseline, a fraction."""
    gain_pp: float | None
    """Measured gain, pp."""
    se_pp: float | None
    """Standard error of the gain, pp."""
    n: int | None
    """Number of test items."""
    ref: str
    """Result row: <entry id>#r<n>."""


@dataclass(frozen=True)
class PilotCost(Part):
    """Work that a pilot takes."""

    merges: int
    """Number of merges."""
    evaluations: int
    """Number of evaluations."""
    trainings: int
    """Number of trainings."""

    @property
    def pieces(self) -> int:
        """Total number of pieces of work."""
        return self.merges + self.evaluations + self.trainings


@dataclass(frozen=True)
class Pilot(Part):
    """One trial of the recipe: value, cost, and the gain that it can detect."""

    arms: tuple[ArmName, ...]
    """The recipe, and the average beside it; `mu pilot` adds others that its labels can tell apart. Empty: too few sentences."""
    measure: str
    """What would be measured."""
    n: int
    """Number of test items."""
    value_pp: float
    """Expected gain from deciding after the trial, pp."""
    cost_pp: float
    """Price of the work, pp."""
    sees_pp: float
    """Smallest gain that the trial detects with 80% power, pp."""
    sees_how: str
    """Where the variance behind sees_pp comes from."""
    cost: PilotCost
    """The work."""


@dataclass(frozen=True)
class Calibration(Part):
    """How well the same model predicts targets that it has not seen."""

    how: str
    """How it was checked."""
    targets: int
    """Number of targets left out in turn."""
    predictions: int
    """Number of rows predicted."""
    inside80: float
    """Share of rows inside the 80% interval."""
    inside90: float
    """Share of rows inside the 90% interval."""
    mean_error_pp: float
    """Mean absolute error, pp."""


@dataclass(frozen=True)
class Next(Part):
    """A step that follows from the verdict."""

    command: str | None
    """Command to run; null where there is nothing to run."""
    remark: str
    """What the step is for; empty where the command is enough."""

    @property
    def text(self) -> str:
        """Command and remark on one line."""
        return "   ".join(
            part for part in (self.command, f"({self.remark})" if self.remark else None) if part
        )


@dataclass(frozen=True)
class Advice(Part):
    """Output of `mu advise --json`."""

    target: str
    """The locale to serve."""
    mode: str
    """ExcTar: the target's own model is not among the sources. IncTar: it is."""
    context: str
    """Task and base model, like massive/xlm-roberta-base."""
    metric: str
    """Metric of every value and gain; differences are in hundredths of its unit (pp for shares)."""
    verdict: Verdict
    """What to do."""
    why: str
    """The rule that gave the verdict, with its figures."""
    summary: str
    """The answer in a sentence."""
    recipe: AdvisedArm
    """The recipe that the verdict is about."""
    gain: Gain
    """Expected gain of the recipe over the baseline."""
    parts: GainParts
    """What the expected gain is made of."""
    borderline: bool
    """Whether a slightly different estimate would give another verdict."""
    min_gain_pp: float
    """Smallest gain worth a merge, pp."""
    budget: int | None
    """The most pieces of work that a pilot may take; null: no limit."""
    mde_pp: float | None
    """Smallest gain that a paired test detects with 80% power, pp."""
    baseline: AdviceBaseline
    """The figure to beat."""
    evidence: tuple[EvidenceRow | OtherRows | PriorRows, ...]
    """What the expected gain rests on."""
    dissent: tuple[EvidenceRow | UncountedRow, ...]
    """Rows that point against the verdict, and rows that are not counted."""
    rules: tuple[AppliedClaim, ...]
    """Claims that bear on the question."""
    alternatives: tuple[PredictedArm | MeasuredArm, ...]
    """Other arms."""
    pilot: Pilot
    """A trial of the recipe."""
    calibration: Calibration | None
    """How earlier predictions fared; null with fewer than three targets."""
    width: float
    """Factor of the prior's standard deviation, learned from the scored advice of the workspace; 1: none."""
    would_change: tuple[str, ...]
    """What would change the verdict."""
    unknowns: tuple[str, ...]
    """What is not known."""
    next: tuple[Next, ...]
    """The steps that follow, in order."""
    knowledge_hash: str
    """Hash of the knowledge that was used."""
    as_of: str | None
    """The day whose knowledge was used, YYYY-MM-DD; null: today's."""

    @property
    def rows(self) -> list[EvidenceRow]:
        """Rows of the target that the expected gain rests on, largest part first."""
        return [item for item in self.evidence if isinstance(item, EvidenceRow)]

    @property
    def prior(self) -> PriorRows | None:
        """The rows of other targets, if there are any."""
        return next((item for item in self.evidence if isinstance(item, PriorRows)), None)

    @property
    def uncounted(self) -> list[UncountedRow]:
        """Rows that the estimate does not use."""
        return [item for item in self.dissent if isinstance(item, UncountedRow)]

    def as_dict(self, *, every: bool = True) -> dict[str, Any]:
        """Return the advice as JSON data: dicts, lists, text and numbers.

        Args:
            every: All rows; otherwise those with the largest parts, at most `SHORT` of each list.
        """
        shown = self if every else self._short()
        return {field.name: _json(getattr(shown, field.name)) for field in fields(self)}

    def _short(self) -> Advice:
        """Return the advice with shorter lists; rows of the target that are left out become one item."""
        rows = self.rows
        most, rest = rows[:SHORT], rows[SHORT:]
        left: tuple[OtherRows, ...] = ()
        if rest:
            part = sum(row.contribution_pp or 0.0 for row in rest)
            left = (OtherRows("rest", len(rest), round(part, 3), "rest"),)
        others = tuple(item for item in self.evidence if isinstance(item, PriorRows))
        return replace(
            self,
            evidence=(*most, *left, *others),
            dissent=self.dissent[:1],
            alternatives=self.alternatives[:2],
            rules=self.rules[:2],
        )


def _json(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _json(getattr(value, field.name)) for field in fields(value)}
    return [_json(item) for item in value] if isinstance(value, tuple) else value


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `Advice.as_dict`."""
    from pydantic import TypeAdapter

    derived = TypeAdapter(Advice).json_schema(mode="serialization")
    kinds = derived["$defs"]
    for child, parent in (("AdvisedArm", "ArmName"), ("PredictedArm", "Gain")):
        # pydantic reads the strings below the fields of the class itself only.
        kinds[child]["properties"] |= kinds[parent]["properties"]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "MergingUriel advice"}
    return {**head, **derived, **head}
