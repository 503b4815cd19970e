"""What each round of pruning has come to: bytes, what the network costs to run once what is empty is cut out, error."""

from collections.abc import Callable

from laconic.cli.console import in_bytes
from laconic.cli.jobs.shrink import Example
from laconic.deploy.shrinking import shrink
from laconic.errors import LaconicError
from laconic.lc.state import LCState
from laconic.models.ties import Untied
from laconic.training.task import Task


def told_of(task: Task, network: Untied) -> Callable[[LCState], str]:
    """Return what says of a round how large the network is, as a file and to run.

    Args:
        task: whose network is pruned; its sizes stay what they were, and what is smaller is a copy.
        network: each tensor once.
    """
    example = Example.of(task)

    def told(state: LCState) -> str:
        at = state.progress
        try:
            smaller = shrink(network.named(state.all_codes), task.module, example.inputs)
            before, after = (round(many / example.samples) for many in smaller.multiply_adds)
            size = f"{after:,} of {before:,} multiply-adds once what is empty is cut out"
        except LaconicError:  # of single weights nothing is empty
            size = "nothing that could be cut out"
        errors = [f"{name} {value:.4g} on validation" for name, value in (at.validation or {}).items()]
        return ", ".join([f"round {at.step}: {in_bytes(at.file_bytes or 0)}", size, *errors])

    return told
