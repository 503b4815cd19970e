"""A network seen in one run: its channels, of whatever program it is.

A tracer of graphs would need the program to be one. A run is of any: a dispatch mode sees the operations of ATen, which
are few, and most of them only put elements elsewhere, so that labels of channels follow by the same operations.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from laconic import interrupts
from laconic.models.channels.atoms import Atoms, Slot
from laconic.models.channels.rules import applied
from laconic.models.channels.run import Run
from laconic.models.parametrized import evaluating
from laconic.models.wiring import tensors_in


@final
@dataclass(frozen=True, eq=False)
class Traced:
    """What one run has shown.

    Args:
        run: all that was seen.
        outputs: what the network has returned.
        sets: root → slots of parameters that are one channel.
        pinned: root → why it cannot be removed.
        needed: roots that somebody reads.
    """

    run: Run
    outputs: Any
    sets: Mapping[int, Sequence[Slot]]
    pinned: Mapping[int, str]
    needed: frozenset[int]

    @property
    def atoms(self) -> Atoms:
        """The channels."""
        return self.run.atoms

    @property
    def idle(self) -> frozenset[int]:
        """Roots of channels that can be removed without a change of the outputs: nobody reads them."""
        return frozenset(root for root in self.sets if root not in self.pinned and root not in self.needed)


@torch.no_grad()
def traced(module: nn.Module, inputs: Sequence[Any], named: Mapping[str, Any] | None = None) -> Traced:
    """Run a module on an example and return what its channels are.

    O(the run) and, for each operation, a look at the labels of its outputs.

    Args:
        module: runs in evaluation mode, with its own weights; it is left as it was.
        inputs: its positional arguments.
        named: its named ones.
    """
    run = Run()
    run.begin(module, tensors_in((list(inputs), named or {})))
    with ExitStack() as stack:
        stack.enter_context(evaluating(module))
        stack.enter_context(plain_attention())
        for name, part in module.named_modules():
            stack.callback(part.register_forward_pre_hook(_entering(run, name)).remove)
            stack.callback(part.register_forward_hook(_leaving(run), always_call=True).remove)
        with _Watch(run):
            outputs = module(*inputs, **(named or {}))
    atoms = run.atoms
    for root, slots in atoms.sets().items():
        if len(slots) == 1 or any(slot.name not in run.reads for slot in slots):  # such as a place past the example's
            atoms.pinned.setdefault(root, "is read by no other tensor on the example")
    for _, meaning in run.seen(outputs):
        for family in meaning.families:
            atoms.pin(family, "is an output of the network")
    needed = frozenset(atoms.root(atom) for atom in atoms.needed)
    return Traced(run, outputs, atoms.sets(), atoms.reasons(), needed)


@contextmanager
def plain_attention() -> Iterator[None]:
    """Keep torch from running a whole attention as one operation."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _entering(run: Run, name: str) -> Any:
    """Return a hook that notes that a module runs."""

    def enter(part: nn.Module, inputs: Any) -> None:
        interrupts.check()
        run.path.append(name)

    return enter


def _leaving(run: Run) -> Any:
    """Return a hook that notes that a module has run."""

    def leave(part: nn.Module, inputs: Any, outputs: Any) -> None:
        run.path.pop()

    return leave


@final
class _Watch(TorchDispatchMode):
    """Lets every operation say what becomes of channels."""

    def __init__(self, run: Run) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._run = run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what was asked for, and note what it means."""
        outputs = func(*args, **(kwargs or {}))
        for tensor in tensors_in((args, kwargs or {})):
            if name := self._run.names.get(id(tensor)):
                self._run.reads[name] = self._run.reads.get(name, 0) + 1
        applied(self._run, func, args, kwargs or {}, outputs)
        return outputs
