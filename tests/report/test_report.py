"""Reports: numbers by hand, verdicts within noise, names on every page."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from merginguriel import stats
from merginguriel.errors import MuError, UsageError
from merginguriel.evaluation import across_targets, significance
from merginguriel.knowledge.log.draft_text import rows_csv
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.report import comparisons, contrasts, pages, scored_arms
from merginguriel.report.report import build, origins_words
from merginguriel.study import item_file
from merginguriel.text import differences, numbers

N = 400
ROW = ResultRow(
    "home/e5-small", "da-DK", "ExcTar", "ties", "accuracy", 0.6, N, k=5, similarity="REAL", seed=0
)


def against(row, baseline, kind="best_single_source", **more):
    return replace(row, baseline_kind=kind, baseline=baseline, **more)


def run_folder(space, name, rows, *, config=None, result=None, items=None):
    folder = space / "runs" / name
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text(rows_csv(rows), encoding="utf-8")
    if config:
        (folder / "config.yaml").write_text(config)
    if result:
        (folder / "result.json").write_text(json.dumps(result))
    if items:
        ids = np.array([f"i{i}" for i in range(len(next(iter(items.values()))))])
        item_file.write(folder / "items.npz", ids, ids, items)
    return folder


def study(space, targets=("da-DK", "fi-FI", "cy-GB", "ro-RO"), gain=0.02):
    """k 3 and 5 on every target: 5 is better by 1, 2, 3 … pp; the ensemble of the same sources lies between."""
    folders = []
    for number, target in enumerate(targets, 1):
        for k in (3, 5):
            sources = ("de-DE", "sv-SE", "nb-NO", "en-US", "it-IT")[:k]
            value = 0.5 + (0.01 * number if k == 5 else 0)
            row = replace(ROW, target=target, k=k, sources=sources, value=value)
            rows = [
                against(row, value - gain, wins=int(N * gain) + 20, losses=20),
                against(row, 0.45, "source_mean"),
            ]
            vote = replace(row, method="ensemble_soft", similarity=None, value=value - 0.005)
            rows.append(against(vote, value - gain))
            folders.append(run_folder(space, f"merge-{target}-{k}", rows, config="trim_scope: tensor\n"))
    return scored_arms.from_runs(folders)


def text_of(report):
    return "\n".join([*report.short, *(line for section in report.sections for line in section.text)])


# numbers


def test_a_row_gives_its_interval_p_and_detectable_effect_by_hand():
    found = comparisons.of_rows(against(ROW, 0.55, wins=60, losses=40))
    se = 100 * np.sqrt((100 / N - 0.05**2) / N)
    assert found.value == pytest.approx(5.0) and found.se == pytest.approx(se)
    assert found.low == pytest.approx(5 - 1.959964 * se, abs=1e-4)
    assert found.mde == pytest.approx((1.959964 + 0.841621) * se, abs=1e-4)
    assert found.p == stats.exact_mcnemar(60, 40)


def test_p_is_counted_over_all_comparisons_before_anything_is_called_above():
    lucky = against(ROW, 0.55, wins=60, losses=40)  # p = 0.057 … 0.02 alone with fewer items apart
    lucky = replace(lucky, wins=45, losses=25)
    rest = [against(replace(ROW, method=f"m{i}"), 0.6, wins=20, losses=20) for i in range(9)]
    arms = [
        scored_arms.ScoredArm(replace(r, baseline_kind=None), {r.baseline_kind: r}, "e")
        for r in (lucky, *rest)
    ]
    one = comparisons.cells(arms[:1])[0].against["best_single_source"]
    many = next(c for c in comparisons.cells(arms) if c.label.startswith("ties")).against[
        "best_single_source"
    ]
    assert one.verdict == differences.ABOVE and many.verdict == differences.NOISE
    assert many.p_holm == pytest.approx(10 * one.p)


def test_seeds_add_what_they_differ_by_to_the_noise_of_the_items():
    rows = [
        against(replace(ROW, seed=s, value=0.55 + d), 0.55, se_pp=2.0)
        for s, d in enumerate((0.0, 0.04, 0.08))
    ]
    arms = [scored_arms.ScoredArm(replace(r, baseline_kind=None), {r.baseline_kind: r}, "e") for r in rows]
    (cell,) = comparisons.cells(arms)
    found = cell.against["best_single_source"]
    assert found.value == pytest.approx(4.0)
    assert found.se == pytest.approx(np.sqrt(2.0**2 + 4.0**2 / 3))
    df = int((4 + 16 / 3) ** 2 / (4**2 / (N - 1) + (16 / 3) ** 2 / 2))
    scipy_stats = pytest.importorskip("scipy.stats")
    assert found.p == pytest.approx(2 * scipy_stats.t.sf(4.0 / found.se, df))


def test_two_seeds_that_agree_on_the_sign_are_no_proof_however_many_the_items():
    rows = [
        against(replace(ROW, seed=s, n=20_000, value=0.6 + d), 0.6, se_pp=0.2)
        for s, d in enumerate((0.015, 0.025))
    ]
    arms = [scored_arms.ScoredArm(replace(r, baseline_kind=None), {r.baseline_kind: r}, "e") for r in rows]
    found = comparisons.cells(arms)[0].against["best_single_source"]
    assert found.value == pytest.approx(2.0) and found.verdict == differences.NOISE and found.low < 0


def arms_of(*rows, origin="e"):
    return [scored_arms.ScoredArm(replace(r, baseline_kind=None), {r.baseline_kind: r}, origin) for r in rows]


def test_a_seed_that_stands_twice_is_never_averaged():
    first = [against(replace(ROW, seed=s, value=0.6), 0.5) for s in (0, 1)]
    second = [against(replace(ROW, seed=s, value=0.7), 0.5) for s in (0, 1)]
    found = comparisons.cells(arms_of(*first, *second))
    assert [(c.value, len(c.arms), dict(c.key)["row"]) for c in found] == [(0.7, 2, "2"), (0.6, 2, "1")]
    assert len({c.label for c in found}) == 2
    (note,) = comparisons.repeated(found)
    assert note.startswith("ties: several measurements share") and "not averaged" in note
    unknown = [replace(r, seed=None) for r in (first[0], second[0])]
    assert [len(c.arms) for c in comparisons.cells(arms_of(*unknown))] == [1, 1]
    assert comparisons.repeated(comparisons.cells(arms_of(*first))) == []


def test_two_entries_of_which_one_repeats_a_seed_are_three_cells():
    row = against(ROW, 0.5)
    arms = [*arms_of(row, replace(row, value=0.7)), *arms_of(replace(row, value=0.8), origin="f")]
    found = [(dict(c.key)["from"], dict(c.key)["row"], c.value) for c in comparisons.cells(arms)]
    assert found == [("f", "1", 0.8), ("e", "2", 0.7), ("e", "1", 0.6)]


def test_weights_tell_merges_of_the_same_sources_apart_over_seeds():
    row = against(replace(ROW, k=2, sources=("de-DE", "sv-SE")), 0.5)
    rows = [
        replace(row, weights=weights, seed=seed, value=value)
        for weights, value in (((0.5, 0.5), 0.6), ((0.7, 0.3), 0.65))
        for seed in (0, 1)
    ]
    found = comparisons.cells(arms_of(*rows))
    assert [(dict(c.key)["weights"], c.value, len(c.arms)) for c in found] == [
        ("0.7 0.3", 0.65, 2),
        ("0.5 0.5", 0.6, 2),
    ]
    assert "by weights" in comparisons.repeated(found)[0]


def test_where_items_were_kept_seeds_and_items_are_both_taken_as_drawn(tmp_path):
    rng = np.random.default_rng(1)
    shared = rng.random(N)
    folders, rights = [], []
    for seed in range(3):
        merge, one = shared + 0.2 * rng.normal(size=N) < 0.7, shared + 0.2 * rng.normal(size=N) < 0.6
        rights.append((merge, one))
        row = replace(ROW, value=float(merge.mean()), seed=seed, sources=("de-DE",), k=1)
        result = {"baselines": {"best_zero_shot": {"value": float(one.mean())}}, "singles": {}}
        rows = [against(row, float(one.mean()), "best_zero_shot", se_pp=1.0)]
        items = {"merge": merge, "best_zero_shot": one}
        folders.append(run_folder(tmp_path, f"r{seed}", rows, items=items, result=result))
    (cell,) = comparisons.cells(scored_arms.from_runs(folders).arms)
    found = cell.against["best_zero_shot"]
    expected = across_targets.over_seeds(*(np.array(side) for side in zip(*rights, strict=True)))
    assert len(cell.arms) == 3 and found.paired
    assert (found.se, found.p) == pytest.approx((expected.se, expected.p))
    assert (found.low, found.mde) == pytest.approx((expected.interval.low, expected.mde))


@pytest.mark.parametrize(("seeds", "expected"), [((0, 1, 2), 0.0), ((0,), 0.0), ((1, 2), None)])
def test_a_seed_that_only_one_setting_has_does_not_count(tmp_path, seeds, expected):
    values = {0: 0.6, 1: 0.5, 2: 0.4}  # both settings score the same where the seed is the same
    sides = [("REAL", 0), *(("URIEL", seed) for seed in seeds)]
    folders = [
        run_folder(
            tmp_path, f"{name}-{seed}", [against(replace(ROW, similarity=name, seed=seed, value=values[seed]), 0.5)]
        )
        for name, seed in sides
    ]  # fmt: skip
    found = contrasts.settings(comparisons.cells(scored_arms.from_runs(folders).arms), "similarity")
    assert [one.by_target for one in found] == (
        [] if expected is None else [{"home/e5-small da-DK": expected}]
    )


def test_settings_are_compared_as_paired_differences_over_targets(tmp_path):
    found = comparisons.cells(study(tmp_path).arms)
    (five,) = contrasts.settings(found, "k")
    assert (five.a, five.b, five.pairs) == ("5", "3", 4)
    assert sorted(five.by_target.values()) == pytest.approx([1, 2, 3, 4])
    scipy_stats = pytest.importorskip("scipy.stats")
    expected = scipy_stats.ttest_1samp([1, 2, 3, 4], 0)
    assert five.difference.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (five.difference.low, five.difference.high) == pytest.approx((interval.low, interval.high))


def test_a_merge_meets_the_ensemble_of_the_same_sources_only(tmp_path):
    over, each = contrasts.ensembles(comparisons.cells(study(tmp_path).arms))
    assert len(each) == 8 and all(len(s.by_target) == 4 for s in over)
    assert all(d.value == pytest.approx(0.5) for _, _, d in each)


def test_items_give_paired_noise_where_rows_have_none(tmp_path):
    rng = np.random.default_rng(0)
    merge, one, two = (rng.random(N) < share for share in (0.7, 0.6, 0.5))
    mean = float((one.mean() + two.mean()) / 2)
    row = replace(ROW, value=float(merge.mean()), k=2, sources=("de-DE", "sv-SE"))
    items = {"merge": merge, "single:de-DE": one, "single:sv-SE": two, "best_zero_shot": one}
    result = {"baselines": {"best_zero_shot": {"value": float(one.mean())}}, "singles": {}}
    folder = run_folder(tmp_path, "r", [against(row, mean, "source_mean")], items=items, result=result)
    (cell,) = comparisons.cells(scored_arms.from_runs([folder]).arms)
    d = merge - (one.astype(float) + two) / 2
    effect = cell.against["source_mean"]
    assert effect.paired and effect.value == pytest.approx(100 * d.mean(), abs=1e-4)
    assert effect.se == pytest.approx(100 * d.std() / np.sqrt(N - 1))
    assert cell.goal == "best_zero_shot" and cell.against["best_zero_shot"].paired


# words


def test_the_report_says_where_a_seed_was_measured_twice(tmp_path):
    rows = [against(replace(ROW, value=v), 0.5) for v in (0.6, 0.7)]
    report = build(scored_arms.from_runs([run_folder(tmp_path, "r", rows)]))
    assert "distinguished by their order, not averaged" in text_of(report)


def test_noise_is_never_called_above(tmp_path):
    report = build(study(tmp_path, gain=0.005))
    assert "reached on 0 of 4 targets" in text_of(report)
    goals = report.tables()["goals"].records
    assert {record["goal_1"] for record in goals} == {"undecided"} and goals[0]["goal_2"] == "not tried"


def test_a_gain_outside_noise_reaches_the_goal(tmp_path):
    report = build(study(tmp_path, gain=0.2))
    assert "Goal 1 (ExcTar above the best single source): reached on 4 of 4 targets" in text_of(report)


def test_three_targets_are_too_few_for_wilcoxon_and_the_report_says_so(tmp_path):
    assert "cannot separate any of" in text_of(build(study(tmp_path, ("da-DK", "fi-FI", "cy-GB"))))


def test_two_targets_tell_nothing_of_another_one_whatever_their_values(tmp_path):
    report = build(study(tmp_path, ("da-DK", "fi-FI"), gain=0.2))
    assert "2 targets: too few" in report.short[1]
    output = text_of(report)
    assert not any(
        word in output
        for word in ("Over targets against", "Friedman's test", "over 2 targets", "5 against 3")
    )
    (setting,) = report.tables()["settings"].records
    assert (setting["targets"], setting["p"], setting["verdict"]) == (2, None, "untested")
    assert [s.title for s in report.sections if s.title.startswith(("Ranking", "Methods over"))] == []


@pytest.mark.slow
def test_every_table_on_the_page_has_rows_or_says_that_there_are_none(tmp_path):
    report = build(study(tmp_path))
    pages.write(report, tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "****" not in text and "|  |" not in text
    assert "**On single targets, outside noise**: none." in text
    tables = ElementTree.fromstring((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).iter(
        "table"
    )
    assert all(len(list(t.find("tbody"))) and list(t.iter("th")) for t in tables)
    assert (tmp_path / "out" / "tables" / "effects.csv").is_file()


def test_one_and_many_are_told_apart(tmp_path):
    one = build(scored_arms.from_runs([run_folder(tmp_path, "r", [against(ROW, 0.5, wins=60, losses=20)])]))
    assert "1 merge on 1 target, 0 results of single models" in text_of(one)
    assert (
        "From 1 run: r." in text_of(one)
        and origins_words(["a", "b", "2026-11-21-x"]) == "2 runs and 1 log entry"
    )
    assert numbers.count(2, "log entry") == "2 log entries" and numbers.count(1, "class") == "1 class"


def test_p_is_that_of_the_run_on_the_same_items(tmp_path):
    """Goal 2 as well: rows that know their noise have their items tested all the same."""
    rng = np.random.default_rng(3)
    own, merge = (rng.random(N) < share for share in (0.75, 0.65))
    groups = [f"t{i // 6}" for i in range(N)]
    seen = significance.compare(merge, own, groups=groups)
    row = replace(ROW, mode="IncTar", value=float(merge.mean()))
    rows = [
        against(row, float(own.mean()), "target_alone", se_pp=seen.se, wins=seen.wins, losses=seen.losses)
    ]
    folder = run_folder(tmp_path, "r", rows)
    ids = np.array([f"i{i}" for i in range(N)])
    item_file.write(folder / "items.npz", ids, np.array(groups), {"merge": merge, "target_alone": own})
    (cell,) = comparisons.cells(scored_arms.from_runs([folder]).arms)
    found = cell.against["target_alone"]
    assert cell.goal == "target_alone" and found.p == seen.p_groups
    assert (found.value, found.se, found.mde) == pytest.approx((seen.difference, seen.se, seen.mde))


def test_models_that_answer_alike_are_within_what_so_many_items_exclude(tmp_path):
    right = np.arange(N) % 3 == 0
    row = replace(ROW, value=float(right.mean()))
    items = {"merge": right, "average_merge": right}
    folder = run_folder(tmp_path, "r", [against(row, row.value, "average_merge")], items=items)
    (cell,) = comparisons.cells(scored_arms.from_runs([folder]).arms)
    found = cell.against["average_merge"]
    assert (found.value, found.p, found.verdict) == (0.0, 1.0, differences.NOISE)
    assert found.high == -found.low == pytest.approx(100 * (1 - 0.025 ** (1 / N)))


# pages

ODD = 'x"><script>alert(1)</script>|`*_$a$ ‮\x1b[31m\n# head'


def odd_report(tmp_path):
    folder = run_folder(tmp_path, "r", [against(ROW, 0.5, wins=60, losses=20, note=ODD.replace("\n", " "))])
    return build(scored_arms.from_runs([folder]), title=ODD)


def test_the_page_is_well_formed_and_obeys_no_text_from_files(tmp_path):
    report = odd_report(tmp_path)
    pages.write(report, tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert [e.text for e in root.iter() if e.tag in ("script", "link", "iframe")] == [pages.SCRIPT]
    assert all(e.get("src", "data:").startswith("data:") for e in root.iter())
    assert not any(name.startswith("on") for e in root.iter() for name in e.attrib)
    assert "\x1b" not in text and "‮" not in text
    assert "alert(1)" in "".join(root.itertext())  # shown, not run
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown and "\x1b" not in markdown and r"\|\`\*\_\$a\$" in markdown


@pytest.mark.slow
def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        pages.write(build(study(tmp_path / name, ("da-DK", "fi-FI"))), tmp_path / f"out-{name}")
    files = sorted(p.relative_to(tmp_path / "out-a") for p in (tmp_path / "out-a").rglob("*") if p.is_file())
    assert {p.suffix for p in files} == {".md", ".html", ".json", ".csv", ".png", ".svg"}
    assert [
        p for p in files if (tmp_path / "out-a" / p).read_bytes() != (tmp_path / "out-b" / p).read_bytes()
    ] == []


def test_one_run_and_single_models_alone_make_a_report(tmp_path):
    report = build(
        scored_arms.from_runs([run_folder(tmp_path, "r", [against(ROW, 0.5, wins=60, losses=20)])])
    )
    assert pages.page(
        replace(report, sections=[replace(s, pictures=()) for s in report.sections], picture=None), tmp_path
    )
    singles = [
        replace(ROW, method="single", mode="-", k=None, similarity=None, target=t, sources=(s,))
        for s in ("da-DK", "sv-SE")
        for t in ("da-DK", "sv-SE")
    ]
    report = build(scored_arms.from_runs([run_folder(tmp_path, "nxn", singles)]))
    assert len(report.tables()["matrix"].records) == 4


def test_nothing_measured_is_an_error(tmp_path):
    (tmp_path / "runs" / "begun").mkdir(parents=True)
    with pytest.raises(MuError, match="no result") as caught:
        build(scored_arms.from_runs([tmp_path / "runs" / "begun"]))
    assert "no result yet" in caught.value.hint


def test_a_setting_that_nothing_differs_in_is_refused_with_those_that_do(tmp_path):
    evidence = study(tmp_path, ("da-DK", "fi-FI"))
    with pytest.raises(UsageError) as caught:
        build(evidence, by=["density"])
    assert "k" in caught.value.hint


def test_damaged_items_leave_the_rows_standing_and_are_told(tmp_path):
    folder = run_folder(tmp_path, "r", [against(ROW, 0.5, wins=60, losses=20)])
    (folder / "items.npz").write_bytes(b"PK\x03\x04 torn")
    evidence = scored_arms.from_runs([folder])
    assert len(evidence.arms) == 1 and "items cannot be read" in evidence.notes[0]


def test_a_formula_in_a_cell_is_text_to_a_spreadsheet():
    assert pages.as_csv([{"a": "=1+1", "b": -1.5, "c": "-"}]).splitlines()[1] == "'=1+1,-1.5,-"


# the command


@pytest.mark.slow
def test_the_log_is_reported_through_the_command(bench, mu, tmp_path):
    from conftest import row

    bench.entry(
        row("sw-KE"), row("cy-GB", 0.41, 0.44), row("sw-KE", 0.47, k=3), row("cy-GB", 0.42, 0.44, k=3)
    )
    ran = mu("report", "--workspace", bench.root, "--log", "2026-01-20-test", "--json")
    assert ran.code == 0 and len(ran.json["tables"]["comparisons"]) == 4
    assert [r["difference_pp"] for r in ran.json["tables"]["settings"]] == [0.0]
    out = tmp_path / "out"
    assert mu("report", "--workspace", bench.root, "--log", "2026-01-20-test", "--out", out).code == 0
    assert mu("report", "--workspace", bench.root, "--log", "2026-01-20-test", "--out", out).code == 1
    assert (
        mu("report", "--workspace", bench.root, "--log", "2026-01-20-test", "--out", out, "--replace").code
        == 0
    )
    assert (out / "report.html").is_file()


def test_a_folder_that_is_no_report_is_not_replaced(bench, mu, tmp_path):
    from conftest import row

    bench.entry(row("sw-KE"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    arguments = (
        "report",
        "--workspace",
        bench.root,
        "--log",
        "2026",
        "--out",
        tmp_path / "mine",
        "--replace",
    )
    assert mu(*arguments).code == 2 and (tmp_path / "mine" / "thesis.tex").is_file()


def test_without_runs_the_command_says_how_to_get_some(bench, mu):
    ran = mu("report", "--workspace", bench.root)
    assert ran.code == 2 and "mu run" in ran.err
    assert mu("report", "nope", "--workspace", bench.root).code == 2
    assert mu("report", "--sweep", "nope", "--workspace", bench.root).code == 2


def test_an_entry_and_its_runs_give_the_same_answer_where_rows_allow_a_test(tmp_path):
    """Sixty templates of ten variants each; with the items of the run beside its rows, the tests are the same."""
    rng = np.random.default_rng(4)
    groups = np.array([f"t{i // 10}" for i in range(600)])
    ids = np.array([f"i{i}" for i in range(600)])
    arms, stripped, folders = [], [], []
    for number, target in enumerate(("da-DK", "fi-FI", "cy-GB", "ro-RO")):
        level = rng.normal(size=60).repeat(10)
        one, two = (level + rng.normal(size=600) < 0.3 for _ in range(2))
        merge = level + rng.normal(size=600) < 0.3 + 0.12 * number
        seen = significance.compare(merge, one, groups=groups, draws=0)
        row = replace(ROW, target=target, n=600, value=float(merge.mean()), sources=("de-DE", "sv-SE"), k=2)
        more = {"wins": seen.wins, "losses": seen.losses, "se_pp": seen.se}
        rows = [
            against(row, float(one.mean()), "best_zero_shot", **more),
            against(row, float((one.mean() + two.mean()) / 2), "source_mean"),
        ]
        folders.append(run_folder(tmp_path, target, rows))
        stripped += scored_arms.from_runs(folders[-1:]).arms
        named = {"merge": merge, "best_zero_shot": one, "single:de-DE": one, "single:sv-SE": two}
        item_file.write(folders[-1] / "items.npz", ids, groups, named)
    arms = scored_arms.from_runs(folders).arms
    by_items, by_rows = (comparisons.cells(each) for each in (arms, stripped))
    for exact, near in zip(by_items, by_rows, strict=True):
        a, b = exact.against["best_zero_shot"], near.against["best_zero_shot"]
        assert a.verdict == b.verdict and a.family == b.family == 4
        assert max(a.p, b.p) < 1e-4 or 0.5 * a.p < b.p < 2 * a.p
        assert near.against["source_mean"].verdict in (
            differences.UNTESTED,
            exact.against["source_mean"].verdict,
        )
    assert {c.against["source_mean"].verdict for c in by_items} == {differences.NOISE, differences.ABOVE}
    short = build(scored_arms.Evidence(tuple(stripped), ("e",))).short
    assert "2 synergy, 0 interference, 2 untested" in short[-1]
    short = build(scored_arms.Evidence(tuple(stripped[:2]), ("e",))).short
    assert "untested on each of 2 merges" in short[-1] and "synergy" not in short[-1]


def test_the_number_of_ensembles_does_not_change_what_merges_show(tmp_path):
    row = against(ROW, 0.5, wins=70, losses=30)
    votes = [against(replace(ROW, method=f"ensemble_{i}"), 0.5, wins=50, losses=45) for i in range(30)]
    alone, among = (
        next(c for c in comparisons.cells(arms_of(*rows)) if c.kind == "merge").against["best_single_source"]
        for rows in ([row], [row, *votes])
    )
    assert (alone.p_holm, alone.family) == (among.p_holm, among.family) == (alone.p, 1)


def test_items_of_another_measurement_are_not_joined(tmp_path):
    right = np.arange(N) % 2 == 0
    folder = run_folder(tmp_path, "r", [against(ROW, 0.5, "target_alone")], items={"merge": right})
    evidence = scored_arms.from_runs([folder])
    assert evidence.arms[0].right is None
    assert evidence.notes == ("r: merge has 0.500000 in items.npz, 0.600000 in its row.",)
