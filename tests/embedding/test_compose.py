"""Parallel text, and the study of the languages of training data."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import of_other_rules

pytest.importorskip("sentence_transformers")
from real_folders import TEXT
from safetensors.torch import load_file, save_file

from merginguriel import workspace
from merginguriel.config.run_config import from_table
from merginguriel.embedding import compose
from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.log import append
from merginguriel.knowledge.log.draft_text import Draft
from merginguriel.merging.recipe import Recipe, Source
from merginguriel.runs import run_store, worker
from merginguriel.study import composition_rows
from merginguriel.tasks import parallel

NAMES = (
    "base",
    "D(aaa)",
    "D(aab)",
    "D(aba)",
    "D(abb)",
    "D(baa)",
    "D(bab)",
    "D(bba)",
    "D(bbb)",
    "average 0.50",
)


def rows(n=40):
    words = [word for text in TEXT for word in text.split()]
    return [
        {
            "id": str(i),
            "query_sw": f"{words[i % 29]} {words[(i * 7) % 29]}", "positive_sw": f"{words[(i * 7) % 29]} {words[i % 29]} {i}",
            "query_en": f"now {words[i % 29]} {words[(i * 7) % 29]}", "positive_en": f"the {words[(i * 7) % 29]} {words[i % 29]} {i}",
        }
        for i in range(n)
    ]  # fmt: skip


def write(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in table))
    return path


def test_a_file_of_parallel_rows_gives_all_four_directions(tmp_path):
    text = parallel.load(str(write(tmp_path / "p.jsonl", rows())), "sw-KE", "en-US")
    data = text.pair("sw-KE", "en-US")
    assert (
        data.queries["3"] == rows()[3]["query_sw"]
        and data.documents[min(data.relevant["3"])] == rows()[3]["positive_en"]
    )


def test_train_and_test_share_no_document(tmp_path):
    learn, held = parallel.load(str(write(tmp_path / "p.jsonl", rows())), "sw-KE", "en-US").split()
    assert learn.relevant and held.relevant
    assert not set(learn.documents["en-US"]) & set(held.documents["en-US"])


def test_belebele_is_read_as_the_hub_serves_it(tmp_path):
    for code, word in (("kor_Hang", "ko"), ("eng_Latn", "en")):
        write(
            tmp_path / f"{code}.jsonl",
            [
                {"link": f"page{i // 2}", "question_number": 1 + i % 2, "flores_passage": f"{word} passage {i // 2}", "question": f"{word} {i}",
                 "mc_answer1": "x", "mc_answer2": "x", "mc_answer3": "x", "mc_answer4": "x", "correct_answer_num": "1", "dialect": code, "ds": "2023-05-03"}
                for i in range(24)
            ],
        )  # fmt: skip
    text = parallel.load(str(tmp_path), "ko-KR", "en-US")
    assert len(text.relevant) == 24 and len(text.documents["ko-KR"]) == 12
    data = text.pair("ko-KR", "en-US")
    query = next(id for id, words in data.queries.items() if words == "ko 5")
    assert data.documents[min(data.relevant[query])] == "en passage 2"


def test_strategyqa_is_read_as_the_hub_serves_it(tmp_path):
    for locale, word in (("ko-KR", "ko"), ("en-US", "en")):
        write(
            tmp_path / locale / "queries.jsonl", [{"_id": f"q{i}", "text": f"{word} q{i}"} for i in range(20)]
        )
        write(
            tmp_path / locale / "corpus.jsonl",
            [{"_id": f"d{i}", "title": "", "text": f"{word} d{i}"} for i in range(30)],
        )
        links = [{"query-id": f"q{i}", "corpus-id": f"d{i}", "score": 1.0} for i in range(15)]
        write(tmp_path / locale / "qrels" / "dev.jsonl", links)  # the other queries are of the split train
        write(tmp_path / locale / "qrels" / "train.jsonl", [])
    text = parallel.load(str(tmp_path), "en-US", "ko-KR")
    assert text.pair("en-US", "ko-KR").documents["d3"] == "ko d3" and text.relevant["q3"] == {"d3"}
    assert len(parallel.beir(tmp_path / "ko-KR").queries) == 15


@pytest.mark.parametrize(
    ("table", "second", "message"),
    [
        (rows(), "sw-KE", "one language, sw-KE"),
        (rows(), "de-DE", "no query in de-DE"),
        ([], "en-US", "no query is in sw-KE and en-US"),
        ([{**rows()[0], "positive_en": ""}], "en-US", "no positive in en-US"),
    ],
)
def test_empty_or_one_language_data_are_a_clear_error(tmp_path, table, second, message):
    with pytest.raises(MuError, match=message):
        parallel.load(str(write(tmp_path / "p.jsonl", table)), "sw-KE", second)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--method", "regmean", "regmean reads text"),
        ("--method", "nope", "not a merging method"),
        ("--mine-ranks", "5", "A-B"),
        ("--mine-ranks", "50-300", "have no ranks 50 to 300"),
    ],
)
def test_an_option_that_would_fail_after_the_training_is_refused_before(
    mu, base, tmp_path, option, value, message
):
    data = write(tmp_path / "p.jsonl", rows())
    words = ["embed", "compose", "--data", data, "--locale", "sw-KE", "--locale", "en-US", "--base", base, "--dry-run"]  # fmt: skip
    found = mu(*words, option, value)
    assert found.code == 2 and message in found.err
    sizes = mu(*words, "--steps", 3, "--mine-ranks", "1-9", "--json").json
    assert (sizes["models"], sizes["steps"], sizes["merges"], sizes["seconds"]) == (8, 3, 3, None)


def test_too_few_queries_are_a_clear_error(tmp_path):
    with pytest.raises(UsageError, match="too few"):
        parallel.load(str(write(tmp_path / "p.jsonl", rows(8))), "sw-KE", "en-US").split()


def test_a_locale_without_home_assistant_text_is_a_clear_error():
    pytest.importorskip("home_assistant_intents")
    with pytest.raises(UsageError, match="home: no data for en-GB"):
        parallel.load("home", "ko-KR", "en-GB")


def test_home_assistant_text_is_parallel_by_intent_and_slots():
    pytest.importorskip("home_assistant_intents")
    from merginguriel.tasks import home
    from merginguriel.tasks._templates import Draw, slots

    english = home._intents("en-US")
    assert {value["out"] for value in english["lists"]["color"]["values"]} >= {"red", "blue"}
    drawn = Draw("빨강 등", "", "\2color=red\x1f빨강\3 \2name=Zoe\x1fZoe\3")
    assert slots(drawn) == (("color", "red"), ("name", "Zoe"))


def study_with(**values):
    """A study with 200 queries whose NDCG@10 is `values` of a model (default 0.5) plus noise, most of it shared."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.05, size=200)
    scores = {
        name: {
            d: np.repeat(
                (values.get(name, {}).get(d, 0.5) + shared + rng.normal(0, 0.002, 200))[:, None], 3, 1
            )
            for d in ("a-a", "b-b", "a-b", "b-a")
        }
        for name in NAMES
    }
    return compose.CompositionStudy(
        ("a", "b"), scores, (), "D(abb)", "D(aaa)", (9, 9, 200), ("average 0.50",)
    )


def test_effects_are_paired_differences_of_the_named_compositions():
    study = study_with(**{name: {"a-b": 0.6} for name in ("D(aba)", "D(abb)")}, **{"D(bab)": {"b-b": 0.3}})
    found = {one.name: one.found for one in compose.effects(study)}
    match = found["direction match, T(a-b)"]
    assert match.difference == pytest.approx(10, abs=0.1) and match.interval.low > 9.9
    # Of four means, D(aba) and D(bab) on a-a and b-b, one is lower by 20 points.
    assert found["query-negatives match, mono-lingual"].difference == pytest.approx(-5, abs=0.1)


def test_the_pareto_front_has_the_models_that_none_beats_in_both():
    study = study_with(
        **{"D(abb)": {"a-b": 0.9}, "D(aaa)": {"a-a": 0.9}, "average 0.50": {"a-a": 0.8, "a-b": 0.8}}
    )
    assert study.pareto() == {"D(abb)", "D(aaa)", "average 0.50"}


@pytest.mark.slow
def test_advice_chooses_among_compositions_and_merges_by_ndcg(mu, tmp_path):
    study = study_with(**{"average 0.50": {"a-b": 0.6, "b-a": 0.6}, "D(abb)": {"a-b": 0.55}})
    plan = SimpleNamespace(locale_of={"a": "ko-KR", "b": "en-US"}, settings=SimpleNamespace(seed=0))
    assert mu("init", tmp_path / "space").code == 0
    rows = tuple(composition_rows.rows(plan, study, "e5-small", "compose-a-b"))
    draft = Draft(
        "Advice on languages", "Observation", "2026-01-01", "Rows.", code=rows[0].code or "", rows=rows
    )
    append.add(workspace.find(explicit=tmp_path / "space").log, draft)
    of_log = mu("matrix", "retrieval/a-b-e5-small", "--workspace", tmp_path / "space", "--json").json
    assert (of_log["split"], of_log["metric"]) == ("log", "ndcg_at_10")
    for name, values in of_log["ndcg_at_10"].items():
        assert values == pytest.approx({d: study.value(name, [d]) for d in values}, abs=1e-4), name
    words = ["advise", "--target", "ko-KR", "--workspace", tmp_path / "space", "--json", "--context"]
    found = mu(*words, "retrieval-cross-a-b/e5-small").json
    assert (
        found["verdict"] == "pilot" and found["metric"] == "ndcg_at_10"
    )  # no interval was ever checked here
    assert found["mode"] == "IncTar" and found["recipe"]["method"] == "average"
    assert found["baseline"]["model"] == "D(kokoko)" and found["pilot"]["cost"]["trainings"] == 8
    command = "mu embed compose --locale en-US --locale ko-KR --method average --seed 1"
    assert found["next"][0]["command"] == command
    other_base = mu(*words, "retrieval-mono-a-b/xlm-roberta-base").json
    assert (other_base["mode"], other_base["metric"]) == ("IncTar", "ndcg_at_10")
    assert other_base["recipe"]["method"] == "average" or other_base["recipe"]["method"].startswith("D(")
    other_pair = mu(*words, "retrieval-cross-a-c/e5-small")
    assert other_pair.code == 2 and "mu embed compose" in other_pair.err


@pytest.mark.slow
def test_a_small_study_is_a_run_that_is_listed_resumed_and_logged(mu, base, tmp_path):
    data, space = write(tmp_path / "p.jsonl", rows(60)), tmp_path / "space"
    assert mu("init", space).code == 0
    words = ["embed", "compose", "--data", data, "--locale", "sw-KE", "--locale", "en-US", "--base", base, "--steps", 2, "--batch-size", 8,
             "--negatives", 1, "--mine-ranks", "1-15", "--method", "average", "--method", "slerp", "--workspace", space, "--json"]  # fmt: skip
    first = mu(*words, "--report", tmp_path / "pages")
    assert first.code == 0, first.err
    result = first.json
    assert len(result["ndcg_at_10"]) == 9 + 4 and set(result["merged"]) < set(result["ndcg_at_10"])
    assert "query-negatives match" in (tmp_path / "pages" / "report.md").read_text()
    assert (tmp_path / "pages" / "pareto.png").is_file()
    listed = mu("runs", "list", "--kind", "compose", "--workspace", space, "--json").json
    (run,) = listed["runs"] if isinstance(listed, dict) else listed
    assert run["id"] == result["run"].split("/")[-1] and run["state"] == "finished"
    assert "direction match" in mu("runs", "show", run["id"], "--workspace", space).out
    assert mu(*words).json == result  # nothing is trained again
    again = mu(*words, "--learning-rate", 0.01).json
    for one in (result, again):  # of the same languages, base and seed
        matrix = mu("matrix", one["matrix"], "--workspace", space, "--json").json["ndcg_at_10"]
        assert matrix["D(swenen)"] == pytest.approx(one["ndcg_at_10"]["D(swenen)"])
    assert again["matrix"] != result["matrix"]
    pair = mu("runs", "compare", run["id"], again["run"], "--workspace", space, "--json").json
    assert pair[1]["comparison"]["n"] == 4 * result["queries"][2] and pair[0]["metric"] == "ndcg_at_10"
    assert [bar["locale"] for bar in pair[0]["locales"]] == list(result["ndcg_at_10"]["base"])
    other = mu(*words, "--learning-rate", 0.01, "--dry-run")
    assert other.code == 0 and other.json["train"] > 0
    added = mu("log", "add", "--run", run["id"], "--workspace", space, "--json")
    assert added.code == 0, added.err
    entry = (space / added.json["path"]).read_text()
    assert f"Languages of training data for retrieval: sw-en on {base.name}" in entry
    assert "against the paper: inconclusive." in entry and "over D(" in entry
    linted = mu("lint", "--workspace", space, "--json").json
    assert of_other_rules(problem["what"] for problem in linted) == []


@pytest.mark.slow
def test_a_cancelled_study_continues_with_the_models_that_it_has(mu, base, tmp_path):
    data, space = write(tmp_path / "p.jsonl", rows(60)), tmp_path / "space"
    assert mu("init", space).code == 0

    table = {"kind": "compose", "data": str(data), "locales": ["sw-KE", "en-US"], "base": str(base),
             "compose": {"steps": 2, "batch_size": 8, "negatives": 1, "mine_ranks": "1-15"}}  # fmt: skip
    run = run_store.create(workspace.find(explicit=space), from_table(table))

    def stop_at_the_third(done, total, text):
        if "(3 of 8)" in text:
            run_store.request(run, "cancel")

    assert worker.execute(run, stop_at_the_third) == "cancelled"
    models = space / "models" / "embed" / run.id
    trained = {path.parent.name: path.stat().st_mtime_ns for path in models.glob("*/model.safetensors")}
    assert {"swswsw", "swswen"} <= set(trained) and "enenen" not in trained
    assert worker.execute(run) == "finished"
    assert all((models / name / "model.safetensors").stat().st_mtime_ns == at for name, at in trained.items())


def test_a_merge_of_other_models_has_another_name(base, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(base, tmp_path / name)
    sources = tuple(Source(name, tmp_path / name, 0.5) for name in ("one", "two"))
    before = compose.merge_name(Recipe("average", sources))
    assert compose.merge_name(Recipe("average", sources)) == before
    table = load_file(tmp_path / "two" / "model.safetensors")
    save_file(
        {name: tensor + 1 for name, tensor in table.items()},
        tmp_path / "two" / "model.safetensors",
        {"format": "pt"},
    )
    assert compose.merge_name(Recipe("average", sources)) != before
