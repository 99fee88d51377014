"""Flags of `mu merge` reach recipe, merge and plan; wrong ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from merginguriel.similarity import uriel

pytestmark = pytest.mark.slow

SOURCES = ("--source", "de-DE", "--source", "en-US")


def recipe(ran):
    assert ran.code == 0, ran.err
    return yaml.safe_load(ran.out)


def test_flags_of_policy_stand_in_the_recipe_and_carry_it_out(trained, tmp_path):
    from transformers import AutoModelForSequenceClassification

    text = tmp_path / "text.txt"
    text.write_text("schalte das licht an\n", encoding="utf-8")
    flags = (
        "--method", "ties", *SOURCES, "--heads", "source:de-DE", "--embeddings", "used", "--text", text,
        "--include", "*.layer.*", "--include", "*embeddings*", "--exclude", "*.bias", "--trim-scope", "model",
        "--seed", "7", "--shard-size", "20KB", "--dtype", "bfloat16",
    )  # fmt: skip
    written = recipe(trained.mu("merge", *flags, "--dry-run"))
    expected = {
        "heads": "source:de-DE", "embeddings": "used", "text": str(text), "trim_scope": "model", "seed": 7,
        "include": ["*.layer.*", "*embeddings*"], "exclude": ["*.bias"], "shard_size": 20_000, "dtype": "bfloat16",
    }  # fmt: skip
    assert {key: written[key] for key in expected} == expected
    out = trained.mu("merge", *flags, "--json").data["path"]
    model, info = AutoModelForSequenceClassification.from_pretrained(out, output_loading_info=True)
    assert not any(info.values())
    assert str(model.dtype) == "torch.bfloat16"


@pytest.mark.parametrize("method", ["fisher_dataset", "regmean"])
def test_a_method_reads_the_text_that_it_is_given(trained, tmp_path, method):
    text = tmp_path / "text.txt"
    text.write_text("tänd lampan\nsläck lampan i köket\nhur varmt är det\n", encoding="utf-8")
    flags = ("--method", method, *SOURCES, "--target", "sv-SE", "--param", "sentences=8")
    seen = {}
    for given, extra in (("file", ("--text", text)), ("sources", ("--text", "sources")), ("target", ())):
        ran = trained.mu("merge", *flags, *extra, "--json")
        assert ran.code == 0, ran.err
        folder = Path(ran.data["path"])
        learnt = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))["learnt"]
        (scored,) = trained.mu("eval", folder, "--locale", "sv-SE", "--row", "--json").data
        card = (folder / "README.md").read_text(encoding="utf-8")
        seen[given] = learnt["text"], card.partition("Seen of the target: ")[2].splitlines()[0], scored
    assert [seen[given][0] for given in seen] == ["text.txt", "sources", "sv-SE train"]
    by_method = "unlabelled text, by the method"
    result = [f"{by_method}; 3 unlabelled sentences (text.txt)", "nothing", by_method]
    assert [seen[given][1] for given in seen] == result
    assert [seen[given][2]["saw"] for given in seen] == [result[0], None, result[2]]
    assert "saw='unlabelled text'" in seen["file"][2]["row"] and "saw=nothing" in seen["sources"][2]["row"]
    missing = trained.mu("merge", *flags, "--text", tmp_path / "none.txt")
    assert missing.code == 2 and "none.txt" in missing.err


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(trained):
    flags = ("--method", "task_arithmetic", *SOURCES, "--exclude", "*LayerNorm*", "--dry-run")
    result = trained.mu("merge", *flags).err
    for word in ("would write", "reads", "merged by task_arithmetic", "kept from the base", "time", "memory"):
        assert word in result
    planned = trained.mu("merge", *flags, "--json").data
    assert sum(planned["how"].values()) == planned["tensors"]
    assert planned["how"]["kept from the base"] == 10
    assert planned["seconds"] > 0 and planned["bytes_of_memory"] > 0
    assert planned["bytes_read"] > 2 * planned["bytes"] > 0
    assert not (trained.root / "merged").exists()


def test_weights_by_a_similarity_are_for_any_method_that_takes_weights(trained):
    def weights(*flags):
        made = recipe(trained.mu("merge", *flags, "--target", "sv-SE", "--mode", "ExcTar", "--dry-run"))
        return [source["weight"] for source in made["sources"]], made.get("similarity")

    real, similarity = weights("--method", "linear", *SOURCES, "--similarity", "REAL")
    assert similarity == "REAL" and real != [0.5, 0.5]
    assert weights("--method", "ties", *SOURCES, "--preweight", "real") == (real, "REAL")
    assert weights("--method", "linear", *SOURCES, "--similarity", "REAL", "--preweight", "equal")[0] == [
        0.5,
        0.5,
    ]
    assert weights("--method", "ties", *SOURCES, "--similarity", "REAL")[0] == [0.5, 0.5]
    shares = uriel.column("sv-SE", ["de-DE", "en-US"])
    expected = pytest.approx([shares[name] / sum(shares.values()) for name in ("de-DE", "en-US")])
    assert weights("--method", "linear", *SOURCES, "--similarity", "URIEL") == (expected, "URIEL")
    assert weights("--method", "ties", *SOURCES, "--preweight", "uriel") == (expected, "URIEL")


def test_a_similarity_can_be_multiplied_by_how_well_sources_fit(trained):
    names = ("de-DE", "en-US", "sv-SE")
    three = [flag for name in names for flag in ("--source", name)]
    for times, measure in (("cosine", "cosine"), ("CKA", "cka")):
        fit = trained.mu("compat", *trained.study, *three, "--cka", "--json").data[measure]
        flags = ("--method", "ties", *three, "--target", "da-DK", "--preweight", "uriel", "--times", times)
        made = recipe(trained.mu("merge", *flags, "--dry-run"))
        near = uriel.column("da-DK", list(names))
        products = [
            near[a] * sum(max(fit[a][b], 0) for b in names if b != a) / 2 for a in names
        ]  # mean fit with the two others
        expected = pytest.approx([p / sum(products) for p in products], rel=1e-4)
        assert [source["weight"] for source in made["sources"]] == expected
        assert made["similarity"] == f"URIEL×{times}"


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--times", "cosine"), 2, ["--similarity REAL"]),
        (("--preweight", "uriel"), 2, ["needs --target"]),
        (("--preweight", "real"), 2, ["needs --target"]),
        (("--preweight", "real", "--weight", "1", "--weight", "2"), 2, ["not both"]),
        (("--shard-size", "large"), 2, ["2GB"]),
        (("--shard-size", "0"), 2, ["shard_size is 0"]),
        (("--heads", "source:xx-XX"), 2, ["source:xx-XX", "source:de-DE"]),
        (("--embeddings", "used"), 2, ["--text"]),
        (("--embeddings", "used", "--text", "nowhere.txt"), 2, ["nowhere.txt"]),
        (("--include", "layers.9.*"), 2, ["matches no tensor"]),
    ],
)
def test_a_flag_that_cannot_be_meant_is_answered(trained, flags, code, words):
    ran = trained.mu("merge", "--method", "linear", *SOURCES, *flags)
    assert ran.code == code, ran.err
    for word in words:
        assert word in ran.err
    assert not (trained.root / "merged").exists()


def test_a_flag_beside_a_recipe_is_not_overruled_in_silence(trained):
    path = trained.space / "recipe.yaml"
    path.write_text(trained.mu("merge", "--method", "linear", *SOURCES, "--dry-run").out, encoding="utf-8")
    for flags in (("--heads", "fresh"), ("--seed", "0"), ("--source", "de-DE"), ("--dtype", "float16")):
        ran = trained.mu("merge", path, *flags)
        assert ran.code == 2
        assert flags[0] in ran.err
    assert trained.mu("merge", path, "--out", trained.space / "out").code == 0


def test_an_adapter_is_merged_on_the_studys_base(trained, tmp_path):
    import peft
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(trained.root / "base")
    settings = peft.LoraConfig(r=2, task_type="SEQ_CLS", target_modules=["query"], init_lora_weights=False)
    peft.get_peft_model(model, settings).save_pretrained(tmp_path / "adapter")
    flags = ("--method", "linear", "--source", "de-DE", "--source", f"en-US={tmp_path / 'adapter'}")
    out = trained.mu("merge", *flags, "--json").data["path"]
    assert trained.mu("eval", out, "--locale", "de-DE").code == 0
    assert "adapter_model.safetensors" in (trained.space / out / "recipe.yaml").read_text()


def test_methods_are_grouped_by_what_they_see_and_show_ranges(lab):
    listed = lab.mu("methods").out
    assert listed.startswith("no data of the target\n")
    line = next(line for line in listed.splitlines() if line.startswith("ties "))
    assert " base " in line
    assert "density 0.2 (0 … 1)" in listed
    rows = {row["name"]: row for row in lab.mu("methods", "--json").data}
    assert rows["ties"]["params"][0]["high"] == 1
    assert rows["average"]["weighted"] is False
    result = lab.mu("methods", "knots_ties").out
    for word in ("--param density=0.2", "(0 … 1)", "weight matrices", "arXiv:2410.19735", "task vectors"):
        assert word in result
    assert json.loads(lab.mu("methods", "knots_ties", "--json").out)["doc"]


def test_a_misspelt_method_is_told_before_sources_are_looked_for(trained):
    ran = trained.mu("merge", "--method", "tie", "--source", "fr-FR")
    assert ran.code == 2
    assert "Did you mean ties?" in ran.err


@pytest.mark.parametrize("k", [(), ("--k", "3"), ("--k", "3", "--mode", "IncTar")])
def test_without_trained_models_uriel_has_nothing_to_choose_from(lab, k):
    result = lab.mu("merge", "--method", "similarity", "--similarity", "URIEL", *k, "--target", "da-DK",
                  "--dry-run")  # fmt: skip
    assert result.code == 3 and "no trained model to choose sources for da-DK from" in result.err
    assert "matrix" not in result.err and "--source LOCALE=FOLDER" in result.err


def test_uriel_says_how_many_models_there_are_to_choose_from(trained):
    result = trained.mu("merge", "--method", "similarity", "--similarity", "URIEL", "--k", "9", "--target",
                      "da-DK", "--dry-run")  # fmt: skip
    assert result.code == 2 and "k is 9, but there are 3 sources to choose from for da-DK: " in result.err
    assert "matrix" not in result.err
