"""Ground floor: errors, files, locales, statistics, workspaces."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from merginguriel import errors, files, locales, stats, workspace

# Errors


def test_an_error_says_where_first_and_how_to_mend_it_last():
    error = errors.KnowledgeError("two cells.", where="a.md:3", hint="Write one.\nOr none.")
    assert error.render() == "a.md:3: two cells.\n    Write one.\n    Or none."
    assert error.as_dict() == {
        "error": "two cells.",
        "where": "a.md:3",
        "hint": "Write one.\nOr none.",
        "exit_code": 1,
    }


def test_exit_codes_are_the_documented_ones():
    assert [e("x").exit_code for e in (errors.MuError, errors.UsageError, errors.UnavailableError)] == [
        1,
        2,
        3,
    ]
    assert errors.missing_extra("torch").exit_code == 3


# Files


def test_a_write_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(errors.MuError):
        files.write_text(tmp_path / "taken", "text")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_file_where_a_folder_is_needed_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.MuError) as told:
        files.write_text(tmp_path / "file" / "deep" / "x", "text")
    assert "file" in (told.value.where or "")


def test_an_exclusive_write_never_replaces(tmp_path):
    files.write_text(tmp_path / "x", "first", exclusive=True)
    with pytest.raises(errors.MuError, match="already there"):
        files.write_text(tmp_path / "x", "second", exclusive=True)
    assert (tmp_path / "x").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_of_many_exclusive_writers_exactly_one_wins(tmp_path):
    won: list[int] = []

    def write(number: int) -> None:
        try:
            files.write_text(tmp_path / "x", str(number), exclusive=True)
        except errors.MuError:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / "x").read_text()] == [str(number) for number in won]


def test_a_folder_whose_making_fails_leaves_the_old_one_as_it_was(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(KeyboardInterrupt), files.new_folder(target, replace=True) as folder:
        (folder / "new").write_text("new")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "old"]


def test_a_folder_is_replaced_whole_and_only_when_asked(tmp_path):
    target = tmp_path / "out"
    with files.new_folder(target) as folder:
        (folder / "a").write_text("")
    with pytest.raises(errors.MuError, match="already there"), files.new_folder(target):
        pass
    with files.new_folder(target, replace=True) as folder:
        (folder / "b").write_text("")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["b", "out"]


def test_an_input_that_is_missing_is_not_told_as_a_failed_write(tmp_path):
    with pytest.raises(FileNotFoundError), files.new_folder(tmp_path / "out"):
        (tmp_path / "no-such-input").read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_the_way_out(tmp_path):
    error = files.os_error(OSError(28, os.strerror(28)), tmp_path / "x")
    assert "no space left" in error.what and "Free some space" in (error.hint or "")


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256(tmp_path / "x").startswith("ba7816bf8f01cfea")


# Locales


@pytest.mark.parametrize(
    ("written", "tag"),
    [("sw-KE", "sw-KE"), ("SW_ke", "sw-KE"), (" sw-ke ", "sw-KE"), ("sr-latn-rs", "sr-Latn-RS")],
)
def test_a_locale_is_known_however_it_is_typed(written, tag):
    if tag in locales.table():
        assert locales.get(written).tag == tag
    assert locales.normalize(written) == tag


def test_swahili_of_kenya_has_its_iso_639_3_code():
    assert (locales.get("sw-KE").language, locales.get("sw-KE").script) == ("swh", "Latn")


@pytest.mark.parametrize(
    ("wrong", "near"), [("sw", "sw-KE"), ("swahili", "sw-KE"), ("de-KE", "sw-KE"), ("vi-VM", "vi-VN")]
)
def test_an_unknown_locale_is_answered_with_its_neighbours(wrong, near):
    with pytest.raises(errors.UsageError) as told:
        locales.get(wrong)
    assert near in (told.value.hint or "")


def test_every_locale_of_the_table_is_found_under_its_own_tag():
    for tag in locales.table():
        assert locales.get(tag.lower()).tag == tag


@given(st.text(max_size=40))
def test_any_text_is_a_locale_or_a_usage_error(text):
    try:
        assert locales.get(text).tag in locales.table()
    except errors.UsageError as error:
        assert "sw-KE" in (error.hint or "") or "Did you mean" in (error.hint or "")


# Statistics, against scipy

COUNTS = st.integers(0, 400)


@given(COUNTS, COUNTS)
def test_mcnemar_is_the_exact_binomial_test_of_scipy(a, b):
    expected = scipy_stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert stats.exact_mcnemar(a, b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_thousands_of_items_does_not_overflow():
    assert stats.exact_mcnemar(9000, 9100) == pytest.approx(scipy_stats.binomtest(9000, 18100).pvalue)


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.8, 0.9, 0.95]))
def test_wilson_interval_is_that_of_scipy(n, share, level):
    hits = round(share * n)
    expected = scipy_stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    assert stats.wilson_interval(hits / n, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.floats(-8, 8))
def test_two_sided_p_is_that_of_the_normal_distribution(z):
    assert stats.two_sided_p(z) == pytest.approx(2 * scipy_stats.norm.sf(abs(z)), rel=1e-9)


def test_no_p_is_printed_as_zero():
    assert stats.two_sided_p(16.5) > 0
    assert [stats.p_text(p) for p in (0.0231, 0.001, 1e-60)] == ["p = 0.023", "p = 0.001", "p < 0.001"]


@given(st.floats(0.001, 0.999), st.integers(1, 60))
def test_quantiles_of_student_agree_with_scipy(p, df):
    assert stats.student_inv_cdf(p, df) == pytest.approx(scipy_stats.t.ppf(p, df), rel=1e-8, abs=1e-8)


def test_from_few_groups_only_a_larger_effect_can_be_seen():
    normal = stats.minimum_detectable_effect(1.0)
    assert stats.minimum_detectable_effect(1.0, groups=5) == pytest.approx(2.7764 + 0.9410, abs=1e-3)
    assert stats.minimum_detectable_effect(1.0, groups=10_000) == pytest.approx(normal, rel=1e-3)


@given(st.floats(1e-12, 1 - 1e-12), st.floats(-8, 8))
def test_the_normal_distribution_is_that_of_scipy(p, x):
    assert stats.NORMAL.inv_cdf(p) == pytest.approx(scipy_stats.norm.ppf(p), abs=1e-9, rel=1e-9)
    assert stats.NORMAL.cdf(x) == pytest.approx(scipy_stats.norm.cdf(x), rel=1e-12)
    assert stats.NORMAL.pdf(x) == pytest.approx(scipy_stats.norm.pdf(x), rel=1e-12)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_paired_variance_is_that_of_the_mean_of_the_item_differences(only_a, only_b, same):
    n = only_a + only_b + same
    if n == 0:
        return
    items = [1] * only_a + [-1] * only_b + [0] * same
    mean = sum(items) / n
    assert stats.paired_variance(only_a, only_b, n) == pytest.approx(
        sum((x - mean) ** 2 for x in items) / n / n
    )


def test_the_minimum_detectable_effect_has_its_power_in_simulation():
    # Given two-sided tests at 0.05 of a difference as large as the effect named, four of five find it.
    sd = 1.3
    effect = stats.minimum_detectable_effect(sd**2)
    power = scipy_stats.norm.sf(1.959964 - effect / sd) + scipy_stats.norm.cdf(-1.959964 - effect / sd)
    assert power == pytest.approx(0.8, abs=1e-4)


# Workspaces


def test_a_workspace_is_found_upwards_and_else_the_shipped_knowledge_answers(tmp_path):
    (tmp_path / "mu.toml").write_text('min_gain_pp = 2\ncontext = "a/b"\n')
    deep = tmp_path / "x" / "y"
    deep.mkdir(parents=True)
    found = workspace.find(deep)
    assert found.root == tmp_path and found.settings == {"context": "a/b", "min_gain_pp": 2.0, "tui": {}}
    assert workspace.shipped().shipped


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min_gain = 1.0", "unknown setting"),
        ('min_gain_pp = "1"', "must be a float"),
        ("min_gain_pp = true", "must be a float"),
        ("min_gain_pp = ", "not valid TOML"),
        ("[[[", "not valid TOML"),
    ],
)
def test_settings_that_cannot_be_read_are_refused_with_their_file(tmp_path, text, said):
    (tmp_path / "mu.toml").write_text(text)
    with pytest.raises(errors.MuError, match=said) as told:
        workspace.find(tmp_path)
    assert (told.value.where or "").endswith("mu.toml")


def test_a_folder_that_is_no_workspace_is_a_usage_error(tmp_path):
    with pytest.raises(errors.UsageError, match="not a workspace"):
        workspace.find(explicit=tmp_path)


def test_nobody_writes_into_the_shipped_knowledge():
    with pytest.raises(errors.UsageError, match="no workspace"):
        workspace.writable(workspace.Workspace(Path("/nowhere"), shipped=True))
