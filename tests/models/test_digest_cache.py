"""Digest cache: a cached digest is always that of the file as it is now, and no cache is ever needed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from merginguriel import files
from merginguriel.models import digest_cache


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file had been at rest for a minute: its last change cannot be dated back."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60_000_000_000)


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    whole = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path) or whole(path))
    return read


def test_a_file_at_rest_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = written(tmp_path / "weights", b"one")
    settle(monkeypatch)
    read = count_reads(monkeypatch)
    assert digest_cache.cached_digest(tmp_path / "weights") is None
    assert [digest_cache.digest(tmp_path / "weights") for _ in range(3)] == [expected] * 3
    assert digest_cache.cached_digest(tmp_path / "weights") == expected
    assert len(read) == 1


def test_a_changed_file_has_a_new_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    path = tmp_path / "weights"
    one = written(path, b"one")
    assert digest_cache.digest(path) == one
    two = written(path, b"two")
    assert digest_cache.digest(path) == two
    # The same size and, put back by hand, the same time of change: the inode's own time still tells.
    before = path.stat()
    three = written(path, b"six")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest_cache.digest(path) == three
    other = tmp_path / "other"
    four = written(other, b"ten")
    other.replace(path)
    assert digest_cache.digest(path) == four


def test_a_file_just_written_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = written(tmp_path / "weights", b"one")
    read = count_reads(monkeypatch)
    assert [digest_cache.digest(tmp_path / "weights") for _ in range(2)] == [expected] * 2
    assert len(read) == 2
    assert digest_cache.cached_digest(tmp_path / "weights") is None


def test_a_cache_that_cannot_be_written_or_read_is_no_error(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    expected = written(tmp_path / "weights", b"one")
    cache.write_bytes(b"a file where the folder should be")
    assert digest_cache.digest(tmp_path / "weights") == expected
    cache.unlink()
    assert digest_cache.digest(tmp_path / "weights") == expected
    (kept,) = (cache / "merginguriel" / "sha256").iterdir()
    for damage in (b"", b"short", b"\xff" * 64):
        kept.write_bytes(damage)
        assert digest_cache.digest(tmp_path / "weights") == expected
    kept.unlink()
    kept.mkdir()
    assert digest_cache.digest(tmp_path / "weights") == expected


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_cache.digest(tmp_path / "nowhere")
    assert digest_cache.cached_digest(tmp_path / "nowhere") is None
