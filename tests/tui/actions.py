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
    Action("ask what if", "loop.advise_request:question", "mu advise", "advise:advise.whatif"),
    Action("save an advised recipe", "loop.advised_run:save", "mu advise", "advise:advise.save"),
    Action("run an advised recipe", "runs.worker:launch", "mu run", "advise:advise.run"),
    Action("score the advice", "loop.advice_backtest:run", "mu backtest", "", "takes most of a minute and ends in a report: " + SHELL),
    Action("try what was advised", "loop.pilot:prepared", "mu pilot", "advise:pilot.go"),
    Action("score earlier advice", "loop.ledger:scores", "mu advise score", "advise:advise.ledger"),
    Action("rank trials", "loop.ledger:ranked", "mu advise next", "home"),
    Action("what an entry changed", "loop.entry_effect:effects", "mu advise", "log:landed.advice"),
    Action("read the knowledge again", "knowledge.base:load", "mu advise", "advise:reload"),
    Action("make a workspace", "workspace:seed", "mu init", "", "mu-tui opens on a workspace; --demo makes one"),
    Action("list skills", "knowledge.base:load", "mu skills list", "skills"),
    Action("show a skill and its claims", "knowledge.base:load", "mu skills show", "skills"),
    Action("grade skills", "knowledge.skills.catalogue:catalogue", "mu skills catalogue", "skills"),
    Action("a skill's history", "knowledge.skills.history:history", "mu skills history", "skills:skills.history"),
    Action("what a skill's change means", "knowledge.skills.diff:compare", "mu skills diff", "skills:skills.diff"),
    Action("begin a skill", "knowledge.skills.scaffold:new_skill", "mu skills new", "",
           "begins a text that is written in an editor, which the shell opens"),
    Action("install skills", "knowledge.skills.install:install", "mu skills install", "", SHELL),
    Action("check a skill", "knowledge.lint.runner:problems", "mu skills lint", "", "for an editor or a commit hook"),
    Action("check everything", "knowledge.lint.runner:cached_problems", "mu lint", "advise:problems"),
    Action("propose changes to skills", "knowledge.skills.proposals:proposals", "mu skills propose", "skills:skills.proposals"),
    Action("accept a proposal", "knowledge.skills.proposals:accept", "", "skills:skills.proposals", "mu skills propose --accept"),
    Action("refresh tables of skills", "knowledge.skills.generated_tables:refresh", "mu skills refresh", "", "rewrites files for review with a version control system"),
    Action("examine skills", "knowledge.skills.evals:check", "mu skills eval", "", "for an editor or a commit hook"),
    Action("list entries", "knowledge.base:load", "mu log list", "log"),
    Action("show an entry", "knowledge.base:load", "mu log show", "log"),
    Action("write an entry", "knowledge.log.acceptance:accept", "mu log add", "log:compose.land"),
    Action("find drafts", "knowledge.log.drafts:listed", "mu log drafts", "log:log.new"),
    Action("search the log", "knowledge.search.query:search", "mu log search", "log:log.find"),
    Action("search skills", "knowledge.search.query:search", "mu skills search", "skills:skills.find"),
    Action("why a claim stands", "knowledge.claims.evidence_tree:why", "mu why", "skills:skills.claims"),
    Action("search everything", "knowledge.search.query:search", "mu search", "", "the skills and log screens search as one types"),
    Action("follow questions", "knowledge.log.question_history:threads", "mu log questions", "", "a list to read; entries show theirs in the log screen"),
    Action("compare plans with outcomes", "knowledge.log.plan_scores:plans", "mu log plans", "", "a list to read; entries show theirs in the log screen"),
    Action("calibration of predictions", "knowledge.log.plan_scores:scores", "mu log calibration", "", "a page to read; advice shows its own under `checked`"),
    Action("what was tried", "knowledge.log.prior_attempts:tried", "mu log tried", "", "the advice lists every row that was measured here"),
    Action("import a log of one file", "knowledge.log.chronicle:read", "mu log import", "", SCRIPT),
    Action("export entries", "knowledge.log.timeline:export", "mu log export", "", SCRIPT),
    Action("serve agents", "agents.server:build", "mu mcp", "", SHELL),
    Action("list runs", "runs.run_index:listed", "mu runs list", "runs"),
    Action("show a run", "runs.run_store:result", "mu runs show", "runs"),
    Action("follow a run", "runs.run_store:state", "mu runs watch", "runs"),
    Action("read a run's log", "runs.run_store:get", "mu runs logs", "runs"),
    Action("launch a run", "runs.worker:launch", "mu run", "runs:runs.new"),
    Action("cancel a run", "runs.worker:steer", "mu runs cancel", "runs:runs.cancel"),
    Action("pause a run", "runs.worker:steer", "mu runs pause", "runs:runs.pause"),
    Action("resume a run", "runs.worker:steer", "mu runs resume", "runs:runs.resume"),
    Action("what a configuration comes to", "runs.resolve:resolved", "mu config show", "runs"),
    Action("compare runs", "report.run_comparison:compared", "mu runs compare", "runs:runs.compare"),
    Action("read the sentences that flip", "report.flipped:flipped", "", "compare:compare.flips", "sentences are read beside the comparison; mu runs export has the items"),
    Action("read a comparison", "report.run_comparison:compared", "mu runs compare", "compare"),
    Action("archive runs", "runs.archive:archive", "", "runs:runs.archive", "hides runs from the list and is undone there; mu runs gc removes"),
    Action("tag runs", "runs.labels:write", "", "runs:runs.tags", "notes of whoever reads the list; mu runs list --find tag:x finds them"),
    Action("remove what was given up", "runs.gc:find", "mu runs gc", "", "removes files for good, which is better typed"),
    Action("ask the index in SQL", "runs.run_index:query", "mu runs sql", "", SCRIPT),
    Action("export rows", "runs.export:export", "mu runs export", "", SCRIPT),
    Action("see an N×N matrix", "study.matrix_store:read", "mu matrix show", "matrix"),
    Action("order a matrix", "study.matrix_store:ordered", "mu matrix show", "matrix:matrix.order"),
    Action("whom URIEL, REAL and advice would take", "loop.matrix_choice:chosen", "mu matrix show", "matrix"),
    Action("write a matrix as CSV and PNG", "study.matrix_store:export", "mu matrix show", "matrix:matrix.export"),
    Action("measure an N×N matrix", "evaluation.nxn:nxn", "mu nxn", "", MODELS),
    Action("rank sources", "study.matrix_store:ordered", "mu similarity", "matrix:matrix.about"),
    Action("be told of a run's end", "runs.run_progress:EndWatch", "mu runs watch", "runs"),
    Action("quick start", "loop.quickstart:run", "mu quickstart", "", "one command for the first minutes; its run is in the runs screen"),
    Action("list tasks", "tasks.registry:tasks", "mu tasks show", "", "the launch form offers them"),
    Action("name data of one's own", "tasks.named:add", "mu tasks add", "", SCRIPT),
    Action("remove such a name", "tasks.named:remove", "mu tasks remove", "", SCRIPT),
    Action("register models", "study.registered:add", "mu models add", "home:import.go"),
    Action("list models", "study.registered:read", "mu models list", "", MODELS),
    Action("show a registered model", "study.registered:read", "mu models show", "", MODELS),
    Action("remove registered models", "study.registered:remove", "mu models remove", "", MODELS),
    Action("import a matrix", "evaluation.wide_matrix:load", "mu matrix import", "", SCRIPT),
    Action("get a base model", "study.study:make_base", "mu base", "", MODELS),
    Action("train", "training.finetune:finetune", "mu train", "", MODELS),
    Action("score a model", "evaluation.nxn:nxn", "mu eval", "", MODELS),
    Action("score an ensemble", "evaluation.ensemble:scored", "mu ensemble score", "", MODELS),
    Action("compare ensembles", "evaluation.ensemble:scored", "mu ensemble compare", "", MODELS),
    Action("train an embedder", "embedding.training:train", "mu embed train", "", MODELS),
    Action("count tokens by language", "embedding.token_lengths:count", "mu embed tokens", "", SCRIPT),
    Action("score retrieval", "embedding.retrieval:measured", "mu embed eval", "", MODELS),
    Action("score every pair of languages", "embedding.nxn:nxn", "mu embed nxn", "", MODELS),
    Action("study languages of training data", "embedding.compose:study", "mu embed compose", "", MODELS),
    Action("score sentence pairs", "evaluation.sentence_pairs:proxy", "mu proxy", "", MODELS),
    Action("measure compatibility", "merging.task_vector_measures:task_vectors", "mu compat", "", MODELS),
    Action("merge", "merging.engine:merge", "mu merge", "", MODELS),
    Action("tune a merge", "runs.worker:carry_out", "mu tune", "", MODELS),
    Action("train and merge in turn", "loop.iterate_targets:carry_out", "mu iterate", "", MODELS),
    Action("carry out a sweep", "runs.sweep:carry_out", "mu sweep run", "", "many runs from one file; each is in the runs screen"),
    Action("how far a sweep is", "runs.sweep:standings", "mu sweep status", "", "its runs are in the runs screen"),
    Action("explain methods", "merging.registry:all_methods", "mu methods", "", "a page to read; the what-if list offers them"),
    Action("report", "report.report:build", "mu report", "", SCRIPT),
    Action("print a schema", "decision.advice_types:schema", "mu schema", "", SCRIPT),
    Action("complete words", "cli.main:mu", "mu completion", "", SHELL),
)  # fmt: skip
