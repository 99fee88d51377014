"""Task `files`: the user's own labelled sentences or words, one file per locale.

Either `sw-KE.train.csv`, `sw-KE.dev.csv`, `sw-KE.test.csv`, or one `sw-KE.csv` whose column `split` names the
split. Without that column, one file is split 70/10/20, per label, in the order of a hash.

Labelled words are JSONL with two lists, `{"tokens": ["turn", "on", "Luna"], "tags": ["O", "O", "B-name"]}`, or CoNLL
files (`sw-KE.train.conll`, also .bio, .iob2): a word and, in the last column, its tag on each line, an empty line
between sentences.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from merginguriel import locales as known
from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.metrics import registry as metrics

from .registry import TaskData, digest, make_items, task
from .row_files import CONLL, read

ENDINGS = (".csv", ".tsv", ".jsonl", *CONLL)
TABLES = (".parquet", ".arrow")
TAG = re.compile(r"O|[BIES]-\S+")
SPLIT_NAMES = {
    "train": "train",
    "dev": "dev",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "test": "test",
}

UNDEALT = "undealt"  # rows whose file and columns name no split

Rows = dict[str, list[tuple[str, str, str]]]  # split → (text, label, group)


def found(folder: Path | None) -> dict[str, dict[str, Path]]:
    """Return locale → split → file in `folder`; the split of a file that holds several is "all"."""
    if folder is None:
        raise UsageError(
            "your own data need a folder with one file per locale.", hint="Name it with: --data FOLDER"
        )
    if folder.is_file():
        raise UsageError(
            "this is a file; --data takes the folder with one file per locale.",
            where=str(folder),
            hint=f"Name its folder: --data {shlex.quote(str(folder.parent))}",
        )
    if not folder.is_dir():
        raise UnavailableError(
            "no such folder.",
            where=str(folder),
            hint="--data takes a folder with one file per locale: sw-KE.csv, or sw-KE.train.csv and so on.",
        )
    files: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in ENDINGS or path.name.startswith("."):
            continue
        tag, _, split = path.stem.partition(".")
        locale = known.normalize(tag)
        if locale not in known.table():
            near = ", ".join(known.nearest(tag))
            raise MuError(
                "the file's name does not begin with a locale.",
                where=str(path),
                hint=f"Rename it to LOCALE{path.suffix}, such as sw-KE{path.suffix} or sw-KE.train{path.suffix}, or move it away."
                + (f"\nNearest locales: {near}." if near else ""),
            )
        name = SPLIT_NAMES.get(split) if split else "all"
        if name is None:
            raise MuError(
                f"the file's name has {split!r} where train, dev or test is expected.",
                where=str(path),
                hint=f"Rename it to {tag}.train{path.suffix}, or to {tag}{path.suffix} if it holds all.",
            )
        other = files.setdefault(locale, {}).setdefault(name, path)
        if other != path:
            raise MuError(f"{other.name} holds the same split.", where=str(path), hint="Keep one of the two.")
    if not files and (tables := sorted(p for e in TABLES for p in folder.rglob(f"*{e}"))):
        raise MuError(
            f"this folder holds Parquet or Arrow files ({tables[0].relative_to(folder)}), which are not read.",
            where=str(folder),
            hint="Write JSON lines, one file per locale and split:\n"
            + (
                "pandas.read_parquet(FILE)"
                if tables[0].suffix == ".parquet"
                else "datasets.load_from_disk(FOLDER)['train'].to_pandas()"
            )
            + ".to_json('sw-KE.train.jsonl', orient='records', lines=True, force_ascii=False)\n"
            "A label that is a number needs its name: the columns read are text and label.",
        )
    return files


def offered(folder: Path | None = None) -> list[str]:
    """Return the locales that the folder has files of, sorted."""
    return sorted(found(folder))


@task("files", doc="your own CSV, TSV, JSONL or CoNLL files, one per locale", locales=offered)
def files(
    locale: str,
    *,
    folder: Path | None = None,
    seed: int = 0,
    text: str = "text",
    label: str = "label",
    split: str = "split",
    tokens: str = "tokens",
    tags: str = "tags",
    metric: str = "",
) -> TaskData:
    """Read the folder of one locale's sentences. Labels are those of all locales in it, so that models can be merged.

    Args:
        locale: Tag that the file's name begins with.
        seed: Of the hash that deals texts.
        text: Column or JSON key of the sentence.
        label: Of its label.
        split: Of the split's name.
        tokens: JSON key of a list of words.
        tags: Of their tags, `O` or a prefix of B, I, E, S with a type: `B-name`.
        metric: What models are scored by; default accuracy, of tagged words span_f1.

    Raises:
        MuError: With file and line: data that cannot be used.
        UsageError: The metric is unknown.
    """
    everything = found(folder)
    labels: set[str] = set()
    kinds: dict[bool, Path] = {}
    rows: Rows = {}
    for tag, parts in everything.items():
        for name, path in parts.items():
            for line, row in read(path):
                tagged = tokens in row
                if kinds.setdefault(tagged, path) and len(kinds) > 1:
                    raise MuError(
                        f"words are labelled here, and sentences in {kinds[not tagged].name}."
                        if tagged
                        else f"sentences are labelled here, and words in {kinds[True].name}.",
                        where=f"{path}:{line}",
                    )
                if tagged:
                    sentence, gold = _words(path, line, row, tokens, tags)
                    labels.update(gold.split(" "))
                else:
                    sentence, gold = _cell(path, line, row, text), _cell(path, line, row, label)
                    labels.add(gold)
                if tag == locale:
                    place = _place(path, line, row, name, split)
                    rows.setdefault(place, []).append((sentence, gold, digest(sentence)))
    _refuse_two_labels(locale, everything[locale], rows)
    by_words = True in kinds
    for part, share in (("test", 0.2), ("dev", 0.125)):  # an eighth of what the test leaves: a tenth
        _deal(rows, UNDEALT, part, share, seed, by_words)
    rows.setdefault("train", []).extend(rows.pop(UNDEALT, []))
    if not rows.get("dev"):
        _deal(rows, "train", "dev", 0.1, seed, by_words)  # so that nothing has to be chosen on the test
    train, dev, test = (
        make_items("files", locale, part, rows.get(part, []), tokens=by_words)
        for part in ("train", "dev", "test")
    )
    scored_by = metrics.find(metric or ("span_f1" if by_words else "accuracy")).name
    return TaskData("files", locale, tuple(sorted(labels)), train, dev, test, str(folder), scored_by)


def _words(path: Path, line: int, row: dict[str, object], tokens: str, tags: str) -> tuple[str, str]:
    """Return words and tags of one sentence, each separated by spaces."""
    if tags not in row:
        raise MuError(f"missing key {tags!r} beside {tokens!r}.", where=f"{path}:{line}")
    words, given = row[tokens], row[tags]
    for name, value in ((tokens, words), (tags, given)):
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(v, str) and v.strip() for v in value)
        ):
            raise MuError(f"{name} is not a list of words.", where=f"{path}:{line}")
    assert isinstance(words, list) and isinstance(given, list)
    if len(words) != len(given):
        raise MuError(f"{len(words)} tokens and {len(given)} tags.", where=f"{path}:{line}")
    wrong = next((tag for tag in given if not TAG.fullmatch(tag)), None)
    if wrong is not None:
        raise MuError(
            f"unknown tag {wrong!r}.",
            where=f"{path}:{line}",
            hint="Tags are O, or B-, I-, E- or S- and a type: B-name.",
        )
    return " ".join("\u00a0".join(word.split()) for word in words), " ".join(given)


def _cell(path: Path, line: int, row: dict[str, object], column: str) -> str:
    if column not in row:
        raise MuError(
            f"missing column {column!r}; the columns are: {', '.join(row)}.",
            where=f"{path}:{line}",
            hint="Name the columns with the task's options text, label and split.",
        )
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise MuError(
            f"{column} is {'empty' if value in ('', None) else repr(value)}.", where=f"{path}:{line}"
        )
    return " ".join(str(value).split())


def _place(path: Path, line: int, row: dict[str, object], name: str, column: str) -> str:
    """Return the split of a row, from its file's name or its column; none if it is to be assigned."""
    if name != "all":
        return name
    if column in row:
        given = _cell(path, line, row, column)
        if given not in SPLIT_NAMES:
            raise MuError(
                f"{given!r} is not a split.", where=f"{path}:{line}", hint="Write train, dev or test."
            )
        return SPLIT_NAMES[given]
    return UNDEALT


def _deal(rows: Rows, source: str, part: str, share: float, seed: int, by_words: bool = False) -> None:
    """Move `share` of the rows of `source` to `part`, evenly per label, but never the last sentence of a label.

    A hash chooses the rows, independent of their order. The rounding rest of one label is carried to the next.
    """
    label_of = {text: "" if by_words else label for text, label, _ in rows.get(source, [])}
    texts: dict[str, list[str]] = {}
    for text in sorted(label_of, key=lambda text: digest(str(seed), text)):
        texts.setdefault(label_of[text], []).append(text)
    moved: set[str] = set()
    due = 0.0
    for label in sorted(texts):
        due += share * len(texts[label])
        count = min(int(due + 0.5), len(texts[label]) - 1)
        due -= count
        moved.update(texts[label][:count])
    if moved:
        rows.setdefault(part, []).extend(row for row in rows[source] if row[0] in moved)
        rows[source] = [row for row in rows[source] if row[0] not in moved]


def _refuse_two_labels(locale: str, paths: dict[str, Path], rows: Rows) -> None:
    """Raise MuError for two labels of one text; keep a text of two splits in test or dev, not in train."""
    label_of: dict[str, str] = {}
    place_of: dict[str, str] = {}
    for part in ("test", "dev", "train", UNDEALT):
        kept = []
        for row in rows.get(part, []):
            sentence, gold, _ = row
            if label_of.setdefault(sentence, gold) != gold:
                raise MuError(
                    f"{locale} has two labels for {sentence!r}: {label_of[sentence]} and {gold}.",
                    where=", ".join(str(path) for path in paths.values()),
                    hint="Keep the right one.",
                )
            if place_of.setdefault(sentence, part) == part:
                kept.append(row)
        rows[part] = kept
