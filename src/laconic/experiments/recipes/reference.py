"""Reference networks of a recipe, trained once in the life of its folder, on all images or on fewer an epoch."""

from dataclasses import replace
from itertools import islice

from torch import Tensor

from laconic.experiments.recipes.recipe import Context
from laconic.models.checkpoints import load_checkpoint, save_checkpoint
from laconic.models.params import params_of
from laconic.training.batches import Batches
from laconic.training.optimization import Optimization
from laconic.training.task import Task
from laconic.training.trainer import packed, start_training, train, unpacked


def trained(context: Context, key: str, task: Task, how: Optimization) -> dict[str, Tensor]:
    """Return the weights of the task's module after training; an interrupt costs an epoch at most.

    Args:
        context: its cache keeps the weights, its seed shuffles.
        key: names the network in the cache.
        task: what to train on; its module's weights are the first.
        how: the optimization.
    """
    device = next(iter(task.batches("train", 0)))[0].device
    checkpoint = context.cache.path(f"{key}/state")

    def compute() -> tuple[dict[str, float], dict[str, Tensor]]:
        state = start_training({name: tensor.to(device) for name, tensor in params_of(task.module).items()})
        if checkpoint.exists():
            tensors, metadata = load_checkpoint(checkpoint)
            moved = {name: tensor.to(device) if tensor.ndim else tensor for name, tensor in tensors.items()}
            state = unpacked(moved, metadata)  # optimizers count their steps in 0-d tensors on the CPU
        for reached in train(task, state, how, context.seed):
            state = reached
            save_checkpoint(checkpoint, *packed(state), force=True)
            context.say(state.epoch / how.epochs, f"{key}: epoch {state.epoch}/{how.epochs}, loss {state.loss:.4f}")
        return {"epochs": state.epoch, "loss": state.loss}, dict(state.weights)

    _, weights = context.cache.point(f"{key}/reference", compute)
    checkpoint.unlink(missing_ok=True)
    return {name: tensor.to(device) for name, tensor in weights.items()}


def shortened(task: Task, images: int, batch: int) -> Task:
    """Return the task with so many training images an epoch, drawn anew from all of them, in batches of ``batch``."""
    whole, count = task.split("train"), min(task.count("train"), -(-images // batch))
    return replace(task, train=Batches(lambda seed: islice(whole.start(seed), count), count))
