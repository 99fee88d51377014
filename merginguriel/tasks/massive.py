"""Task `massive`: 60 assistant intents of MASSIVE, FitzGerald et al. 2022, arXiv:2204.08582.

Read from the hub, in one of two forms (option `hub`): the Parquet copy of AmazonScience/massive, whose loading script
`datasets` no longer runs, or mteb/amazon_massive_intent. Or from a folder (see `files_of`): `<locale>.jsonl` as in
MASSIVE's own archive, or a copy of either form of the hub. All have the same utterances under the same ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from merginguriel.errors import MuError, UnavailableError, missing_extra

from .registry import Item, TaskData, task
from .row_files import read

HUB = "AmazonScience/massive"
PARQUET = "hf://datasets/AmazonScience/massive@refs%2Fconvert%2Fparquet"
LOCALES = (
    "af-ZA", "am-ET", "ar-SA", "az-AZ", "bn-BD", "ca-ES", "cy-GB", "da-DK", "de-DE", "el-GR", "en-US",
    "es-ES", "fa-IR", "fi-FI", "fr-FR", "he-IL", "hi-IN", "hu-HU", "hy-AM", "id-ID", "is-IS", "it-IT",
    "ja-JP", "jv-ID", "ka-GE", "km-KH", "kn-IN", "ko-KR", "lv-LV", "ml-IN", "mn-MN", "ms-MY", "my-MM",
    "nb-NO", "nl-NL", "pl-PL", "pt-PT", "ro-RO", "ru-RU", "sl-SI", "sq-AL", "sv-SE", "sw-KE", "ta-IN",
    "te-IN", "th-TH", "tl-PH", "tr-TR", "ur-PK", "vi-VN", "zh-CN", "zh-TW",
)  # fmt: skip
THEIR_NAMES = {"sl-SI": "sl-SL"}  # the data set's own spelling of Slovenian
PARTITIONS = {"train": "train", "dev": "dev", "validation": "dev", "test": "test"}

SPLITS = {"train": ("train",), "validation": ("validation", "dev"), "test": ("test",)}
# What the two forms call the sentence and its label.
TEXT, LABEL = ("utt", "text"), ("intent", "label_text", "label")
ENDINGS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}

Row = tuple[str, str, str, str]  # partition, id, text, intent


def theirs(locale: str) -> str:
    """Return MASSIVE's own name of the locale."""
    return THEIR_NAMES.get(locale, locale)


def mteb_name(locale: str) -> str:
    """Return the name in mteb/amazon_massive_intent: `sw-KE` → `sw`; Chinese keeps its region."""
    return locale if locale.startswith("zh-") else locale.partition("-")[0]


def files_of(folder: Path, locale: str) -> dict[str, list[Path]]:
    """Return split → files of one locale in a local copy of a form of the hub; empty if there are none.

    Either `sw-KE/train/0000.parquet`, `sw/train-00000-of-00001.parquet`, `sw/train.jsonl` and the like, or
    `train/sw.json.gz`; Parquet or JSON lines, the latter also compressed with gzip.
    """
    found: dict[str, list[Path]] = {}
    for name in (theirs(locale), mteb_name(locale)):
        for split, spellings in SPLITS.items():
            for spelling in spellings:
                patterns = (f"{name}/{spelling}/*", f"{name}/{spelling}[.-]*", f"{spelling}/{name}.*")
                paths = [path for pattern in patterns for path in folder.glob(pattern) if kind_of(path)]
                if paths and split not in found:
                    found[split] = sorted(paths)
        if found:
            break
    return found


def kind_of(path: Path) -> str | None:
    """Return the name of the `datasets` reader of this file; None for another kind."""
    return ENDINGS.get(Path(path.name.removesuffix(".gz")).suffix) if path.is_file() else None


def offered(folder: Path | None = None) -> list[str]:
    """Return the locales of the folder; without a folder, all."""
    if folder is None:
        return list(LOCALES)
    if not folder.is_dir():
        raise UnavailableError("no such folder.", where=str(folder))
    return [
        tag
        for tag in LOCALES
        if _jsonl(folder, tag).is_file() or (folder / theirs(tag)).is_dir() or files_of(folder, tag)
    ]


@task("massive", doc="MASSIVE, 60 intents in 52 locales, from the hub or a folder", locales=offered)
def massive(locale: str, *, folder: Path | None = None, seed: int = 0, hub: str = HUB) -> TaskData:
    """Load the data set's own partitions. `seed` is ignored: nothing is random.

    hub  source without a folder: AmazonScience/massive, or mteb/amazon_massive_intent
    """
    del seed
    if folder is not None and _jsonl(folder, locale).is_file():
        labels = labels_of(folder)
        rows = list(_from_jsonl(_jsonl(folder, locale)))
        source = str(folder)
    elif folder is not None:
        source = str(folder)
        labels, rows = _from_folder(folder, locale)
    else:
        source = hub
        labels, rows = _from_hub(hub, locale)
    parts: dict[str, list[Item]] = {"train": [], "dev": [], "test": []}
    for partition, id, text, intent in rows:
        # Their ids, and none dropped: published figures count all 2,974 test utterances, repeated ones too.
        parts[partition].append(Item(f"massive/{locale}/{partition}/{id}", text, intent, id))
    train, dev, test = (tuple(parts[part]) for part in ("train", "dev", "test"))
    return TaskData("massive", locale, labels, train, dev, test, source)


def http_errors() -> tuple[type[Exception], ...]:
    """Return the HTTP client's exception classes, which differ between versions of huggingface_hub."""
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")


def labels_of(folder: Path) -> tuple[str, ...]:
    """Return every intent in any file of the folder, sorted, so that all locales share one label set."""
    found: set[str] = set()
    for path in sorted(folder.glob("*.jsonl")):
        found.update(match.decode() for match in re.findall(rb'"intent": ?"([^"\\]+)"', path.read_bytes()))
    return tuple(sorted(found))


def _jsonl(folder: Path, locale: str) -> Path:
    return folder / f"{theirs(locale)}.jsonl"


def _from_jsonl(path: Path) -> Iterator[Row]:
    for line, row in read(path):
        missing = [key for key in ("id", "partition", "utt", "intent") if not isinstance(row.get(key), str)]
        if missing:
            raise MuError(f"{', '.join(missing)} missing, or not text.", where=f"{path}:{line}")
        if row["partition"] not in PARTITIONS:
            raise MuError(
                f"partition is {row['partition']!r}; it should be train, dev or test.", where=f"{path}:{line}"
            )
        yield PARTITIONS[str(row["partition"])], str(row["id"]), str(row["utt"]), str(row["intent"])


def _from_folder(folder: Path, locale: str) -> tuple[tuple[str, ...], list[Row]]:
    """Return the rows of one locale, and the intents of all: a small copy may lack some in some."""
    labels, rows = _of_files(folder, locale)
    if labels is None:
        labels = _all_labels(folder)
    return labels, rows


@cache
def _all_labels(folder: Path) -> tuple[str, ...]:
    return tuple(sorted({row[3] for tag in offered(folder) for row in _of_files(folder, tag)[1]}))


def _of_files(folder: Path, locale: str) -> tuple[tuple[str, ...] | None, list[Row]]:
    files = files_of(folder, locale)
    if not files:
        raise unreadable(locale, str(folder), "no Parquet or JSON files")
    kind = kind_of(next(iter(files.values()))[0])
    names = {split: [str(path) for path in paths] for split, paths in files.items()}
    return _rows(_loaded(locale, str(folder), kind, data_files=names), str(folder / theirs(locale)))


def _from_hub(hub: str, locale: str) -> tuple[tuple[str, ...], list[Row]]:
    """Load the hub's Parquet files of Amazon's data set, or the files of another data set."""
    if hub == HUB:
        files = {split: f"{PARQUET}/{theirs(locale)}/{split}/*.parquet" for split in SPLITS}
        loaded = _loaded(locale, PARQUET, "parquet", data_files=files)
    else:
        loaded = _loaded(locale, hub, hub, mteb_name(locale))
    labels, rows = _rows(loaded, f"{hub} {locale}")
    return labels or tuple(sorted({row[3] for row in rows})), rows


def _loaded(locale: str, where: str, *what: Any, **how: Any) -> Any:
    """Call `datasets.load_dataset`, converting its errors."""
    try:
        from datasets import load_dataset
        from datasets.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled
    except ImportError as error:
        raise missing_extra("datasets") from error
    bars = is_progress_bar_enabled()
    unreachable: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError, *http_errors())
    try:
        disable_progress_bar()
        return load_dataset(*what, **how)
    except unreachable as error:
        first = str(error).strip().splitlines()
        raise unreadable(locale, where, first[0] if first else type(error).__name__) from error
    finally:
        if bars:
            enable_progress_bar()


def unreadable(locale: str, where: str, why: str) -> UnavailableError:
    """Return the error for data that cannot be read."""
    return UnavailableError(
        f"MASSIVE {theirs(locale)} cannot be read: {why}",
        where=where,
        hint="Without the hub, unpack MASSIVE's archive and name its data folder with: --data DIR\n"
        "or take the task home, whose sentences are installed: --task home",
    )


def _rows(loaded: Any, where: str) -> tuple[tuple[str, ...] | None, list[Row]]:
    """Return the rows of all splits, with label names where the data define them."""
    from datasets import ClassLabel

    labels: set[str] | None = None
    rows: list[Row] = []
    for split, part in loaded.items():
        if split not in PARTITIONS:
            continue
        columns = [
            next((key for key in names if key in part.features), None) for names in (("id",), TEXT, LABEL)
        ]
        if None in columns:
            lacking = ("id", " or ".join(TEXT), " or ".join(LABEL))[columns.index(None)]
            raise MuError(f"missing column {lacking}.", where=f"{where}/{split}")
        ids, texts, intents = (part[column] for column in columns)
        kind = part.features[columns[2]]
        names = kind.names if isinstance(kind, ClassLabel) else None
        if names:
            labels = {*(labels or ()), *names}
        for id, text, intent in zip(ids, texts, intents, strict=True):
            rows.append((PARTITIONS[split], str(id), text, names[intent] if names else str(intent)))
    return None if labels is None else tuple(sorted(labels)), rows
