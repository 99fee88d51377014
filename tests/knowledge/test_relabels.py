"""An entry corrects the label of rows, and everything that reads them follows."""

from __future__ import annotations

from conftest import claim, row

CORRECTION = "2026-02-01-correction-00000002"
RELABELS = """\
## Relabels

The label meant the transposed matrix.

- context=massive/xlm-roberta-base similarity=REAL to=similarity:REAL-row
"""


def corrected(bench, section=RELABELS):
    bench.entry(row(similarity="REAL"), row(similarity="URIEL", value=0.45))
    path = bench.entry(entry=CORRECTION, table=section)
    path.write_text(path.read_text(encoding="utf-8").replace("## Results\n\n", ""), encoding="utf-8")
    return bench.load()


def test_a_relabelled_row_has_the_corrected_label_and_remembers_the_written_one(bench):
    first, second = corrected(bench).rows
    assert (first.similarity, dict(first.written), first.status) == (
        "REAL-row",
        {"similarity": "REAL"},
        "current",
    )
    assert (second.similarity, second.written) == ("URIEL", ())


def test_a_claim_about_the_old_label_no_longer_finds_its_row(bench):
    gains = claim(
        "gains",
        scope="{context: massive/xlm-roberta-base, target: sw-KE, similarity: %s}",
        text="REAL sources score 2.00 pp above the best single source for Swahili.",
    )
    bench.skill(claims=gains % "REAL")
    assert "no cited row compares" in corrected(bench).standings["gains"].reason
    bench.skill(claims=gains % "REAL-row")
    assert corrected(bench).standings["gains"].status == "under noise"


def test_why_shows_the_entry_that_corrected_the_label(bench, mu):
    corrected(bench)
    told = mu("why", "2026-01-20-test-00000001#r1", "--workspace", bench.root)
    assert "REAL-row" in told.out and CORRECTION in told.out


def test_sources_that_are_not_those_of_the_merge_are_removed(bench):
    table = "| target | mode | method | sources | value |\n|---|---|---|---|---|\n| sw-KE | ExcTar | ties | id-ID lv-LV | 0.48 |"
    bench.entry(table=table)
    path = bench.entry(entry=CORRECTION, table="## Relabels\n\nWrong.\n\n- target=sw-KE to=sources:-\n")
    path.write_text(path.read_text(encoding="utf-8").replace("## Results\n\n", ""), encoding="utf-8")
    (only,) = bench.load().rows
    assert only.sources == () and only.value == 0.48


def test_a_relabel_without_a_known_label_is_refused_with_its_line(bench, mu):
    for item in ("similarity=REAL", "similarity=REAL to=similarity:XX", "similarity=REAL to=method:ties"):
        path = bench.entry(entry=CORRECTION, table=f"## Relabels\n\nWrong.\n\n- {item}\n")
        path.write_text(path.read_text(encoding="utf-8").replace("## Results\n\n", ""), encoding="utf-8")
        assert mu("lint", "--workspace", bench.root).code == 1


def test_a_lifted_relabel_leaves_the_label_as_written(bench):
    corrected(bench)
    path = bench.entry(
        entry="2026-02-02-lift-00000003", table=f"## Lifts\n\nIt was right.\n\n- {CORRECTION}\n"
    )
    path.write_text(path.read_text(encoding="utf-8").replace("## Results\n\n", ""), encoding="utf-8")
    assert bench.load().rows[0].similarity == "REAL"
