"""`mu advise`, `skills`, `log` and `lint`, with valid and invalid input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from conftest import KNOWLEDGE, OBSERVATION, REPOSITORY, head, row

HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "pandas",
    "textual",
    "rich",
    "safetensors",
    "matplotlib",
    "scipy",
)


def started(
    *arguments: object, code: str = "", cwd: Path = KNOWLEDGE, **env: str
) -> subprocess.CompletedProcess[str]:
    command = ["-c", code] if code else ["-m", "merginguriel.cli.main"]
    return subprocess.run(
        [sys.executable, *command, *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": str(REPOSITORY), **env}, check=False,
    )  # fmt: skip


# mu advise


@pytest.mark.parametrize(
    ("target", "code", "verdicts"),
    [
        ("sw-KE", 0, ["pilot"]),
        ("cy-GB", 0, ["pilot", "no-merge"]),
        ("vi-VN", 0, ["pilot", "no-merge"]),
        ("th-TH", 0, ["pilot", "no-merge"]),
        ("ka-GE", 0, ["pilot", "no-merge"]),
        ("de-DE", 0, ["pilot"]),
        ("de-DE --context home/e5-small --mode IncTar", 4, ["unknown"]),
    ],
)
def test_advice_exits_0_for_a_verdict_and_4_for_unknown(mu, study, target, code, verdicts):
    target, *more = target.split()
    result = mu("advise", "--target", target, *more, "--json", "--workspace", study.root)
    assert result.code == code and result.json["verdict"] in verdicts and result.err == ""
    assert mu("advise", "--target", target, *more, "--workspace", study.root).code == code


def test_the_printed_schema_is_the_one_that_advice_keeps(mu, study):
    jsonschema.validate(
        mu("advise", "--target", "sw-KE", "--json", "--workspace", study.root).json,
        mu("schema", "advice").json,
    )


@pytest.mark.slow
def test_two_processes_print_the_same_bytes(study):
    asked = ("advise", "--target", "sw-KE", "--json", "--workspace", study.root)
    first, other = started(*asked, PYTHONHASHSEED="1"), started(*asked, PYTHONHASHSEED="2")
    assert first.returncode == 0 and first.stdout == other.stdout and first.stderr == ""


@pytest.mark.parametrize("wrong", ["xx-YY", "sw", "", "---", "sw-KE-KE-KE", "日本"])
def test_an_unknown_locale_exits_2_with_the_way_out(mu, study, wrong):
    result = mu("advise", f"--target={wrong}", "--workspace", study.root)
    assert result.code == 2 and result.out == ""
    assert "unknown locale" in result.err and "like sw-KE" in result.err


def test_an_unknown_locale_is_answered_with_the_nearest_ones(mu, study):
    assert "sw-KE" in mu("advise", "--target", "sw-KX", "--workspace", study.root).err
    result = mu("advise", "--target", "xx-YY", "--workspace", study.root)
    assert "Did you mean" not in result.err  # nothing is near


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--as-of", "20260120"], "is not a date"),
        (["--as-of", "2026-W04-2"], "is not a date"),
        (["--as-of", "yesterday"], "is not a date"),
        (["--min-gain", "nan"], "between 0 and 100"),
        (["--min-gain", "-1"], "between 0 and 100"),
        (["--context", "massive"], "not a context"),
        (["--k", "0"], "--k"),
        (["--budget", "-1"], "--budget must be 0 or more"),
        (["--budget", "few"], "--budget"),
        (["--similarity", "cosine"], "--similarity"),
        (["--workspace", "/nowhere"], "not a workspace"),
        (["--nonsense"], "No such option"),
    ],
)
def test_a_wrong_option_exits_2_and_says_why_also_as_json(mu, arguments, words):
    result = mu("advise", "--target", "sw-KE", *arguments)
    assert result.code == 2 and words in result.err and result.out == ""
    result = mu("advise", "--target", "sw-KE", "--json", *arguments)
    assert result.json["exit_code"] == 2 and words in result.json["error"] + (result.json["hint"] or "")


def test_an_empty_skills_folder_exits_3(mu, bench):
    for path in sorted((bench.root / "skills").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    result = mu("advise", "--target", "sw-KE", "--workspace", bench.root)
    assert result.code == 3 and "no skill" in result.err and "mu init --restore" in result.err
    assert mu("advise", "--target", "sw-KE", "--json", "--workspace", bench.root).json["exit_code"] == 3


def test_a_fresh_workspace_is_told_of_no_changes_that_only_the_shipped_log_suggests(mu, tmp_path):
    assert mu("init", tmp_path / "new").code == 0
    result = mu("lint", "--workspace", tmp_path / "new")
    assert "changes to the skills" not in result.err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('version: "1.0.0"', 'version: "1.0.0', ["SKILL.md:", "not valid YAML"]),
        ("0.4800", "48.00", ["00000001.md:15", "fraction or percent?"]),
    ],
    ids=["a skill", "the log"],
)
def test_what_is_broken_is_named_with_file_and_line(mu, bench, old, new, words):
    path = bench.skill() if "version" in old else bench.entry(row("sw-KE"))
    path.write_text(path.read_text().replace(old, new))
    result = mu("advise", "--target", "sw-KE", "--workspace", bench.root)
    assert result.code == 4 and "1 problem: mu lint" in result.err
    result = mu("lint", "--workspace", bench.root)
    assert result.code == 1 and all(word in result.out for word in words)


def test_an_empty_log_is_unknown_and_no_error(mu, bench):
    result = mu("advise", "--target", "sw-KE", "--workspace", bench.root)
    assert result.code == 4 and "UNKNOWN" in result.out


# What is imported


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--help"], ["advise", "--target", "sw-KE", "--json"], ["lint"], ["log", "list"]]
)
def test_thinking_imports_nothing_heavy(study, arguments):
    code = (
        "import sys\nfrom merginguriel.cli.main import run\nrun(sys.argv[1:])\n"
        f"print(*[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    result = started(*arguments, code=code, cwd=study.root)
    heavy = result.stderr.splitlines()[-1]
    assert not set(heavy.split()) & set(HEAVY) and result.stdout is not None


def test_help_imports_not_even_numpy():
    code = "import sys\nfrom merginguriel.cli.main import run\nrun(['--help'])\nassert 'numpy' not in sys.modules"
    result = started(code=code)
    assert result.returncode == 0 and "advise" in result.stdout


# mu log


def test_an_entry_is_added_from_flags_and_found_again(mu, bench):
    result = mu(
        "log", "add", "--title", 'Welsh, "again"', "--type", "Retrospective", "--summary", "TIES loses.", "--n", 2974,
        "--row", "target=cy-GB mode=ExcTar method=ties sources='de-DE fr-FR' value=0.4008 "
        "baseline_kind=best_single_source baseline=0.4445",
        "--question", "Why?", "--date", "2026-01-20", "--workspace", bench.root,
    )  # fmt: skip
    assert result.code == 0, result.err
    entry = result.out.strip()
    shown = mu("log", "show", entry, "--json", "--workspace", bench.root).json
    assert shown["title"] == 'Welsh, "again"' and shown["rows"][0]["sources"] == ["de-DE", "fr-FR"]
    assert shown["questions"] == [{"text": "Why?", "state": "open", "by": None}]
    assert mu("log", "show", f"{entry}#r1", "--workspace", bench.root).out.startswith(f"{entry}#r1")
    assert (
        mu("advise", "--target", "cy-GB", "--json", "--workspace", bench.root).json["evidence"][0]["ref"]
        == f"{entry}#r1"
    )


def test_a_refused_entry_is_kept_and_breaks_nothing(mu, bench, tmp_path):
    path = tmp_path / "mine.md"
    path.write_text('---\ntitle: "T"\ntype: "Idea"\ndate: "2026-01-20"\nsummary: "S."\n---\n')
    result = mu("log", "add", path, "--workspace", bench.root)
    assert result.code == 1 and "none of Plan" in result.err and "mu log add" in result.err
    (kept,) = (bench.root / "experiment_log" / ".draft").iterdir()
    assert kept.read_text() == path.read_text() and f"{kept}:3" in result.err
    assert mu("log", "list", "--workspace", bench.root).code == 0
    assert mu("lint", "--workspace", bench.root).code == 0


def test_a_dry_run_writes_nothing(mu, bench):
    result = mu("log", "add", *OBSERVATION, "--dry-run", "--workspace", bench.root)
    assert result.code == 0 and 'title: "T"' in result.out
    assert list((bench.root / "experiment_log").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--title", "T"], "needs --title, --type and --summary"),
        ([*OBSERVATION, "--row", "target"], "column=value"),
        ([*OBSERVATION, "--row", "target='x"], "--row cannot be read"),
        ([*OBSERVATION, "--section", "x"], "--section must be"),
        ([*OBSERVATION, "--supersedes", "2020"], "no entry id starts"),
        ([*OBSERVATION, "--date", "today"], "is not a date"),
        (["no-such-file.md"], "no such file"),
    ],
)
def test_a_wrong_call_of_log_add_exits_2(mu, bench, arguments, words):
    result = mu("log", "add", *arguments, "--workspace", bench.root)
    assert result.code == 2 and words in result.err


def test_stray_bytes_in_a_title_are_an_error_and_no_traceback(mu, bench):
    result = mu(
        "log", "add", "--title", "a\udcff", "--type", "Plan", "--summary", "S.", "--workspace", bench.root
    )
    assert result.code == 1 and "not valid" in result.err


def test_nothing_is_written_into_the_shipped_knowledge(mu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = mu("log", "add", "--title", "T", "--type", "Plan", "--summary", "S.")
    assert result.code == 2 and "mu init" in result.err


def test_the_editor_is_used_and_an_untouched_entry_is_not_added(mu, bench, monkeypatch, tmp_path):
    script = tmp_path / "editor.py"
    script.write_text(
        "import sys, pathlib\np = pathlib.Path(sys.argv[1])\n"
        'p.write_text(\'---\\ntitle: "T"\\ntype: "Observation"\\ndate: "2026-01-20"\\nsummary: "S."\\n---\\n\')\n'
    )
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "true")
    assert "was not changed" in mu("log", "add", "--workspace", bench.root).err
    monkeypatch.setenv("EDITOR", "false")
    assert mu("log", "add", "--workspace", bench.root).code == 1
    monkeypatch.setenv("EDITOR", "no-such-editor-here")
    assert mu("log", "add", "--workspace", bench.root).code == 2
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    assert mu("log", "add", "--yes", "--workspace", bench.root).code == 0


def test_entries_and_rows_are_listed_and_filtered(mu, study):
    where = ("--workspace", study.root)
    every = mu("log", "list", "--json", *where).json
    assert len(every) == len(list((KNOWLEDGE / "experiment_log").glob("*/*.md")))
    assert [e["date"] for e in every] == sorted(e["date"] for e in every)
    welsh = mu("log", "list", "--target", "cy-GB", "--rows", "--json", *where).json
    assert welsh and {r["target"] for r in welsh} == {"cy-GB"}
    assert {e["type"] for e in mu("log", "list", "--type", "Plan", "--json", *where).json} == {"Plan"}
    assert len(mu("log", "list", *where).out.splitlines()) == len(every)


def test_an_entry_is_named_by_any_unique_beginning(mu, study):
    where = ("--workspace", study.root)
    assert "Constructive targets" in mu("log", "show", "2026-01-20-constr", *where).out
    result = mu("log", "show", "2026-01-20", *where)
    assert result.code == 2 and "matches" in result.err
    assert mu("log", "show", "2026-01-20-constr#r99", *where).code == 2
    assert "corrected by" in mu("log", "show", "2026-01-20-similarity-ablation", *where).out


# mu skills, mu lint


@pytest.mark.slow
def test_skills_are_listed_and_shown(mu, study):
    listed = mu("skills", "list", "--json", "--workspace", study.root).json
    assert len(mu("skills", "list", "--workspace", study.root).out.splitlines()) == len(listed)
    for skill in listed:
        assert skill["name"] in mu("skills", "show", skill["name"], "--workspace", study.root).out
        shown = mu("skills", "show", skill["name"], "--json", "--workspace", study.root).json
        assert all(c["status"] and c["reason"] for c in shown["claims"])
    result = mu("skills", "show", "no-such-skill", "--workspace", study.root)
    assert result.code == 2 and "Known:" in result.err


def test_lint_says_that_there_are_no_problems(mu, bench):
    bench.entry(row())
    bench.skill()
    result = mu("lint", "--workspace", bench.root)
    assert (result.code, result.out, result.err.splitlines()[0]) == (0, "", "no problems.")


def test_lint_exits_1_and_names_file_and_line(mu, bench):
    path = bench.entry(table="| a |")
    result = mu("lint", "--workspace", bench.root)
    assert result.code == 1 and result.out.startswith(f"{path.relative_to(bench.root)}:13: ")
    assert mu("lint", "--json", "--workspace", bench.root).json[0]["where"].endswith(":13")


# Terminals, pipes


def test_a_terminal_escape_in_a_file_is_shown_and_not_obeyed(mu, bench):
    table = head("note")
    bench.entry(
        title="a\\x1b]0;pwned\\x07\\x1b[2Jb",
        table=table + row("sw-KE", 0.60, 0.50) + " \x1b[31mred |\n\n## Findings\n\n\x1b[2J\x9b2J\n",
    )
    bench.skill(
        claims='- id: c\n  text: "x\\x1b[2Jy"\n  scope: {method: similarity}\n  predicate: beats\n'
        '  over: best_single_source\n  evidence: [2026-01-20-test-00000001]\n  since: "2026-01-20"\n'
    )
    for command in (
        ["log", "list"], ["log", "show", "2026-01-20"], ["skills", "show", "a-skill"], ["lint"],
        ["advise", "--target", "sw-KE", "--all"], ["log", "show", "\x1b[2J"],
    ):  # fmt: skip
        result = mu(*command, "--workspace", bench.root)
        assert not any(c in result.out + result.err for c in "\x1b\x07\x9b"), command
    assert "\\x1b" in mu("log", "list", "--workspace", bench.root).out


def test_a_reader_that_leaves_early_is_no_error(study):
    code = (
        f"import subprocess, sys\np = subprocess.Popen([sys.executable, '-m', 'merginguriel.cli.main', 'log', 'list', "
        f"'--rows', '--workspace', {str(study.root)!r}], stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "p.stdout.read(1); p.stdout.close()\nprint(p.stderr.read().decode()); sys.exit(p.wait())"
    )
    result = started(code=code)
    assert result.returncode == 0 and result.stdout.strip() == ""


def test_a_mistyped_command_is_answered_with_its_neighbour(mu):
    result = mu("advize")
    assert result.code == 2 and "Did you mean advise" in result.err


def test_the_output_is_utf8_whatever_the_locale_says(study):
    result = started(
        "advise", "--target", "sw-KE", "--workspace", study.root, LC_ALL="C", PYTHONIOENCODING="utf-8"
    )
    assert result.returncode == 0 and "−" in result.stdout


# mu init


def test_a_workspace_is_made_whole_and_then_answers(mu, tmp_path):
    result = mu("init", tmp_path / "w", "--json")
    assert result.code == 0 and "mu.toml" in result.json["files"]
    names = {n for n in result.json["files"] if n.startswith("experiment_log")}
    assert len(names) >= 18
    assert mu("init", tmp_path / "w").code == 2
    (tmp_path / "w" / sorted(names)[0]).unlink()
    assert mu("init", tmp_path / "w", "--restore", "--json").json["files"] == [sorted(names)[0]]


def test_json_is_one_document_on_stdout(study):
    result = started("log", "list", "--json", "--workspace", study.root)
    assert isinstance(json.loads(result.stdout), list) and result.stderr == ""


@pytest.mark.parametrize(
    ("context", "target"),
    [(None, "sw-KE"), ("massive/some-base", "sw-KE"), ("home/e5-small", "da-DK"), ("files/tiny", "sw-KE")],
)
def test_init_proposes_a_target_that_the_context_can_score(mu, tmp_path, context, target):
    result = mu("init", tmp_path / "a b", *(["--context", context] if context else []))
    assert result.code == 0 and result.err.endswith(f"'{tmp_path / 'a b'}' && mu advise --target {target}\n")
    assert "note" not in result.err


def test_init_refuses_a_context_that_is_none_and_notes_a_task_that_is_not_here(mu, tmp_path):
    refused = mu("init", tmp_path / "w", "--context", "foo")
    assert refused.code == 2 and "'foo' is not a context" in refused.err and not (tmp_path / "w").exists()
    result = mu("init", tmp_path / "w", "--context", "foo/bar")
    assert result.code == 0 and "unknown task foo" in result.err and (tmp_path / "w" / "mu.toml").is_file()
