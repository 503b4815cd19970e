"""One step of several workers: named gradients in, their mean out, the same bits on all.

    ḡ = 1/N Σ_n decode(encode(g_n)),    in float32, in the order of the workers

Randomness of a message derives from (seed, step, worker, tensor), so that the same workers give the same result in one
process, in several, through a server or without. What goes wrong on one worker (a gradient that is NaN, an exception of
its loss) travels with what is gathered: it is an error on all, and nobody waits for a message that does not come.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, final

import torch
from torch import Tensor

from laconic.errors import LaconicError, WorkersError, listed
from laconic.format.coding.varints import Cursor
from laconic.machines.codec import GradientCodec
from laconic.machines.exact import Exact
from laconic.machines.memory import Forgetful, Held, Memory
from laconic.machines.messages import Message, failed
from laconic.machines.scheme import PLAIN, Scheme, Shape
from laconic.machines.wire import float_bytes, read_floats
from laconic.machines.wires import InOneProcess, Wires
from laconic.training.loop import derive_seed

_T = TypeVar("_T")


@final
@dataclass(frozen=True, eq=False)
class Share:
    """What one worker has come to.

    Args:
        gradients: by name, any floating type; None for a tensor that its loss does not reach.
        loss: of its samples, times their share; the mean over the workers is that of the batch.
        mark: what must be the same on all workers: of the batch that they took their samples from.
        failure: in place of all this, what went wrong.
    """

    gradients: Mapping[str, Tensor | None] = field(default_factory=dict)
    loss: float = 0.0
    mark: int = 0
    failure: str | None = None


@final
@dataclass(frozen=True, eq=False)
class Mean:
    """What all workers have come to.

    Args:
        gradients: mean by name, float32 on the CPU; without tensors that no worker's loss reaches.
        loss: mean.
    """

    gradients: Mapping[str, Tensor]
    loss: float


@final
@dataclass(frozen=True, eq=False)
class Exchange:
    """How workers exchange gradients.

    Args:
        scheme: what becomes of them.
        wires: how messages get from one to another.
        shapes: of all parameters of the network, by name, in the order of the module.
        seed: of random rounding.
        server: messages go to worker 0's process, and the mean comes back; otherwise all messages go to all.
    """

    scheme: Scheme
    wires: Wires
    shapes: Mapping[str, Shape]
    seed: int = 0
    server: bool = False

    def __call__(
        self, names: Sequence[str], shares: Sequence[Share], held: Sequence[Mapping[str, Held]], step: int
    ) -> tuple[Mean, list[dict[str, Held]]]:
        """Return the mean, and what each of this process's workers keeps now.

        Args:
            names: of the tensors that are exchanged, the same on all workers.
            shares: of this process's workers.
            held: what each has kept, by tensor; of tensors that are not exchanged it stays.
            step: counted from 0.

        Raises:
            WorkersError: on all workers, when one has failed or has another batch, or a gradient is not finite; when
                one is gone.
        """
        coded = _Step(self, names, step, self.scheme.left_alone(self.shapes))
        outbound = [coded.wanted(share, mine) for share, mine in zip(shares, held, strict=True)]
        scales = coded.agreed([one.wanted for one in outbound])
        sent = [coded.sent(worker, one, scales) for worker, one in zip(self.wires.own, outbound, strict=True)]
        mean = coded.mean([message for message, _ in sent], scales)
        return mean, [{**mine, **left} for mine, (_, left) in zip(held, sent, strict=True)]


@final
@dataclass(frozen=True, eq=False)
class _Outbound:
    """What a worker is to send, and keeps meanwhile, by tensor; nothing where something has gone wrong."""

    share: Share
    failure: str | None
    both: Mapping[str, tuple[Tensor, Held]]

    @property
    def wanted(self) -> dict[str, Tensor]:
        """What is to be sent."""
        return {name: wanted for name, (wanted, _) in self.both.items()}


@final
@dataclass(frozen=True, eq=False)
class _Step:
    """One step of an exchange."""

    how: Exchange
    names: Sequence[str]
    number: int
    alone: frozenset[str]

    def wanted(self, share: Share, held: Mapping[str, Held]) -> _Outbound:
        """Return what a worker is to send."""
        there = {name: g.detach().to("cpu", torch.float32) for name, g in share.gradients.items() if g is not None}
        if self.how.scheme.clip is not None:
            there = _shortened(there, self.how.scheme.clip / self.how.wires.count**0.5)
        both = {name: self._memory(name).wanted(g, held.get(name, {})) for name, g in there.items()}
        bad = [name for name, (wanted, _) in both.items() if not bool(wanted.isfinite().all())]
        failure = share.failure
        if bad and failure is None:
            failure = f"the gradient of {listed(bad)} is NaN or infinite: lower the learning rate, or look at the data"
        return _Outbound(share, failure, both if failure is None else {})

    def agreed(self, wanted: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        """Return the numbers that workers share, the largest of each; none where the codec shares none."""
        codec = self.how.scheme.codec_at(self.number)
        names = [name for name in self.names if name not in self.alone]
        if not names or codec.share(torch.zeros(1)) is None:
            return {}
        own = [[codec.share(mine[name]) or 0.0 if name in mine else 0.0 for name in names] for mine in wanted]
        messages = [float_bytes(torch.tensor(numbers).numpy()) for numbers in own]

        def largest(everyone: Sequence[bytes]) -> Tensor:
            read = [torch.from_numpy(read_floats(Cursor(message), len(names))) for message in everyone]
            return torch.stack(read).amax(0)

        shared = self._settled(messages, largest, lambda t: float_bytes(t.numpy()), lambda data: largest([data]))
        return dict(zip(names, shared.tolist(), strict=True))

    def sent(self, worker: int, one: _Outbound, scales: Mapping[str, float]) -> tuple[bytes, dict[str, Held]]:
        """Return the message of a worker, and what it keeps."""
        if one.failure is not None:
            return failed(one.failure), {}
        parts, left = dict[str, bytes](), dict[str, Held]()
        for name, (tensor, kept) in one.both.items():
            codec, generator = self._codec(name), torch.Generator()
            generator.manual_seed(derive_seed(self.how.seed, self.number, worker, zlib.crc32(name.encode())))
            try:
                parts[name] = codec.encode(tensor, generator, scales.get(name))
            except LaconicError as error:
                return failed(f"the gradient of {name}: {error}"), {}
            memory = self._memory(name)
            if not isinstance(memory, Forgetful):
                got = codec.decode(parts[name], tuple(tensor.shape), scales.get(name))
                left[name] = memory.left(tensor, got, kept)
        return Message(parts, one.share.loss, one.share.mark).packed(self.names), left

    def mean(self, messages: Sequence[bytes], scales: Mapping[str, float]) -> Mean:
        """Return the mean of all workers' messages."""
        return self._settled(messages, lambda everyone: self._folded(everyone, scales), self._packed, self._unpacked)

    def _folded(self, messages: Sequence[bytes], scales: Mapping[str, float]) -> Mean:
        """Return the mean of messages that are all here."""
        everyone = [Message.read(data, self.names, f"worker {n}") for n, data in enumerate(messages)]
        if len({message.mark for message in everyone}) > 1:
            raise WorkersError("workers draw different batches: the order of train must be a function of the seed")
        sums = dict[str, Tensor]()
        for name in self.names:
            shape = self.how.shapes[name]
            for message in everyone:
                if (part := message.parts.get(name)) is not None:
                    got = self._codec(name).decode(part, shape, scales.get(name))
                    sums[name] = sums[name] + got if name in sums else got
        count = len(everyone)
        loss = sum(message.loss for message in everyone) / count
        if large := [name for name, total in sums.items() if not bool(total.isfinite().all())]:
            raise WorkersError(f"the gradients of {listed(large)} add up to more than a float32 holds: lower the loss")
        return Mean({name: total / count for name, total in sums.items()}, loss)

    def _packed(self, mean: Mean) -> bytes:
        """Return a mean as a server says it."""
        parts = {name: Exact().encode(tensor, torch.Generator()) for name, tensor in mean.gradients.items()}
        return Message(parts, mean.loss).packed(self.names)

    def _unpacked(self, data: bytes) -> Mean:
        """Return what a server has said."""
        message = Message.read(data, self.names, "the server")
        tensors = {name: Exact().decode(part, self.how.shapes[name]) for name, part in message.parts.items()}
        return Mean(tensors, message.loss)

    def _settled(
        self, messages: Sequence[bytes], fold: Callable[[Sequence[bytes]], _T], pack: Callable[[_T], bytes],
        unpack: Callable[[bytes], _T],
    ) -> _T:  # fmt: skip
        """Return what all messages come to: on each worker, or on the server, which says it to all."""
        wires = self.how.wires
        if not self.how.server:
            return fold(wires.gather(messages))
        got, answer = wires.collect(messages), None
        if got is not None:
            try:
                answer = pack(fold(got))
            except LaconicError as error:  # the others wait for an answer
                answer = failed(str(error))
        return unpack(wires.spread(answer))

    def _codec(self, name: str) -> GradientCodec:
        return PLAIN if name in self.alone else self.how.scheme.codec_at(self.number)

    def _memory(self, name: str) -> Memory:
        memory = self.how.scheme.memory
        return memory.of_all_sent() if name in self.alone else memory


def _shortened(gradients: Mapping[str, Tensor], longest: float) -> dict[str, Tensor]:
    """Return gradients whose length over all tensors is at most ``longest``."""
    square = sum(float(g.double().square().sum()) for g in gradients.values())
    factor = min(1.0, longest / square**0.5) if square else 1.0
    return {name: factor * g for name, g in gradients.items()}


_TRIED = (40, 20_000)
"""Numbers of tensors that are coded before a group's clock starts: kernels differ for few and for many."""


def warm_up(scheme: Scheme, *, server: bool) -> None:
    """Code and decode some gradients in this process alone, so that all machine code is there.

    Compiling it takes up to half a minute on a busy machine, the first time: within a step others would wait for it,
    and a short timeout would run out.

    Args:
        scheme: of the gradients that come.
        server: whether their mean comes from a server.
    """
    generator = torch.Generator().manual_seed(0)
    gradients = {f"{count}.weight": torch.randn(count // 10, 10, generator=generator) for count in _TRIED}
    shapes = {name: tuple(tensor.shape) for name, tensor in gradients.items()}
    every = replace(scheme, smallest=0, last=True)
    Exchange(every, InOneProcess(1), shapes, 0, server)(list(gradients), [Share(gradients)], [{}], 0)
