"""`mu skills` and `mu lint`: read the written knowledge, and check it."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import FAILED
from .common import columns, emit, json_option, plain, space, true_minus, workspace_option


@click.group(short_help="List and show skills and their claims.")
def skills() -> None:
    """Skills: what is known, in the Agent Skills format, with claims that are checked against the log."""


@skills.command("list")
@json_option
@workspace_option
def list_skills(as_json: bool, workspace_path: Path | None) -> None:
    """Every skill: version, date, how its claims stand, and what it is for in a line."""
    from ..knowledge.base import load

    knowledge = load(space(workspace_path))
    if as_json:
        emit([{**s.as_dict(), "body": None, "claims": [c.id for c in s.claims]} for s in knowledge.skills])
        return
    rows = []
    for skill in knowledge.skills:
        counts = [knowledge.standings[c.id].status for c in skill.claims]
        stands = ", ".join(f"{counts.count(s)} {s}" for s in dict.fromkeys(counts)) or "no claims"
        meta = skill.metadata
        rows.append([skill.name, meta["version"], meta["updated"], stands, plain(meta["short-description"])])
    click.echo(columns(rows))


@skills.command("show")
@click.argument("name")
@click.option("--claims", "claims_only", is_flag=True, help="Only the claims, each with its status and why.")
@json_option
@workspace_option
def show_skill(name: str, claims_only: bool, as_json: bool, workspace_path: Path | None) -> None:
    """One skill: its text, and its claims with the status that the log gives them."""
    from ..knowledge.base import load
    from ..knowledge.grading import grade

    knowledge = load(space(workspace_path))
    skill = knowledge.skill(name)
    stand = knowledge.standings
    grades = {claim.id: grade(claim, knowledge) for claim in skill.claims}
    if as_json:
        found = skill.as_dict()
        found["claims"] = [
            {
                **c.as_dict(),
                "status": stand[c.id].status,
                "reason": stand[c.id].reason,
                "grade": grades[c.id].as_dict(),
            }
            for c in skill.claims
        ]
        emit(found)
        return
    if not claims_only:
        click.echo(f"{skill.name} {skill.version}\n{plain(skill.description)}\n\n{plain(skill.body)}\n")
    if skill.claims:
        click.echo("Claims")
    for claim in skill.claims:
        now = stand[claim.id]
        click.echo(
            f"\n  {claim.id}  [{now.status}; grade {grades[claim.id].level}]\n    {plain(claim.text)}\n    {true_minus(now.reason)}"
        )
        click.echo("".join(f"    {ref}\n" for ref in claim.evidence).rstrip())


@click.command(short_help="Check skills, claims and log; name what is wrong.")
@json_option
@workspace_option
def lint(as_json: bool, workspace_path: Path | None) -> int:
    """Check every skill, claim and log entry: form, units, references, and words stronger than the evidence.

    Exit code 1 if anything is wrong.
    """
    from ..knowledge.lint import problems

    where = space(workspace_path)
    found = problems(where)
    root = f"{where.root}/"
    if as_json:
        emit([{k: v.replace(root, "") for k, v in problem.as_dict().items()} for problem in found])
    else:
        for problem in found:
            mend = "".join(f"\n    {line}" for line in problem.mend.splitlines())
            click.echo(plain(f"{problem.where}: {problem.what}{mend}".replace(root, "")))
        click.echo(f"{len(found)} problem{'s' * (len(found) != 1)}." if found else "no problems.", err=True)
    return FAILED if found else 0
