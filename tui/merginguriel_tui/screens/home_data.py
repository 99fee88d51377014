"""Lines of the home screen: work in progress, loose ends, targets worth a pilot, and the first steps in a new workspace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from merginguriel.errors import MuError
from merginguriel.text.numbers import count, listed, pp
from merginguriel.text.tables import plain

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.study.study import Study
    from merginguriel.workspace import Workspace

GROUPS = (
    "first steps",
    "at work",
    "failed",
    "not in the log",
    "drafts",
    "worth a pilot",
    "open plans and questions",
    "models",
    "problems",
)  # in their order on the screen
MOST = 5  # lines of a group
LOOK_BACK = 200  # finished runs among which those without an entry are looked for
MANY_ROWS = 20_000  # result rows from which ranking all targets takes too long


class Line(NamedTuple):
    """A line of the home screen.

    Attributes:
        group: Heading.
        text: What is to be done.
        do: What its key does: `go` SCREEN WHAT ..., `write` KIND ID, `copy` COMMAND, `train`, `import`, or an action.
        key: Its key; empty: the next free letter.
    """

    group: str
    text: str
    do: tuple[str, ...]
    key: str = ""


def lines(space: Workspace) -> tuple[Knowledge, list[Line]]:
    """Return what is known at once: runs, drafts, plans and questions, models, problems."""
    from merginguriel.knowledge.base import load

    knowledge = load(space)
    found = [*_running(space), *_ended(space, knowledge), *_drafts(space), *_open(knowledge), *_here(space)]
    if knowledge.problems:
        what = count(len(knowledge.problems), "problem")
        found.append(Line("problems", f"{what} in the files of this workspace", ("problems",)))
    return knowledge, found


def _running(space: Workspace) -> Iterator[Line]:
    from merginguriel.runs import run_index
    from merginguriel.runs.run_progress import Watch
    from merginguriel.runs.run_store import Run

    from .runs_data import short

    for state in ("running", "queued", "paused"):
        for row in run_index.listed(space, MOST, state=state, look=state == "running")[0]:
            text = f"{row['id']}  {state}"
            if state == "running" and (whole := Watch(Run(row["id"], space.runs / row["id"])).look().whole):
                text += f" {100 * whole.share:.0f}%"
                text += f", about {short(whole.left)} left" if whole.left is not None else ""
            yield Line("at work", text, ("go", "runs", row["id"]))


def _ended(space: Workspace, knowledge: Knowledge) -> Iterator[Line]:
    """Yield runs that failed, and finished merges without an entry."""
    from merginguriel.runs import run_index, run_store

    from . import answer

    for state in ("failed", "dead"):
        for row in run_index.listed(space, 2, state=state, look=False)[0]:
            why = (row["error"] or row["step"] or "").partition("\n")[0]
            yield Line("failed", f"{row['id']}  {state}: {why}", ("go", "runs", row["id"]))
    logged = {row.run for row in knowledge.rows}
    recent = run_index.listed(space, LOOK_BACK, state="finished", look=False)[0]
    missing = [row["id"] for row in recent if row["n"] and row["id"] not in logged]
    for name in missing[:MOST]:
        try:
            said = answer.sentence(run_store.result(run_store.get(space, name))).partition(", 95%")[0]
        except MuError:  # shown on the page of the run
            yield Line("not in the log", f"{name}  its result cannot be read", ("go", "runs", name))
            continue
        yield Line("not in the log", f"{name}  {said}", ("write", "run", name))
    if len(missing) > MOST:
        yield Line("not in the log", f"{len(missing) - MOST} more runs", ("go", "runs"))


def _drafts(space: Workspace) -> Iterator[Line]:
    from merginguriel.knowledge.log import drafts
    from merginguriel.merging.registry import parameters

    if any(drafts.folder(space.log).glob("[!.]*.md")):
        for one in drafts.listed(space, parameters())[:MOST]:
            text = f"{one.title or one.id}  {one.problem or 'valid: can be added'}"
            yield Line("drafts", text, ("write", "draft", one.id))


def _open(knowledge: Knowledge) -> Iterator[Line]:
    from merginguriel.knowledge.log.question_history import threads, unfinished

    waiting = unfinished(knowledge, date.today().isoformat())
    asked = {one.opened_by: one.text for one in reversed(threads(knowledge.entries)) if one.state != "closed"}
    for name in sorted(waiting, reverse=True)[:MOST]:
        what = asked.get(name) or f"plan: {knowledge.by_entry[name].title}"
        yield Line("open plans and questions", f"{name[:10]}  {' '.join(what.split())}", ("go", "log", name))
    if len(waiting) > MOST:
        yield Line("open plans and questions", f"{len(waiting) - MOST} more entries", ("go", "log", "open"))


def _here(space: Workspace) -> Iterator[Line]:
    """Yield the models and matrices of the workspace, or the ways to the first ones."""
    from merginguriel.study import capabilities

    found = False
    for context in capabilities.contexts(space):
        trained = sorted(capabilities.trained(space, context))
        splits = [
            s for s in ("test", "dev") if space.matrix(context, "" if s == "test" else "-dev").is_file()
        ]
        if not trained and not splits:
            continue
        found = found or bool(trained)
        text = f"{context}  {count(len(trained), 'model')}: {listed(trained, 6)}" if trained else context
        text += f"; N×N matrix on {' and '.join(splits)}" if splits else ""
        place = ("matrix", context, splits[0]) if splits else ("advise", trained[0], context)
        yield Line("models", text, ("go", *place))
    if found:
        yield Line("models", "import models of yours from their folders", ("import",), "i")
        return
    if space.shipped:
        yield Line(
            "first steps",
            "this is the shipped knowledge, read-only; make a workspace: mu init",
            ("copy", "mu init"),
        )
        return
    from merginguriel.decision.question import RETRIEVAL

    if str(space.settings["context"]).startswith(RETRIEVAL):
        text = "no embedders yet: study their training data (kind compose)"
        yield Line("first steps", text, ("go", "runs"), "t")
        yield Line("first steps", "ask what is known without models", ("go", "advise"), "a")
        return
    from merginguriel.study.study import Study, of_context

    several = len(to_train(Study(space, *of_context(space))))
    text = f"no models yet: train {count(several, 'model')}, {minutes(several)}; then run merges and pilots"
    yield Line("first steps", text, ("train",), "t")
    yield Line("first steps", "import models of yours from their folders", ("import",), "i")
    yield Line("first steps", "ask what is known without models", ("go", "advise"), "a")


def worth(space: Workspace, knowledge: Knowledge, known: object) -> tuple[list[list[str]] | None, list[Line]]:
    """Return the targets where a pilot is worth most, as [context, target, text] to remember and as lines; None: not ranked.

    The context is that of mu.toml, or the one with most models where it has fewer than two.

    Args:
        space: The workspace.
        knowledge: What the ranking rests on.
        known: The remembered ranking of the same knowledge, from a file; None to rank, which takes seconds.
    """
    from merginguriel.loop import ledger
    from merginguriel.study import capabilities

    usual = str(space.settings["context"])
    models = {one: len(capabilities.trained(space, one)) for one in (usual, *capabilities.contexts(space))}
    context = usual if models[usual] > 1 else max(models, key=lambda one: models[one])
    if space.shipped or models[context] < 2:
        return None, []
    command = "mu advise next" + (f" --context {context}" if context != usual else "")
    if isinstance(known, list) and all(
        isinstance(one, list) and len(one) == 3 and one[0] == context for one in known
    ):
        ranked = [[str(part) for part in one] for one in known]
    elif len(knowledge.rows) > MANY_ROWS:
        return None, [Line("worth a pilot", f"too many rows to rank here: {command}", ("copy", command))]
    else:
        found = [one for one in ledger.ranked(knowledge, context) if one.value_pp > one.cost_pp][:MOST]
        ranked = []
        for one in found:
            text = f"{one.target}  worth {pp(one.value_pp, 2)}, {one.verdict}: {one.arm}  {one.expected}"
            ranked.append([context, one.target, text])
    lines = [Line("worth a pilot", text, ("go", "advise", target, about)) for about, target, text in ranked]
    none = f"no pilot is worth its cost now; all targets: {command}"
    return ranked, lines or [Line("worth a pilot", none, ("copy", command))]


def to_train(study: Study) -> list[str]:
    """Return the locales of the first models: those of `mu quickstart`, as far as the task has them, and others of it."""
    from merginguriel.loop.quickstart import SOURCES, TARGET

    usual = [*SOURCES, TARGET]
    try:
        offered = study.offered()
    except MuError:  # reported when the training is planned
        return usual
    return sorted(offered, key=lambda one: one not in usual)[: len(usual)]


def training(study: Study) -> tuple[str, Any]:
    """Return the plan of the training of the first models, in words and as a configuration.

    Raises:
        UnavailableError: This installation cannot train, or data or base are on a hub that does not answer.
    """
    from importlib.util import find_spec

    from merginguriel.config import run_config
    from merginguriel.errors import UnavailableError
    from merginguriel.models.base_models import available
    from merginguriel.runs import planning, resolve
    from merginguriel.text.runs import plan_lines
    from merginguriel.workspace import writable

    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"training needs {' and '.join(missing)}.", hint="pip install 'merginguriel[lab]'"
        )
    locales = to_train(study)
    table = {"kind": "train", "locales": locales, "task": study.task, "base": study.base}
    config = resolve.resolved(run_config.from_table(table), writable(study.space))
    for locale in locales:
        study.data(locale)  # without sentences or a base, the run would fail after minutes
    if not (study.root / "pretrained" / "config.json").is_file():
        available(study.base)
    plan = planning.plan(study.space, config)
    usual = f"\n\nOf e5-small, {minutes(len(locales))} on two cores." if plan.seconds is None else ""
    return plain("\n".join(plan_lines(plan, "new"))) + usual, config


def minutes(models: int) -> str:
    """Return how long the training of these models took elsewhere: `about 4 min`."""
    from merginguriel.loop.quickstart_time import SECONDS

    return f"about {round((SECONDS['base'] + models * SECONDS['train']) / 60 + 0.5)} min"
