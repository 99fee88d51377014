"""Is MASSIVE read as its authors publish it? A small copy of its two forms stands in for the download."""

from __future__ import annotations

import json

import pytest

from merginguriel import locales as known
from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.tasks import load, locales

INTENTS = ["alarm_set", "audio_volume_mute", "iot_cleaning"]


def record(i, locale):
    return {
        "id": str(i),
        "locale": locale,
        "partition": ["train", "train", "dev", "test"][i % 4],
        "scenario": INTENTS[i % 3].split("_")[0],
        "intent": INTENTS[i % 3],
        "utt": f"niamshe saa {i} asubuhi",
        "annot_utt": f"niamshe [time : saa {i} asubuhi]",
        "worker_id": "5",
    }


@pytest.fixture
def archive(tmp_path):
    for locale in ("sw-KE", "sl-SL"):
        lines = [json.dumps(record(i, locale), ensure_ascii=False) for i in range(40)]
        (tmp_path / f"{locale}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_the_archive_is_read_with_its_own_partitions(archive):
    data = load("massive", "sw-KE", folder=archive)
    assert (len(data.train), len(data.dev), len(data.test)) == (20, 10, 10)
    assert data.labels == tuple(INTENTS)
    assert data.test[0].text == "niamshe saa 3 asubuhi" and data.test[0].label == "alarm_set"


def test_slovenian_is_found_under_the_name_that_the_data_set_gives_it(archive):
    assert locales("massive", archive) == ["sl-SI", "sw-KE"]
    assert load("massive", "sl-SI", folder=archive).locale == "sl-SI"


@pytest.mark.lab
def test_the_parquet_form_of_the_hub_gives_the_same_items(archive):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "utt": datasets.Value("string"),
            "intent": datasets.ClassLabel(names=[*INTENTS, "never_said"]),
        }
    )
    hub = archive / "hub"
    for split, partition in (("train", "train"), ("validation", "dev"), ("test", "test")):
        rows = [r for r in (record(i, "sw-KE") for i in range(40)) if r["partition"] == partition]
        table = {key: [row[key] for row in rows] for key in ("id", "utt")}
        table["intent"] = [INTENTS.index(row["intent"]) for row in rows]
        (hub / "sw-KE" / split).mkdir(parents=True)
        datasets.Dataset.from_dict(table, features=features).to_parquet(
            hub / "sw-KE" / split / "0000.parquet"
        )
    one, two = load("massive", "sw-KE", folder=archive), load("massive", "sw-KE", folder=hub)
    assert (one.train, one.dev, one.test) == (two.train, two.dev, two.test)
    assert two.labels == (*INTENTS, "never_said")


def test_utterances_that_repeat_are_all_counted_as_in_the_published_figures(archive):
    twice = [{**record(3, "sw-KE"), "id": str(100 + i)} for i in range(2)]
    with (archive / "sw-KE.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in twice)
    test = load("massive", "sw-KE", folder=archive).test
    assert len(test) == 12 and len({item.id for item in test}) == 12


def test_every_locale_of_massive_is_a_known_locale():
    assert all(known.get(tag).tag == tag for tag in locales("massive")) and len(locales("massive")) == 52


def test_a_broken_line_is_named(archive):
    with (archive / "sw-KE.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**record(1, "sw-KE"), "partition": "extra"}) + "\n")
    with pytest.raises(MuError, match="'extra'") as caught:
        load("massive", "sw-KE", folder=archive)
    assert str(caught.value.where).endswith("sw-KE.jsonl:41")


@pytest.mark.lab
def test_an_empty_parquet_folder_says_what_to_do(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "sw-KE").mkdir()
    with pytest.raises(UnavailableError) as caught:
        load("massive", "sw-KE", folder=tmp_path)
    assert "--data" in (caught.value.hint or "")


def test_a_locale_that_massive_lacks_gets_the_nearest():
    with pytest.raises(UsageError, match="no data for pt-BR") as caught:
        load("massive", "pt-BR")
    assert "pt-PT" in (caught.value.hint or "")
