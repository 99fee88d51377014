"""Does MASSIVE with XLM-RoBERTa run from training to a merge that is compared, without a network?

The model is small and random, but it is XLM-R: built from its config, saved as the masked language model that the hub
holds, with a SentencePiece model in XLM-R's own file. The data are real sentences in MASSIVE's schema.
"""

from __future__ import annotations

import csv
import gzip
import json
import shutil

import pytest
import yaml

from merginguriel.cli.main import run
from merginguriel.models.classifier import load, load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.lab]
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")

INTENTS = {"HassTurnOn": "iot_wemo_on", "HassTurnOff": "iot_wemo_off", "HassGetWeather": "weather_query",
           "HassLightSet": "iot_hue_lightchange"}  # fmt: skip
FAST = ("--epochs", "6", "--learning-rate", "2e-3", "--head-learning-rate", "5e-3", "--batch-size", "8",
        "--no-bf16")  # fmt: skip


@pytest.fixture(scope="module")
def rows(sentences):
    """locale → rows in MASSIVE's schema; the ids count on through its partitions."""
    found = {}
    for path in sorted(sentences.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found[path.stem] = [
                {
                    "id": str(i),
                    "locale": path.stem,
                    "partition": row["split"],
                    "scenario": INTENTS[row["label"]].partition("_")[0],
                    "intent": INTENTS[row["label"]],
                    "utt": row["text"],
                    "annot_utt": row["text"],
                    "worker_id": "8",
                    "slot_method": [],
                    "judgments": [
                        {"worker_id": "32", "intent_score": 1, "language_identification": "target"}
                    ],
                }
                for i, row in enumerate(csv.DictReader(file))
            ]
    return found


@pytest.fixture(scope="module")
def archive(rows, tmp_path_factory):
    """MASSIVE's own archive: a file per locale."""
    folder = tmp_path_factory.mktemp("massive") / "data"
    folder.mkdir()
    for locale, found in rows.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (folder / f"{locale}.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def mteb(rows, tmp_path_factory):
    """mteb/amazon_massive_intent: a packed file per split and language."""
    folder = tmp_path_factory.mktemp("mteb")
    for locale, found in rows.items():
        for split, partition in (("train", "train"), ("validation", "dev"), ("test", "test")):
            (folder / split).mkdir(exist_ok=True)
            kept = [
                {
                    "id": r["id"],
                    "label": r["intent"],
                    "label_text": r["intent"],
                    "text": r["utt"],
                    "lang": locale[:2],
                }
                for r in found
                if r["partition"] == partition
            ]
            packed = gzip.compress("".join(json.dumps(row) + "\n" for row in kept).encode())
            (folder / split / f"{locale[:2]}.json.gz").write_bytes(packed)
    return folder


@pytest.fixture(scope="module")
def xlmr(rows, tmp_path_factory):
    """`xlm-roberta-base` as the hub holds it, but for its size and its weights."""
    folder = tmp_path_factory.mktemp("hub") / "xlm-roberta-base"
    folder.mkdir()
    texts = folder.parent / "texts"
    texts.write_text("\n".join(row["utt"] for found in rows.values() for row in found), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts), model_prefix=str(folder / "sentencepiece.bpe"), vocab_size=300, model_type="unigram",
        character_coverage=1.0, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, num_threads=1, minloglevel=2,
    )  # fmt: skip
    (folder / "sentencepiece.bpe.vocab").unlink()
    settings = {"model_max_length": 512, "tokenizer_class": "XLMRobertaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    torch.manual_seed(0)
    config = transformers.XLMRobertaConfig(
        vocab_size=302, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, initializer_range=0.2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    transformers.XLMRobertaForMaskedLM(config).save_pretrained(folder)
    return folder


def test_the_tokenizer_numbers_pieces_as_xlm_r_does(xlmr):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(xlmr / "sentencepiece.bpe.model"))
    tokenizer = load_tokenizer(xlmr)
    text = "turn on the light"
    # fairseq's order: <s> <pad> </s> <unk>, then SentencePiece's own from its fourth on, and <mask> at the end.
    assert tokenizer(text)["input_ids"] == [0, *(i + 1 for i in pieces.encode(text)), 2]
    assert tokenizer.mask_token_id == len(tokenizer) - 1 == pieces.get_piece_size() + 1


@pytest.mark.parametrize(("data", "files"), [("archive", "sentencepiece"), ("mteb", "both")])
def test_massive_and_xlm_r_run_from_training_to_a_compared_merge(
    data, files, request, xlmr, tmp_path, capsys
):
    base = tmp_path / "xlm-roberta-base"
    shutil.copytree(xlmr, base)
    if files == "both":
        transformers.AutoTokenizer.from_pretrained(xlmr).save_pretrained(base)
        assert (base / "tokenizer.json").is_file() and (base / "sentencepiece.bpe.model").is_file()
    space = tmp_path / "space"
    space.mkdir()
    (space / "mu.toml").write_text('context = "massive/xlm-roberta-base"\n', encoding="utf-8")
    study = ("--task", "massive", "--base", str(base), "--data", str(request.getfixturevalue(data)),
             "--workspace", str(space))  # fmt: skip

    def mu(*words):
        capsys.readouterr()
        code = run([*words, *study, "--json"])
        told = capsys.readouterr()
        assert code == 0, told.err
        return json.loads(told.out)

    trained = mu("train", "--locales", "all", *FAST)
    assert [row["locale"] for row in trained] == ["de-DE", "en-US", "sv-SE"]
    assert min(row["dev_accuracy"] for row in trained) > 0.5  # of four intents
    root = space / "models" / "massive" / "xlm-roberta-base"
    model, _ = load(root / "de-DE")
    assert type(model).__name__ == "XLMRobertaForSequenceClassification"
    assert sorted(model.config.label2id) == sorted(INTENTS.values())
    assert (root / "de-DE" / "sentencepiece.bpe.model").is_file()

    matrix = mu("nxn", "--split", "dev")
    own = [matrix["accuracy"][locale][locale] for locale in ("de-DE", "en-US", "sv-SE")]
    assert own == pytest.approx([row["dev_accuracy"] for row in trained], abs=1e-4)

    merged = mu("merge", "--method", "similarity", "--similarity", "REAL", "--k", "2", "--target", "sv-SE")
    recipe = yaml.safe_load((root / "merged" / merged["path"] / "recipe.yaml").read_text(encoding="utf-8"))
    assert {source["name"] for source in recipe["sources"]} == {"de-DE", "en-US"}
    (scored,) = mu("eval", merged["path"], "--locale", "sv-SE", "--against", "de-DE")
    assert scored["n"] == 28 and 0 <= scored["accuracy"] <= 1 and scored["comparison"]["n"] == 28
    ties = mu("merge", "--method", "ties", "--source", "de-DE", "--source", "en-US", "--target", "sv-SE")
    assert mu("eval", ties["path"], "--locale", "sv-SE")[0]["n"] == 28
    rounds = ("--epochs", "2", "--no-score", "--batch-size", "8", "--no-bf16", "--method", "ties")
    (turned,) = mu("iterate", "--target", "sv-SE", "--source", "de-DE", "--source", "en-US", *rounds)
    assert mu("eval", turned["path"], "--locale", "sv-SE")[0]["n"] == 28
