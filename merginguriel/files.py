"""Atomic writes of files and folders: a killed program leaves nothing or a whole result."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .errors import MuError

# How far long work is: done, of how much in all (0: the text is a notice), and of what.
Progress = Callable[[float, float, str], None]

MENDS = {
    errno.ENOSPC: "Free some space, or name a folder on another disk.",
    errno.EDQUOT: "Free some space, or name a folder on another disk.",
    errno.EFBIG: "Files may not grow that large here; see: ulimit -f",
    errno.EACCES: "Check who owns it.",
    errno.EROFS: "It is read-only.",
    errno.ENAMETOOLONG: "Give it a shorter name.",
    errno.EEXIST: "A part of that path is a file, not a folder.",
    errno.ENOTDIR: "A part of that path is a file, not a folder.",
}
SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kmgt]?)b?", re.IGNORECASE)


class BeingWritten(MuError):
    """Another process is writing this folder."""


def sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes, read in blocks."""
    import hashlib  # loads OpenSSL

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def csv_lines(path: Path, what: str = "matrix") -> list[list[str]]:
    """Return the cells of every line of a CSV file. Raises MuError if it cannot be read."""
    try:
        return list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MuError(f"this {what} cannot be read: {error}.", where=str(path)) from error


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows of cells as CSV, a newline after each."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write_text(path: Path, text: str, *, exclusive: bool = False) -> None:
    """Write `text` beside `path`, then rename it into place. `exclusive`: refuse if `path` exists."""
    write_bytes(path, text.encode("utf-8"), exclusive=exclusive)


def write_bytes(path: Path, data: bytes, *, exclusive: bool = False) -> None:
    """Write `data` beside `path`, then rename it into place. `exclusive`: refuse if `path` exists."""
    temporary = beside(path, "partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            # A hard link fails if the name is taken; a rename would silently replace it.
            os.link(temporary, path)
        else:
            temporary.replace(path)
    except FileExistsError as error:
        raise MuError("a file of this name is already there.", where=str(path)) from error
    except OSError as error:
        raise os_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def beside(path: Path, ending: str) -> Path:
    """Return an unused name beside `path`: hidden, random, with `ending`."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.{ending}")


@contextlib.contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that takes its name when the block ends without an error.

    On any error or interrupt, the temporary folder is removed and `path` is as it was. A killed program leaves
    the temporary folder without a lock, and the next call removes it. Raises MuError if `path` exists
    (unless `replace`), if another process is writing it, or if the disk refuses.
    """
    temporary, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with claimed(temporary, path):
            if old.is_dir() and not path.exists():
                old.rename(path)  # killed between the two renames below
            shutil.rmtree(old, ignore_errors=True)
            if path.exists() and not replace:
                raise MuError(
                    "a folder of this name is already there.",
                    where=str(path),
                    hint="Name another, or remove it.",
                )
            yield temporary
            if path.exists():
                path.rename(old)
                try:
                    temporary.rename(path)
                except OSError:
                    old.rename(path)
                    raise
                shutil.rmtree(old, ignore_errors=True)
            else:
                temporary.rename(path)
    except OSError as error:
        if error.errno in MENDS:
            raise os_error(error, path) from error
        raise


@contextlib.contextmanager
def claimed(temporary: Path, path: Path) -> Iterator[None]:
    """Make the folder `temporary` and lock it while the block runs; only one process succeeds.

    The holder of the lock of the folder that has this name now is writing `path`.
    """
    being_written = BeingWritten(
        "another process is writing this folder.",
        where=str(path),
        hint="Wait for it, then run this again: what it has made is taken as it is.",
    )
    with contextlib.ExitStack() as held:
        while True:
            try:
                temporary.mkdir()
                fresh = True
            except FileExistsError:
                fresh = False
            try:
                descriptor = held.enter_context(locked(temporary))
                place = temporary.stat()
            except FileNotFoundError:
                held.close()
                continue  # its writer has finished, or another process removed it as stale before it was locked
            except BlockingIOError:
                raise being_written from None
            if descriptor is not None and not os.path.samestat(place, os.fstat(descriptor)):
                held.close()
                continue
            if fresh:
                break
            if descriptor is None:
                raise MuError(
                    being_written.what,
                    where=being_written.where,
                    hint=f"If that is not so, one was killed at it: remove {temporary}",
                )
            shutil.rmtree(temporary)
            held.close()
        held.callback(remove, temporary, place)
        yield


def remove(temporary: Path, place: os.stat_result) -> None:
    """Remove the folder if it is still the one with the status `place`: after a rename the name may be another's."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(temporary.stat(), place):
            shutil.rmtree(temporary, ignore_errors=True)


def wait_for_writer(path: Path, tell: Callable[[], None]) -> None:
    """Return when no other process is writing the folder `path`; calls `tell` before it waits."""
    temporary = path.with_name(f".{path.name}.partial")
    with contextlib.suppress(FileNotFoundError):
        try:
            with locked(temporary):
                return
        except BlockingIOError:
            tell()
        with locked(temporary, wait=True):
            return


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[int | None]:
    """Hold the lock of a folder, which the system releases when this process ends for any reason.

    Yields its descriptor; None where there are no locks (Windows, some network disks). Raises BlockingIOError
    if another process holds it, unless `wait`.
    """
    if sys.platform == "win32":
        yield None
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        held: int | None = descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            held = None
        yield held
    finally:
        os.close(descriptor)


def os_error(error: OSError, path: Path) -> MuError:
    """Return a MuError that names the path, for a full disk, a missing permission or the like."""
    return MuError(
        f"cannot write: {(error.strerror or str(error)).lower()}.",
        where=str(path),
        hint=MENDS.get(error.errno or 0),
    )


def bytes_of(text: str) -> int:
    """Return the bytes of `2GB` or `500 MB`, in powers of ten. Raises ValueError with the form that is expected."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError("a size such as 2GB or 500MB")
    return int(float(found[1]) * 1000 ** " KMGT".index(found[2].upper() or " "))
