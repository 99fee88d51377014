"""Retrieval measures, against sentence-transformers and pytrec_eval."""

import json

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")
import torch
from real_folders import TEXT
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from merginguriel.embedding import architecture, retrieval, token_lengths, training
from merginguriel.embedding.architecture import Shape
from merginguriel.embedding.training import Settings
from merginguriel.errors import IncompatibleError, MuError
from merginguriel.tasks.pairs import Example
from merginguriel.tasks.parallel import Retrieval


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    queries, documents = (rng.normal(size=(n, 6)).astype(np.float32) for n in (40, 90))
    relevant = {
        f"q{i}": frozenset(f"d{j}" for j in rng.choice(90, rng.integers(1, 15), replace=False))
        for i in range(40)
    }
    data = Retrieval({f"q{i}": f"q{i}" for i in range(40)}, {f"d{i}": f"d{i}" for i in range(90)}, relevant)
    return data, *(side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, documents))


def test_measures_equal_those_of_sentence_transformers(drawn):
    data, queries, documents = drawn

    class Fixed(torch.nn.Module):
        """Vectors by text, for an evaluator that encodes."""

        similarity_fn_name, model_card_data = "cosine", None

        def encode_query(self, texts, **rest):
            return torch.tensor(np.array([queries[int(text[1:])] for text in texts]))

        def encode_document(self, texts, **rest):
            return torch.tensor(np.array([documents[int(text[1:])] for text in texts]))

        def similarity(self, a, b):
            return a @ b.T

    evaluator = InformationRetrievalEvaluator(
        dict(data.queries), dict(data.documents), {q: set(d) for q, d in data.relevant.items()},
        score_functions={"cosine": lambda a, b: a @ b.T}, write_csv=False,
    )  # fmt: skip
    theirs = evaluator.compute_metrices(Fixed())["cosine"]
    ours = {name: values.mean() for name, values in retrieval.of_vectors(queries, documents, data).items()}
    assert ours["ndcg_at_10"] == pytest.approx(theirs["ndcg@k"][10], abs=1e-6)
    assert ours["recall_at_10"] == pytest.approx(theirs["recall@k"][10], abs=1e-6)
    assert ours["mrr_at_10"] == pytest.approx(theirs["mrr@k"][10], abs=1e-6)


def test_measures_of_each_query_equal_those_of_pytrec_eval(drawn):
    trec = pytest.importorskip("pytrec_eval")
    data, queries, documents = drawn
    scores = queries @ documents.T
    run = {
        q: {d: float(scores[i, j]) for j, d in enumerate(data.documents)} for i, q in enumerate(data.queries)
    }
    qrel = {q: dict.fromkeys(docs, 1) for q, docs in data.relevant.items()}
    theirs = trec.RelevanceEvaluator(qrel, {"ndcg_cut.10", "recall.10", "recip_rank"}).evaluate(run)
    ours = retrieval.of_vectors(queries, documents, data)
    for i, query in enumerate(data.relevant):
        assert ours["ndcg_at_10"][i] == pytest.approx(theirs[query]["ndcg_cut_10"], abs=1e-6)
        assert ours["recall_at_10"][i] == pytest.approx(theirs[query]["recall_10"], abs=1e-6)
        rank = theirs[query]["recip_rank"]
        assert ours["mrr_at_10"][i] == pytest.approx(rank if rank >= 0.1 - 1e-9 else 0, abs=1e-6)


def test_measures_of_a_model_equal_those_of_its_own_evaluator(base):
    data = Retrieval(
        {str(i): text for i, text in enumerate(TEXT)}, {str(i): f"{text} now" for i, text in enumerate(TEXT)},
        {str(i): frozenset([str(i)]) for i in range(len(TEXT))},
    )  # fmt: skip
    model = architecture.load(base)
    evaluator = InformationRetrievalEvaluator(
        dict(data.queries),
        dict(data.documents),
        {q: set(d) for q, d in data.relevant.items()},
        write_csv=False,
    )
    assert retrieval.measured(model, data)["ndcg_at_10"].mean() == pytest.approx(
        evaluator(model)["cosine_ndcg@10"], abs=1e-6
    )


def test_faulty_retrieval_data_are_a_clear_error(base):
    with pytest.raises(IncompatibleError, match="queries have 2 dimensions, documents 3"):
        retrieval.of_vectors(
            np.ones((1, 2)), np.ones((1, 3)), Retrieval({"q": ""}, {"d": ""}, {"q": frozenset("d")})
        )
    with pytest.raises(MuError, match="no queries"):
        retrieval.measured(architecture.load(base), Retrieval({}, {}, {}))
    with pytest.raises(MuError, match="'q2' has no relevant document"):
        retrieval.measured(
            architecture.load(base), Retrieval({"q": "a", "q2": "b"}, {"d": "c"}, {"q": frozenset("d")})
        )


def test_token_lengths_argue_for_another_pooling_where_they_differ_by_two(base):
    tokenizer = architecture.load(base).tokenizer
    rows = token_lengths.count(tokenizer, {"en-US": ["turn the light on"], "xx": ["zzzzzzzzz"]})
    assert [(one.locale, one.mean) for one in rows] == [("en-US", 4.0), ("xx", 9.0)]
    assert "attention pooling" in token_lengths.argues_for(rows) and "no remedy" in token_lengths.argues_for(
        rows[:1] * 2
    )
    assert token_lengths.argues_for(rows[:1]).startswith("One language")


def write_pairs(path):
    rows = [{"query": text, "positive": f"{text} now"} for text in TEXT]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_eval_prints_paired_differences(mu, base, tmp_path):
    found = mu("embed", "eval", base, write_pairs(tmp_path / "test.jsonl"), "--against", base, "--json")
    assert found.code == 0 and [row["metric"] for row in found.json] == [
        "ndcg_at_10",
        "recall_at_10",
        "mrr_at_10",
    ]
    assert found.json[0]["difference_pt"] == 0 and found.json[0]["queries"] == len(TEXT)


@pytest.mark.slow
def test_tokens_of_a_file_that_is_no_text_is_an_error_with_its_path(mu, tmp_path):
    (tmp_path / "en.txt").write_bytes(b"\xc1\x00\xff")
    found = mu("embed", "tokens", f"en-US={tmp_path / 'en.txt'}")
    assert found.code == 1 and "en.txt" in found.err and "Traceback" not in found.err


def test_tokens_prints_a_table_and_writes_a_figure(mu, base, tmp_path):
    (tmp_path / "en.txt").write_text("turn the light on\n")
    found = mu(
        "embed", "tokens", f"en-US={tmp_path / 'en.txt'}", "--base", base, "--figure", tmp_path / "t.png"
    )
    assert found.code == 0 and "en-US   4.0" in found.out and (tmp_path / "t.png").stat().st_size > 1000


def test_train_with_dry_run_prints_parameters_of_each_part_pairs_steps_and_time(mu, base, tmp_path):
    words = ["embed", "train", write_pairs(tmp_path / "p.jsonl"), "--base", base, "--out", tmp_path / "o", "--epochs", 2,
             "--batch-size", 3, "--pooling", "attention", "--head", "linear", "--out-dim", 8, "--freeze", "--dry-run"]  # fmt: skip
    found = mu(*words, "--json").json
    assert found["models"] == [{"model": "training", "pairs": 8, "steps": 6}] and found["seconds"] is None
    assert "8 pairs, 6 steps" in mu(*words).out
    rows = {row["part"]: row["trainable"] for row in found["parameters"]}
    assert rows == {"base": 0, "AttentionPooling": 16, "Dense": 16 * 8 + 8} and not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lora-last", 1], "--lora-last has no effect here"),
        (["--lora-rank", 2, "--freeze"], "leaves nothing for --lora-rank"),
        (["--family", "latin"], "--head family"),
        (["--margin", 0.2], "--loss triplet"),
        (["--hidden", 8], "--head mlp"),
        (["--experts", 8], "--head experts"),
        (["--head-learning-rate", 0.01], "--head linear"),
        (["--mine-ranks", "2-30"], "--mine-ranks has no effect here"),
        (["--mine-highest", 0.5], "--mine 5"),
        (["--freeze"], "nothing to train"),
        (["--epochs", 0], "nothing to train"),
        (["--teacher", "missing", "--loss", "distill"], "no such model folder"),
    ],
)
def test_options_without_effect_are_refused_before_the_training(mu, base, tmp_path, words, message):
    found = mu("embed", "train", write_pairs(tmp_path / "p.jsonl"), "--base", base, "--dry-run", *words)
    assert found.code in (1, 2) and message in found.err and not found.out


def test_pairs_with_one_document_are_refused_before_the_training(mu, base, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"query": "light", "positive": "music"}\n' * 3)
    found = mu("embed", "train", tmp_path / "p.jsonl", "--base", base, "--dry-run")
    assert found.code == 2 and "all pairs have the same document" in found.err


def test_mteb_that_is_missing_is_a_clear_error(mu, base):
    try:
        import mteb  # noqa: F401
    except ImportError:
        found = mu("embed", "eval", base, "--mteb", "STSBenchmark")
        assert found.code == 3 and "pip install mteb" in found.err


@pytest.mark.slow
def test_mteb_scores_a_copy_of_its_data_as_mu_embed_eval_does(mu, base, tmp_path, monkeypatch):
    """Ko-StrategyQA in its hub form, which mteb reads from the working directory."""
    pytest.importorskip("mteb")
    hub = tmp_path / "taeminlee" / "Ko-StrategyQA"
    (hub / "qrels").mkdir(parents=True)
    texts = {"corpus": TEXT, "queries": [text.split()[0] + " " + text.split()[-1] for text in TEXT]}
    for name, lines in texts.items():
        rows = [
            {"_id": f"{name[0]}{i}", **({"title": ""} if name == "corpus" else {}), "text": text}
            for i, text in enumerate(lines)
        ]
        (hub / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    links = [{"query-id": f"q{i}", "corpus-id": f"c{i}", "score": 1.0} for i in range(len(TEXT))]
    (hub / "qrels" / "dev.jsonl").write_text("\n".join(map(json.dumps, links[:-2])))
    (hub / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: dev\n    path: qrels/dev.jsonl\n"
        "- config_name: corpus\n  data_files:\n  - split: corpus\n    path: corpus.jsonl\n"
        "- config_name: queries\n  data_files:\n  - split: queries\n    path: queries.jsonl\n---\n"
    )
    monkeypatch.chdir(tmp_path)
    model = training.train(
        base,
        [Example(a, b) for a, b in zip(TEXT, reversed(TEXT), strict=True)],
        tmp_path / "m",
        Shape(),
        Settings(steps=1, batch=4),
    ).folder
    for folder in (base, model):  # neither has a name of its own in mteb, whose cache must not mix them
        theirs = mu("embed", "eval", folder, "--mteb", "Ko-StrategyQA", "--json")
        assert theirs.code == 0, theirs.err
        ours = mu("embed", "eval", folder, hub, "--json").json
        ndcg = next(row for row in ours if row["metric"] == "ndcg_at_10")
        assert ndcg["queries"] == len(TEXT) - 2
        assert theirs.json[0]["main_score"] == pytest.approx(ndcg["value"], abs=1e-4)


def test_a_text_in_a_script_without_a_head_is_a_clear_error(base):
    model = architecture.build(base, Shape(head="family", families=("latin",)))
    with pytest.raises(IncompatibleError, match="no head for the script of the text 'ᚠᚢᚦ'"):
        retrieval.encoded(model, ["turn the light on"], ["ᚠᚢᚦ"])
