"""Models that mergekit merges wrongly or refuses, each with the correct merge."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from mergekit_pairs import OPTIONS
from safetensors.torch import load_file, save_file
from small_models import ARCHITECTURES, HEADS, LABELS, State, make, moved, weights


@dataclass
class Outcome:
    """What one side made of a case: `right`, `refused` or `wrong`, and the words for it."""

    verdict: str
    words: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.words}" if self.words else self.verdict


def by_name(folder: Path) -> tuple[State, list[str]]:
    """Weights with the head's rows in the alphabetical order of the labels, and the labels."""
    config = json.loads((folder / "config.json").read_text())
    labels = [label for _, label in sorted(config.get("id2label", {}).items(), key=lambda item: int(item[0]))]
    order = sorted(range(len(labels)), key=lambda i: labels[i])
    state = weights(folder)
    for name in (
        "classifier.weight",
        "classifier.bias",
        "classifier.out_proj.weight",
        "classifier.out_proj.bias",
    ):
        if name in state and len(state[name]) == len(labels):
            state[name] = state[name][order]
    return state, sorted(labels)


def judge(out: Path, why: str, expected: State, head: str, tokenizer: bool = False) -> Outcome:
    """Is the output the mean that it should be, with every tensor, and does it load as what it was?"""
    if why:
        return Outcome("refused", shortened(why))
    merged, _ = by_name(out)
    if missing := sorted(set(expected) - set(merged)):
        return Outcome("wrong", f"{len(missing)} tensors are gone, among them {missing[-1]}")
    off = [
        n
        for n, t in expected.items()
        if t.shape != merged[n].shape or not torch.allclose(merged[n], t, atol=1e-5)
    ]
    if off:
        return Outcome("wrong", f"{len(off)} tensors are not the mean of the same labels: {off[0]}")
    model, loaded = HEADS[head].from_pretrained(out, output_loading_info=True)
    # transformers calls it missing if it had to make it up.
    if loaded["missing_keys"]:
        return Outcome("wrong", f"transformers makes up {sorted(loaded['missing_keys'])[0]}")
    del model
    if not tokenizer and (files := sorted(p.name for p in out.glob("*token*"))):
        return Outcome("wrong", f"a tokenizer that no source has: {', '.join(files)}")
    return Outcome("right", "")


def shortened(text: str, most: int = 110) -> str:
    text = re.sub(r"/\S+/", "", text)  # a folder that is gone when this is read
    return text if len(text) <= most else text[: most - 1] + "…"


def mean(*folders: Path) -> State:
    states = [by_name(folder)[0] for folder in folders]
    return {
        n: sum(s[n].float() for s in states) / len(states)
        for n, t in states[0].items()
        if t.is_floating_point()
    }


Case = tuple[str, dict, dict, Callable[[Path, str], Outcome], list[str]]


def plain_case(
    label: str, head: str, a: Path, b: Path, base: Path | None = None, options: list[str] = OPTIONS
) -> Case:
    """The mean of two models by both programs; with a base, as task arithmetic at scale 1, which is the mean too."""
    expected = mean(a, b)
    ours: dict = {"method": "task_arithmetic" if base else "linear"}
    theirs: dict = {"merge_method": ours["method"], "dtype": "float32"}
    if base:
        ours["base"] = theirs["base_model"] = str(base)
    ours["sources"] = [{"name": p.name, "path": str(p)} for p in (a, b)]
    theirs["models"] = [{"model": str(p), "parameters": {"weight": 0.5}} for p in (a, b)]
    return label, ours, theirs, lambda out, why: judge(out, why, expected, head), options


def cases(root: Path) -> list[Case]:
    found: list[Case] = []
    for architecture in ARCHITECTURES:
        for head in HEADS:
            place = root / f"{architecture}-{head}".replace(" ", "-")
            base = make(place / "base", architecture, head, 0)
            a, b = moved(base, place / "a", 1), moved(base, place / "b", 2)
            found.append(plain_case(f"{architecture}, {head}", head, a, b))
    head = "sequence classifier"
    for architecture in ("BERT", "XLM-R"):
        place = root / f"{architecture}-awkward"
        base = make(place / "base", architecture, head, 0)
        a, b = moved(base, place / "a", 1), moved(base, place / "b", 2)
        language = make(place / "mlm", architecture, "masked LM", 0)
        found.append(plain_case(f"{architecture}, base is a masked LM", head, a, b, base=language))
        few = make(place / "few", architecture, head, 0, LABELS[:3])
        many = make(
            place / "many", architecture, head, 0, tuple(f"label {i}" for i in range(57)) + LABELS[:3]
        )
        label, ours, theirs, _, options = plain_case(f"{architecture}, 60 labels and 3", head, many, many)
        for table, key in ((ours["sources"], "path"), (theirs["models"], "model")):
            table[1][key] = str(few)
        ours["sources"][1]["name"] = "few"
        found.append((label, ours, theirs, lambda out, why: merged_anyway(why), options))
        common = {**ours, "heads": "common"}
        found.append(
            (f"{label}, heads: common", common, {}, lambda out, why: three_labels(out, why), options)
        )
        found.append(plain_case(f"{architecture}, label maps permuted", head, a, turned(b, place / "turned")))
        bare = [Path(shutil.copytree(model, place / f"bare-{model.name}")) for model in (a, b)]
        for folder in bare:
            (folder / "vocab.txt").unlink()
        found.append(plain_case(f"{architecture}, no tokenizer, defaults", head, *bare, options=[]))
    return found


def merged_anyway(why: str) -> Outcome:
    return Outcome("refused", shortened(why)) if why else Outcome("wrong", "merged without a word")


def three_labels(out: Path, why: str) -> Outcome:
    if why:
        return Outcome("refused", shortened(why))
    labels = by_name(out)[1]
    return (
        Outcome("right", f"keeps {', '.join(labels)}")
        if len(labels) == 3
        else Outcome("wrong", f"{len(labels)} labels")
    )


def turned(model: Path, folder: Path) -> Path:
    """The same model with its labels in another order, which changes no answer of it."""
    shutil.copytree(model, folder)
    order = [2, 0, 3, 1]
    state = load_file(model / "model.safetensors")
    for name in state:
        if name.startswith("classifier") and "dense" not in name:
            state[name] = state[name][order].contiguous()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(i): LABELS[j] for i, j in enumerate(order)}
    config["label2id"] = {LABELS[j]: i for i, j in enumerate(order)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
