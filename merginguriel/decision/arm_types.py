"""Types of the advice that describe an arm: its name, sources, expected gain and the figure to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from merginguriel.text.numbers import count

BaselineKind = Literal["best_single_source", "target_alone"]


class Part:
    """Settings of the schema: descriptions are the strings below the fields, and no other key is allowed."""

    __pydantic_config__ = {"use_attribute_docstrings": True, "extra": "forbid"}  # noqa: RUF012


@dataclass(frozen=True)
class ArmName(Part):
    """A way to serve the target, without its sources."""

    method: str
    """Merging method, or `single` for one model that is not merged."""
    similarity: str | None
    """How sources are chosen and weighted: URIEL, REAL or a product of one of them; null: equal weights."""
    k: int | None
    """Number of sources."""
    params: dict[str, str]
    """Parameters of the method."""

    @property
    def short(self) -> str:
        """`similarity, REAL, 5 sources`: the label without parameters."""
        return ", ".join(self._parts())

    @property
    def label(self) -> str:
        """`ties, REAL, 5 sources, density=0.2`."""
        return ", ".join([*self._parts(), *(f"{name}={value}" for name, value in self.params.items())])

    def _parts(self) -> list[str]:
        return [
            part for part in (self.method, self.similarity, count(self.k, "source") if self.k else "") if part
        ]


@dataclass(frozen=True)
class ArmSource(Part):
    """A source model."""

    locale: str
    """Locale of the model."""
    weight: float | None
    """Weight in the merge; null where the log does not give it."""
    reason: str
    """Why the source was chosen."""
    ref: str | None
    """Result row that names or ranks it: <entry id>#r<n>."""


@dataclass(frozen=True)
class AdvisedArm(ArmName):
    """The arm that the verdict is about, with its sources."""

    sources: tuple[ArmSource, ...]
    """The sources, where the log can name them."""
    sources_missing: int
    """Number of sources that the log cannot name, or that are predicted and not measured."""
    note: str
    """How the sources were chosen, or what is known of the missing ones."""
    runnable: bool
    """Whether this program has the method with these parameters."""
    vetoed_by: str | None
    """Id of the claim that excludes this recipe."""
    passes: int
    """Forward passes for an input: k for an ensemble, else 1."""


@dataclass(frozen=True)
class Gain(Part):
    """Expected gain of an arm over the baseline."""

    mean_pp: float
    """Expected gain over the baseline, percentage points."""
    ci80_pp: tuple[float, float]
    """80% interval of the gain, pp."""
    ci90_pp: tuple[float, float]
    """90% interval of the gain, pp."""
    p_positive: float
    """P(gain > 0)."""
    p_worth: float
    """P(gain > min_gain_pp)."""


@dataclass(frozen=True)
class GainParts(Part):
    """Parts of gain.mean_pp, pp; they add up to it."""

    prior_pp: float
    """Mean gain of the recipe on other targets, or what is stated where there is none."""
    lead_pp: float
    """Because the best single model leads the mean of the sources by more, or less, than on other targets."""
    relatives_pp: float
    """Because other arms did better, or worse, on this target than they do on others."""
    own_pp: float
    """What the arm's own rows on this target move the estimate by."""
    winner_pp: float
    """Taken off, because the best of several measured arms was partly lucky."""
    rests_on: Literal["context", "method", "contexts", "nothing"]
    """Origin of prior_pp: this recipe in the context, its method, other contexts, or a stated value."""
    targets: int
    """Other targets of the context on which this recipe was measured."""
    before_pp: float
    """Expected gain without the arm's own rows, pp."""
    before_sd_pp: float
    """Its standard deviation, pp."""
    lead_here_pp: float | None
    """Lead of the best single model over the mean of the sources, pp; null: unknown, taken as elsewhere."""


@dataclass(frozen=True)
class AdviceBaseline(Part):
    """The figure to beat."""

    kind: BaselineKind
    """What a merge has to beat."""
    value: float | None
    """Accuracy, a fraction; null if not known."""
    n: int | None
    """Number of test items."""
    model: str | None
    """Locale of the model that has this accuracy, if known."""
    tied: tuple[str, ...]
    """Other models with the same accuracy."""
    how: str
    """How the figure was chosen."""
    ref: str | None
    """Result row: <entry id>#r<n>."""
