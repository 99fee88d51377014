"""How is a file or folder written so that a killed program leaves nothing or a whole result?"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import MuError

MENDS = {
    errno.ENOSPC: "Free some space, or name a folder on another disk.",
    errno.EDQUOT: "Free some space, or name a folder on another disk.",
    errno.EACCES: "Check who owns it.",
    errno.EROFS: "It is read-only.",
}


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def write_text(path: Path, text: str, *, exclusive: bool = False) -> None:
    """Write `text` beside `path`, then rename it into place. `exclusive`: refuse if `path` exists."""
    write_bytes(path, text.encode("utf-8"), exclusive=exclusive)


def write_bytes(path: Path, data: bytes, *, exclusive: bool = False) -> None:
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
    """A name beside `path` that nobody else uses: hidden, random, with `ending`."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.{ending}")


@contextlib.contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name when the block ends without an error.

    On any error or interrupt, the temporary folder is removed and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not replace:
        raise MuError(
            "a folder of this name is already there.", where=str(path), mend="Name another, or remove it."
        )
    temporary = beside(path, "partial")
    import shutil  # with its compression modules a tenth of `mu advise`, which makes no folder

    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            old = beside(path, "old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.rename(path)
    except OSError as error:
        if error.errno in MENDS:
            raise os_error(error, path) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def os_error(error: OSError, path: Path) -> MuError:
    """A full disk, a missing right or the like, as an error that names the path."""
    return MuError(
        f"cannot write: {(error.strerror or str(error)).lower()}.",
        where=str(path),
        mend=MENDS.get(error.errno or 0),
    )
