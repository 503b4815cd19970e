"""Points of a run in a folder, each with a checksum and its job: what is finished is not computed again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from laconic.models.states import job_text, read_state, require_same, write_state
from laconic.selection import Keep, Point

_KIND = "point 1"


def in_folder(folder: Path, job: Mapping[str, str]) -> Keep:
    """Return what keeps points in a folder, which is made where it is missing.

    Args:
        folder: of one job.
        job: what must be the same for points to be used again.

    Raises:
        DataError: by what is returned, for a file that is damaged, or of another job; it says what differs.
    """

    def keep(name: str, compute: Callable[[], Point]) -> Point:
        path = folder / f"{name.replace(' ', '-')}.safetensors"
        if not path.exists():
            figures, tensors = compute()
            folder.mkdir(parents=True, exist_ok=True)
            write_state(path, _KIND, tensors, {"job": job_text(job), "figures": json.dumps(figures)})
        tensors, metadata = read_state(path, _KIND, "finished part of such a run")
        require_same(path, metadata["job"], job)
        return json.loads(metadata["figures"]), tensors

    return keep
