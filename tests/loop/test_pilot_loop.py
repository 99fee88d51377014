"""Advice, pilot, entry, changed advice and score, on models that were trained here."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from lab_fixtures import elsewhere

from merginguriel import workspace
from merginguriel.knowledge.base import load
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.loop import entry_draft, ledger, pilot, run_entry_text
from merginguriel.runs import run_store

CROSS = "retrieval-cross-ko-en/e5-small"


@pytest.mark.slow
@pytest.mark.lab
def test_advice_is_tried_logged_asked_again_and_scored(trained):
    elsewhere(trained)
    where = ("--workspace", trained.space)
    asked = trained.mu("advise", "--target", "sv-SE", "--json", *where)
    assert asked.code == 0, asked
    first = asked.data
    assert first["verdict"] in ("pilot", "ensemble", "merge")
    plan = trained.mu("pilot", "--target", "sv-SE", "--dry-run", "--json", *where)
    assert plan.code == 0, plan
    assert len(plan.data["arms"]) == 2 and plan.data["pieces"] == 5 and plan.data["sees_pp"] > 0
    assert not list((trained.space / "runs").glob("pilot-*"))
    ran = trained.mu("pilot", "--target", "sv-SE", "--log", "--json", *where)
    assert ran.code == 0, ran
    assert "at most 5 pieces of work" in ran.err and ran.data["advice"] == plan.data["advice"]
    shown = trained.mu("log", "show", ran.data["entry"], *where)
    assert f"Advice `{ran.data['advice']}`" in shown.out and f"**{ran.data['outcome']}**" in shown.out
    assert ran.data["entry"] not in trained.mu("lint", *where).out
    again = trained.mu("advise", "--target", "sv-SE", "--json", *where).data
    assert again["knowledge_hash"] != first["knowledge_hash"] and any(
        "ref" in row for row in again["evidence"]
    )
    rows = load(workspace.find(trained.space)).by_entry[ran.data["entry"]].rows
    paired = [row for row in rows if row.wins is not None]
    assert paired and all(row.items for row in paired)  # the parser has compared them with wins and losses
    kept = ledger.entries(workspace.find(trained.space))
    assert kept[0].id == ran.data["advice"] and len(kept) == 2
    scored = trained.mu("advise", "score", "--json", *where).data
    measured = {"similarity": "similarity", "linear": "similarity"}.get(
        ran.data["method"], ran.data["method"]
    )
    assert scored["scored"] == (measured == first["recipe"]["method"])
    since = trained.mu("advise", "--target", "sv-SE", "--since", ran.data["entry"], *where)
    assert since.code == 0 and "expected gain" in since.out


@pytest.mark.slow
@pytest.mark.lab
def test_a_pilot_that_fails_is_named_and_does_not_stop_the_next(trained):
    elsewhere(trained)
    space = workspace.find(explicit=trained.space)
    planned = [pilot.prepared(load(space), target)[0] for target in ("sv-SE", "de-DE")]
    broken, other = (run_store.create(space, one.config) for one in planned)
    (broken.folder / "items.npz").mkdir()  # its result cannot be written
    words = ("pilot", "--target", "sv-SE", "--target", "de-DE", "--log", "--json")
    ran = trained.mu(*words, "--workspace", trained.space)
    assert ran.code == 1 and "failed: sv-SE;" in ran.err
    done, failed = ran.data
    assert done["target"] == "de-DE" and failed["target"] == "sv-SE" and failed["error"]
    assert run_store.state(broken) == "failed" and entry_draft.logged(space, other.id)

    _, pid = pilot.launch(space, planned, logs=True)  # as --detach does
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert f"not in the log: {broken.id}\n" in (space.runs / ".pilots.log").read_text()


@pytest.mark.slow
@pytest.mark.lab
def test_a_budget_bounds_the_arms_and_too_small_a_one_is_refused(trained):
    elsewhere(trained)
    words = ("pilot", "--target", "sv-SE", "--dry-run", "--json", "--workspace", trained.space)
    assert len(trained.mu(*words, "--budget", 3).data["arms"]) == 1
    refused = trained.mu(*words, "--budget", 2)
    assert refused.code == 2 and "takes 3 pieces" in refused.err


@pytest.mark.slow
@pytest.mark.lab
def test_a_pilot_without_labels_ignores_them_and_is_weak_evidence(trained, tmp_path):
    elsewhere(trained)
    where = ("--workspace", trained.space)
    before = trained.mu("advise", "--target", "sv-SE", "--json", *where).data
    ran = trained.mu("pilot", "--target", "sv-SE", "--unlabelled", "--log", "--json", *where)
    assert ran.code == 0 and "weak evidence" in ran.err, ran
    assert ran.data["outcome"] in ("for", "against", "none") and ran.data["saw"] == "unlabelled text"
    shown = trained.mu("log", "show", ran.data["entry"], *where).out
    assert "WEAK EVIDENCE" in shown and "agreement" in shown
    after = trained.mu("advise", "--target", "sv-SE", "--json", "--all", *where).data
    own = [row for row in after["evidence"] if row["kind"] == "agreement"]
    assert own and own[0]["se_pp"] >= 5 and after["verdict"] != "merge"
    assert abs(after["gain"]["mean_pp"] - before["gain"]["mean_pp"]) < 5
    assert "without labels" in trained.mu("advise", "--target", "sv-SE", "--all", *where).out
    assert ran.data["entry"] not in trained.mu("lint", *where).out
    refused = trained.mu("pilot", "--target", "sv-SE", "--unlabelled", "--mode", "IncTar", *where)
    assert refused.code == 2 and "--unlabelled needs --mode ExcTar" in refused.err


def test_without_models_the_error_names_the_command_that_trains_them(bench, mu):
    asked = ("pilot", "--target", "da-DK", "--context", "home/e5-small", "--workspace", bench.root)
    (bench.root / "models" / "home" / "e5-small" / "base").mkdir(parents=True)
    told = mu(*asked)
    assert told.code == 1 and "mu train --locale" in told.err


def test_an_entry_about_a_winning_ensemble_states_its_gain():
    row = ResultRow(
        "home/e5-small", "uk-UA", "ExcTar", "ensemble_soft", "accuracy", 0.82, 200, similarity="REAL", k=2,
        sources=("it-IT", "pl-PL"), baseline_kind="best_single_source", baseline=0.64, wins=47, losses=11,
    )  # fmt: skip
    rows = [row, replace(row, baseline_kind="source_mean", baseline=0.7, wins=None, losses=None)]
    assert "scored 82.00% and the best single source 64.00%: +18.00 pp" in run_entry_text.summary(rows)
    assert "uk-UA ExcTar: ensemble_soft, REAL, it-IT pl-PL" in run_entry_text.sections(rows)[0][1]


def test_a_target_without_sentences_is_answered_with_the_targets_that_have_some(mu, bench):
    ran = mu("pilot", "--target", "ka-GE", "--context", "home/e5-small", "--workspace", bench.root)
    assert ran.code == 1 and "too few labelled sentences of ka-GE" in ran.err
    assert "Targets with enough: af-ZA, " in ran.err and "mu tasks add NAME --data FOLDER" in ran.err


def test_a_named_task_offers_the_locales_of_its_folder(mu, bench, tmp_path):
    data = tmp_path / "topics"
    data.mkdir()
    (data / "sw-KE.csv").write_text(
        "text,label\n" + "".join(f"neno {i},{'ab'[i % 2]}\n" for i in range(40)), encoding="utf-8"
    )
    assert mu("tasks", "add", "topics", "--data", data, "--workspace", bench.root).code == 0
    ran = mu("pilot", "--target", "fr-FR", "--context", "topics/e5-small", "--workspace", bench.root)
    assert "topics has too few labelled sentences of fr-FR" in ran.err and "with enough: sw-KE." in ran.err


def test_a_study_of_training_data_is_sent_to_the_command_that_repeats_it(mu, bench):
    table = "| context | target | mode | method | metric | value | baseline_kind | baseline |\n|---|---|---|---|---|---|---|---|\n"
    for target in ("ko-KR", "en-US"):
        table += f"| {CROSS} | {target} | IncTar | D(koenko) | ndcg_at_10 | 0.80 | target_alone | 0.76 |\n"
    bench.entry(table=table, n=60)
    where = ("--context", CROSS, "--workspace", bench.root)
    ranked = mu("advise", "next", *where, "--json").json
    assert all(one["command"].startswith("mu embed compose --locale ko-KR --locale en-US") for one in ranked)
    other = mu("advise", "--target", "de-DE", *where)
    assert other.code == 2 and "de-DE is in no language of" in other.err
    ran = mu("pilot", "--target", "ko-KR", *where)
    assert ran.code == 2 and "study of training data" in ran.err and ranked[0]["command"] in ran.err
