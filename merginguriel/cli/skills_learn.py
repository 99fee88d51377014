"""`mu skills propose`, `refresh` and `eval`: let the skills follow the log, and test what they teach."""

from __future__ import annotations

from pathlib import Path

import click

from merginguriel.errors import FAILED, UsageError

from .common import emit, json_option, plain, say, space, workspace_option


@click.command()
@click.option(
    "--accept",
    "accepted",
    multiple=True,
    metavar="ID",
    help="Write this proposal into its skill; repeatable.",
)
@click.option(
    "--reject",
    "rejected",
    multiple=True,
    metavar="ID",
    help="Leave this proposal out until its rows change; repeatable.",
)
@json_option
@workspace_option
def propose(
    accepted: tuple[str, ...], rejected: tuple[str, ...], as_json: bool, workspace_path: Path | None
) -> None:
    """Show changes to the skills that follow from the log, each as a diff.

    Proposed are comparisons outside noise that no claim states, rows that a claim should cite, and claims whose status
    changed since their skill was updated. --accept writes one, raises the version and rewrites the generated tables.
    --reject adds one to skills/rejected.jsonl.
    """
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.skills.proposals import accept, proposals, reject

    where = space(workspace_path)
    if accepted or rejected:
        done = [
            *(reject(where, rejected) if rejected else []),
            *(accept(where, accepted) if accepted else []),
        ]
        if as_json:
            emit([item.as_dict() for item in done])
            return
        click.echo("".join(f"{item.skill}: {plain(item.what)}\n" for item in done), nl=False)
        if accepted:
            say("Now bring the text of the skill in line with it, then: mu lint")
        return
    found = proposals(load(where))
    if as_json:
        emit([item.as_dict() for item in found])
        return
    for item in found:
        click.echo(plain(f"{item.id}  [{item.kind}; {item.skill}]\n  {item.what}"))
        click.echo(plain("".join(f"    {line}\n" for line in item.diff.splitlines())), nl=False)
    say(
        f"{len(found)} proposal{'s' * (len(found) != 1)}."
        + (" Accept one: mu skills propose --accept ID" if found else "")
    )


@click.command()
@click.argument("name", required=False)
@click.option(
    "--dry-run", is_flag=True, help="List the tables that differ and write nothing; exit code 1 if any does."
)
@json_option
@workspace_option
def refresh(name: str | None, dry_run: bool, as_json: bool, workspace_path: Path | None) -> int:
    """Rewrite the generated tables of the skills, or of one, from the rows of the log."""
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.skills import generated_tables
    from merginguriel.workspace import writable

    where = space(workspace_path)
    knowledge = load(where)
    if name is not None:
        knowledge.skill(name)
    if dry_run:
        pages = [p for p in generated_tables.pages(knowledge) if name in (None, p.parent.name)]
        result = [p for p in pages if any(not b.current for b in generated_tables.blocks(p, knowledge))]
    else:
        writable(where)
        result = generated_tables.refresh(knowledge, name)
    names = [where.display(path) for path in result]
    emit(names) if as_json else click.echo("".join(f"{item}\n" for item in names), nl=False)
    return FAILED if dry_run and result else 0


@click.command("eval")
@click.argument("name", required=False)
@click.option(
    "--agent", metavar="CMD", help="Command that reads a question on standard input and prints its answer."
)
@json_option
@workspace_option
def evaluate(name: str | None, agent: str | None, as_json: bool, workspace_path: Path | None) -> int:
    """Check the questions of evals/ beside a skill: the search finds it, and its text has the answer.

    --agent asks an agent each question twice, with and without the text of the skill, and scores both answers.
    Exit code 1 if a question fails without --agent.
    """
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.skills.evals import ask, check, questions

    knowledge = load(space(workspace_path))
    asked = questions(knowledge, name)
    if not asked:
        raise UsageError(
            "no questions.", hint="Write evals/questions.yaml beside a SKILL.md; see docs/skills.md"
        )
    results = ask(asked, agent, knowledge) if agent else check(asked, knowledge)
    if as_json:
        emit([item.as_dict() for item in results])
    else:
        for item in results:
            click.echo(plain(f"{item.skill}  {item.text}"))
    good = sum(item.right for item in results)
    if agent:
        bare = sum(bool(item.right_without) for item in results)
        say(f"{good} of {len(results)} right with the skill, {bare} without.")
        return 0
    say(f"{good} of {len(results)} questions pass.")
    return 0 if good == len(results) else FAILED
