"""Entry point of `mu`: loads commands on use, and turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

import click

from merginguriel import __version__
from merginguriel.errors import FAILED, INTERRUPTED, USER_ERRORS, MuError, MuWarning, UsageError, as_mu_error

from .common import plain

# name → (module, attribute, one line). Loaded when used, so that `mu --help` imports nothing of them.
COMMANDS = {
    "advise": ("advise", "advise", "Merge or not, how, from which sources, and how sure."),
    "pilot": ("pilot", "pilot", "Try what was advised, on items that chose nothing."),
    "backtest": ("backtest", "backtest", "Score the advice on what it did not know."),
    "init": ("workspace", "init", "Create a workspace with the shipped knowledge."),
    "skills": ("skills", "skills", "List, show, write, check, compare and install skills."),
    "log": ("log", "log", "List, show and add entries of the experiment log."),
    "why": ("why", "why", "Show the evidence of a claim, skill, entry or row."),
    "search": ("search", "search", "Search skills, claims and log entries."),
    "lint": ("skills", "lint", "Check skills, claims and log, and list the problems."),
    "quickstart": ("quickstart", "quickstart", "The whole loop on real models, in a few minutes."),
    "tasks": ("tasks", "tasks", "List tasks, or the locales of one; name data of your own."),
    "models": ("models", "models", "Register fine-tunes made elsewhere; list, show, remove."),
    "base": ("lab", "base", "Get a pretrained base model, with the right head."),
    "train": ("train", "train", "Fine-tune one model per locale."),
    "eval": ("lab", "evaluate", "Score a model on locales."),
    "nxn": ("lab", "nxn", "Score every model on every locale."),
    "matrix": ("matrix", "matrix", "Show an N×N matrix, from results or from the log."),
    "ensemble": (
        "ensemble",
        "ensemble",
        "Combine cached predictions of several models, without running a model.",
    ),
    "proxy": ("proxy", "proxy", "Spearman correlation on scored sentence pairs (STS), a proxy."),
    "embed": ("embed", "embed", "Sentence embeddings: train, count tokens, score, study data."),
    "similarity": ("similarity", "similarity", "Rank source languages for a target by URIEL and by REAL."),
    "compat": ("compat", "compat", "Measure how well models fit each other."),
    "merge": ("merge", "merge", "Merge models by a recipe."),
    "tune": ("tune", "tune", "Search a merge's weights and parameters on development data."),
    "iterate": ("iterate", "iterate", "Train locales in turn, merging as they learn."),
    "run": ("run", "run", "Carry out an experiment that a YAML file describes."),
    "sweep": ("sweep", "sweep", "Carry out many runs from one file."),
    "runs": ("runs", "runs", "List, show, watch, steer, compare and export runs."),
    "config": ("config", "config", "Show what a run's configuration comes to."),
    "methods": ("methods", "methods", "List merging methods, or explain one."),
    "mcp": ("mcp", "mcp", "Serve advice, search, log and runs to agents over MCP."),
    "report": ("report", "report", "Report on runs, a sweep or log entries: tables and figures."),
    "schema": ("advise", "schema", "Print the JSON Schema of an output."),
    "completion": ("workspace", "completion", "Print shell completion: bash, zsh or fish."),
}


class Lazy(click.Group):
    """A click group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command and return it; None for an unknown name."""
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        return getattr(importlib.import_module(f"merginguriel.cli.{module}"), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the command; suggest similar names for an unknown one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from merginguriel.text.suggest import suggest

            raise click.UsageError(
                f"No such command {args[0]!r}. {suggest(args[0], COMMANDS, n=2)}".rstrip(), ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands into the help text without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mu")
def mu() -> None:
    """Decide whether to merge language models for a target language, how, and from which sources.

    Start with: mu advise --target sw-KE
    """


def main() -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal lacks must not stop the output or become a question mark.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    # On SIGTERM the program ends as on Ctrl-C: unfinished files are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Return the exit code of `mu ARGUMENTS`; errors go to stderr, with --json also to stdout as JSON."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning(warnings.showwarning)
            result = mu.main(args=arguments, prog_name="mu", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("mu: interrupted.", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        if "--json" in arguments:
            help = (
                f"See: {error.ctx.command_path} --help"
                if isinstance(error, click.UsageError) and error.ctx
                else None
            )
            message, separator, hint = error.format_message().partition(" Did you mean ")
            return _report(UsageError(message, hint=f"{separator}{hint}".strip() or help), arguments)
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # The reader of the output closed it (`mu log list | head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except USER_ERRORS as error:
        known = as_mu_error(error)
        if known is None:
            raise
        return _report(known, arguments)


def show_warning(usual: Callable[..., None]) -> Callable[..., None]:
    """Return a replacement of warnings.showwarning that prints a MuWarning as a note, and others as `usual` does."""

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, MuWarning):
            click.echo(plain(f"note: {message}"), err=True)
        else:
            usual(message, category, *rest)

    return show


def _report(error: MuError, arguments: list[str]) -> int:
    if "--json" in arguments:
        click.echo(json.dumps(error.as_dict(), ensure_ascii=False, indent=2))
    click.echo(plain(f"mu: {error.render()}"), err=True)
    return error.exit_code if error.exit_code else FAILED


if __name__ == "__main__":
    main()
