"""Documentation: commands, options, links, examples and snippets are executed."""

from __future__ import annotations

import csv
import functools
import random
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from conftest import REPOSITORY, copy_knowledge

from merginguriel.cli.common import ShowGroup
from merginguriel.cli.main import mu as root
from merginguriel.errors import MuError

COMMANDS = REPOSITORY / "docs" / "commands.md"
PYTHON = REPOSITORY / "docs" / "python.md"
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "AGENTS.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "skills").glob("*/SKILL.md")),
]
SHARED = {"--json", "--workspace", "--task", "--base", "--data", "--option", "--trust-remote-code"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a reader puts in for himself, and something that fits there.
STAND_INS = {"LOCALE": "sw-KE", "TARGET": "sw-KE", "…": "sw-KE", "FOLDER": ".", "DIR": "."}


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    if not isinstance(command, click.Group):
        yield " ".join(("mu", *path)), command
        return
    if command.invoke_without_command:
        yield " ".join(("mu", *path)), command
    for word in command.list_commands(click.Context(command)):
        found = command.get_command(click.Context(command), word)
        assert found is not None
        yield from leaves(found, (*path, word))


LEAVES = dict(leaves(root))


def flags(command: click.Command) -> set[str]:
    return {
        flag for p in command.params if isinstance(p, click.Option) for flag in p.opts if flag[:2] == "--"
    }


@functools.cache
def sections(page: Path) -> dict[str, str]:
    """Heading → text below it, up to the next heading of any level. Comments in code blocks are not headings."""
    text = page.read_text(encoding="utf-8")
    bare = FENCE.sub(lambda m: "\x00" * len(m[0]), text)
    heads = list(re.finditer(r"^#+ (.*)$", bare, re.MULTILINE))
    ends = [*(h.start() for h in heads[1:]), len(text)]
    return {head[1]: text[head.end() : end] for head, end in zip(heads, ends, strict=True)}


def prose(text: str) -> str:
    return FENCE.sub("", text)


# every command and every option


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_has_a_section_with_an_example_and_all_its_options(command):
    section = sections(COMMANDS)[command]
    assert f"$ {command}" in section, "it has no example"
    described = set(re.findall(r"--[a-z][a-z0-9-]*", prose(section)))
    assert flags(LEAVES[command]) - SHARED <= described
    assert "](python.md#" in section, "it does not say where the Python call is"


def test_options_that_many_commands_take_are_described_once():
    shared = sections(COMMANDS)["What all commands share"]
    table = set(re.findall(r"^\| `(--[a-z0-9-]+)", shared, re.MULTILINE))
    assert table >= SHARED and table <= SHARED | {"--help", "--version"}


def test_no_section_describes_an_option_that_its_command_does_not_have():
    for command, text in sections(COMMANDS).items():
        if command in LEAVES:
            table = " ".join(re.findall(r"^\| (`--[^|]*)\|", text, re.MULTILINE))
            assert set(re.findall(r"--[a-z][a-z0-9-]*", table)) <= flags(LEAVES[command]), command


def test_every_python_section_links_to_its_commands():
    titles = [h for h in sections(PYTHON) if h != "From Python"]
    assert len(titles) > 8
    assert [h for h in titles if "](commands.md#mu-" not in sections(PYTHON)[h]] == []


# every `mu` line parses


def mu_lines() -> Iterator[tuple[Path, str, bool]]:
    """(page, line, whole): a line of a code block is a whole command, one inside a sentence may be a part."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for _, block in FENCE.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                if re.match(r"\s*(\$ )?mu ", line):
                    yield page, line.strip().removeprefix("$ "), True
        for quoted in re.findall(r"(?<!`)`(mu [^`]+)`(?!`)", FENCE.sub("", text)):
            yield page, " ".join(quoted.split()), False


def words_of(line: str) -> list[str]:
    """The words of the `mu` command that a line starts with: no comment, no second command, stand-ins put in."""
    found = []
    for word in shlex.split(re.sub(r"\s+#(\s.*)?$|\s{3,}\(.*\)$", "", line)):
        if word in ("&&", "||", "|", ">", ">>", "<", ";", "2>&1"):
            break
        found.append(STAND_INS.get(word, word))
    return found[1:]


def refused(line: str, *, whole: bool = True) -> str | None:
    """Why the command line refuses a line, or None. Nothing is run."""
    words = words_of(line)
    command: click.Command = root
    while words and not words[0].startswith("-") and isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        if found is None and isinstance(command, ShowGroup):
            command = command.commands["show"]
            break
        if found is None:
            return None if words[0].isupper() else f"no command {words[0]}"
        command, words = found, words[1:]
    if isinstance(command, click.Group) and not words:
        return None
    try:
        command.make_context("mu", words)
    except click.exceptions.Exit:
        return None
    except click.MissingParameter as error:
        return error.format_message() if whole else None
    except click.ClickException as error:
        return error.format_message()
    except MuError as error:
        return str(error)
    return None


def test_every_mu_line_in_the_documentation_parses():
    lines = list(mu_lines())
    assert len(lines) > 100
    wrong = [f"{name(p)}: {line}: {why}" for p, line, whole in lines if (why := refused(line, whole=whole))]
    assert wrong == []


def test_every_example_in_a_help_text_parses():
    wrong = []
    for command in LEAVES.values():
        for line in (command.help or "").replace("\\\n", " ").splitlines():
            if line.strip().startswith("mu ") and (why := refused(line.strip())):
                wrong.append(f"{line.strip()}: {why}")
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    ["mu advice --target sw-KE", "mu base --labels …", "mu log ad", "mu eval MODEL", "mu advise --target xx"],
)
def test_a_line_that_does_not_parse_is_found(line):
    assert refused(line)


def test_inside_a_sentence_a_command_may_be_a_part_but_not_wrong():
    assert refused("mu train", whole=False) is None and refused("mu log", whole=False) is None
    assert refused("mu train --labels", whole=False)


# every link and path leads somewhere


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get where Markdown is shown."""
    heads = (re.sub(r"[^\w\- ]", "", h.lower()) for h in sections(page))
    return {head.replace(" ", "-") for head in heads}


def broken(page: Path, text: str) -> list[str]:
    """Links and backticked paths in `text` that lead nowhere from `page`."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            found.append(link)
    roots = (page.parent, REPOSITORY, REPOSITORY / "merginguriel")
    for path in re.findall(r"(?<!`)`([\w./-]+/[\w.-]+\.(?:md|py|toml|yaml|tsv))`", prose(text)):
        if not any((root / path).exists() for root in roots) and "YYYY" not in path:
            found.append(path)
    for folder in re.findall(r"(?<!`)`([\w.-]+)/`", prose(text)):
        here = any((root / folder).is_dir() for root in roots)
        if not here and folder not in MADE and not list(REPOSITORY.glob(f"merginguriel/*/{folder}")):
            found.append(f"{folder}/")
    return found


MADE = {
    "results",
    "models",
    "merged",
    "sentences",
    "runs",
    "sweeps",
}  # folders that commands make in a workspace


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_and_path_leads_somewhere(page):
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_a_link_or_path_that_leads_nowhere_is_found():
    text = (
        "[a](no.md) [b](commands.md#mu-fly) `docs/no.md` `nowhere/` [c](commands.md#mu-merge) `cli/merge.py`"
    )
    assert broken(COMMANDS, text) == ["no.md", "commands.md#mu-fly", "docs/no.md", "nowhere/"]


# examples print what the page shows


def shows(page: str, printed: str) -> bool:
    """Does `page`, in which … stands for anything, show what was printed? Blanks at line ends do not count."""
    lines = [re.escape(line.rstrip()).replace("…", ".*") for line in page.strip("\n").splitlines()]
    text = "".join(line.rstrip() + "\n" for line in printed.strip("\n").splitlines())
    # A line of its own that says … stands for any number of lines, also none.
    pattern = "".join("(?:.*\n)*?" if line == ".*" else line + "\n" for line in lines)
    return re.fullmatch(pattern, text) is not None


def test_an_example_that_prints_something_else_is_found():
    assert shows("a …\n…\nz", "a b\nc\nd\nz\n") and shows("a\n…", "a\n") and shows("", "")
    assert not shows("a …\nz", "a b\nc\nz") and not shows("a", "a\nb") and not shows("1.62 pp", "1x62 pp")


def examples(text: str) -> Iterator[tuple[str, str]]:
    """(command, what the page says it prints) of every console block, in order."""
    for language, block in FENCE.findall(text):
        if language == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, shown = part.replace("\\\n", " ").partition("\n")
                yield command, shown


THINKING = ("advise", "init", "skills list", "skills show", "skills catalogue", "skills new", "skills lint", "skills propose", "skills refresh", "skills install", "log list", "log show", "log export", "log add", "log drafts",
    "log plans", "log calibration", "log tried", "log questions", "why", "lint", "schema", "completion")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        f"mu {word}"
        for word in (*THINKING, "quickstart", "tasks show", "matrix show", "similarity", "methods")
    ],
)
def test_examples_print_what_the_page_shows(command, mu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if command == "mu lint":
        copy_knowledge(tmp_path, REPOSITORY)  # the frozen skills cite nothing
    elif command not in ("mu init", "mu quickstart"):
        assert mu("init", ".").code == 0
    found = list(examples(sections(COMMANDS)[command]))
    assert found, "no example that could be run"
    code = None
    for line, shown in found:
        if line == "echo $?":
            assert shown.strip() == str(code)
            continue
        told = mu(*shlex.split(line)[1:])
        code = told.code
        assert shows(shown, told.out + told.err), f"$ {line}\n{told.out}{told.err}"


# snippets run


@pytest.fixture(scope="module")
def bench_of_a_reader(tmp_path_factory):
    """A folder with what docs/python.md says lies there: sentences/ and tiny-bert/."""
    folder = tmp_path_factory.mktemp("reader")
    draw = random.Random(0)
    verbs = {"de-DE": "schalte", "nb-NO": "slå", "sv-SE": "slå", "da-DK": "tænd"}
    things = [f"{thing}{i}" for thing in ("lampe", "ovn", "radio") for i in range(32)]
    (folder / "sentences").mkdir()
    for locale, verb in verbs.items():
        with (folder / "sentences" / f"{locale}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label", "split"])
            for i, thing in enumerate(draw.sample(things, 96)):
                split = "train" if i < 48 else "dev" if i < 64 else "test"
                writer.writerow([f"{verb} {thing}", f"Turn{thing.rstrip('0123456789').title()}", split])
    return folder


def tiny_bert(folder: Path) -> None:
    """A BERT of one layer and random weights that knows every letter."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    letters = "abcdefghijklmnopqrstuvwxyzåäæø0123456789"
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    transformers.BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)


LAB = ("Fine-tune", "Score models", "Merge", "Is the difference more than noise?", "Write the result down")


def run_snippets(text: str, names: dict[str, object], capsys: pytest.CaptureFixture[str]) -> int:
    """Run the Python blocks of a section; each must print what the text block after it shows, if there is one."""
    blocks = FENCE.findall(text)
    for i, (language, block) in enumerate(blocks):
        if language != "python":
            continue
        capsys.readouterr()
        exec(compile(block, str(PYTHON), "exec"), names)
        printed = capsys.readouterr().out
        if i + 1 < len(blocks) and blocks[i + 1][0] == "text":
            assert shows(blocks[i + 1][1], printed), printed
    return sum(language == "python" for language, _ in blocks)


@pytest.mark.slow
def test_python_snippets_run_in_order_and_print_what_the_page_shows(bench_of_a_reader, monkeypatch, capsys):
    monkeypatch.chdir(bench_of_a_reader)
    names: dict[str, object] = {}
    titles = [title for title in sections(PYTHON) if title != "From Python"]
    assert set(LAB) <= set(titles)
    for title in titles:
        if title == LAB[0]:
            tiny_bert(bench_of_a_reader / "tiny-bert")
        assert run_snippets(sections(PYTHON)[title], names, capsys) == 1, title
