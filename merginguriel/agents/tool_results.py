"""Types of the tools' answers; the output schemas are derived from them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic needs it before Python 3.12


class GainResult(TypedDict):
    """Expected gain over the baseline, pp."""

    mean_pp: float
    ci90_pp: list[float]
    p_positive: float


class Head(TypedDict):
    """The decision."""

    target: str
    mode: str
    context: str
    verdict: Literal["merge", "ensemble", "pilot", "no-merge", "unknown"]
    summary: str
    arm: NotRequired[str]
    gain: NotRequired[GainResult]


class Hits(TypedDict):
    """Documents, best match first."""

    result: list[dict[str, Any]]


class DocumentPage(TypedDict):
    """A document; `rows` or `claims` are a page of `total`."""

    total: NotRequired[int]
    next_offset: NotRequired[int]


class Problems(TypedDict):
    """What is wrong in the workspace."""

    total: int
    items: list[dict[str, Any]]
    next_offset: NotRequired[int]


class Questions(TypedDict):
    """Open questions of the log, newest first."""

    total: int
    items: list[dict[str, Any]]
    next_offset: NotRequired[int]


class Catalogue(TypedDict):
    """All skills, one Markdown line each."""

    skills: str


class PlanCheck(TypedDict):
    """What the knowledge says about a plan."""

    lands: bool
    tried: list[dict[str, Any]]
    waiting: list[str]
    questions: list[dict[str, Any]]
    expected: list[dict[str, Any]]
    advice: list[Head]
    calibration: dict[str, Any]
    next: str


class Landed(TypedDict):
    """The entry, what it took back, how its plan was met, and which advice it changed."""

    id: str
    path: str
    type: str
    rows: int
    takes_back: dict[str, Any]
    scores: NotRequired[list[dict[str, Any]]]
    changed: NotRequired[list[dict[str, Any]]]
    next: dict[str, Any]


class RunResult(TypedDict):
    """A run."""

    run: str
    state: str
    pid: NotRequired[int | None]
