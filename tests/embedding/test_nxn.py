"""N×N matrices of retrieval: models by pairs of languages, kept in results/ and shown as other matrices."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("sentence_transformers")
from real_folders import TEXT
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from merginguriel.embedding import architecture
from merginguriel.embedding.architecture import Shape
from merginguriel.tasks import parallel

WORDS = [word for text in TEXT for word in text.split()]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Parallel text of three languages, 60 queries."""
    path = tmp_path_factory.mktemp("text") / "rooms.jsonl"
    rows = []
    for i in range(60):
        texts = {
            "sw": f"{WORDS[i % 29]} {WORDS[(i * 7) % 29]} {i % 10}",
            "en": f"now {WORDS[i % 29]} {i % 9}",
            "da": f"{WORDS[(i * 5) % 29]} on",
        }
        sides = {f"query_{name}": text for name, text in texts.items()}
        rows.append({"id": str(i), **sides, **{f"positive_{n}": f"the {t} {i}" for n, t in texts.items()}})
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def models(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, shape in (("mean", Shape()), ("max", Shape(pooling="max"))):
        architecture.save(architecture.build(base, shape), folder / name, "")
    return [folder / "mean", folder / "max"]


LOCALES = ["--locale", "sw-KE", "--locale", "en-US", "--locale", "da-DK"]


@pytest.mark.slow
def test_every_model_is_scored_on_every_pair_as_sentence_transformers_scores_it(mu, data, models, tmp_path):
    space = tmp_path / "space"
    assert mu("init", space).code == 0
    found = mu("embed", "nxn", *models, *LOCALES, "--data", data, "--whole", "--workspace", space, "--json")
    assert found.code == 0, found.err
    result = found.json
    assert result["context"] == "retrieval/rooms-sw-en-da-whole" and result["n"] == 60
    assert set(result["ndcg_at_10"]["mean"]) == {
        f"{a}-{b}" for a in ("sw", "en", "da") for b in ("sw", "en", "da")
    }
    text = parallel.load(str(data), "sw-KE", "en-US", "da-DK").pair("en-US", "da-DK")
    evaluator = InformationRetrievalEvaluator(
        dict(text.queries), dict(text.documents), {q: set(d) for q, d in text.relevant.items()},
        ndcg_at_k=[10], show_progress_bar=False, name="x", write_csv=False,
    )  # fmt: skip
    theirs = next(
        v for k, v in evaluator(architecture.load(models[0])).items() if k.endswith("cosine_ndcg@10")
    )
    assert result["ndcg_at_10"]["mean"]["en-da"] == pytest.approx(
        theirs, abs=0.02
    )  # ties share their ranks here
    shown = mu("matrix", "retrieval/rooms-sw-en-da-whole", "--target", "en-da", "--workspace", space)
    assert shown.code == 0 and "sw-en" in shown.out and "ndcg_at_10 × 100" in shown.out
    one = mu("matrix", "retrieval/rooms-sw-en-da-whole-max", "--workspace", space, "--json").json
    assert one["ndcg_at_10"]["sw-"]["-da"] == result["ndcg_at_10"]["max"]["sw-da"]
    listed = mu("matrix", "--list", "--workspace", space).out
    assert listed.count("retrieval/rooms-sw-en-da-whole") == 3


@pytest.mark.slow
def test_an_unchanged_model_is_not_scored_again_and_others_stay(mu, data, models, tmp_path):
    space = tmp_path / "space"
    assert mu("init", space).code == 0
    words = [*LOCALES, "--data", data, "--workspace", space, "--json"]
    first = mu("embed", "nxn", models[0], *words).json["ndcg_at_10"]["mean"]
    (table,) = space.glob("results/nxn-retrieval-rooms-sw-en-da-test.csv")
    table.write_text(table.read_text().replace(repr(first["sw-sw"]), "0.125", 1))
    both = mu("embed", "nxn", *models, *words).json["ndcg_at_10"]
    assert set(both) == {"mean", "max"} and both["mean"] == {**first, "sw-sw": 0.125}
    other = mu("embed", "nxn", models[0], *words, "--seed", "1").json["ndcg_at_10"]
    assert set(other) == {"mean"} and other["mean"]["sw-sw"] != 0.125


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--locale", "sw-KE"], "one language, sw-KE"),
        ([*LOCALES, "--locale", "de-DE"], "no query in de-DE"),
    ],
)
def test_text_of_too_few_languages_is_a_clear_error(mu, data, models, tmp_path, more, message):
    found = mu("embed", "nxn", models[0], *more, "--data", data, "--workspace", tmp_path)
    assert found.code in (1, 2) and message in found.err and "Traceback" not in found.err
