"""Is a pasted error matched to the trouble that it is, by its words, and to none where it is another?"""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from merginguriel.errors import KnowledgeError, missing_extra
from merginguriel.knowledge.search.troubleshooting import match_error

TROUBLE = """\
---
title: "T"
type: "Troubleshooting"
date: "2026-01-20"
summary: "S."
---

## Error pattern

- `the oven is too hot to open`
- /oven says \\d+ degrees/

## Symptom

S.

## Cause

C.

## Mend

M.
"""


def trouble(bench, text=TROUBLE):
    path = bench.root / "experiment_log" / "2026" / "2026-01-20-t-00000001.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return bench.load_all()


def best(text, knowledge):
    found = match_error(text, knowledge)
    return found[0][0].title if found else None


def test_words_match_in_any_case_and_spacing_and_a_few_changed_ones_still_match_less(bench):
    knowledge = trouble(bench)
    ((_, exact),) = match_error("Traceback:\n  The OVEN is too\n   hot to open", knowledge)
    ((_, near),) = match_error("the stove is too hot to open", knowledge)
    ((_, regex),) = match_error("line 3: oven says 200 degrees", knowledge)
    assert exact > 0.9 and regex > 0.9 and 0.4 < near < 0.8
    assert match_error("the door is open", knowledge) == [] and match_error("", knowledge) == []


def test_a_superseded_trouble_is_not_found(bench):
    trouble(bench)
    bench.entry(table="", entry="2026-01-21-o-00000002", more='supersedes: "2026-01-20-t-00000001"\n')
    assert match_error("the oven is too hot to open", bench.load()) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("## Cause\n\nC.\n", "", "no section 'Cause'"),
        ("S.\n\n## Cause", "\n## Cause", "no section 'Symptom'"),
        ("- `the oven", "the oven", "not a pattern"),
        ("\\d+ degrees/", "(\\d+)+ degrees/", "repeat a group"),
        ("\\d+ degrees/", "[ degrees/", "not a regular expression"),
        ("the oven is", "the oven is" + " very" * 80, "300 characters"),
    ],
)
def test_a_trouble_that_cannot_be_matched_is_refused_with_its_line(bench, old, new, says):
    with pytest.raises(KnowledgeError, match=says) as told:
        trouble(bench, TROUBLE.replace(old, new, 1))
    assert ".md:" in (told.value.where or "")


def torch_errors():
    """(title of the entry, text) of errors that torch really prints."""
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as told:
        torch.empty(10**15)
    yield "Out of memory while an N×N matrix is scored", str(told.value)
    model, other = (torch.nn.ModuleDict({"classifier": torch.nn.Linear(4, n)}) for n in (60, 58))
    with pytest.raises(RuntimeError) as told:
        model.load_state_dict(other.state_dict())
    yield "Heads of two models disagree", str(told.value)


def heads_error(folder):
    """What the program says of two models with other labels."""
    from safetensors.numpy import save_file

    from merginguriel.errors import MuError
    from merginguriel.merging.compatibility import check_pair
    from merginguriel.models import checkpoint

    for name, labels in (("a", ["on", "off"]), ("b", ["on", "up"])):
        (folder / name).mkdir()
        config = {"architectures": ["X"], "id2label": dict(enumerate(labels))}
        (folder / name / "config.json").write_text(json.dumps(config))
        save_file({"classifier.weight": np.zeros((2, 4), np.float32)}, folder / name / "model.safetensors")
    a, b = (checkpoint.open_checkpoint(folder / name) for name in "ab")
    with pytest.raises(MuError) as told:
        check_pair(("a", a), ("b", b))
    return told.value.render()


def test_errors_that_this_program_prints_find_their_entry(study, tmp_path):
    knowledge = study.load()
    assert best(missing_extra("torch").render(), knowledge) == "torch is not installed"
    assert best(heads_error(tmp_path), knowledge) == "Heads of two models disagree"


@pytest.mark.lab
def test_errors_that_torch_prints_find_their_entry(study):
    knowledge = study.load()
    for title, text in torch_errors():
        assert best(text, knowledge) == title, text


def test_every_shipped_pattern_finds_its_own_entry_first_and_a_plain_sentence_finds_none(study):
    knowledge = study.load()
    known = [entry for entry in knowledge.entries if entry.trouble]
    assert len(known) >= 6
    for entry in known:
        for pattern in entry.trouble.patterns:
            if not pattern.regex:
                assert match_error(f"Error: {pattern.text} (line 3)", knowledge)[0][0] is entry
    assert match_error("How many sources should I merge for Swahili?", knowledge) == []


def test_a_long_text_is_matched_in_no_time(study):
    knowledge = study.load()
    text = "aaaaaaaaaaaaaaaaaaaa k is 5, " * 20_000
    begin = time.process_time()
    match_error(text, knowledge)
    assert time.process_time() - begin < 2.0
