"""Codistillation between launches that share a folder: each writes its weights there, and learns from the others'.

    θ ← θ − η ∇_θ { φ(y, F(θ, x)) + weight · ψ(1/M Σ_j F(θ'_j, x), F(θ, x)) }

over those M of the other networks that have written by now; θ'_j are the newest weights of each, looked for every so
many steps (`laconic.teachers.codistillation` has ψ, and all networks in one process). Nobody waits for anybody: who
is alone trains alone, and whoever stops is learned from as it was last.

A file is written under another name and renamed, and has a checksum: what is read is whole, or is left where it is and
named. Whoever comes reads before it writes: where others train another network it is refused, and they never see it. A
launch that has written goes on without a file that is foreign. Beside its weights each has a file that says whose the
number is (`laconic.teachers.claims`): of two launches of one number one stops. Within a launch of several processes
(`torch.distributed`) all read, and that of rank 0 writes. What is read hangs on when others write: such a run is no
function of its seed.

Source: Anil et al., "Large scale distributed neural network training through online distillation" (ICLR 2018): networks
exchange weights now and then, and learn from old ones.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic.arguments import is_weight
from laconic.errors import DataError, LaconicError, OutputExists
from laconic.models.params import Params, params_of
from laconic.models.states import job_text, read_state, require_same, write_state
from laconic.teachers.claims import Claim
from laconic.teachers.codistillation import apart
from laconic.teachers.hidden import called
from laconic.teachers.teacher import Teacher
from laconic.training.batches import Batch
from laconic.training.judges import counting, ignored_by
from laconic.training.task import Task

_KIND = "weights of a peer 0"
_PATIENCE = 60.0
"""Seconds after which it is said that a peer has written nothing; learning from it goes on."""


@final
@dataclass(frozen=True)
class Place:
    """Which of several launches this is, and where they meet.

    Args:
        folder: that all of them share; made where it is missing.
        number: of this launch, from 0.
        count: of launches, 2 or more.

    Raises:
        DataError: for a number that is none of them.
    """

    folder: Path
    number: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count or self.count < 2:
            raise DataError(
                f"a peer is one of two or more, counted from 0: 0/2 and 1/2 are two, {self.number}/{self.count} is none"
            )

    @property
    def others(self) -> list[int]:
        """The numbers of the others."""
        return [number for number in range(self.count) if number != self.number]

    def path(self, number: int) -> Path:
        """Return the file of a launch."""
        return self.folder / f"peer-{number}.safetensors"

    @property
    def claim(self) -> Path:
        """The file that says which launch has the number."""
        return self.folder / f"peer-{self.number}.claim"

    def require_free(self) -> None:
        """Raise `OutputExists` when this launch has a file here already: of an earlier run, or of another that runs."""
        if self.path(self.number).exists():
            raise OutputExists(
                f"{self.path(self.number)} is there already: --resume goes on, --force starts anew; two launches need "
                f"numbers of their own"
            )


@final
@dataclass(frozen=True, eq=False)
class Peer:
    """What is known of another launch.

    Args:
        number: its own.
        stamp: when its file was written, in nanoseconds, by the clock of the file system.
        step: of its training.
        finished: whether it has come to its end.
        teacher: its weights in this launch's module.
    """

    number: int
    stamp: int
    step: int
    finished: bool
    teacher: Teacher

    def told(self) -> str:
        """Say how far it is."""
        ago = max(0.0, time.time() - self.stamp / 1e9)
        if self.finished:
            return f"peer {self.number} has finished, at step {self.step:,}"
        return (
            f"peer {self.number} has not finished: it wrote last at step {self.step:,}, {ago:.0f} s ago, and has "
            "stopped or is behind"
        )


@final
@dataclass(eq=False)
class Meeting:
    """How one launch meets the others: what is written and read every so many steps, and what is said of it.

    It is no value: it counts steps, and holds what was read last.

    Args:
        place: in which folder, and who.
        task: of this launch alone: its module runs the weights of the others, too.
        every: steps from one exchange to the next, 1 or more.
        same: what must be the same for all launches, such as network and data.
        say: told a sentence when something is wrong with a peer.
        burn_in: steps before the others are learned from.
        step: where this launch begins: steps that lie behind it.

    Raises:
        DataError: for bad numbers.
    """

    place: Place
    task: Task
    every: int
    same: Mapping[str, str]
    say: Callable[[str], None]
    burn_in: int = 0
    step: int = 0
    peers: dict[int, Peer] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)
    _claim: Claim | None = None
    _begun: bool = False

    def __post_init__(self) -> None:
        if not (isinstance(self.every, int) and isinstance(self.burn_in, int)) or self.every < 1 or self.burn_in < 0:
            raise DataError(
                f"steps between exchanges are 1 or more, of burn-in 0 or more, not {self.every!r}, {self.burn_in!r}"
            )

    @contextmanager
    def begun(self, *, over: bool) -> Iterator[None]:
        """Hold the number of this launch while the block runs, after a look at the others.

        Args:
            over: take the number from whoever has it: a run that was killed, or one that stops then.

        Raises:
            OutputExists: when another launch has the number.
            DataError: as `read`.
        """
        self.read()
        self._claim = Claim.made(self.place.claim, over=over)
        try:
            yield
        finally:
            self._claim.release()

    def meet(self, params: Callable[[], Params]) -> None:
        """Count a step that begins; where one in ``every`` does, write ``params()`` and read what there is.

        Raises:
            DataError: as `read`; and when another launch has taken the number of this one.
            OSError: when the folder cannot be written.
        """
        if self.step % self.every == 0:
            self.read()
            self.write(params(), finished=False)
        self.step += 1

    def write(self, params: Params, *, finished: bool) -> None:
        """Write the weights of this launch, if it is the process that does; arguments and errors as of `meet`."""
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized() and distributed.get_rank():
            return
        self._claim = self._claim or Claim.made(self.place.claim, over=True)
        self._claim.require_held()
        self._begun = True
        facts = {"step": str(self.step), "finished": str(finished), "of": str(self.place.count)}
        write_state(self.place.path(self.place.number), _KIND, params, {**facts, "same": job_text(self.same)})

    def read(self) -> None:
        """Read the files of the others that are new; what is damaged or not finite is left, and named once.

        So is what is foreign, once this launch has written: it goes on as it has begun.

        Raises:
            DataError: before that, when a peer is of another network, or of another number of launches.
        """
        for number in self.place.others:
            try:
                stamp = self.place.path(number).stat().st_mtime_ns
            except FileNotFoundError:
                continue
            known = self.peers.get(number)
            if known is None or known.stamp != stamp:
                self._take(number, stamp)
            elif not known.finished and time.time() - stamp / 1e9 > _PATIENCE:
                self._once(
                    f"peer {number} has written nothing for {_PATIENCE:.0f} s: it has stopped or is slow; its weights "
                    f"of step {known.step:,} go on to be learned from"
                )

    def said(self, batch: Batch) -> tuple[Any, ...]:
        """Return what the peers say of a batch: nothing in burn-in, and where nobody has been seen."""
        if self.step <= self.burn_in:  # the present step is counted already
            return ()
        return tuple(peer.teacher.says(batch) for peer in self.peers.values())

    def told(self) -> list[str]:
        """Return a sentence on each of the others, as their files are now."""
        self.read()
        unseen = f"was never seen in {self.place.folder}: nothing was learned from it"
        seen = {number: peer.told() for number, peer in self.peers.items()}
        return [seen.get(number, f"peer {number} {unseen}") for number in self.place.others]

    def _take(self, number: int, stamp: int) -> None:
        """Read the file of a peer."""
        path = self.place.path(number)
        try:
            tensors, facts = read_state(path, _KIND, "checkpoint of a peer")
        except (LaconicError, OSError) as error:
            self._once(f"peer {number} cannot be read, and is left out until it writes again: {error}")
            return
        try:
            self._require_known(number, path, tensors, facts)
        except DataError as error:
            if not (self._begun or self.step):
                raise
            self._once(f"{error}. It is not learned from")
            return
        if not all(bool(torch.isfinite(t).all()) for t in tensors.values() if t.is_floating_point()):
            self._once(f"peer {number} has weights that are NaN or infinite ({path}): they are left out")
            return
        teacher = Teacher(self.task.module, tensors, self.task.forward, f"peer {number}")
        self.peers[number] = Peer(number, stamp, int(facts["step"]), facts["finished"] == "True", teacher)

    def _require_known(self, number: int, path: Path, tensors: Params, facts: Mapping[str, str]) -> None:
        """Raise `DataError` unless a file is of a launch that does what this one does."""
        if facts["of"] != str(self.place.count):
            raise DataError(
                f"peer {number} is one of {facts['of']} launches ({path}), this is one of {self.place.count}"
            )
        try:
            require_same(path, facts["same"], self.same)
        except DataError as error:
            raise DataError(f"peer {number}: {error}") from error
        self._require_shapes(number, path, tensors)

    def _require_shapes(self, number: int, path: Path, tensors: Params) -> None:
        """Raise `DataError` unless a peer has the tensors of this network."""
        own = {name: tuple(tensor.shape) for name, tensor in params_of(self.task.module).items()}
        theirs = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        differs = [name for name in sorted(own.keys() | theirs.keys()) if own.get(name) != theirs.get(name)]
        if differs:
            first = differs[0]
            raise DataError(
                f"peer {number} ({path}) is another network: {first} is {theirs.get(first, 'missing')} there, "
                f"{own.get(first, 'missing')} here. Launches that learn from each other train the same network"
            )

    def _once(self, sentence: str) -> None:
        """Say a sentence, unless it was said before."""
        if sentence not in self._said:
            self._said.add(sentence)
            self.say(sentence)


def among_peers(task: Task, meeting: Meeting, weight: float = 1.0) -> Task:
    """Return the task of one launch, of which training minimises ψ, too; all else is the task's own.

    Args:
        task: of a kind; its outputs are one tensor.
        meeting: with the others.
        weight: of ψ, 0 or more.

    Raises:
        DataError: for a task of no kind, or a bad weight; and in training as `Meeting.meet`.
    """
    if task.kind is None:
        raise DataError("peers learn from outputs of a kind: Task(..., kind='classification')")
    if not is_weight(weight):
        raise DataError(f"weight of what peers say is 0 or more and finite, not {weight!r}")

    ignored = ignored_by(task.loss) if task.kind == "classification" else None

    def forward(module: nn.Module, batch: Batch) -> Any:
        if module.training:
            meeting.meet(lambda: params_of(module))
        return called(task, module, batch)

    def objective(outputs: Any, batch: Batch) -> Tensor:
        own, others = task.minimised(outputs, batch), meeting.said(batch)
        if not others:
            return own
        return own + weight * apart(others, outputs, task.kind, counts=counting(batch, outputs, ignored))

    return replace(task, forward=forward, objective=objective)
