"""Is MASSIVE read in the forms that current `datasets` loads? Local copies of what the hub holds, file by file."""

from __future__ import annotations

import gzip
import json

import pytest

from merginguriel.errors import MuError, UnavailableError
from merginguriel.tasks import load, locales

from .test_massive import INTENTS, record

pytestmark = pytest.mark.lab
datasets = pytest.importorskip("datasets")
CODES = {"sw-KE": "sw", "sl-SI": "sl", "zh-CN": "zh-CN"}


def mteb_rows(split, locale="sw-KE"):
    """Rows of mteb/amazon_massive_intent: their ids and partitions, with columns of its own."""
    return [
        {
            "id": r["id"],
            "label": r["intent"],
            "label_text": r["intent"],
            "text": r["utt"],
            "lang": CODES[locale],
        }
        for r in (record(i, locale) for i in range(40))
        if r["partition"] == split
    ]


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture
def expected(tmp_path):
    """The items of MASSIVE's own archive."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for locale in CODES:
        name = "sl-SL" if locale == "sl-SI" else locale
        (folder / f"{name}.jsonl").write_bytes(lines(record(i, locale) for i in range(40)))
    return {locale: load("massive", locale, folder=folder) for locale in CODES}


def packed_by_split(folder):
    """train/sw.json.gz"""
    for split, partition in (("train", "train"), ("validation", "dev"), ("test", "test")):
        (folder / split).mkdir(parents=True)
        for locale, code in CODES.items():
            packed = gzip.compress(lines(mteb_rows(partition, locale)))
            (folder / split / f"{code}.json.gz").write_bytes(packed)


def parquet_by_language(folder):
    """sw/train-00000-of-00001.parquet"""
    for split, partition in (("train", "train"), ("validation", "dev"), ("test", "test")):
        for locale, code in CODES.items():
            (folder / code).mkdir(parents=True, exist_ok=True)
            datasets.Dataset.from_list(mteb_rows(partition, locale)).to_parquet(
                folder / code / f"{split}-00000-of-00001.parquet"
            )


def lines_by_language(folder):
    """sw/train.jsonl"""
    for split, partition in (("train", "train"), ("validation", "dev"), ("test", "test")):
        for locale, code in CODES.items():
            (folder / code).mkdir(parents=True, exist_ok=True)
            (folder / code / f"{split}.jsonl").write_bytes(lines(mteb_rows(partition, locale)))


@pytest.mark.parametrize("form", [packed_by_split, parquet_by_language, lines_by_language])
def test_a_copy_of_mtebs_data_set_gives_the_items_of_the_archive(tmp_path, expected, form):
    form(tmp_path / "copy")
    assert locales("massive", tmp_path / "copy") == sorted(CODES)
    for locale, archive in expected.items():
        found = load("massive", locale, folder=tmp_path / "copy")
        assert (found.train, found.dev, found.test) == (archive.train, archive.dev, archive.test)
        assert found.labels == archive.labels == tuple(INTENTS)


def test_mtebs_data_set_is_loaded_by_its_name_as_its_card_says(tmp_path, expected):
    packed_by_split(tmp_path / "repository")
    configs = "".join(
        f"- config_name: {code}\n  data_files:\n"
        + "".join(f"  - path: {s}/{code}.json.gz\n    split: {s}\n" for s in ("train", "validation", "test"))
        for code in CODES.values()
    )
    (tmp_path / "repository" / "README.md").write_text(f"---\nconfigs:\n{configs}---\n", encoding="utf-8")
    # A repository in a folder goes the same way through `datasets` as one on the hub.
    found = load("massive", "sl-SI", hub=str(tmp_path / "repository"))
    assert found.test == expected["sl-SI"].test and found.labels == tuple(INTENTS)
    with pytest.raises(UnavailableError, match="MASSIVE ca-ES"):
        load("massive", "ca-ES", hub=str(tmp_path / "repository"))


def test_an_intent_that_one_locale_lacks_is_a_label_of_all(tmp_path):
    lines_by_language(tmp_path)
    more = {**mteb_rows("train", "sl-SI")[0], "id": "99", "label": "email_query", "label_text": "email_query"}
    with (tmp_path / "sl" / "train.jsonl").open("ab") as file:
        file.write(lines([more]))
    assert load("massive", "sw-KE", folder=tmp_path).labels == tuple(sorted([*INTENTS, "email_query"]))


def test_files_with_other_columns_are_named(tmp_path):
    (tmp_path / "sw").mkdir()
    (tmp_path / "sw" / "train.jsonl").write_bytes(lines([{"id": "1", "sentence": "habari", "intent": "x"}]))
    with pytest.raises(MuError, match="missing column utt or text") as caught:
        load("massive", "sw-KE", folder=tmp_path)
    assert "train" in str(caught.value.where)
