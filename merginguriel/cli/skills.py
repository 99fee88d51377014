"""`mu skills` and `mu lint`: read, write, compare, install and check skills."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from merginguriel.errors import FAILED, MuError, UsageError

from .common import columns, emit, json_option, known, plain, say, space, true_minus, workspace_option
from .entry_input import check_editor
from .search import skills_search
from .skills_learn import evaluate, propose, refresh

if TYPE_CHECKING:
    from merginguriel.knowledge.lint.rules import Problem
    from merginguriel.workspace import Workspace

USUAL = ".agents/skills"
since_option = click.option(
    "--since",
    metavar="REV",
    help="Compare versions with the commit where HEAD branched off REV. Default: the last commit.",
)


@click.group(short_help="List, show, write, check, compare and install skills.")
def skills() -> None:
    """Read and write skills: knowledge in the Agent Skills format, with claims checked against the log."""


for command in (skills_search, propose, refresh, evaluate):
    skills.add_command(command)


@skills.command("list")
@json_option
@workspace_option
def list_skills(as_json: bool, workspace_path: Path | None) -> None:
    """List skills: version, grade, freshness, claims by status, and a line about each."""
    from merginguriel.knowledge.skills.catalogue import freshness, skill_grade

    knowledge = known(space(workspace_path))
    fresh = freshness(knowledge)
    grades = {skill.name: skill_grade(skill, knowledge) for skill in knowledge.skills}
    if as_json:
        emit(
            [
                {
                    **skill.as_dict(),
                    "body": None,
                    "claims": [claim.id for claim in skill.claims],
                    "grade": grades[skill.name][0],
                    "grade_reason": grades[skill.name][1],
                    "freshness": fresh[skill.name].as_dict(),
                }
                for skill in knowledge.skills
            ]
        )
        return
    rows = []
    for skill in knowledge.skills:
        grade, reason = grades[skill.name]
        text = f"{reason} (foreign)" if skill.foreign else reason
        rows.append(
            [skill.name, plain(skill.version) or "-", grade, fresh[skill.name].text, text, plain(skill.line)]
        )
    click.echo(columns(rows))


@skills.command("catalogue")
@json_option
@workspace_option
def show_catalogue(as_json: bool, workspace_path: Path | None) -> None:
    """Print all skills in Markdown of at most 8,000 characters, for an agent to read first.

    Long texts are shortened between words; --json prints them in full.
    """
    from merginguriel.knowledge.skills.catalogue import catalogue, freshness, skill_grade

    knowledge = known(space(workspace_path))
    if not as_json:
        click.echo(catalogue(knowledge), nl=False)
        return
    fresh = freshness(knowledge)
    emit(
        [
            {
                "name": skill.name,
                "line": skill.line,
                "description": skill.description,
                "grade": skill_grade(skill, knowledge)[0],
                "freshness": fresh[skill.name].as_dict(),
            }
            for skill in knowledge.skills
        ]
    )


@skills.command("new")
@click.argument("name")
@click.option(
    "--from", "template", metavar="TEMPLATE", default="research", show_default=True,
    help="`research`, `workflow`, or the name or folder of a skill whose sections are copied.",
)  # fmt: skip
@click.option("--description", default="", help="Content and use of the skill, in one line.")
@click.option("--edit", is_flag=True, help="Open SKILL.md in $EDITOR afterwards.")
@json_option
@workspace_option
def new(
    name: str, template: str, description: str, edit: bool, as_json: bool, workspace_path: Path | None
) -> None:
    """Create a skill: a folder in skills/ with all sections and an example claim, valid as it is."""
    from merginguriel.knowledge.skills.scaffold import new_skill

    where = space(workspace_path)
    if edit:
        check_editor()
    folder = new_skill(where, name, template=template, description=description)
    if edit:
        click.edit(filename=str(folder / "SKILL.md"))
    if as_json:
        emit({"name": name, "folder": str(folder), "files": ["SKILL.md", "claims.yaml"]})
        return
    click.echo(where.display(folder))
    say(f"Write SKILL.md and claims.yaml there, then: mu skills lint {name}")


@skills.command("history")
@click.argument("name")
@json_option
@workspace_option
def show_history(name: str, as_json: bool, workspace_path: Path | None) -> None:
    """Show the history of a skill, newest first: commit, date, version, subject, changes of meaning."""
    from merginguriel.knowledge.skills.history import history

    result = history(space(workspace_path), name)
    if as_json:
        emit([state.as_dict() for state in result])
        return
    for state in result:
        commit = state.commit[:9] or "-"
        line = [commit, state.date or "-", state.version or "-", plain(state.subject)]
        click.echo("  ".join(line))
        click.echo(
            "".join(f"    {plain(change)}\n" for change in state.changes or ("no change of meaning",)),
            nl=False,
        )


@skills.command("diff")
@click.argument("name")
@click.argument("first", metavar="[A]", required=False)
@click.argument("second", metavar="[B]", required=False)
@json_option
@workspace_option
def diff(
    name: str, first: str | None, second: str | None, as_json: bool, workspace_path: Path | None
) -> None:
    """Show how claims and recommendations of a skill changed, with the evidence behind it.

    NAME alone is compared with the last commit. A and B are commits (B: default the files as they are), or A is another
    skill or a skill's folder. Exit code 0 whether or not anything changed.
    """
    from merginguriel.knowledge.skills.diff import compare, states

    old, new, before, after = states(known(space(workspace_path)), name, first, second)
    result = compare(old, new, before, after)
    if as_json:
        emit([change.as_dict() for change in result])
        return
    for change in result:
        text = change.text.replace("\n", "\n    ")
        click.echo(plain(f"{change.kind}  {change.what}\n    {text}"))
        click.echo(plain("".join(f"      {line}\n" for line in change.evidence)), nl=False)
    say(f"{len(result)} change{'s' * (len(result) != 1)}.")


@skills.command("install")
@click.argument("names", nargs=-1)
@click.option("--to", default=USUAL, show_default=True,
              help="`.agents/skills` or `.claude/skills` of the workspace, or any folder.")  # fmt: skip
@click.option(
    "--link", "how", flag_value="link", help="Link to each skill. Default, unless it is installed as a copy."
)
@click.option(
    "--copy",
    "how",
    flag_value="copy",
    help="Copy each skill. Default for shipped skills outside a workspace.",
)
@click.option("--check", "only_check", is_flag=True, help="List what is stale; exit code 1 if anything is.")
@click.option("--remove", "take_away", is_flag=True, help="Remove what was installed there.")
@click.option(
    "--force",
    is_flag=True,
    help="Also replace or remove what this program did not install, or what was changed.",
)
@json_option
@workspace_option
def install(
    names: tuple[str, ...], to: str, how: str | None, only_check: bool, take_away: bool, force: bool, as_json: bool,
    workspace_path: Path | None,
) -> int:  # fmt: skip
    """Install skills (default: all) where coding agents look for them."""
    from merginguriel.knowledge.skills import install as installing

    if only_check and take_away:
        raise UsageError("--check cannot be used with --remove.")
    where = space(workspace_path)
    folder = installing.destination_of(where, to)
    if only_check:
        return _check_installed(folder, to, names, as_json)
    if take_away:
        removed = installing.remove(folder, names, force=force)
        emit(removed) if as_json else click.echo("".join(f"removed {name}\n" for name in removed), nl=False)
        return 0
    installed = installing.install(
        where, folder, names, copy=None if how is None else how == "copy", force=force
    )
    selected = [item for item in installed if not names or item.name in names]
    if as_json:
        emit([vars(item) for item in selected])
    else:
        click.echo(columns([[item.how, str(folder / item.name), item.version or "-"] for item in selected]))
    return 0


def _check_installed(root: Path, to: str, names: tuple[str, ...], as_json: bool) -> int:
    from merginguriel.knowledge.skills.install import check

    result = [(item, problem) for item, problem in check(root) if not names or item.name in names]
    for name in names:
        if name not in [item.name for item, _ in result]:
            raise UsageError(f"{name!r} is not installed in {root}.")
    stale = [(item, problem) for item, problem in result if problem]
    if as_json:
        emit([{**vars(item), "stale": problem or None} for item, problem in result])
    else:
        click.echo("".join(plain(f"{root / item.name}: {problem}.\n") for item, problem in stale), nl=False)
        again = " ".join(
            ["mu skills install", *(item.name for item, _ in stale), *(["--to", to] if to != USUAL else [])]
        )
        say(
            f"{len(result)} installed, {len(stale)} stale." + (f" Bring up to date: {again}" if stale else "")
        )
    return FAILED if stale else 0


@skills.command("lint")
@click.argument("name", required=False)
@since_option
@json_option
@workspace_option
def lint_skills(name: str | None, since: str | None, as_json: bool, workspace_path: Path | None) -> int:
    """Check the skills, or one of them: form, claims, and raised versions."""
    from merginguriel.knowledge.lint.runner import problems
    from merginguriel.knowledge.parse.skills import check_name
    from merginguriel.merging.registry import parameters

    where = _since_revision(space(workspace_path), since)
    if name is not None:
        check_name(name)
        if not (where.skills / name).is_dir():
            available = [path.name for path in sorted(where.skills.glob("*/"))]
            raise UsageError(f"unknown skill {name!r}.", hint=f"Known: {', '.join(available)}")
    root = f"{where.skills / name if name else where.skills}"
    result = [
        problem
        for problem in problems(where, parameters())
        if problem.where == root or problem.where.startswith(f"{root}/")
    ]
    return _print_problems(result, where, as_json)


def _since_revision(where: Workspace, revision: str | None) -> Workspace:
    """Return the workspace with the revision that versions are compared with among its settings."""
    from merginguriel.knowledge.lint.rules.version import SETTING

    return replace(where, settings={**where.settings, SETTING: revision}) if revision else where


@skills.command("show")
@click.argument("name")
@click.option("--claims", "claims_only", is_flag=True, help="Only the claims, each with its status and why.")
@json_option
@workspace_option
def show_skill(name: str, claims_only: bool, as_json: bool, workspace_path: Path | None) -> None:
    """Show one skill: its text, and its claims with the status that the log gives them."""
    from merginguriel.knowledge.claims.grading import grade

    knowledge = known(space(workspace_path))
    skill = knowledge.skill(name)
    stand = knowledge.standings
    grades = {claim.id: grade(claim, knowledge) for claim in skill.claims}
    if as_json:
        result = skill.as_dict()
        result["claims"] = [
            {
                **c.as_dict(),
                "status": stand[c.id].status,
                "reason": stand[c.id].reason,
                "grade": grades[c.id].as_dict(),
            }
            for c in skill.claims
        ]
        emit(result)
        return
    if not claims_only:
        click.echo(
            f"{skill.name} {plain(skill.version)}\n{plain(skill.description)}\n\n{plain(skill.body)}\n"
        )
    if skill.claims:
        click.echo("Claims")
    for claim in skill.claims:
        now = stand[claim.id]
        click.echo(
            f"\n  {claim.id}  [{now.status}; grade {grades[claim.id].level}]\n    {plain(claim.text)}\n    {true_minus(now.reason)}"
        )
        click.echo("".join(f"    {ref}\n" for ref in claim.evidence).rstrip())


@click.command(short_help="Check skills, claims and log, and list the problems.")
@since_option
@click.option("--full", is_flag=True, help="Run all rules even if nothing has changed.")
@json_option
@workspace_option
def lint(since: str | None, full: bool, as_json: bool, workspace_path: Path | None) -> int:
    """Check every skill, claim and log entry: form, units, references, and wording stronger than the evidence.

    If nothing has changed since the last call, its result is printed again. Exit code 1 if there is a problem. Changes
    that entries added here suggest to the skills are counted on standard error and are no problem.
    """
    from merginguriel.knowledge.lint.runner import cached_problems
    from merginguriel.knowledge.skills.proposals import count

    where = _since_revision(space(workspace_path), since)
    code = _print_problems(cached_problems(where, full=full, program=_program), where, as_json)
    with suppress(MuError):  # what cannot be read is a problem above
        if number := count(where):
            say(f"{number} change{'s' * (number > 1)} to the skills from the log: mu skills propose")
    return code


def _program() -> dict[str, tuple[str, ...]]:
    from merginguriel.merging.registry import parameters  # slow to import, and only a fresh look needs it

    return parameters()


def _print_problems(result: list[Problem], where: Workspace, as_json: bool) -> int:
    """Print problems with paths relative to the workspace; return the exit code."""
    root = f"{where.root}/"
    if as_json:
        emit([{k: v.replace(root, "") for k, v in problem.as_dict().items()} for problem in result])
    else:
        for problem in result:
            hint = "".join(f"\n    {line}" for line in problem.hint.splitlines())
            click.echo(plain(f"{problem.where}: {problem.what}{hint}".replace(root, "")))
        click.echo(
            f"{len(result)} problem{'s' * (len(result) != 1)}." if result else "no problems.", err=True
        )
    return FAILED if result else 0
