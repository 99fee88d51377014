"""`mu compat`: measures, output forms, refusals."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest

from merginguriel.files import csv_lines
from merginguriel.knowledge.parse.entries import load_entry

pytestmark = pytest.mark.lab


def test_compat_prints_heat_maps_and_writes_matrices_and_pictures(trained):
    ran = trained.mu("compat", *trained.study)
    assert ran.code == 0
    assert "cosine of task vectors" in ran.out and "de-DE" in ran.out and "1.000" in ran.out
    results = trained.space / "results"
    for measure in ("cosine", "sign_conflict", "weighted_sign_conflict"):
        path = results / f"compat-rooms-tiny-bert-{measure}.csv"
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        (_, *names), *rows = csv_lines(path)
        matrix = np.array([[float(cell) for cell in row[1:]] for row in rows])
        assert len(names) >= 2 and names == [row[0] for row in rows]
        np.testing.assert_allclose(matrix, matrix.T)
    with (results / "compat-rooms-tiny-bert-parts.csv").open(encoding="utf-8", newline="") as file:
        parts = {row["part"] for row in csv.DictReader(file)}
    assert {"model", "body", "embeddings", "layer 0", "layer 1", "head"} <= parts
    assert trained.litter() == []


def test_compat_as_json_holds_every_measure_of_a_part(trained, tmp_path):
    ran = trained.mu("compat", *trained.study, "--cka", "--part", "layer 1", "--out", tmp_path, "--json")
    assert ran.code == 0
    assert ran.data["part"] == "layer 1"
    for measure in ("cosine", "cka"):
        assert ran.data[measure]["de-DE"]["de-DE"] == pytest.approx(1)
        assert -1 <= ran.data[measure]["de-DE"]["sv-SE"] < 1
    assert 0 <= ran.data["sign_conflict"]["de-DE"]["sv-SE"] <= 1
    assert (tmp_path / "compat-rooms-tiny-bert-cka.csv").is_file()


def test_compat_reads_a_text_of_ones_own(trained, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("turn on the light\nturn off the light\nwhat is the weather\n", encoding="utf-8")
    ran = trained.mu("compat", *trained.study, "--cka", "--text", text, "--out", tmp_path)
    assert ran.code == 0 and "linear CKA" in ran.out
    text.write_text("one line\n", encoding="utf-8")
    assert trained.mu("compat", *trained.study, "--cka", "--text", text, "--out", tmp_path).code == 2
    missing = trained.mu("compat", *trained.study, "--cka", "--text", tmp_path / "none.txt")
    assert missing.code == 2 and "none.txt" in missing.err


def test_compat_of_one_model_or_an_unknown_part_says_what_to_do(trained):
    one = trained.mu("compat", *trained.study, "--source", "de-DE")
    assert one.code == 2 and "--source" in one.err
    part = trained.mu("compat", *trained.study, "--part", "layer 77")
    assert part.code == 2 and "layer 0" in part.err
    nobody = trained.mu("compat", *trained.study, "--source", "sw-KE", "--source", "de-DE")
    assert nobody.code == 3 and "mu train --locale sw-KE" in nobody.err


def test_what_is_logged_is_read_back_as_what_was_measured(trained, tmp_path):
    """The log of a copy, since others use this workspace."""
    shutil.copytree(trained.space, tmp_path / "copy", symlinks=True)
    ran = trained.mu(
        "compat", *trained.study, "--log", "--out", tmp_path, "--json", "--workspace", tmp_path / "copy"
    )
    assert ran.code == 0
    (entry,) = (tmp_path / "copy" / "experiment_log").glob(f"*/{ran.data['entry']}.md")
    rows = load_entry(entry).rows
    found = {(r.metric, frozenset((r.target, *r.sources))): r.value for r in rows}
    names = ran.data["names"]
    assert len(rows) == len(found) == 2 * len(names) * (len(names) - 1) // 2
    assert found["cosine", frozenset(("de-DE", "sv-SE"))] == pytest.approx(
        ran.data["cosine"]["de-DE"]["sv-SE"], abs=1e-6
    )


def test_a_model_that_is_not_named_by_its_locale_cannot_be_logged(trained, tmp_path):
    folder = trained.space / "models" / "rooms" / "tiny-bert" / "de-DE"
    ran = trained.mu(
        "compat",
        *trained.study,
        "--log",
        "--out",
        tmp_path,
        "--source",
        f"mine={folder}",
        "--source",
        "sv-SE",
    )
    assert ran.code == 2 and "unknown locale mine" in ran.err and "--source sw-KE=FOLDER" in ran.err
