"""The same exchange in somebody's own training loop: a communication hook of `DistributedDataParallel`.

    ddp = DistributedDataParallel(net)
    gradients = laconic.compress_gradients(ddp, "terngrad")      # the one line; the loop stays as it is

DDP calls the hook for each bucket of gradients once all of them are there, and takes what it returns for the mean over
the workers. Gathering is not overlapped with the backward pass. What goes with it, and what does not:

* several buckets, `gradient_as_bucket_view`, and `find_unused_parameters`: a parameter without a gradient counts as 0,
  as in DDP without a hook;
* `no_sync`: gradients of several batches add up, and are exchanged once;
* clipping, by norm or value, behind `backward`: it sees the mean;
* mixed precision by `torch.autocast`, and parameters of bfloat16: gradients travel as float32, and come back in the
  type of the parameter. A `GradScaler` lets gradients overflow on purpose, which here is an error on all workers: take
  bfloat16, which needs none;
* FSDP, and FSDP2's `fully_shard`, do not call such hooks with whole gradients: refused.

* frozen layers, which have no gradient, and batch normalization, whose running statistics DDP itself shares out;
* a checkpoint: each worker takes up its own state again; of what several have kept nothing fits another number of them.

The two-byte floats and PowerSGD are torch's own hooks, which all-reduce, and say nothing of NaN. PowerSGD starts some
reductions of a bucket within callbacks of others, which wait for them in threads of gloo. There are two of these, so
that two buckets on their way at once come to a standstill: on gloo each bucket is waited for before the next begins.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

from laconic.errors import DataError, PlanError, WorkersError, listed
from laconic.machines.catalogue import POWERSGD, is_whole, scheme_of
from laconic.machines.exchange import Exchange, Share, warm_up
from laconic.machines.memory import Held
from laconic.machines.processes import Processes
from laconic.machines.scheme import Scheme
from laconic.machines.wires import Wires

_ROUNDED = {"float16": default_hooks.fp16_compress_hook, "bfloat16": default_hooks.bf16_compress_hook}

_WORKER, _WORKERS = "worker", "workers"
"""Of a state: whose it is, and of how many."""

_Bucket: TypeAlias = dist.GradBucket  # type: ignore[attr-defined, name-defined, unused-ignore]
_Hook = Callable[[Any, _Bucket], torch.futures.Future[Tensor]]


@final
class Compressed:
    """The state of a hook: what this worker keeps between steps, and the bytes that it has moved.

    Made by `compress_gradients`. To go on from a checkpoint with the same result each worker saves its `state_dict`,
    and calls `load_state_dict` before the first step.
    """

    def __init__(self, exchange: Exchange, names: Mapping[Tensor, str]) -> None:
        self._exchange, self._names = exchange, names
        self._held: dict[str, Held] = {}
        self.step = 0

    @property
    def pushed(self) -> int:
        """Bytes that this worker has given away since the start."""
        return self._exchange.wires.traffic.pushed

    @property
    def pulled(self) -> int:
        """Bytes that this worker has got since the start."""
        return self._exchange.wires.traffic.pulled

    def state_dict(self) -> dict[str, Tensor]:
        """Return what this worker keeps, as tensors by name; each worker has its own."""
        kept = {f"{word}/{name}": tensor for name, held in self._held.items() for word, tensor in held.items()}
        wires = self._exchange.wires
        who = {_WORKER: torch.tensor(wires.own.start), _WORKERS: torch.tensor(wires.count)}
        return {"step": torch.tensor(self.step), **who, **kept}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state_dict` returned.

        Raises:
            DataError: for the state of another network, of another worker, or of one among another number of them.
        """
        self._require_own(state)
        held: dict[str, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            word, _, name = key.partition("/")
            if name and tuple(tensor.shape) != self._exchange.shapes.get(name):
                raise DataError(f"{key} of shape {tuple(tensor.shape)} is of another network")
            if name:
                held.setdefault(name, {})[word] = tensor.clone()
        if "step" not in state:
            raise DataError("this is no state of compressed gradients: it has no step")
        self._held, self.step = dict(held), int(state["step"])

    def _require_own(self, state: Mapping[str, Tensor]) -> None:
        """Raise `DataError` for what another worker has kept; where nothing is kept, a state fits all."""
        wires = self._exchange.wires
        if not any("/" in key for key in state) or not {_WORKER, _WORKERS} <= state.keys():
            return
        worker, workers = int(state[_WORKER]), int(state[_WORKERS])
        if workers != wires.count:
            raise DataError(
                f"this is what one of {workers} workers has kept of its gradients, and here are {wires.count}: start "
                "as many, or go on without it, and lose what was not sent"
            )
        if worker != wires.own.start:
            raise DataError(
                f"this is what worker {worker} has kept of its gradients, not worker {wires.own.start}: each saves its "
                "own state_dict, and takes up its own"
            )

    def __call__(self, bucket: _Bucket) -> torch.futures.Future[Tensor]:
        """Exchange the gradients of a bucket."""
        gradients = {
            self._names[parameter]: gradient
            for parameter, gradient in zip(bucket.parameters(), bucket.gradients(), strict=True)
        }
        mean, (kept,) = self._exchange(list(gradients), [Share(gradients)], [self._held], self.step)
        self._held = kept
        for name, gradient in gradients.items():
            gradient.copy_(mean.gradients[name])
        self.step += bucket.is_last()
        return _done(bucket.buffer())


@final
class AllReduced:
    """The state of one of torch's own hooks, with the bytes that an all-reduce of its messages gives away.

    In a ring each of N workers pushes, and pulls, 2 (N − 1)/N of them.
    """

    def __init__(self, hook: _Hook, state: Any, workers: int) -> None:
        self._hook, self._state, self._workers = hook, state, workers
        self.step, self._bytes = 0, 0

    @property
    def pushed(self) -> int:
        """Bytes that this worker has given away since the start."""
        return math.ceil(2 * (self._workers - 1) / self._workers * self._bytes)

    pulled = pushed

    @property
    def is_powersgd(self) -> bool:
        """Whether the hook is PowerSGD's."""
        return isinstance(self._state, powerSGD_hook.PowerSGDState)

    def state_dict(self) -> dict[str, Tensor]:
        """Refuse: torch's states are saved as its documentation says, by pickling.

        Raises:
            DataError: always.
        """
        raise DataError("torch's own hooks keep their state by themselves: see PowerSGDState in torch's documentation")

    load_state_dict = state_dict

    def __call__(self, bucket: _Bucket) -> torch.futures.Future[Tensor]:
        """Let torch's hook do its work, and count."""
        before = getattr(self._state, "total_numel_after_compression", 0)
        result = self._hook(self._state, bucket)
        after = getattr(self._state, "total_numel_after_compression", None)
        buffer = bucket.buffer()
        if after is None:
            self._bytes += 2 * buffer.numel()
        elif after > before:
            self._bytes += (after - before) * buffer.element_size()
        else:  # the first steps of PowerSGD
            self._bytes += buffer.numel() * buffer.element_size()
        if self.is_powersgd and dist.get_backend(self._state.process_group) == "gloo":
            result.wait()
        self.step += bucket.is_last()
        return result


def compress_gradients(
    ddp: nn.Module, how: str | Scheme, *, seed: int = 0, server: bool = False
) -> Compressed | AllReduced:
    """Let the gradients of a `DistributedDataParallel` travel in fewer bytes, from the next backward pass on.

    All workers call this, and are told where they ask for different things.

    Args:
        ddp: the wrapped network, on every worker; each of its parameters that requires a gradient.
        how: "terngrad", "qsgd", "topk", "dgc", "signs", "clustered" or "float32", some with a number, as "qsgd:7"
            (`laconic.machines.catalogue`); "float16", "bfloat16" and "powersgd:RANK", which are torch's; or a `Scheme`,
            for a warm-up or bounds. "dgc" has the momentum: give the optimizer none.
        seed: of random rounding; the same on all workers.
        server: messages go to worker 0, and their mean comes back.

    Returns:
        The state: ``pushed`` and ``pulled`` bytes, ``state_dict``.

    Raises:
        DataError: for what is no `DistributedDataParallel`, for complex parameters, and for PowerSGD of parameters
            that are no matrices.
        PlanError: for an unknown name.
        WorkersError: when workers ask for different things.
    """
    if not isinstance(ddp, DistributedDataParallel):
        raise DataError(
            f"gradients are compressed in a DistributedDataParallel, which hands them over whole, not in a "
            f"{type(ddp).__name__}: FSDP and fully_shard add them up shard by shard and take no such hook"
        )
    group = ddp.process_group
    leaves = {leaf: name for name, leaf in ddp.module.named_parameters() if leaf.requires_grad}
    if complex_ := [name for leaf, name in leaves.items() if leaf.is_complex()]:
        raise DataError(f"{listed(complex_)}: gradients of complex parameters are not compressed; leave out the hook")
    own = _of_torch(how, group) if isinstance(how, str) else None
    shapes = {name: tuple(leaf.shape) for leaf, name in leaves.items()}
    scheme = Scheme() if own else scheme_of(how) if isinstance(how, str) else how
    warm_up(scheme, server=server)
    _require_same(Processes(group), f"{how} {seed} {server}")
    if own is not None:
        if own.is_powersgd:
            _require_matrices(shapes)
        state: Compressed | AllReduced = own
    else:
        state = Compressed(Exchange(scheme, Processes(group), shapes, seed, server), leaves)
    ddp.register_comm_hook(state, _call)
    return state


def _require_same(wires: Wires, asked: str) -> None:
    """Raise `WorkersError` unless all workers ask for the same: what one sends, another could not read."""
    everyone = wires.gather([asked.encode()])
    if strange := [f"worker {number} {one.decode()!r}" for number, one in enumerate(everyone) if one != everyone[0]]:
        raise WorkersError(f"workers compress gradients differently: worker 0 {everyone[0].decode()!r}, {strange[0]}")


def _require_matrices(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `DataError` for parameters that torch's PowerSGD cannot read as matrices."""
    if bad := [name for name, shape in shapes.items() if not shape or not math.prod(shape)]:
        raise DataError(
            f"PowerSGD reads each gradient as a matrix: {listed(bad)} has no axes, or no numbers; freeze it, give it "
            "an axis, or take another way for gradients"
        )


def _call(state: Compressed | AllReduced, bucket: _Bucket) -> torch.futures.Future[Tensor]:
    """Do what the state does: DDP wants a function beside it."""
    return state(bucket)


def _of_torch(name: str, group: Any) -> AllReduced | None:
    """Return the state of one of torch's hooks, if the name is of one."""
    workers = dist.get_world_size(group)
    if name in _ROUNDED:
        return AllReduced(_ROUNDED[name], group, workers)
    kind, _, rank = name.partition(":")
    if kind != POWERSGD:
        return None
    if not is_whole(rank or "1") or int(rank or "1") < 1:
        raise PlanError(f"powersgd takes a rank of 1 or more, as powersgd:2, not {rank!r}")
    state = powerSGD_hook.PowerSGDState(group, int(rank or "1"), start_powerSGD_iter=2)
    return AllReduced(powerSGD_hook.powerSGD_hook, state, workers)


def _done(buffer: Tensor) -> torch.futures.Future[Tensor]:
    """Return a future that has come."""
    future: torch.futures.Future[Tensor] = torch.futures.Future(devices=[buffer.device] if buffer.is_cuda else None)
    future.set_result(buffer)
    return future
