"""What is unknown, what would change the verdict, and the steps that follow."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import sqrt

from merginguriel import stats
from merginguriel.knowledge.parse.rows import POLICIES, ResultRow
from merginguriel.similarity import choice
from merginguriel.text.differences import kind_words
from merginguriel.text.numbers import count, pp

from . import claim_rules
from .advice_types import Next
from .arm_types import AdviceBaseline, Gain
from .baseline import ExtraMeasurement
from .estimate import Estimate
from .evidence import JOINT, Arm, Observation, is_ensemble
from .pilot import MERGE_AT
from .question import RETRIEVAL, Candidate, Question
from .sources import SourceSet

HOME = ("home", "e5-small")  # what --task and --base are left out for, in a workspace of this context


def summary(
    verdict: str, best: Candidate, gain: Gain, question: Question, veto: claim_rules.Rule | None
) -> str:
    """Return the answer in a sentence, with the rounded figures of `gain`."""
    label, least, unit = best.arm.label, question.min_gain_pp, question.points
    if veto:
        return f"Do not merge with {label}: {veto.claim.text}"
    mean, p = pp(gain.mean_pp, unit=unit), gain.p_positive
    if verdict in ("merge", "ensemble"):
        do = "Merge" if verdict == "merge" else f"Let {best.arm.passes} models answer together"
        do = "Train one model on all sentences" if best.arm.method == JOINT else do
        return f"{do}: {label}. Expected gain {mean}, P(gain > 0) {p:.2f}."
    if verdict == "no-merge":
        return (
            f"Do not merge: the best recipe known, {label}, is expected at {mean}, "
            f"P(gain > {least:g} {unit}) {gain.p_worth:.2f}."
        )
    if verdict == "pilot":
        return (
            f"Run a pilot of {label}: expected at {mean}, P(gain > 0) {p:.2f}; "
            "the evidence does not decide it."
        )
    if not question.measurable:
        task = question.context.partition("/")[0]
        return f"Unknown: {task} has too few labelled sentences of {question.target}, or none, to measure a merge."
    return f"Unknown: nothing was measured for {question.target}. A pilot would show it."


def unknowns(
    question: Question,
    own: Sequence[Observation],
    found: Sequence[Observation],
    baseline: AdviceBaseline,
    missing: int,
) -> list[str]:
    """Return what the knowledge does not contain about the question."""
    target = question.target
    texts = []
    if not question.measurable:
        task = question.context.partition("/")[0]
        texts.append(
            f"how to measure a merge for {target}: the task {task} has too few sentences of it, or none"
        )
    if not own:
        texts.append(f"no merge for {target} has been measured in {question.context} ({question.mode})")
        if found and all(o.arm.target != target for o in found):
            texts.append(
                f"anything specific to {target}: the gain is the same for every language without rows"
            )
    elif all(o.kind == "effect" for o in own):
        texts.append("the gain over the best source was not recorded, only over the mean of the sources")
    if baseline.value is None:
        texts.append(f"what the {kind_words(baseline.kind)} reaches on {target}")
    if missing:
        texts.append(f"{missing} of the sources: the log has no N×N matrix for {target}")
    if not found:
        texts.append(f"anything about {question.mode} merges: the log has no such row")
    elif question.method is not None and question.method not in {o.arm.method for o in found}:
        texts.append(f"how {question.method} does in {question.mode}: no row counts for it")
    return texts


def would_change(
    candidates: Sequence[Candidate],
    verdict: str,
    trial: ExtraMeasurement,
    question: Question,
    own: Sequence[Observation],
    veto: claim_rules.Rule | None,
    enough: int | None = None,
    *,
    metric: str,
    baseline: AdviceBaseline,
) -> list[str]:
    """Return what would change the verdict. `enough`: smallest budget with which a pilot would be proposed."""
    found, best, least, unit = [], candidates[0], question.min_gain_pp, question.points
    if enough is not None:
        found.append(f"a budget of {count(enough, 'piece')} of work or more: it is enough for a pilot")
    if veto:
        found.append(f"rows that refute {veto.claim.id}, the claim that excludes {best.arm.label}")
    elif not own:
        found.append(
            f"any measured merge for {question.target}: its {metric}, that of the {kind_words(baseline.kind)}, and n"
        )
    elif verdict == "pilot":
        need = needed_again(best.estimate, trial.variance, least)
        found.append(
            f"{pp(need, unit=unit)} or more of {best.arm.method} with other seeds or on development data (n = {trial.n:,}, "
            f"paired): the expected gain is then {least:g} {unit} or more, and P(gain > 0) {MERGE_AT:g} or more"
        )
    elif verdict == "no-merge":
        found.append(f"a merge for {question.target} that gains more than {least:g} {unit}, outside noise")
        others = (c for c in candidates if c.arm.method != question.own_composition)  # the figure to beat
        untried = [c for c in others if not c.rows and not c.passed_over and c.runnable][:1]
        found += [
            f"a trial of what was not tried here: {c.arm.label}, predicted "
            f"{pp(c.estimate.mean_pp, unit=unit)} ± {c.estimate.sd_pp:.1f} from other targets"
            for c in untried
        ]
    else:
        found.append(f"a paired repetition of {best.arm.label} that loses")
    if own and not any(o.row.paired or o.row.se_pp is not None for o in own):
        found.append("per-item results (wins and losses): pairing narrows the interval at no further cost")
    if question.mode == "ExcTar":
        found.append("labelled data of the target language: train its own model, then ask with --mode IncTar")
    return found


def needed_again(estimate: Estimate, trial_variance_pp: float, min_gain_pp: float) -> float:
    """Return the gain in pp that one more measurement must show for the verdict to become `merge`.

    With normal prior and normal sampling, the posterior mean must reach `min_gain_pp`, and P(gain > 0) `MERGE_AT`.
    """
    before, new = 1 / estimate.sd_pp**2, 1 / trial_variance_pp
    after = before + new
    mean = max(min_gain_pp, stats.NORMAL.inv_cdf(MERGE_AT) / sqrt(after))
    return (mean * after - estimate.mean_pp * before) / new


def next_steps(
    verdict: str,
    best: Candidate,
    candidates: Sequence[Candidate],
    chosen: SourceSet,
    baseline: AdviceBaseline,
    question: Question,
    studied: Sequence[ResultRow] = (),
) -> list[Next]:
    """Return the steps that follow from the verdict, in order; each command runs as it is printed.

    studied  rows of the context's task
    """
    target, arm, lab = question.target, best.arm, question.lab
    task, _, base = question.context.partition("/")
    usual = (task, base) == HOME and (lab is None or lab.context == question.context)
    where = "" if usual else f" --task {task} --base {base}"
    if task.startswith(RETRIEVAL):
        if verdict == "no-merge" and baseline.model is not None:
            return [Next(None, f"train on {baseline.model}, the queries' language alone, and do not merge")]
        return [composition_study(arm, question.context, studied)]
    if lab and not lab.offers_target:
        nearest = [
            Next(f"mu advise --target {locale} --context {context}", f"has labelled sentences of {locale}")
            for locale, context in lab.instead
        ]
        own = f"its locales; to measure {target}, add labelled sentences: mu tasks add NAME --data FOLDER"
        return [*nearest, Next(f"mu tasks {task}", own)]
    if verdict == "no-merge":
        if baseline.model is not None:
            models = " or ".join((baseline.model, *baseline.tied))
            return [Next(None, f"use the model of {models} as it is")]
        if chosen.missing and not baseline.ref:
            matrix = f"mu nxn --split dev --locale {target}{where}"
            return [Next(matrix, "the best single source is not known")]
        return [Next(f"mu log list --rows --target {target}", "its rows name the model to use instead")]
    if lab and not lab.knows_task:
        named = f"{task} is not among them; with its data, name it once: mu tasks add NAME --data FOLDER"
        return [Next("mu tasks", named)]
    if arm.method == JOINT:
        left = f" --leave-out {target}" if question.mode == "ExcTar" else ""
        return [Next(f"mu train --joint all{left}{where}", "one model on the sentences of all locales")]
    together = is_ensemble(arm.method)
    if lab and not together and arm.method not in lab.methods:
        other = next((c.arm for c in candidates if c.runnable), None)
        command = "mu methods"
        if other is not None:
            command = f"mu advise --target {target} --context {question.context} --method {other.method}"
        return [Next(command, f"{arm.method} is not in this program")]
    steps = []
    untrained = chosen.untrained
    if question.mode == "IncTar" and lab and target not in {*lab.trained, *untrained}:
        untrained = (target, *untrained)  # a source, and the baseline
    if untrained:
        models = " ".join(f"--locale {source}" for source in untrained)
        remark = "and other locales that may be sources" if chosen.missing else ""
        steps.append(Next(f"mu train {models}{where}", remark))
    here = len({*lab.trained, *untrained} - {target}) if lab else 0
    if lab and not here and chosen.missing:
        return [Next(f"mu train --locale all{where}", "one model per locale; --locale LOCALE for some")]
    if verdict == "pilot" and here >= max(arm.k or 2, 2):
        mode = "" if question.mode == "ExcTar" else f" --mode {question.mode}"
        trial = f"mu pilot --target {target}{mode} --context {question.context}"
        return [*steps, Next(trial, "tries it beside others, on items that choose nothing")]
    if chosen.missing:
        matrix = f"mu nxn --split dev --locale {target}{where}"
        return [*steps, Next(matrix, "an N×N matrix names the sources")]
    if together:
        models = " ".join(f"--source {source.locale}" for source in chosen.sources)
        kind = arm.method.removeprefix("ensemble").strip("_") or "soft"
        score = f"mu ensemble score --target {target} --mode {arm.mode} --method {kind} {models}{where}"
        return [*steps, Next(score, "from the answers that mu nxn keeps")]
    known = lab.methods[arm.method] if lab else None
    sources = " ".join(f"--source {source.locale}" for source in chosen.sources)
    params = "".join(_flag(k, v) for k, v in arm.params if known is None or k in known or k in POLICIES)
    if known is not None and known.heads != "merge" and "heads" not in dict(arm.params):
        params += " --heads merge"  # a row that does not name them is of heads that the method merged
    kind, _, times = (arm.similarity or "").partition("×")
    # `similarity` without more is REAL; the sources are named, so nothing else needs the kind.
    weighs = times or (arm.method == "similarity" and kind not in ("", "REAL"))
    weigh = choice.flags(str(arm.similarity)) if weighs else ""
    merge = f"mu merge --method {arm.method} --target {target}{weigh} {sources}{params}{where}"
    return [*steps, Next(merge, "")]


def composition_study(arm: Arm, context: str, studied: Sequence[ResultRow]) -> Next:
    """Return the command that trains the compositions of two languages with a new seed, and merges by the arm's method."""
    task, _, base = context.partition("/")
    pair = {row.target for row in studied}
    known = sorted(pair, key=lambda locale: (f"{task}-".find(f"-{locale.partition('-')[0]}-"), locale))
    if len(known) != 2:
        return Next("mu embed compose --help", "name two locales")
    method = "" if arm.method.startswith("D(") or arm.method == "linear" else f" --method {arm.method}"
    remark = f"trains {arm.method} among others" if not method else "trains all compositions and merges"
    if base != HOME[1]:
        remark += f", on {HOME[1]}; add --base FOLDER for {base}"
    seeds = [row.seed or 0 for row in studied if row.context == context]
    seed = f" --seed {max(seeds) + 1}" if seeds else ""
    return Next(f"mu embed compose --locale {known[0]} --locale {known[1]}{method}{seed}", remark)


def _flag(key: str, value: str) -> str:
    """Return a parameter as a flag of `mu merge`: policies have their own flags, patterns one each."""
    if key not in POLICIES:
        return f" --param {key}={value}"
    parts = value.split(",") if key in ("include", "exclude") else [value]
    return "".join(f" --{key.replace('_', '-')} {shlex.quote(part)}" for part in parts)
