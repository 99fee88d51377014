"""Backtest of the advice on the log of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from merginguriel.decision import backtest, claim_rules, study_rules
from merginguriel.decision.backtest import Backtests
from merginguriel.decision.evidence import JOINT, observations
from merginguriel.errors import UsageError
from merginguriel.knowledge.base import load
from merginguriel.knowledge.parse.rows import metric_of
from merginguriel.workspace import Workspace


def run(
    space: Workspace,
    contexts: Sequence[str] = (),
    *,
    without: Sequence[str] = (),
    transfer: Path | None = None,
    replicates: int = backtest.REPLICATES,
    seed: int = 0,
    as_of: str | None = None,
) -> Backtests:
    """Return the backtest of each context, and of the choice of sources where a transfer table is given.

    Args:
        contexts: Contexts; empty: all with measured gains on three targets or more.
        without: Targets to leave out altogether.

    Raises:
        UsageError: A context has too few measured gains, or the table is of another form.
    """
    knowledge = load(space, as_of=as_of)
    vetoes = claim_rules.vetoes(knowledge.claims, knowledge.standings)
    ruinous = [veto for veto in vetoes if claim_rules.names_a_method(veto)]
    known = sorted({row.context for row in knowledge.rows})
    metrics = {context: metric_of(knowledge.rows, context) for context in known}
    found = {}
    for context in known:
        rows = knowledge.of_metric(metrics[context]).rows
        every = observations(rows, "ExcTar", lambda arm: claim_rules.veto_of(arm, ruinous) is not None)
        found[context] = [o for o in every if o.arm.method != JOINT]  # trained for the purpose, not merged
    usable = [c for c in known if len({o.arm.target for o in found[c] if o.arm.context == c}) >= 3]
    missing = [context for context in contexts if context not in usable]
    if missing:
        raise UsageError(
            f"{missing[0]} has measured gains on fewer than three targets.",
            hint=f"Contexts with enough: {', '.join(usable) or 'none'}.",
        )
    done = tuple(
        backtest.run(
            found[context],
            context,
            facts=study_rules.facts(knowledge.rows, context),
            without=without,
            seed=seed,
            replicates=replicates,
        )
        for context in contexts or usable
    )
    scores: tuple[object, ...] = ()
    if transfer is not None:
        from merginguriel.decision import transfer as sources

        scores = tuple(sources.backtest(transfer))
    return Backtests(knowledge.hash, done, scores)
