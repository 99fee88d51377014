"""What can a user do, by which function, which `mu` command, and where in `mu-tui`? tests/tui holds the table to the truth."""

from __future__ import annotations

from typing import NamedTuple

SHELL = "belongs to the shell that mu is called from"
MODELS = "works on models by name, minutes at a time: a run does the same as a process that can be watched"
SCRIPT = "writes a file for other programs, from a script or a shell"


class Action(NamedTuple):
    """One thing that can be done.

    function  `module:name` under merginguriel
    command   as typed, without arguments; empty only with `why`
    screen    of mu-tui: its name, or `name:id` of the binding that does it; empty only with `why`
    why       the reason why one of the two has no need of it
    """

    name: str
    function: str
    command: str
    screen: str
    why: str = ""


ACTIONS = (
    Action("ask for advice", "decision.advice:advise", "mu advise", "advise"),
    Action("ask what if", "experiments.asking:question", "mu advise", "advise:advise.whatif"),
    Action("save an advised recipe", "experiments.proposing:save", "mu advise", "advise:advise.save"),
    Action("run an advised recipe", "experiments.worker:launch", "mu run", "advise:advise.run"),
    Action("read the knowledge again", "knowledge.base:load", "mu advise", "advise:reload"),
    Action("make a workspace", "workspace:seed", "mu init", "", "mu-tui opens on a workspace; --demo makes one"),
    Action("list skills", "knowledge.base:load", "mu skills list", "skills"),
    Action("show a skill and its claims", "knowledge.base:load", "mu skills show", "skills"),
    Action("grade skills", "knowledge.catalogue:catalogue", "mu skills catalogue", "skills"),
    Action("a skill's history", "knowledge.history:history", "mu skills history", "skills:skills.history"),
    Action("what a skill's change means", "knowledge.skilldiff:compare", "mu skills diff", "skills:skills.diff"),
    Action("begin a skill", "knowledge.newskill:new_skill", "mu skills new", "",
           "begins a text that is written in an editor, which the shell opens"),
    Action("install skills", "knowledge.install:install", "mu skills install", "", SHELL),
    Action("check a skill", "knowledge.lint:problems", "mu skills lint", "", "for an editor or a commit hook"),
    Action("check everything", "knowledge.lint:problems", "mu lint", "", "for a commit hook; every screen tells what it could not read"),
    Action("list entries", "knowledge.base:load", "mu log list", "log"),
    Action("show an entry", "knowledge.base:load", "mu log show", "log"),
    Action("write an entry", "knowledge.accept:accept", "mu log add", "log:compose.land"),
    Action("find drafts", "knowledge.drafts:listed", "mu log drafts", "log:log.new"),
    Action("search the log", "knowledge.search:search", "mu log search", "log:log.find"),
    Action("search skills", "knowledge.search:search", "mu skills search", "skills:skills.find"),
    Action("why a claim stands", "knowledge.chain:why", "mu why", "skills:skills.claims"),
    Action("search everything", "knowledge.search:search", "mu search", "", "the skills and log screens search as one types"),
    Action("follow questions", "knowledge.questions:threads", "mu log questions", "", "a list to read; entries show theirs in the log screen"),
    Action("compare plans with outcomes", "knowledge.calibration:plans", "mu log plans", "", "a list to read; entries show theirs in the log screen"),
    Action("calibration of predictions", "knowledge.calibration:scores", "mu log calibration", "", "a page to read; advice shows its own under `checked`"),
    Action("what was tried", "knowledge.tried:tried", "mu log tried", "", "the advice lists every row that was measured here"),
    Action("export entries", "knowledge.timeline:export", "mu log export", "", SCRIPT),
    Action("serve agents", "agents.server:build", "mu mcp", "", SHELL),
    Action("list runs", "experiments.index:listed", "mu runs list", "runs"),
    Action("show a run", "experiments.runs:result", "mu runs show", "runs"),
    Action("follow a run", "experiments.runs:state", "mu runs watch", "runs"),
    Action("read a run's log", "experiments.runs:get", "mu runs logs", "runs"),
    Action("launch a run", "experiments.worker:launch", "mu run", "runs:runs.new"),
    Action("cancel a run", "experiments.runs:request", "mu runs cancel", "runs:runs.cancel"),
    Action("pause a run", "experiments.runs:request", "mu runs pause", "runs:runs.pause"),
    Action("resume a run", "experiments.worker:start", "mu runs resume", "runs:runs.resume"),
    Action("what a configuration comes to", "experiments.config:resolved", "mu config show", "runs"),
    Action("compare runs", "experiments.against:compared", "mu runs compare", "runs:runs.compare"),
    Action("read a comparison", "experiments.against:compared", "mu runs compare", "compare"),
    Action("remove what was given up", "experiments.waste:find", "mu runs gc", "", "removes files for good, which is better typed"),
    Action("ask the index in SQL", "experiments.index:query", "mu runs sql", "", SCRIPT),
    Action("export rows", "experiments.export:export", "mu runs export", "", SCRIPT),
    Action("see an N×N matrix", "experiments.stored:read", "mu matrix", "matrix"),
    Action("order a matrix", "experiments.stored:ordered", "mu matrix", "matrix:matrix.order"),
    Action("whom URIEL, REAL and advice would take", "experiments.stored:chosen", "mu matrix", "matrix"),
    Action("write a matrix as CSV and PNG", "experiments.stored:export", "mu matrix", "matrix:matrix.export"),
    Action("measure an N×N matrix", "evaluation.nxn:nxn", "mu nxn", "", MODELS),
    Action("rank sources", "experiments.stored:ordered", "mu similarity", "matrix:matrix.about"),
    Action("be told of a run's end", "experiments.endings:Watch", "mu runs watch", "runs"),
    Action("quick start", "experiments.quickstart:run", "mu quickstart", "", "one command for the first minutes; its run is in the runs screen"),
    Action("list tasks", "tasks.base:tasks", "mu tasks", "", "the launch form offers them"),
    Action("get a base model", "experiments.study:make_base", "mu base", "", MODELS),
    Action("train", "training.finetune:finetune", "mu train", "", MODELS),
    Action("score a model", "evaluation.nxn:nxn", "mu eval", "", MODELS),
    Action("score an ensemble", "evaluation.ensemble:scored", "mu ensemble score", "", MODELS),
    Action("compare ensembles", "evaluation.ensemble:scored", "mu ensemble compare", "", MODELS),
    Action("score sentence pairs", "evaluation.pairs:proxy", "mu proxy", "", MODELS),
    Action("measure compatibility", "merging.measures:task_vectors", "mu compat", "", MODELS),
    Action("merge", "merging.engine:merge", "mu merge", "", MODELS),
    Action("train and merge in turn", "experiments.iterating:iterate", "mu iterate", "", MODELS),
    Action("carry out a sweep", "experiments.sweep:carry_out", "mu sweep run", "", "many runs from one file; each is in the runs screen"),
    Action("how far a sweep is", "experiments.sweep:standings", "mu sweep status", "", "its runs are in the runs screen"),
    Action("explain methods", "merging.registry:all_methods", "mu methods", "", "a page to read; the what-if list offers them"),
    Action("report", "experiments.report:build", "mu report", "", SCRIPT),
    Action("print a schema", "decision.schema:ADVICE", "mu schema", "", SCRIPT),
    Action("complete words", "cli.main:mu", "mu completion", "", SHELL),
)  # fmt: skip
