"""Reference networks of a recipe, trained once in the life of its folder, on all images or on fewer an epoch."""

from time import perf_counter

from torch import Tensor

from laconic.experiments.recipes.recipe import Context
from laconic.models.checkpoints import load_checkpoint, save_checkpoint
from laconic.models.params import Params, params_of
from laconic.training.latent import Latent
from laconic.training.optimization import Optimization
from laconic.training.passes import in_batches
from laconic.training.task import Task
from laconic.training.trainer import packed, start_training, train, unpacked


def trained(
    context: Context,
    key: str,
    task: Task,
    how: Optimization,
    first: Params | None = None,
    latent: Latent | None = None,
) -> dict[str, Tensor]:
    """Return the weights of the task's module after training; an interrupt costs an epoch at most.

    Args:
        context: its cache keeps the weights, its seed shuffles.
        key: names the network in the cache.
        task: what to train on.
        how: the optimization.
        first: weights to begin with; those of the task's module unless told.
        latent: numbers that are trained in place of weights, if any.
    """
    device = next(iter(task.batches("train", 0)))[0].device
    checkpoint = context.cache.path(f"{key}/state")

    def compute() -> tuple[dict[str, float], dict[str, Tensor]]:
        begin = params_of(task.module) if first is None else first
        state = start_training({name: tensor.to(device) for name, tensor in begin.items()})
        if checkpoint.exists():
            tensors, metadata = load_checkpoint(checkpoint)
            moved = {name: tensor.to(device) if tensor.ndim else tensor for name, tensor in tensors.items()}
            state = unpacked(moved, metadata)  # optimizers count their steps in 0-d tensors on the CPU
        began, before = perf_counter(), state.epoch
        for reached in train(task, state, how, context.seed, latent):
            state = reached
            save_checkpoint(checkpoint, *packed(state), force=True)
            context.say(state.epoch / how.epochs, f"{key}: epoch {state.epoch}/{how.epochs}, loss {state.loss:.4f}")
        an_epoch = (perf_counter() - began) / max(state.epoch - before, 1)  # of those since the last interrupt
        weights = state.weights if latent is None else latent.judged(state.weights)
        figures = {"epochs": state.epoch, "loss": state.loss, "seconds": round(an_epoch * how.epochs, 1)}
        return figures, dict(weights)

    _, weights = context.cache.point(f"{key}/reference", compute)
    checkpoint.unlink(missing_ok=True)
    return {name: tensor.to(device) for name, tensor in weights.items()}


def seconds_of(context: Context, key: str) -> float | None:
    """Return the seconds in which a network was `trained`; None where it is not in the cache, or was not timed."""
    figures = context.cache.figures(f"{key}/reference")
    return None if figures is None else figures.get("seconds")


def shortened(task: Task, images: int, batch: int) -> Task:
    """Return the task with so many training images an epoch, drawn anew from all of them, in batches of ``batch``."""
    return in_batches(task, min(task.count("train"), -(-images // batch)))
