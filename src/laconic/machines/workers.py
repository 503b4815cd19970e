"""Several workers that train one network: each takes its rows of every batch, and all take the same step.

Every worker draws the same batches, which are functions of the seed, and takes its share of each one's samples; its
loss counts by that share, so that the mean over the workers is the loss of the batch. Dropout derives from (seed, step,
worker). Running statistics of batch normalization are those of worker 0, as in `DistributedDataParallel`.
"""

import hashlib
import zlib
from collections.abc import Callable, Container, Mapping
from typing import final

import safetensors.torch
import torch
from torch import Tensor

from laconic.errors import WorkersError
from laconic.machines.exchange import Exchange, Share
from laconic.machines.memory import Held
from laconic.machines.wires import Traffic
from laconic.models.params import Params
from laconic.training.batches import Batch, rows_of, size_of, tensors_in
from laconic.training.loop import Gradients, Loss, derive_seed, seeded

MEMORY = "worker/"
"""What begins the names of what workers keep, in a checkpoint."""


@final
class Workers(Gradients):
    """The workers of this process, and what they keep between steps.

    Args:
        exchange: with the others.
        step: the one that comes next, counted from 0.
        held: what `memories` returned after the step before.

    Raises:
        WorkersError: for what other workers have kept.
    """

    def __init__(self, exchange: Exchange, step: int = 0, held: Params | None = None) -> None:
        self.exchange, self.step = exchange, step
        self._began, self._traffic = step, Traffic()
        self._raised: Exception | None = None
        everyone: list[dict[str, dict[str, Tensor]]] = [{} for _ in range(exchange.wires.count)]
        for key, tensor in (held or {}).items():
            try:
                _, worker, word, name = key.split("/", 3)
                everyone[int(worker)].setdefault(name, {})[word] = tensor
            except (ValueError, IndexError):
                raise WorkersError(f"{key} is nothing that one of {len(everyone)} workers has kept") from None
        self._held: list[Mapping[str, Held]] = [everyone[worker] for worker in exchange.wires.own]

    @property
    def leads(self) -> bool:
        """Whether worker 0 is here: who prints and writes."""
        return 0 in self.exchange.wires.own

    @property
    def bytes_a_step(self) -> tuple[float, float]:
        """Bytes that one worker has pushed and pulled a step, in the mean over steps and workers of this process."""
        count = len(self.exchange.wires.own) * max(1, self.step - self._began)
        return self._traffic.pushed / count, self._traffic.pulled / count

    def backward(
        self, loss: Loss, params_of_leaves: Callable[[], Params], leaves: Mapping[str, Tensor], batch: Batch
    ) -> Tensor:
        """Let each worker of this process take its rows, and give all leaves the mean gradient."""
        mark = _mark(batch)
        shares = [
            self._share(worker, loss, params_of_leaves, leaves, batch, mark) for worker in self.exchange.wires.own
        ]
        before = self.exchange.wires.traffic
        try:
            mean, held = self.exchange(list(leaves), shares, self._held, self.step)
        except WorkersError as error:
            raise error from self._raised
        self._traffic = self._traffic.plus(*self.exchange.wires.traffic.since(before))
        self._held = list(held)
        self.step += 1
        for name, leaf in leaves.items():
            got = mean.gradients.get(name)
            leaf.grad = None if got is None else got.to(leaf.device, leaf.dtype)
        return torch.tensor(mean.loss)

    def _share(
        self, worker: int, loss: Loss, params_of_leaves: Callable[[], Params], leaves: Mapping[str, Tensor],
        batch: Batch, mark: int,
    ) -> Share:  # fmt: skip
        """Return what one worker comes to; what its loss raises is a failure that all are told of."""
        size, count = size_of(batch), self.exchange.wires.count
        start, stop = size * worker // count, size * (worker + 1) // count
        for leaf in leaves.values():
            leaf.grad = None
        if start == stop:  # a last batch of fewer samples than workers
            return Share(dict.fromkeys(leaves), 0.0, mark)
        try:
            params = params_of_leaves()
            if worker:  # running statistics of worker 0 alone stay
                params = {name: t if t.requires_grad else t.clone() for name, t in params.items()}
            with seeded(derive_seed(self.exchange.seed, self.step, worker)):
                value = loss(params, rows_of(batch, start, stop)) * (count * (stop - start) / size)
                value.backward()  # type: ignore[no-untyped-call]
        except Exception as error:
            if count == 1:
                raise
            self._raised = error
            return Share(failure=f"{type(error).__name__}: {error}", mark=mark)
        return Share({name: leaf.grad for name, leaf in leaves.items()}, float(value.detach()), mark)

    def memories(self) -> dict[str, Tensor] | None:
        """Return what all workers keep, by ``worker/{number}/{word}/{tensor}``; None but for worker 0's process."""
        own = [
            safetensors.torch.save({f"{word}/{name}": t for name, kept in mine.items() for word, t in kept.items()})
            for mine in self._held
        ]
        got = self.exchange.wires.collect(own)
        if got is None:
            return None
        read = enumerate(map(safetensors.torch.load, got))
        return {f"{MEMORY}{worker}/{key}": tensor for worker, kept in read for key, tensor in kept.items()}

    def settled(self, weights: Params, buffers: Container[str]) -> dict[str, Tensor]:
        """Return weights that are the same on all workers: with the buffers of worker 0.

        Args:
            weights: as an epoch has left them here.
            buffers: names of those that each worker has by itself; all others have taken the same steps.

        Raises:
            WorkersError: when these differ between workers.
        """
        own = {name: tensor.contiguous() for name, tensor in weights.items() if name in buffers}
        theirs = safetensors.torch.load(self.exchange.wires.spread(safetensors.torch.save(own)))
        self.require_same({name: tensor for name, tensor in weights.items() if name not in buffers})
        return {**weights, **{name: tensor.to(weights[name].device) for name, tensor in theirs.items()}}

    def require_same(self, tensors: Params, also: str = "") -> None:
        """Check that all workers have the same tensors, bit by bit, and the same text.

        Raises:
            WorkersError: names those that differ from worker 0.
        """
        digest = hashlib.sha256(also.encode())
        for name in sorted(tensors):
            digest.update(name.encode() + safetensors.torch.save({"": tensors[name].contiguous()}))
        first, *others = self.exchange.wires.gather([digest.digest()] * len(self.exchange.wires.own))
        if strange := [str(number) for number, other in enumerate(others, 1) if other != first]:
            raise WorkersError(
                f"worker {', '.join(strange)} and worker 0 have different weights: all must begin with the same file, "
                "options and versions, and see the same checkpoint"
            )


def _mark(batch: Batch) -> int:
    """Return what tells a batch from another one: a checksum of the first and the last row of each tensor."""
    crc = size_of(batch)
    for tensor in tensors_in(batch):
        ends = torch.stack([tensor[0], tensor[-1]]) if tensor.ndim and len(tensor) else tensor
        crc = zlib.crc32(ends.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes(), crc)
    return crc
