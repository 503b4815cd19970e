"""What is finished of a run, in its folder: a line of JSON for each point, and its tensors beside it."""

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, final

from torch import Tensor

from laconic.errors import OutputExists
from laconic.format.files import replace_file
from laconic.format.files import sha256 as file_sha256
from laconic.models.checkpoints import load_checkpoint, save_checkpoint

Point = tuple[Mapping[str, Any], Mapping[str, Tensor]]
"""Figures, as JSON says them, and tensors."""

_JOB, _LINES, _TENSORS = "job.json", "points.jsonl", "kept"


@final
class Cache:
    """Points by key, each computed once in the life of a folder.

    The line is written after the tensors: what has a line is whole, and a line that was cut off counts for nothing. It
    has the SHA-256 of their file: a point whose tensors are damaged is computed again.

    Args:
        folder: made where it is missing.
        job: what must be the same for points to be used again.
        force: forget what an earlier run has left; files of other origin stay.
        same: with ``force`` what a run of the very job has left is not forgotten.

    Raises:
        OutputExists: when the folder holds another job, or files of other origin, and ``force`` is not set.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any], *, force: bool = False, same: bool = False) -> None:
        self.folder = folder
        _claim(folder, job, force, same)
        self._lines: dict[str, dict[str, Any]] = {}
        lines = folder / _LINES
        text = lines.read_text(encoding="utf-8") if lines.exists() else ""
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):
                entry = json.loads(line)
                self._lines[entry["key"]] = entry
        if text and not text.endswith("\n"):
            lines.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")

    def point(self, key: str, compute: Callable[[], Point]) -> Point:
        """Return the point ``key``, computed where it is not kept; figures are what JSON makes of them."""
        path, entry = self.path(key), self._lines.get(key)
        if entry is None or not _is_whole(entry, path):
            figures, tensors = compute()
            json.dumps(figures, allow_nan=False)  # fails before anything is written
            if tensors:
                save_checkpoint(path, tensors, {"key": key}, force=True)
            line = json.dumps({
                "key": key, "figures": figures, "tensors": bool(tensors),
                **({"sha256": file_sha256(path)} if tensors else {}),
            })  # fmt: skip
            with (self.folder / _LINES).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            entry = self._lines[key] = json.loads(line)
        return entry["figures"], load_checkpoint(path)[0] if entry["tensors"] else {}

    def figures(self, key: str) -> Mapping[str, Any] | None:
        """Return the figures of the point ``key``, None where it is not kept."""
        entry = self._lines.get(key)
        return None if entry is None else entry["figures"]

    def leave(self) -> None:
        """Remove the folder where nothing is finished and nothing else lies there: another job may have it."""
        if not self._lines:
            (self.folder / _JOB).unlink(missing_ok=True)
            with suppress(OSError):  # it is not empty
                self.folder.rmdir()

    @property
    def kept(self) -> Path:
        """The folder of tensors, which a run that starts over forgets."""
        return self.folder / _TENSORS

    def path(self, key: str) -> Path:
        """Return the file for the tensors of ``key``."""
        return self.kept / f"{sha256(key.encode()).hexdigest()[:16]}.safetensors"


def _is_whole(entry: Mapping[str, Any], path: Path) -> bool:
    """Say whether the tensors of a point, if it has any, are there and as they were written."""
    if not entry["tensors"] or not path.exists():
        return bool(entry["tensors"]) == path.exists()
    return entry.get("sha256") in (None, file_sha256(path))


def _claim(folder: Path, job: Mapping[str, Any], force: bool, same: bool) -> None:
    """Make ``folder`` the folder of ``job``."""
    if folder.exists() and not folder.is_dir():
        raise OutputExists(f"{folder} is a file; name a folder")
    path = folder / _JOB
    claim = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    wanted = json.loads(json.dumps(job))
    if claim == wanted and (same or not force):
        return
    if claim is not None and not force:
        differs = [
            f"{key} was {claim.get(key)}, is {wanted.get(key)}"
            for key in {**wanted, **claim}
            if claim.get(key) != wanted.get(key)
        ]
        raise OutputExists(
            f"{folder} holds another run ({'; '.join(differs)}): repeat its options, name another folder, "
            "or --force to start over"
        )
    if claim is None and folder.exists() and any(folder.iterdir()) and not force:
        raise OutputExists(f"{folder} is not empty and holds no run of ours; name another folder, or --force")
    if claim is not None:
        shutil.rmtree(folder / _TENSORS, ignore_errors=True)
        (folder / _LINES).unlink(missing_ok=True)
    with replace_file(path, force=True) as file:
        file.write(json.dumps(wanted, indent=1).encode())
