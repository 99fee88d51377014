"""Pilot of an advice: the advised arm, and those worth a trial beside it, as a run that tries them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from merginguriel import threads
from merginguriel.config import run_config
from merginguriel.config.schema import Config
from merginguriel.decision.advice import QuestionEvidence, arms, read
from merginguriel.decision.advice_types import Advice
from merginguriel.decision.evidence import JOINT
from merginguriel.decision.pilot import ARMS, work
from merginguriel.decision.question import RETRIEVAL, Candidate, Question
from merginguriel.decision.recipe_contrasts import Rival, expected, passes_pp, rivals
from merginguriel.decision.sources import choose_sources
from merginguriel.errors import USER_ERRORS, MuError, UsageError, as_mu_error
from merginguriel.evaluation import ensemble
from merginguriel.knowledge.base import Knowledge, load
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.rows import POLICIES
from merginguriel.runs import resolve, run_store, worker
from merginguriel.runs.kinds import pilot_arms
from merginguriel.runs.planning import RunPlan, plan
from merginguriel.runs.run_store import Run
from merginguriel.study import capabilities
from merginguriel.workspace import Workspace

from . import advise_request, entry_draft, interval_width, ledger

WEAK = "without labels: agreement with the vote of the single models is weak evidence, and proves no gain"


@dataclass(frozen=True)
class PlannedPilot:
    """A pilot before it starts.

    Attributes:
        arms: What is tried, in words, the advised arm first where it can be run.
        pieces: Merges and evaluations at most.
        sees_pp: Gain that the confirmation detects with 80% power, pp.
        notes: What limits the pilot.
    """

    advice: Advice
    config: Config
    arms: tuple[str, ...]
    pieces: int
    sees_pp: float
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON data."""
        return {
            "target": self.advice.target,
            "verdict": self.advice.verdict,
            "advice": self.config.advice,
            "arms": list(self.arms),
            "pieces": self.pieces,
            "sees_pp": self.sees_pp,
            "notes": list(self.notes),
        }


def prepared(
    knowledge: Knowledge, target: str, *, most: int = ARMS, unlabelled: bool = False, **question: Any
) -> tuple[PlannedPilot, RunPlan]:
    """Return the pilot of a target and its work; the advice is recorded in the ledger.

    Args:
        unlabelled: As for `planned`.
        question: Further arguments of `advise_request.question`.

    Raises:
        UsageError: Models were trained with other settings; and as `planned`.
    """
    asked = advise_request.question(knowledge, target, **question)
    one = planned(knowledge, asked, ledger.answered(knowledge, asked), most=most, unlabelled=unlabelled)
    work = plan(knowledge.space, resolve.resolved(one.config, knowledge.space))
    if work.other:
        raise UsageError(f"the models of {', '.join(work.other)} were trained with other settings.")
    return one, work


def launch(
    space: Workspace, planned: Sequence[PlannedPilot], *, logs: bool = False
) -> tuple[list[Run], int | None]:
    """Start pilots in a process of their own, one after the other; with `logs`, write each result into the log.

    Returns:
        The runs, and the pid; None if a single one had finished before.
    """
    runs = [run_store.create(space, one.config) for one in planned]
    if len(runs) == 1 and not logs:
        return runs, worker.launch(space, planned[0].config)[1]
    module = __name__ if logs else worker.__name__
    with (space.runs / ".pilots.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *(str(run.folder.resolve()) for run in runs)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=threads.environment(),
        )  # fmt: skip
    return runs, process.pid


def write(run: Run) -> Entry:
    """Write the result of a finished pilot into the log, unless it is there, and return its entry."""
    entry = entry_draft.logged(run.space, run.id) or entry_draft.add_run(run.space, run.id)
    interval_width.save(run.space, interval_width.learned(ledger.scores(load(run.space))))
    return entry


def main() -> None:
    """Carry out the pilots in the folders given as arguments, one after the other; write each result into the log."""
    failed = []
    for run in (Run(Path(word).name, Path(word)) for word in sys.argv[1:]):
        try:
            code = 0 if run_store.state(run) == "finished" else worker.in_turn([run])
            if run_store.state(run) == "finished":
                print(f"{run.id} is in the log as {write(run).id}")
        except USER_ERRORS as error:
            if (known := as_mu_error(error)) is None:
                raise
            print(f"mu: {run.id}: {known.render()}", file=sys.stderr)
            code = 1
        failed += [run.id] * (code != 0)
    sys.exit(f"mu: not finished or not in the log: {', '.join(failed)}" if failed else 0)


def planned(
    knowledge: Knowledge, question: Question, advice: Advice, *, most: int = ARMS, unlabelled: bool = False
) -> PlannedPilot:
    """Return the pilot of an advice.

    Args:
        question: What was asked; its budget bounds the number of arms.
        unlabelled: Whether the arms, merges only, are compared without labels of the target.

    Raises:
        UsageError: The budget does not allow one arm.
        MuError: No arm can be run with the models of the workspace.
    """
    if question.context.startswith(RETRIEVAL):
        raise UsageError(
            f"mu pilot merges classifiers; {question.context} is a study of training data.",
            hint=_steps(advice),
        )
    known, asked = read(knowledge, question), question
    if question.budget is not None:
        most = min(most, (question.budget - 1) // 2)
    if most < 1:
        raise UsageError(
            f"--budget {question.budget} is too small for a pilot.",
            hint=f"One arm takes {_pieces(1)} pieces of work: a merge and two evaluations.",
        )
    if unlabelled:
        question = replace(question, ensembles=False)  # their members' vote is what arms are compared with
    every = [one for one in _advised_first(arms(known, question), advice) if not one.passed_over]
    found: dict[str, tuple[dict[str, Any], Rival]] = {}
    skipped: list[str] = []
    order = [Rival(i, 0.0, 0.0) for i in range(len(every))]
    while order and len(found) < most:
        rival, *order = order
        table = table_of(known, every[rival.place], question)
        if table is None:
            skipped.append(every[rival.place].arm.label)
        elif found.setdefault(repr(table), (table, rival))[1] is rival and len(found) == 1:
            order = rivals(every, rival.place, known.found, question.min_gain_pp)
    if not found:
        raise nothing_to_run(knowledge.space, question, advice)
    notes = [WEAK] if unlabelled else []
    if skipped and skipped[0] == advice.recipe.label:
        notes.append(f"{skipped[0]} was advised and cannot be run with the models trained here")
    if any(row.n for row in known.here if row.mode == question.mode):
        notes.append(
            f"the log has merges for {question.target}: its test items had a part in the advice, "
            "though not in the choice among these arms"
        )
    least, prior = question.min_gain_pp, expected(every, question.min_gain_pp)
    words = [
        pilot_arms.write(
            table, *prior[one.place], passes_pp(every[one.place].arm, least), one.ahead_pp, one.apart,
            logged=every[one.place].arm.similarity,
        )
        for table, one in found.values()
    ]  # fmt: skip
    task, _, base = question.context.partition("/")
    config = run_config.from_table(
        {
            "kind": "pilot", "task": task, "base": base, "target": question.target, "mode": question.mode,
            "arms": words, "margin_pp": least, "advice": ledger.id_of(asked, advice),
            "unlabelled": unlabelled,
        }
    )  # fmt: skip
    labels = tuple(every[one.place].arm.label for _, one in found.values())
    return PlannedPilot(advice, config, labels, _pieces(len(found)), advice.pilot.sees_pp, tuple(notes))


def _pieces(count: int) -> int:
    """Return the pieces of work of a pilot: each arm once merged and scored, the winner scored again."""
    return work(count, 0).pieces + 1


def _advised_first(candidates: Sequence[Candidate], advice: Advice) -> Iterator[Candidate]:
    first = [one for one in candidates if one.arm.label == advice.recipe.label][:1]
    yield from first
    yield from (one for one in candidates if one not in first)


def table_of(known: QuestionEvidence, candidate: Candidate, question: Question) -> dict[str, Any] | None:
    """Return the keys of the run that makes an arm; None where the models or the method are not here."""
    arm, lab = candidate.arm, question.lab
    if lab is None or not candidate.runnable or arm.method == JOINT:
        return None
    table: dict[str, Any] = {"method": arm.method}
    together = arm.method.startswith(pilot_arms.PREFIX)
    if together and arm.method.removeprefix(pilot_arms.PREFIX) not in ensemble.METHODS:
        return None
    if not together:
        for name, value in arm.params:
            if name in ("include", "exclude"):
                table[name] = value.split(",")
            else:
                table[name if name in POLICIES else f"params.{name}"] = value
        if lab.methods[arm.method].heads != "merge":
            table.setdefault("heads", "merge")
    others = lab.trained - {question.target}
    chosen = choose_sources(known.here, arm, candidate.rows, question)
    names = [source.locale for source in chosen.sources]
    kind = (arm.similarity or "").partition("×")[0]
    if names and not chosen.missing and lab.trained.issuperset(names):
        table["sources"] = names
        if not together and (arm.method == "similarity" or "×" in (arm.similarity or "")):
            table["similarity"] = arm.similarity
    elif kind and 2 <= (arm.k or 2) <= len(others) + (question.mode == "IncTar"):
        table |= {"similarity": kind if together else arm.similarity, "k": arm.k}
    elif not kind and arm.k == len(others) > 1 and question.mode == "ExcTar":
        table["sources"] = sorted(others)
    else:
        return None
    return table


def nothing_to_run(space: Workspace, question: Question, advice: Advice) -> MuError:
    """Return the error for a target whose arms need models that are not here, with the next step of its advice."""
    hint = _steps(advice)
    if not question.measurable:
        task = question.context.partition("/")[0]
        targets = ", ".join(sorted(capabilities.scorable(space, question.context) or ()))
        return MuError(
            f"the task {task} has too few labelled sentences of {question.target}, or none, for a pilot.",
            hint=f"Targets with enough: {targets}.\n{hint}",
        )
    trained = sorted(capabilities.trained(space, question.context) - {question.target})
    return MuError(
        f"no arm for {question.target} can be run with the models of {question.context} trained here: "
        f"{', '.join(trained) or 'none'}.",
        hint=f"First: {hint}",
    )


def _steps(advice: Advice) -> str:
    """Return the next steps of an advice, one a line."""
    return "\n".join(
        f"{step.command}{f'  ({step.remark})' * bool(step.remark)}" for step in advice.next if step.command
    )


if __name__ == "__main__":
    main()
