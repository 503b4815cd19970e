"""What a file is, told by its first bytes: its name may end in anything."""

import json
from pathlib import Path

from laconic.errors import DataError, FormatError, listed
from laconic.format.enclosed import FILE, found

_HEAD = 512
"""Bytes that are looked at."""

_OURS = {
    "lac": (b"\x89LAC\r\n\x1a\n",),
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "gguf": (b"GGUF",),
    "pickle": (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
}
"""Kinds that laconic has a reader for, with what they begin with; safetensors are told by their header."""

_SAVE = "save the network's state_dict with torch.save or safetensors"

_FOREIGN = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the file itself", "fetch that by git lfs pull"),
    (b"<!doctype html", "a web page, not the file that it shows", "download the file itself"),
    (b"<html", "a web page, not the file that it shows", "download the file itself"),
    (b"<?xml", "an XML page, perhaps a server's error", "download the file itself"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _SAVE),
    (b"\x93NUMPY", "a NumPy array", _SAVE),
    (b"\x1f\x8b", "compressed by gzip", "gunzip it first"),
    (b"\xfd7zXZ\0", "compressed by xz", "unxz it first"),
    (b"BZh", "compressed by bzip2", "bunzip2 it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unzstd it first"),
)
"""What others begin with (letters in lower case stand for both), what they are, and the way out."""


def is_lac(path: Path) -> bool:
    """Say whether a file is a `.lac` file, by its name or by what it begins with, or it or a folder has one within."""
    where, start = found(path)
    named = path.suffix.lower() == ".lac" and not path.is_dir()
    return start > 0 or named or (where.is_file() and _head(where).startswith(_OURS["lac"]))


def require_lac(path: Path) -> None:
    """Raise `FormatError` where what is there is no file, or one of another kind: it is named, with the way out."""
    if path.is_dir():
        raise FormatError(f"{path} is a folder without a {FILE}; name a .lac file")
    head = _head(path)
    if head.startswith(_OURS["lac"]) or _OURS["lac"][0].startswith(head):  # perhaps damaged further on
        return
    message = f"{path}: byte 0: this is not a .lac file"
    if kind := _kind_by(head):
        by = {"safetensors": "safetensors", "gguf": "GGUF"}.get(kind, "torch.save")
        raise FormatError(f"{message} but one of {by}; laconic compress makes a .lac of it")
    raise FormatError(f"{message}{f' but {other}' if (other := _other_by(head)) else ''}")


def kind_of_file(path: Path) -> str:
    """Return what a file is: "safetensors", "gguf", "zip" or "pickle" (of `torch.save`, new and old), or "lac".

    Raises:
        DataError: where there is no file, or one of another kind: it is named, with the way out.
    """
    if found(path)[1]:
        return "lac"
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file")
    if not path.is_file():
        raise DataError(f"{path} is no file that can be read" if path.exists() else f"no file {path}")
    head = _head(path)
    if not head:
        raise DataError(f"{path} is empty: nothing has been written to it, or its download has failed")
    if kind := _kind_by(head):
        return kind
    if other := _other_by(head):
        raise DataError(f"{path} is {other}")
    if _text(head).startswith(b"{"):
        raise DataError(f"{path} {_of_json(path)}")
    raise DataError(f"{path} is no checkpoint: it begins as neither safetensors nor a file of torch.save; {_SAVE}")


def _kind_by(head: bytes) -> str:
    """Return which kind that laconic reads begins so, or nothing."""
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "safetensors"
    return next((kind for kind, beginnings in _OURS.items() if head.startswith(beginnings)), "")


def _other_by(head: bytes) -> str:
    """Return what else begins so, with the way out, or nothing."""
    text = _text(head).lower()
    return next((f"{what}; {way}" for start, what, way in _FOREIGN if text.startswith(start.lower())), "")


def _text(head: bytes) -> bytes:
    """Return the first bytes without marks and blanks before a text."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()


def _head(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(_HEAD)


def _of_json(path: Path) -> str:
    """Return what a file of JSON is, and the way out."""
    try:
        shards = sorted(set(json.loads(path.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is JSON text, not a checkpoint; name the file that holds the weights"
    names = listed(str(shard) for shard in shards)
    return f"is the index of a checkpoint in {len(shards)} files; name one of them: {names}"
