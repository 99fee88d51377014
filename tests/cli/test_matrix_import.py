"""The wide matrix of another study is taken over, and `mu nxn` writes the same form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from merginguriel.cli.main import run
from merginguriel.evaluation import nxn

LOCALES = ["de-DE", "sv-SE", "sw-KE"]


@pytest.fixture
def space(tmp_path, monkeypatch):
    (tmp_path / "mu.toml").write_text('context = "massive/xlm-roberta-base"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(index=None):
    """As the original study wrote it: pandas' `to_csv` of a frame of models × locales."""
    values = np.array([[0.86, 0.61, 0.3], [0.55, 0.85, np.nan], [0.31, 0.3, 0.8067]])
    return pd.DataFrame(values, index=LOCALES, columns=LOCALES).rename(index=index or {})


def test_a_matrix_written_by_pandas_is_imported(space, capsys):
    table().to_csv(space / "evaluation_matrix.csv")
    assert run(["matrix", "import", "evaluation_matrix.csv", "--n", "2974"]) == 0
    found = nxn.load(space / "results" / "nxn-massive-xlm-roberta-base-test.csv")
    assert list(found.sources) == LOCALES and set(found.n) == {2974}
    np.testing.assert_array_equal(found.scores, table().to_numpy())
    capsys.readouterr()
    assert run(["init", "--restore"]) == 0
    assert run(["matrix", "massive/xlm-roberta-base", "--split", "test", "--target", "sw-KE"]) == 0
    assert "80.7" in capsys.readouterr().out
    wide = pd.read_csv(space / "results" / "evaluation_matrix-massive-xlm-roberta-base-test.csv", index_col=0)
    pd.testing.assert_frame_equal(wide, table(), check_names=False)


def test_names_that_end_in_a_locale_and_percentages_are_read(space):
    names = {locale: f"xlm-roberta-base_massive_k_{locale}" for locale in LOCALES}
    (100 * table(index=names)).round(4).to_csv(space / "m.csv")
    assert run(["matrix", "import", "m.csv"]) == 2
    assert run(["matrix", "import", "m.csv", "--percent"]) == 0
    found = nxn.load(space / "results" / "nxn-massive-xlm-roberta-base-test.csv")
    assert list(found.sources) == LOCALES and found.value("sw-KE", "sw-KE") == pytest.approx(0.8067)


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        (",de-DE,sv-SE\nde-DE,0.5\n", "m.csv:2", "2 cells under 3 columns"),
        (",de-DE\nmean,0.5\n", "m.csv:2", "'mean' is not a locale"),
        (",de-DE\nde-DE,good\n", "m.csv:2", "'good' is not a number"),
        (",de-DE\nde-DE,86\n", "m.csv:2", "--percent"),
        (",de-DE\nde-DE,0.5\nde-DE,0.6\n", "m.csv:3", "two rows"),
        ("", "m.csv", "not a wide matrix"),
    ],
)
def test_a_table_that_is_no_matrix_is_refused_with_its_line(space, capsys, text, where, problem):
    (space / "m.csv").write_text(text, encoding="utf-8")
    assert run(["matrix", "import", "m.csv"]) in (1, 2)
    error = capsys.readouterr().err
    assert where in error and problem in error
    assert not (space / "results").exists()


@pytest.mark.slow
def test_imported_values_stay_until_the_pair_is_measured(trained):
    values = pd.DataFrame(0.5, index=["de-DE", "fr-FR"], columns=["de-DE", "sv-SE"])
    values.to_csv(trained.space / "m.csv")
    assert run(["matrix", "import", str(trained.space / "m.csv"), *trained.study]) == 0
    assert trained.mu("nxn", "--source", "de-DE", "--locale", "de-DE").code == 0
    found = nxn.load(trained.space / "results" / "nxn-rooms-tiny-bert-test.csv")
    assert found.value("fr-FR", "sv-SE") == found.value("de-DE", "sv-SE") == 0.5
    assert found.value("de-DE", "de-DE") != 0.5 and ("de-DE", "de-DE") in found.code
