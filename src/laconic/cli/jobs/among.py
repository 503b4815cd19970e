"""Peers from options: where launches meet, what they must have in common, and what is said of them."""

from dataclasses import fields

from laconic.cli import groups
from laconic.cli.among import Among, number_of
from laconic.cli.console import Output
from laconic.cli.jobs.tasks import batches_per_epoch
from laconic.errors import DataError, PlanError
from laconic.teachers.peers import Meeting, Place, among_peers
from laconic.training.task import Task

EVERY = 50
"""Steps from one exchange to the next: as many as the source has found to do no harm."""


def place_of(how: Among) -> Place | None:
    """Return where a launch meets others, if it does.

    Raises:
        PlanError: for options without the folder.
        DataError: for a folder without a number.
    """
    if how.codistill is None:
        idle = [field.name for field in fields(how) if getattr(how, field.name) != field.default]
        if idle:
            raise PlanError(
                f"{', '.join(map(groups.name_of, idle))}: goes with --codistill, the folder of all launches"
            )
        return None
    if how.peer is None:
        raise DataError("--codistill needs --peer, which launch of how many this is: 0/2 for the first of two")
    return Place(how.codistill, *number_of(how.peer))


def meeting_of(say: Output, how: Among, place: Place, task: Task, subject: str, begun: int) -> Meeting:
    """Return how a launch meets the others.

    Args:
        say: told what is wrong with a peer.
        how: the options.
        place: which launch.
        task: of this launch alone.
        subject: the option --task, which all must have in common, as network and data.
        begun: epochs that lie behind a run that is resumed.
    """
    epoch = batches_per_epoch(task)
    same = {"--task": subject, **{f"--{key}": task.metadata.get(key, "") for key in ("net", "data")}}
    burn_in = epoch if how.codistill_burn_in is None else how.codistill_burn_in
    return Meeting(place, task, how.codistill_every or EVERY, same, say.note, burn_in, begun * epoch)


def with_peers(how: Among, task: Task, meeting: Meeting) -> Task:
    """Return what a launch trains on, among others."""
    return among_peers(task, meeting, 1.0 if how.codistill_weight is None else how.codistill_weight)


def labels_of(how: Among, place: Place) -> dict[str, str]:
    """Return what must be the same when a launch goes on."""
    return {
        "--peer": f"{place.number}/{place.count}", "--codistill-every": str(how.codistill_every or EVERY),
        "--codistill-burn-in": str(how.codistill_burn_in), "--codistill-weight": str(how.codistill_weight),
    }  # fmt: skip
