"""Networks whose first layer is predicted from a part of its weights, or trained as so few numbers, and their files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.api import compress
from laconic.csteps.factors import truncated
from laconic.experiments.recipes.cache import Point
from laconic.experiments.recipes.denil2013 import dictionaries
from laconic.experiments.recipes.recipe import Context
from laconic.format import container
from laconic.format.codes import VIEWS, Code, LowRankCode
from laconic.models import data, nets
from laconic.models.params import Params, decompress, params_of
from laconic.training.batches import inputs_of, targets_of
from laconic.training.optimization import Optimization
from laconic.training.task import Task, classification, mode
from laconic.training.trainer import start_training, train_leaves

NET, LAYER = "lenet300", "fc1.weight"
NUMBERS, BASIS = "fc1.numbers", "fc1.basis"

WHOLE, PREDICTED, SMOOTH, RANDOM, LOW_RANK = (
    "whole", "predicted afterwards", "kernel", "random dictionary", "low rank",
)  # fmt: skip

LADDER = tuple(range(4, 41, 2))
"""dB of signal to noise of a file that are tried."""

HARMLESS = 0.1
"""Points of validation error that a file may add to its network's."""


@final
@dataclass(frozen=True)
class Effort:
    """How networks are trained.

    Args:
        data: name of the data set.
        how: of each network.
        batch: samples.
    """

    data: str
    how: Optimization
    batch: int


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A network, judged.

    Args:
        method: one of the names of this module.
        share: trained numbers of the first layer as a share of its weights, as it was asked for.
        seed: of the network.
        numbers: trained numbers of the first layer; weights that are kept where the others are predicted.
        wrong: 1 where a test image is named wrongly, shape (samples,).
        figures: σ, λ where there are any, and of files: bytes and test error.
    """

    method: str
    share: float
    seed: int
    numbers: int
    wrong: np.ndarray
    figures: Mapping[str, Any]


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """One seed's data and first weights.

    Args:
        task: with a module that has the first weights.
        effort: how it is trained.
        context: of its share of the work.
        seed: of weights, dictionaries and batches.
        shape: height and width of an image.
    """

    task: Task
    effort: Effort
    context: Context
    seed: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, effort: Effort, context: Context, seed: int) -> "Subject":
        """Return the subject of a seed."""
        images = data.load(effort.data, context.data_dir, nets.preprocessing_of(NET, effort.data))
        module = nets.build(NET, images.shape, images.classes, seed)
        shape = (images.shape[1], images.shape[2])
        return cls(classification(module, images, batch=effort.batch), effort, context, seed, shape)

    def part(self, start: float, stop: float) -> "Subject":
        """Return the same for a part of the work."""
        return replace(self, context=self.context.part(start, stop))

    def count(self, share: float) -> int:
        """Return how many columns of the first layer are a share of them: one at least."""
        return max(1, round(share * self.shape[0] * self.shape[1]))

    def whole(self) -> tuple[Run, Params]:
        """Return the network with all its weights, which the cache keeps."""

        def compute() -> Point:
            weights = self._trained({LAYER: self._first(LAYER)}, lambda leaves: leaves[LAYER], WHOLE)
            file = self._smallest(weights, lambda dB: _coded(weights, dB), {})
            return {"file": file, "numbers": weights[LAYER].numel()}, {**weights, "wrong": self._wrong(weights)}

        figures, tensors = self.context.cache.point(self._key(WHOLE, 1.0), compute)
        return self._run(WHOLE, 1.0, figures, tensors), {n: t for n, t in tensors.items() if n != "wrong"}

    def predicted(self, share: float, whole: Params) -> Run:
        """Return the whole network with its first layer predicted from a share of the columns, by what suits best."""

        def compute() -> Point:
            count, tried = self.count(share), dict[tuple[float, float], float]()
            alpha, apart = dictionaries.sampled(self.shape, count, self.seed), dictionaries.spacing(self.shape, count)

            def with_layer(sigma: float, ridge: float) -> dict[str, Tensor]:
                layer = dictionaries.predicted(whole[LAYER], self.shape, alpha, sigma * apart, ridge)
                return {**whole, LAYER: layer}

            for pair in [(sigma, ridge) for sigma in dictionaries.SPREADS for ridge in dictionaries.RIDGES]:
                tried[pair] = self.task.evaluate(with_layer(*pair), "validation")["error"]
            sigma, ridge = min(tried, key=tried.__getitem__)
            kept = with_layer(sigma, ridge)
            error = float((kept[LAYER] - whole[LAYER]).norm() / whole[LAYER].norm())
            figures = {"sigma": sigma * apart, "ridge": ridge, "missed": round(error, 4)}
            return {**figures, "numbers": count * whole[LAYER].shape[0]}, {"wrong": self._wrong(kept)}

        return self._run(PREDICTED, share, *self.context.cache.point(self._key(PREDICTED, share), compute))

    def trained(self, method: str, share: float) -> Run:
        """Return a network whose first layer is trained as a share of its numbers."""

        def compute() -> Point:
            first, figures = self._numbers(method, share)
            fixed = {} if BASIS in first else {BASIS: self._basis(method, share, figures)}
            if fixed:
                first = {NUMBERS: self._first(LAYER) @ fixed[BASIS].T}
            key = f"{method}, {share:g}"
            got = self._trained(first, lambda leaves: leaves[NUMBERS] @ {**fixed, **leaves}[BASIS], key)
            parts, others = {**fixed, **got}, {n: t for n, t in got.items() if n not in (NUMBERS, BASIS)}
            weights = {**others, LAYER: parts[NUMBERS] @ parts[BASIS]}

            def product(dB: int) -> dict[str, Code]:
                return _product(others, parts, dB)

            figures["file"] = self._smallest(weights, product, {})
            if fixed:  # what the basis is made of goes into the metadata
                notes = {"dictionary": f"{method} {self.shape} {parts[BASIS].shape} {self.seed} {figures.get('sigma')}"}
                few = {**others, NUMBERS: parts[NUMBERS]}
                figures["without the dictionary"] = self._smallest(
                    weights, lambda dB: _coded(few, dB), {BASIS: parts[BASIS]}, notes
                )
            numbers = sum(parts[name].numel() for name in first)
            return {**figures, "numbers": numbers}, {"wrong": self._wrong(weights)}

        return self._run(method, share, *self.context.cache.point(self._key(method, share), compute))

    def _numbers(self, method: str, share: float) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the first factors of low rank, which has both trained; nothing of others."""
        if method != LOW_RANK:
            return {}, {}
        weight = self._first(LAYER)
        rank = max(1, round(share * weight.numel() / sum(weight.shape)))
        left, right = truncated(weight, rank)
        return {NUMBERS: left.float(), BASIS: right.float()}, {"rank": rank}

    def _basis(self, method: str, share: float, figures: dict[str, Any]) -> Tensor:
        """Return the fixed factor, and note what it is made of."""
        count = self.count(share)
        if method == RANDOM:
            return dictionaries.scattered(self.shape[0] * self.shape[1], count, self.seed)
        images = inputs_of(next(self.task.batches("train", self.seed))).flatten(1)
        made, figures["sigma"] = dictionaries.smooth(self.shape, count, self.seed, images)
        return made

    def _first(self, name: str) -> Tensor:
        """Return a first weight."""
        return params_of(self.task.module)[name].detach().clone()

    def _trained(self, first: Params, layer: Callable[[Params], Tensor], key: str) -> dict[str, Tensor]:
        """Return all numbers after training, those of the first layer beginning with ``first``."""
        numbers = {name: tensor for name, tensor in params_of(self.task.module).items() if name != LAYER}
        numbers = {name: t.detach().clone().requires_grad_() for name, t in {**first, **numbers}.items()}
        how, state = self.effort.how, start_training(numbers)
        together = train_leaves(
            self.task, state, numbers, numbers,
            lambda: {**{n: t for n, t in numbers.items() if n not in first}, LAYER: layer(numbers)}, how, self.seed,
        )  # fmt: skip
        for reached in together:
            state = reached
            said = f"seed {self.seed}, {key}: epoch {state.epoch}/{how.epochs}, loss {state.loss:.4f}"
            self.context.say(state.epoch / how.epochs, said)
        return {name: tensor.detach() for name, tensor in state.weights.items()}

    def _smallest(
        self, weights: Params, coded: Callable[[int], dict[str, Code]], fixed: Params,
        notes: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Return bytes and test error of the coarsest file that does a network no harm on the validation split.

        Found by bisection, as if harm fell with every dB.

        Args:
            weights: of the network.
            coded: codes of a file by dB of signal to noise.
            fixed: what makes the layer of numbers that the file has, if it does not have the layer.
            notes: metadata of the file.
        """
        most = self.task.evaluate(weights, "validation")["error"] + HARMLESS
        low, high = 0, len(LADDER) - 1  # the finest stands for what no file reaches
        while low < high:
            interrupts.check()
            middle = (low + high) // 2
            harmless = self.task.evaluate(_read(coded(LADDER[middle]), fixed), "validation")["error"] <= most
            low, high = (low, middle) if harmless else (middle + 1, high)
        codes = coded(LADDER[low])
        size = container.bits(codes, notes) // 8
        error = 100 * float(self._wrong(_read(codes, fixed)).double().mean())
        return {"dB": LADDER[low], "bytes": size, "error": round(error, 4)}

    def _wrong(self, weights: Params) -> Tensor:
        """Return 1 where a test image is named wrongly, 0 elsewhere, shape (samples,)."""
        with torch.no_grad(), mode(self.task.module, training=False):
            wrong = [
                self.task.outputs(weights, batch).argmax(1) != targets_of(batch)
                for batch in self.task.batches("test", 0)
            ]
        return torch.cat(wrong).to(torch.uint8)

    def _key(self, method: str, share: float) -> str:
        return f"seed {self.seed}, {method}, {share:g}"

    def _run(self, method: str, share: float, figures: Mapping[str, Any], tensors: Params) -> Run:
        return Run(method, share, self.seed, figures["numbers"], tensors["wrong"].numpy().astype(float), figures)


def _coded(tensors: Params, dB: int) -> dict[str, Code]:
    """Return tensors on one grid, with so much noise in all of them."""
    return dict(compress(tensors, snr=float(dB)).codes)


def _product(others: Params, parts: Params, dB: int) -> dict[str, Code]:
    """Return codes of the network with its first layer as a product; each factor has as much noise as the rest."""
    codes = _coded({**others, NUMBERS: parts[NUMBERS]}, dB)
    right = _coded({BASIS: parts[BASIS]}, dB)[BASIS]
    left = codes.pop(NUMBERS)
    shape = (left.shape[0], right.shape[1])
    return {**codes, LAYER: LowRankCode(shape, "float32", VIEWS[0], left, right)}


def _read(codes: Mapping[str, Code], fixed: Params) -> dict[str, Tensor]:
    """Return the network of a file; its first layer is made of numbers and a fixed basis if the file has these."""
    tensors = decompress(codes)
    if NUMBERS in tensors:
        tensors[LAYER] = tensors.pop(NUMBERS) @ fixed[BASIS]
    return tensors
