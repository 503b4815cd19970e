"""Writing a file, or a folder, all or nothing: a temporary one beside it, forced to disk, then renamed."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from laconic import interrupts
from laconic.errors import OutputExists, listed

_SHOWN = 40
"""Characters of a name that the temporary file shows: its own must not be too long for the file system."""

Lost = Callable[[list[str]], list[str]]
"""Names of files in a folder that is to be replaced → those that may not go."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What is said where there is no room for more bytes."""


def require_absent(path: Path, *, force: bool) -> None:
    """Raise `OutputExists` when ``path`` is there and ``force`` is not set: call it before the work, not after."""
    if path.is_dir():
        raise OutputExists(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise OutputExists(f"{path} is a device or a pipe; name a file")
    if path.exists() and not force:
        raise OutputExists(f"{path} exists; name another, or replace it: force=True (--force on the command line)")


def require_apart(path: Path, *inputs: Path | None) -> None:
    """Raise `OutputExists` when ``path`` is one of the files that are read, which would be gone: call it before."""
    for one in inputs:
        if one is not None and one.exists() and path.exists() and path.samefile(one):
            raise OutputExists(f"{path} is what is read; name another file for what is written")


@contextmanager
def replace_file(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """Open a file that becomes ``path`` when the block ends without an error, and never exists otherwise.

    Whatever happens (an exception, a full disk, a killed process), ``path`` holds its old content or all of the new.
    Of two processes that write a file that was not there, one succeeds.

    Args:
        path: the file to write; missing folders above it are made, and a link is followed.
        force: replace an existing file.

    Raises:
        OutputExists: when ``path`` exists and ``force`` is not set.
        OSError: when it cannot be written; it names ``path``.
    """
    require_absent(path, force=force)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{path}: {error.filename} is a file, not a folder") from None
    temporary = target.with_name(f".{target.name[:_SHOWN]}.{secrets.token_hex(4)}.tmp")
    with _naming(path, temporary):
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with _naming(path, temporary):
            with os.fdopen(handle, "w+b") as file:
                yield cast("BinaryIO", file)
                file.flush()
                os.fsync(file.fileno())
            interrupts.check()
            _put(temporary, target, force=force)
            _sync_folder(target.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def require_replaceable(path: Path, lost: Lost, *, force: bool) -> None:
    """Raise `OutputExists` when a folder must not be written: call it before the work, not after.

    Args:
        path: of the folder.
        lost: says which of the files in it, by their names there, may not go.
        force: it may be there, if all that is in it may go.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputExists(f"{path} is no folder of its own; name another")
    there = (
        [file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()] if path.is_dir() else []
    )
    if there and not force:
        raise OutputExists(f"{path} holds files; name another folder, or replace it: --force")
    if strange := lost(sorted(there)):
        raise OutputExists(f"{path} holds files that would be lost: {listed(strange)}; name another folder")


@contextmanager
def replace_folder(path: Path, lost: Lost, *, force: bool = False) -> Iterator[Path]:
    """Give a folder that becomes ``path`` when the block ends without an error, and leaves nothing otherwise.

    Args:
        path: the folder; missing ones above it are made. One that is there is replaced as a whole.
        lost: as `require_replaceable` takes it.
        force: likewise.

    Raises:
        OutputExists: likewise.
        OSError: when it cannot be written; it names ``path``.
    """
    require_replaceable(path, lost, force=force)
    mark = secrets.token_hex(4)
    temporary, old = (path.with_name(f".{path.name[:_SHOWN]}.{mark}.{end}") for end in ("tmp", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        raise OSError(f"{path}: this folder cannot be written: {error.strerror}") from error
    try:
        yield temporary
        interrupts.check()
        require_replaceable(path, lost, force=force)
        if path.exists():
            os.rename(path, old)
        try:
            os.rename(temporary, path)
        except BaseException:
            if old.exists():
                os.rename(old, path)
            raise
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def same_every_time(checkpoint: bytes) -> bytes:
    """Return a safetensors file with its metadata in the order of the keys: the library shuffles them at every call."""
    end = 8 + int.from_bytes(checkpoint[:8], "little")
    header = json.loads(checkpoint[8:end])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + checkpoint[end:]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, which is not read into memory as a whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _naming(path: Path, temporary: Path) -> Iterator[None]:
    """Let errors of the temporary file name ``path``, for which it stands; a full disk names no file by itself."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            size = temporary.stat().st_size if temporary.exists() else 0
            raise OSError(error.errno, f"{error.strerror} after {size:,} bytes", str(path)) from error
        if error.filename == os.fspath(temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _put(temporary: Path, target: Path, *, force: bool) -> None:
    """Give a file its name; without ``force`` only where nothing has that name, which `os.replace` does not look at."""
    if not force:
        try:
            os.link(temporary, target)
        except FileExistsError:
            require_absent(target, force=False)
        except OSError:  # a file system without links
            require_absent(target, force=False)
        else:
            os.unlink(temporary)
            return
    os.replace(temporary, target)


def _sync_folder(folder: Path) -> None:
    """Force the rename itself to disk, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
