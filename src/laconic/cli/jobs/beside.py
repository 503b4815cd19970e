"""What a run writes beside its output: a log, and files of points."""

from collections.abc import Iterable
from pathlib import Path

from laconic.errors import OutputExists, PlanError
from laconic.format.files import require_absent
from laconic.lc.log import is_log


def require_log(log: Path | None, own: Iterable[Path], *, force: bool) -> None:
    """Check that a log, if there is one, takes the place of no file of another kind.

    Args:
        log: where it is written.
        own: files of the run.
        force: whatever is there may be replaced.

    Raises:
        PlanError: when it is one of the files of the run.
        OutputExists: when there is something else, and it is not to be replaced.
    """
    if log is None:
        return
    if log.resolve() in {one.resolve() for one in own}:
        raise PlanError(f"--log {log}: that is a file of this run already; name another")
    if log.exists() and not is_log(log):
        require_absent(log, force=force)


def require_points(folder: Path | None, *, sized: bool, replacing: bool) -> None:
    """Check that there are points to keep, and that the folder, if one is named, holds nothing that they would replace.

    Args:
        folder: where they are kept.
        sized: whether points are files of which some are smaller, or better, than those before.
        replacing: what is there may be replaced.

    Raises:
        PlanError: where no file is within anything.
        OutputExists: when there is something, and it is not to be replaced.
    """
    if folder is None:
        return
    if not sized:
        raise PlanError("--keep-points goes with a budget: name one, as --size 10KB or --max-drop 1")
    if folder.exists() and not folder.is_dir():
        raise OutputExists(f"--keep-points {folder} is no folder; name another")
    if not replacing and folder.exists() and any(folder.iterdir()):
        raise OutputExists(f"{folder} has something in it; name another folder, or write there anyway: --force")
