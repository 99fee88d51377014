"""Queries and documents with the same content in several languages, and retrieval data of one model.

Sources: Home Assistant's templates, a JSONL or TSV file of the user, and folders in the shapes of Belebele and of
StrategyQA as the Hugging Face hub serves them.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merginguriel import locales as known
from merginguriel.errors import MuError, UsageError

from . import home
from .pairs import Example
from .registry import digest, not_offered
from .row_files import table_rows

ENDINGS = (".jsonl", ".tsv", ".csv")
DRAWS = 30  # sentences of each template, of which those of a meaning in both languages are kept
FEWEST = 10  # queries of a test set


def languages(*locales: str) -> tuple[str, ...]:
    """Return short names of the languages of locales: ko and en, or the locales where two of these are equal."""
    short = tuple(one.partition("-")[0] for one in locales)
    return short if len(set(short)) == len(short) else locales


@dataclass(frozen=True)
class Retrieval:
    """Queries and documents by id, and the ids of the relevant documents of each query."""

    queries: Mapping[str, str]
    documents: Mapping[str, str]
    relevant: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Parallel:
    """Locale → id → text of queries and documents; ids mean the same in every locale."""

    queries: Mapping[str, Mapping[str, str]]
    documents: Mapping[str, Mapping[str, str]]
    relevant: Mapping[str, frozenset[str]]
    source: str

    @property
    def locales(self) -> tuple[str, ...]:
        """Return the locales, in the order of the source."""
        return tuple(self.queries)

    def fingerprint(self) -> str:
        """Return the sha256 of all texts and of which belong together."""
        parts = (self.queries, self.documents, {one: sorted(ids) for one, ids in self.relevant.items()})
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def pair(self, query: str, document: str) -> Retrieval:
        """Return the retrieval data T(query language–document language)."""
        return Retrieval(self.queries[query], self.documents[document], self.relevant)

    def part(self, ids: Iterable[str]) -> Parallel:
        """Return these queries and their relevant documents."""
        relevant = {one: self.relevant[one] for one in ids}
        kept = set().union(*relevant.values()) if relevant else set()
        return Parallel(
            {locale: {one: table[one] for one in relevant} for locale, table in self.queries.items()},
            {locale: {d: text for d, text in table.items() if d in kept} for locale, table in self.documents.items()},
            relevant, self.source,
        )  # fmt: skip

    def split(self, test: float = 0.5, seed: int = 0) -> tuple[Parallel, Parallel]:
        """Return train and test parts without a common document; queries with a document in both parts are left out."""
        every = set().union(*self.relevant.values())
        held = {doc for doc in every if int(digest(str(seed), doc), 16) < test * 16**8}
        train = [query for query, docs in self.relevant.items() if not docs & held]
        tested = [query for query, docs in self.relevant.items() if docs <= held]
        if not train or len(tested) < FEWEST:
            what = f"{len(train)} training and {len(tested)} test queries are too few; at least {FEWEST} test queries are needed."
            raise UsageError(what, where=self.source)
        return self.part(train), self.part(tested)


def load(source: str, *named: str, seed: int = 0, size: int = 1000) -> Parallel:
    """Return parallel text of two or more locales from `home`, a file, or a folder.

    Raises:
        UsageError: Fewer than two languages, or the source lacks one of them.
        MuError: Invalid data, with file and line.
    """
    locales = tuple(dict.fromkeys(known.get(one).tag for one in named))
    if len(locales) < 2:
        what = f"one language, {' '.join(locales)}, where two are needed."
        raise UsageError(what, hint="Name two languages: --locale ko-KR --locale en-US")
    path = Path(source)
    if source == "home":
        found = from_home(*locales, seed=seed, size=size)
    elif path.is_file():
        found = from_file(path, locales)
    elif path.is_dir():
        shaped = from_beir if (path / locales[0] / "queries.jsonl").is_file() else from_belebele
        found = shaped(path, locales)
    else:
        raise UsageError(f"no such parallel text: {source}.", hint="Name a file, a folder, or home.")
    if not found.relevant:
        raise MuError(f"no query is in {' and '.join(locales)}.", where=source)
    return found


def from_home(*locales: str, seed: int, size: int) -> Parallel:
    """Return two phrasings each of at most `size` meanings: the same intent with the same slots in all locales."""
    if lacking := [locale for locale in locales if locale not in home.offered()]:
        raise not_offered("home", lacking[0], home.offered())
    texts = {locale: meanings(locale, seed) for locale in locales}
    shared = sorted(set.intersection(*map(set, texts.values())))
    rng = random.Random(f"parallel/{seed}")
    chosen = sorted(shared, key=lambda one: (rng.random(), one))[:size]
    if not chosen:
        others = " and ".join(locales[1:])
        raise home.too_little(locales[0], f"no meaning with two phrasings that {others} have too")
    ids = {digest(one): one for one in chosen}
    return Parallel(
        {locale: {id: texts[locale][one][0] for id, one in ids.items()} for locale in texts},
        {locale: {id: texts[locale][one][1] for id, one in ids.items()} for locale in texts},
        {id: frozenset([id]) for id in ids},
        "home",
    )


def meanings(locale: str, seed: int) -> dict[str, tuple[str, str]]:
    """Return meaning → two phrasings, of different templates where there are such; texts with two meanings are left out."""
    from ._templates import draw, slots

    language = home._intents(locale)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    owners: dict[str, set[str]] = defaultdict(set)
    for intent, body in language["intents"].items():
        for block in body.get("data", ()):
            given = {**block.get("slots", {}), **(block.get("requires_context") or {})}
            fixed = sorted(given.items(), key=str)
            for template in block["sentences"]:
                rng = random.Random(f"parallel/{locale}/{seed}/{intent}/{template}")
                for _ in range(DRAWS):
                    drawn = draw(template, language["expansion_rules"], language["lists"], rng)
                    meaning = repr((intent, fixed, slots(drawn)))
                    if drawn.text:
                        found[meaning].setdefault(drawn.text, template)
                        owners[drawn.text].add(meaning)
    result = {}
    for meaning, table in found.items():
        texts = sorted(text for text in table if len(owners[text]) == 1)
        if len(texts) > 1:
            rng = random.Random(f"phrasing/{locale}/{seed}/{meaning}")
            rng.shuffle(texts)
            other = next((t for t in texts if table[t] != table[texts[0]]), texts[1])
            result[meaning] = (texts[0], other)
    return result


def from_file(path: Path, wanted: Sequence[str]) -> Parallel:
    """Read rows with the columns or keys query_LANG and positive_LANG (or document_LANG), and optionally `id`.

    LANG is a locale or its language: query_ko, positive_ko, query_en, positive_en.
    """
    tables: dict[str, dict[str, tuple[str, str]]] = {locale: {} for locale in wanted}
    for line, row in table_rows(path):
        for locale in wanted:
            texts = []
            for names in (("query",), ("positive", "document")):
                keys = [f"{name}_{tag}" for name in names for tag in (locale, locale.split("-")[0])]
                texts.append(next((str(row[key]) for key in keys if row.get(key)), ""))
                if not texts[-1]:
                    hint = f"Expected the column or key {keys[0]} or {keys[1]}."
                    raise MuError(f"no {names[0]} in {locale}.", where=f"{path}:{line}", hint=hint)
            tables[locale][str(row.get("id") or line)] = (texts[0], texts[1])
    return joined(tables, str(path))


def from_belebele(folder: Path, wanted: Sequence[str]) -> Parallel:
    """Read one file per locale, named ko-KR or kor_Hang, with Belebele's columns link, question_number, question and flores_passage."""
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    for locale in wanted:
        one = known.get(locale)
        code = f"{one.language}_{one.script}".replace("_Kore", "_Hang").replace("cmn_", "zho_")  # FLORES-200
        path, tables[locale] = file_of(folder, locale, code), {}
        for line, row in table_rows(path):
            names = ("link", "question_number", "question", "flores_passage")
            if missing := [name for name in names if not row.get(name)]:
                raise MuError(f"{', '.join(missing)} missing.", where=f"{path}:{line}")
            id = f"{digest(str(row['link']))}/{row['question_number']}"
            tables[locale][id] = (str(row["question"]), str(row["flores_passage"]))
    return joined(tables, str(folder))


def joined(tables: Mapping[str, Mapping[str, tuple[str, str]]], source: str) -> Parallel:
    """Return the rows that all locales have, from locale → id → (query, document); equal documents are one."""
    shared = sorted(set.intersection(*(set(table) for table in tables.values())))
    ids: dict[tuple[str, ...], str] = {}
    doc_of = {one: ids.setdefault(tuple(table[one][1] for table in tables.values()), one) for one in shared}
    return Parallel(
        {locale: {one: table[one][0] for one in shared} for locale, table in tables.items()},
        {locale: {doc: table[doc][1] for doc in ids.values()} for locale, table in tables.items()},
        {one: frozenset([doc]) for one, doc in doc_of.items()},
        source,
    )


def from_beir(folder: Path, wanted: Sequence[str]) -> Parallel:
    """Read a folder per locale as `beir` does, the form of StrategyQA in MTEB."""
    tables = {locale: beir(folder / locale) for locale in wanted}
    first = tables[wanted[0]]
    shared = {
        query: docs
        for query, docs in first.relevant.items()
        if all(query in table.queries and docs <= set(table.documents) for table in tables.values())
    }
    queries = {locale: {one: table.queries[one] for one in shared} for locale, table in tables.items()}
    documents = {locale: table.documents for locale, table in tables.items()}
    return Parallel(queries, documents, shared, str(folder))


def beir(folder: Path) -> Retrieval:
    """Read queries, corpus and qrels (or the first of qrels/test, qrels/dev and qrels/train) of one language.

    Queries that are not in the qrels, which may be of one split, are left out.

    Raises:
        MuError: A row without id or text, or a relevant document that is not in the corpus.
    """
    texts: dict[str, dict[str, str]] = {}
    for name in ("queries", "corpus"):
        path = file_of(folder, name)
        texts[name] = {}
        for line, row in table_rows(path):
            body = " ".join(str(row[key]) for key in ("title", "text") if row.get(key))
            if not row.get("_id") or not body:
                raise MuError("_id or text missing.", where=f"{path}:{line}")
            texts[name][str(row["_id"])] = body
    path = file_of(folder, "qrels", "qrels/test", "qrels/dev", "qrels/train")
    relevant: dict[str, set[str]] = defaultdict(set)
    for line, row in table_rows(path):
        query, doc = str(row.get("query-id")), str(row.get("corpus-id"))
        if query not in texts["queries"] or doc not in texts["corpus"]:
            raise MuError(f"unknown query {query!r} or document {doc!r}.", where=f"{path}:{line}")
        if float(str(row.get("score") or 0)) > 0:
            relevant[query].add(doc)
    asked = {query: texts["queries"][query] for query in relevant}
    return Retrieval(asked, texts["corpus"], {query: frozenset(docs) for query, docs in relevant.items()})


def file_of(folder: Path, *names: str) -> Path:
    """Return the first file NAME.jsonl, NAME.tsv or NAME.csv of a folder. Raises UsageError."""
    found = [path for name in names for ending in ENDINGS if (path := folder / f"{name}{ending}").is_file()]
    if found:
        return found[0]
    or_names = " or ".join(f"{name}{ENDINGS[0]}" for name in names)
    raise UsageError(f"no {or_names}.", where=str(folder), hint=f"Endings: {', '.join(ENDINGS)}.")


def of_examples(examples: Sequence[Example]) -> Retrieval:
    """Return retrieval data of pairs or triples: equal queries are one, and every positive and negative is a document."""
    texts = dict.fromkeys(t for e in examples for t in (e.positive, *e.negatives))
    documents = {text: f"d{at}" for at, text in enumerate(texts)}
    relevant: dict[str, set[str]] = defaultdict(set)
    for one in examples:
        relevant[one.query].add(documents[one.positive])
    queries = {f"q{at}": text for at, text in enumerate(relevant)}
    found = {id: frozenset(relevant[text]) for id, text in queries.items()}
    return Retrieval(queries, {id: text for text, id in documents.items()}, found)


def examples_of(
    text: Parallel, query: str, positive: str, negative: str, mined: Mapping[str, Sequence[str]]
) -> list[Example]:
    """Return the training set D(query, positive, negative languages); mined: query id → ids of its negatives."""
    return [
        Example(
            text.queries[query][id],
            text.documents[positive][min(text.relevant[id])],
            tuple(text.documents[negative][doc] for doc in docs),
        )
        for id, docs in mined.items()
    ]
