"""Can a user bring labelled sentences of their own, and do mistakes in them come back with file and line?"""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.tasks import files, load, locales, named
from merginguriel.workspace import Workspace

ROWS = [(f"washa taa namba {i}", "on" if i % 2 else "off") for i in range(60)]


def write_csv(path, rows, header=("text", "label"), delimiter=","):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


def test_one_file_per_split_is_taken_as_it_is(tmp_path):
    write_csv(tmp_path / "sw-KE.train.csv", ROWS[:40])
    write_csv(tmp_path / "sw-KE.dev.csv", ROWS[40:45])
    write_csv(tmp_path / "sw-KE.test.tsv", ROWS[45:], delimiter="\t")
    data = load("files", "sw_ke", folder=tmp_path)
    assert (len(data.train), len(data.dev), len(data.test)) == (40, 5, 15)
    assert data.labels == ("off", "on") and data.test[0].text == "washa taa namba 45"


def test_the_label_set_is_that_of_all_locales_in_the_folder(tmp_path):
    write_csv(tmp_path / "sw-KE.csv", ROWS)
    write_csv(tmp_path / "en-US.csv", [("stop it", "stop"), *ROWS])
    assert load("files", "sw-KE", folder=tmp_path).labels == ("off", "on", "stop")
    assert locales("files", tmp_path) == ["en-US", "sw-KE"]


def test_a_split_column_decides(tmp_path):
    lines = [
        {"utt": t, "y": y, "part": "validation" if i < 5 else "train"} for i, (t, y) in enumerate(ROWS[:30])
    ]
    lines += [{"utt": t, "y": y, "part": "test"} for t, y in ROWS[30:]]
    text = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "sw-KE.jsonl").write_text(text + "\n\n", encoding="utf-8")
    data = load("files", "sw-KE", folder=tmp_path, text="utt", label="y", split="part")
    assert (len(data.train), len(data.dev), len(data.test)) == (25, 5, 30)


def test_without_one_a_hash_of_the_text_decides_whatever_the_order(tmp_path):
    write_csv(tmp_path / "sw-KE.csv", ROWS)
    one = load("files", "sw-KE", folder=tmp_path)
    write_csv(tmp_path / "sw-KE.csv", ROWS[::-1])
    two = load("files", "sw-KE", folder=tmp_path)
    assert set(one.test) == set(two.test) and len(one.train) + len(one.dev) + len(one.test) == 60
    assert set(load("files", "sw-KE", folder=tmp_path, seed=1).test) != set(one.test)


def test_ten_rows_are_enough_for_every_split_and_every_label_is_learnt(tmp_path):
    for count, labels in ((10, 2), (12, 4), (40, 8), (100, 3)):
        rows = [(f"sentence number {i}", f"label{i % labels}") for i in range(count)]
        write_csv(tmp_path / "sw-KE.csv", rows)
        data = load("files", "sw-KE", folder=tmp_path)
        assert {item.label for item in data.train} == {label for _, label in rows}
        assert abs(len(data.test) - 0.2 * count) <= 1 and abs(len(data.dev) - 0.1 * count) <= 1
        assert data.dev and data.test
        assert len({i.text for s in ("train", "dev", "test") for i in data.split(s)}) == count


def test_a_split_without_sentences_is_refused_with_the_sizes(tmp_path):
    write_csv(tmp_path / "sw-KE.csv", [("one", "a"), ("two", "b"), ("three", "c")])
    with pytest.raises(MuError, match="no dev sentences for sw-KE"):
        load("files", "sw-KE", folder=tmp_path)


def test_dev_is_carved_out_of_train_where_there_is_none(tmp_path):
    write_csv(tmp_path / "sw-KE.train.csv", ROWS[:50])
    write_csv(tmp_path / "sw-KE.test.csv", ROWS[50:])
    data = load("files", "sw-KE", folder=tmp_path)
    assert data.dev and len(data.train) + len(data.dev) == 50


def test_a_text_in_two_splits_stays_in_test_only(tmp_path):
    write_csv(tmp_path / "sw-KE.train.csv", ROWS[:50])
    write_csv(tmp_path / "sw-KE.dev.csv", ROWS[50:55])
    write_csv(tmp_path / "sw-KE.test.csv", ROWS[45:])
    data = load("files", "sw-KE", folder=tmp_path)
    texts = [{i.text for i in part} for part in (data.train, data.dev, data.test)]
    assert not texts[0] & texts[2] and not texts[1] & texts[2] and len(data.test) == 15


@pytest.mark.parametrize(
    ("name", "content", "message", "where"),
    [
        (
            "sw-KE.csv",
            b"text,label\nhello,greet\nhi, there,greet\n",
            "3 cells under 2 columns",
            "sw-KE.csv:3",
        ),
        ("sw-KE.csv", b"sentence,label\nhello,greet\n", "missing column 'text'", "sw-KE.csv:2"),
        ("sw-KE.csv", b"text,label\nhello,\n", "label is empty", "sw-KE.csv:2"),
        ("sw-KE.csv", b'text,label\nhello,"a"b\n', "cannot be read", "sw-KE.csv:2"),
        ("sw-KE.csv", b"text,label,split\na,b,tset\n", "'tset' is not a split", "sw-KE.csv:2"),
        ("sw-KE.csv", b"", "is empty", "sw-KE.csv"),
        ("sw-KE.csv", b"text,label\n\xff\xfe,b\n", "not UTF-8", "sw-KE.csv"),
        ("sw-KE.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', "not JSON", "sw-KE.jsonl:2"),
        ("sw-KE.jsonl", b'["a", "b"]\n', "not a JSON object", "sw-KE.jsonl:1"),
        ("sw-KE.jsonl", b'{"text": ["a"], "label": "b"}\n', "text is", "sw-KE.jsonl:1"),
        ("swahili.csv", b"text,label\na,b\n", "does not begin with a locale", "swahili.csv"),
        ("sw-KE.tset.csv", b"text,label\na,b\n", "'tset' where train, dev or test", "sw-KE.tset.csv"),
        ("sw-KE.csv", b"text,label,split\na,b,train\na,c,test\n", "two labels for 'a'", "sw-KE.csv"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path, name, content, message, where):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MuError, match=message) as caught:
        load("files", "sw-KE", folder=tmp_path)
    assert str(caught.value.where).endswith(where)


def test_no_folder_and_a_wrong_one_are_told_apart(tmp_path):
    with pytest.raises(UsageError, match="need a folder"):
        load("files", "sw-KE")
    with pytest.raises(UnavailableError, match="no such folder"):
        load("files", "sw-KE", folder=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no data for sw-KE") as caught:
        load("files", "sw-KE", folder=tmp_path)
    assert caught.value.where == str(tmp_path)


def test_a_folder_that_cannot_be_named_is_told_what_was_given_and_what_is_expected(tmp_path):
    (tmp_path / "inside").mkdir()
    write_csv(tmp_path / "inside" / "sw-KE.csv", ROWS)
    space = Workspace(tmp_path / "space")
    space.root.mkdir()
    with pytest.raises(UsageError, match="this is a file") as caught:
        named.add(space, "topics", tmp_path / "inside" / "sw-KE.csv", {})
    assert f"--data {tmp_path / 'inside'}" in caught.value.render()
    with pytest.raises(UsageError, match="no data files in this folder") as caught:
        named.add(space, "topics", tmp_path, {})
    assert ".jsonl" in caught.value.render() and f"--data {tmp_path / 'inside'}" in caught.value.render()


word = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(word, word), max_size=8))
def test_what_the_csv_module_wrote_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "sw-KE.csv"
    write_csv(path, rows)
    assert [(row["text"], row["label"]) for _, row in files.read(path)] == rows


TAGGED = [(["washa", "taa", f"namba{i}"], ["O", "B-name", "I-name"]) for i in range(40)]


def write_tagged(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({"tokens": w, "tags": t}) for w, t in rows), encoding="utf-8")
    else:
        lines = [
            "-DOCSTART- O",
            "",
            *("\n".join(map(" ".join, zip(w, t, strict=True))) + "\n" for w, t in rows),
        ]
        path.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize("ending", ["jsonl", "conll", "bio", "iob2"])
def test_labelled_words_are_read_and_dealt(tmp_path, ending):
    write_tagged(tmp_path / f"sw-KE.{ending}", TAGGED)
    data = load("files", "sw-KE", folder=tmp_path)
    assert data.metric == "span_f1" and data.token_labels
    assert data.labels == ("B-name", "I-name", "O") and len(data.test) == 8
    assert data.test[0].tokens[:2] == ("washa", "taa") and data.test[0].labels == ("O", "B-name", "I-name")
    assert len({*data.train, *data.dev, *data.test}) == 40


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens and 1 tags"),
        ({"tokens": ["a"], "tags": ["name"]}, "unknown tag 'name'"),
        ({"tokens": ["a"]}, "missing key 'tags'"),
        ({"tokens": [], "tags": []}, "tokens is not a list of words"),
        ({"text": "a", "label": "on"}, "sentences are labelled here, and words in"),
    ],
)
def test_a_mistake_in_labelled_words_is_named_with_its_line(tmp_path, line, said):
    path = tmp_path / "sw-KE.jsonl"
    write_tagged(path, TAGGED[:1])
    path.write_text(path.read_text(encoding="utf-8") + "\n" + json.dumps(line), encoding="utf-8")
    with pytest.raises(MuError, match=said) as caught:
        load("files", "sw-KE", folder=tmp_path)
    assert str(caught.value.where).endswith("sw-KE.jsonl:2")
