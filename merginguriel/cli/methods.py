"""`mu methods`: the merging methods, their parameters and needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .common import columns, emit, json_option, say

if TYPE_CHECKING:
    from merginguriel.merging.registry import Method, Param


SIMILARITY = "not a method of its own, but linear with the weights of --similarity."


@click.command(short_help="List merging methods, or explain one.")
@click.argument("name", required=False)
@json_option
def methods(name: str | None, as_json: bool) -> None:
    """List merging methods by the target data they use, or explain the method NAME: parameters, paper."""
    from merginguriel.merging import registry

    if name is not None:
        if name == "similarity":
            say(SIMILARITY)
        explain(registry.get("linear" if name == "similarity" else name), as_json)
        return
    result = registry.all_methods().values()
    if as_json:
        emit([described(m) for m in result])
        return
    blocks = []
    for saw in sorted({m.saw for m in result}, key=lambda saw: (saw != "nothing", saw == "labels", saw)):
        heading = "no data of the target" if saw == "nothing" else f"{saw} of the target"
        lines = []
        for m in result:
            if m.saw == saw:
                lines.append([m.name, "base" if m.needs_base else "", m.summary])
                lines += [["", "", "  " + ", ".join(map(in_short, m.params.items()))]] if m.params else []
        blocks.append(f"{heading}\n\n{columns(lines)}")
    click.echo("\n\n".join(blocks) + "\n\nbase: needs the pretrained base (--pretrained).")
    click.echo(f"similarity: {SIMILARITY}")


def described(chosen: Method) -> dict[str, Any]:
    """Return a method as a JSON object."""
    params = [
        {"name": key, "default": p.default, "low": p.low, "high": p.high, "choices": list(p.choices), "doc": p.doc}
        for key, p in chosen.params.items()
    ]  # fmt: skip
    return {
        "name": chosen.name,
        "summary": chosen.summary,
        "needs_base": chosen.needs_base,
        "saw": chosen.saw,
        "heads": chosen.heads,
        "weighted": chosen.weighted,
        "matrices": chosen.matrices,
        "sources": list(chosen.sources),
        "paper": chosen.paper,
        "params": params,
    }


def in_short(param: tuple[str, Param]) -> str:
    """Format a parameter: `density 0.2 (0 … 1)`."""
    name, p = param
    return f"{name} {p.default}{limits(p)}"


def limits(p: Param) -> str:
    """Format the allowed range or choices of a parameter."""
    if p.choices:
        return f" ({' | '.join(p.choices)})"
    if p.low is None and p.high is None:
        return ""
    low, high = ("" if limit is None else f"{limit:g}" for limit in (p.low, p.high))
    return f" ({low} … {high})" if high else f" ({low} or more)" if low else ""


def explain(chosen: Method, as_json: bool) -> None:
    """Print the full description of one method."""
    import inspect

    text = inspect.getdoc(chosen.function) or ""
    if as_json:
        emit({**described(chosen), "doc": text})
        return
    click.echo(f"{chosen.name}\n\n{text}\n")
    if chosen.params:
        rows = [
            [f"  --param {key}={p.default}", limits(p).strip() or "", p.doc]
            for key, p in chosen.params.items()
        ]
        click.echo(columns(rows) + "\n")
    least, most = chosen.sources
    facts = {
        "paper": chosen.paper,
        "works on": "the pretrained base and task vectors" if chosen.needs_base else "the sources alone",
        "for": "weight matrices; other tensors get the weighted mean" if chosen.matrices else "every tensor",
        "sources": f"{least} or more"
        if most is None
        else f"{least}"
        if least == most
        else f"{least} to {most}",
        "weights": "yes" if chosen.weighted else "all the same",
        "heads": "their weighted mean" if chosen.heads == "average" else "merged as the rest",
        "saw": f"{chosen.saw} of the target",
    }
    click.echo(columns([[key, value] for key, value in facts.items()]))
