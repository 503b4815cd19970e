"""Checkpoints of which nothing may change: quantized ones that are recoded, and others where it is asked."""

from collections.abc import Mapping, Sequence
from typing import Any

from laconic.cli.console import Output
from laconic.cli.groups import values
from laconic.cli.jobs.figures import report
from laconic.cli.jobs.folders import Written
from laconic.cli.stored import Stored
from laconic.errors import PlanError
from laconic.models.checkpoints import Checkpoint
from laconic.models.quantized import Quantized, quantized
from laconic.models.standing import Standing
from laconic.recoding import recode


def settled(say: Output, read: Checkpoint, how: Stored, asked: Sequence[str]) -> tuple[Checkpoint, bool]:
    """Return what is compressed of a checkpoint, and whether it is recoded instead: nothing of it changes.

    Args:
        say: how this process talks.
        read: the checkpoint, its tensors as they are stored.
        how: what is asked of them.
        asked: options that change weights, as they are typed.

    Raises:
        PlanError: where both are asked, or there is nothing to requantize.
    """
    found = quantized(read.params, read.told)
    say.note(*found.notes)
    if how.requantize and how.recode:
        raise PlanError("--recode leaves all as it is, --requantize does not: give one of them")
    if how.requantize:
        if not found.layers:
            raise PlanError("--requantize: no weights are quantized here in a layout that is known: leave it out")
        say.note(f"{found}: compressed as the weights that they stand for")
        return read.standing(Standing(read.params, found)), False
    if not (how.recode or found.layers or found.unknown):
        return read, False
    if asked:
        raise PlanError(f"{', '.join(asked)}: {_why(found)}")
    say.note(f"{found}: recoded, nothing of it changes" if found.layers else "recoded: nothing of it changes")
    return read, True


def recoded(say: Output, read: Checkpoint, notes: Mapping[str, str], file: Written, *, table: bool) -> None:
    """Recode, write and print, with a progress bar over the elements meanwhile.

    Args:
        say: how this process talks.
        read: the checkpoint.
        notes: metadata of the file.
        file: where it goes.
        table: whether every tensor is shown.
    """
    total = sum(tensor.numel() for tensor in read.params.values())
    with say.progress("recoding", max(1, total)) as tick:
        result = recode(read.params, notes, watch=tick)
    report(say, result, file, None, table=table)


def changed(groups: Sequence[Any], others: Mapping[str, object]) -> list[str]:
    """Return those options of some groups that are not what they are where nobody types them, and others that are."""
    usual = [(values(group), values(type(group)())) for group in groups]
    moved = [option for now, before in usual for option in now if now[option] != before[option]]
    return [*moved, *(option for option, value in others.items() if value)]


def _why(found: Quantized) -> str:
    """Return why nothing may change, and the way out."""
    if found.layers:
        return (
            f"the checkpoint is quantized already ({found}): leave this out, to recode it without loss, or say "
            "--requantize, to compress the weights that it stands for"
        )
    if found.unknown:
        return f"{found.notes[0]}; leave this out"
    return "--recode leaves every tensor as it is: leave this out, or that"
