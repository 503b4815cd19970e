"""What a budget counts: weights, and nothing else; and what it leaves as it is."""

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import laconic
from laconic import AdaptiveCodebook, Budget, Lossless, Plan
from laconic.errors import PlanError, WeightsError
from laconic.format import container
from laconic.format.codes import Code, DenseCode, GridCode
from laconic.format.lossless import is_mask_code, lossless
from laconic.models.checkpoints import open_checkpoint, save_checkpoint
from laconic.models.params import Arrays
from laconic.quantize.budget import Apart, fit

from .test_budget import noise


def read_back(codes: dict[str, Code]) -> dict[str, np.ndarray]:
    """What a reader of the file gets."""
    return {name: code.decompress() for name, code in container.loads(container.dumps(codes)).codes.items()}


def triangle(size: int, dtype: str = "float32") -> np.ndarray:
    return np.triu(np.full((size, size), -np.inf), 1).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bool"])
@pytest.mark.parametrize("axes", [(), (1, 1)], ids=["matrix", "four axes"])
def test_a_triangular_mask_takes_less_than_a_hundredth_of_its_size(dtype: str, axes: tuple[int, ...]):
    for size in (256, 500):
        mask = triangle(size, dtype).reshape(*axes, size, size)
        code = lossless(mask)
        assert read_back({"mask": code})["mask"].tobytes() == mask.tobytes()
        assert container.bits({"mask": code}) // 8 < mask.nbytes / 100
        assert is_mask_code(code) == (dtype != "bool")


LOSSLESS = {
    "one value": np.full((300, 70), 0.3, np.float32),
    "zeros and ones anywhere": (np.random.default_rng(0).random((90, 70)) < 0.3).astype(np.float64),
    "a few holes": np.where(np.random.default_rng(0).random((9, 7, 50)) < 0.02, -np.inf, 0),
    "a zero with a sign": np.float32([[0.0, -0.0, -np.inf]] * 30),
    "not a number": np.full((30, 30), np.nan, np.float32),
    "integers of one value": np.full(5000, 7, np.int16),
    "one row": np.float32([0, 1] * 400),
    "nothing": np.zeros((0, 3), np.float32),
    "no axis": np.float64(2.5).reshape(()),
}


@pytest.mark.parametrize("case", LOSSLESS)
def test_lossless_codes_give_every_bit_back_in_no_more_bytes_than_the_numbers_take(case: str):
    array = LOSSLESS[case]
    code = lossless(array)
    back = read_back({"w": code})["w"]
    assert (back.tobytes(), back.dtype, back.shape) == (array.tobytes(), array.dtype, array.shape)
    assert container.bits({"w": code}) <= container.bits({"w": DenseCode.of(array)})


def test_weights_are_floats_of_two_axes_and_no_masks_whatever_becomes_of_them():
    tensors = {
        "w": noise(60, 50),
        "one value": np.full((64, 64), 0.3, np.float32),
        "named": noise(20, 10, seed=1),
        "mask": triangle(256),
        "all closed": np.full((50, 50), -np.inf, np.float32),
        "whole": np.arange(600).reshape(20, 30),
        "yes or no": np.eye(30, dtype=bool),
        "bias": noise(50),
        "buffer": noise(30, 30, seed=2),
    }
    apart = Apart(lossless=["named"], buffers=["buffer"])
    fitted = fit(tensors, Budget(bits=9), apart=apart)
    assert fitted.weights == 60 * 50 + 64 * 64 + 20 * 10
    assert fitted.file_bytes <= 9 * fitted.weights / 8
    assert fitted.lossless == ("one value", "named")
    assert [name for name, code in fitted.codes.items() if isinstance(code, GridCode)] == ["w"]
    for name, back in read_back(dict(fitted.codes)).items():
        assert name == "w" or back.tobytes() == tensors[name].tobytes()
    without = {name: tensor for name, tensor in tensors.items() if name not in ("one value", "all closed")}
    more = fit(tensors, Budget(snr=20), apart=apart).file_bytes - fit(without, Budget(snr=20), apart=apart).file_bytes
    assert more < 100, "two tensors of one value"


def test_a_hole_among_weights_is_refused_with_what_to_do_and_kept_where_that_is_asked():
    tensors = {"w": noise(60, 50), "holes": triangle(64) + np.float32(1)}
    with pytest.raises(WeightsError, match=r"holes: 2016 of 4096 weights are NaN or infinite.*--lossless 'holes'"):
        fit(tensors, Budget(bits=30))
    fitted = fit(tensors, Budget(bits=30), apart=Apart(lossless=["holes"]))
    assert fitted.weights == 3000 + 4096
    assert read_back(dict(fitted.codes))["holes"].tobytes() == tensors["holes"].tobytes()


def test_bits_of_no_weights_are_refused():
    with pytest.raises(PlanError, match="0 bytes, too few: there are no weights"):
        fit({"whole": np.arange(600).reshape(20, 30), "mask": triangle(64)}, Budget(bits=4))


def test_three_thousand_tensors_of_four_weights_take_no_time_and_few_bytes():
    tensors = {f"layer{i}.weight": noise(2, 2, seed=i) for i in range(3000)}
    begin = time.process_time()
    fitted = fit(tensors, Budget(bits=80), threads=1)
    assert time.process_time() - begin < 3
    assert fitted.file_bytes - sum(map(len, tensors)) < 40 * len(tensors)
    assert fitted.lossless == tuple(tensors)


class Masked(nn.Module):
    """Two layers of one weight, a head, and buffers of two axes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(60, 60), nn.Linear(60, 60), nn.Linear(60, 10)
        self.twin = self.first
        self.register_buffer("mask", torch.from_numpy(triangle(128)))
        self.register_buffer("table", torch.randn(20, 30))


WEIGHTS = 60 * 60 * 2 + 600


@pytest.fixture(scope="module")
def net() -> Masked:
    torch.manual_seed(0)
    return Masked()


def test_the_buffers_of_a_module_are_no_weights_to_its_file_either(net: Masked):
    result = laconic.compress(net, Budget(bits=6))
    assert result.fitted is not None
    assert result.fitted.weights == WEIGHTS
    assert torch.equal(result.params["table"], net.table)
    assert result.file_bytes == result.fitted.file_bytes <= 6 * WEIGHTS / 8
    assert result.ledger().bits_per_weight == pytest.approx(8 * result.file_bytes / WEIGHTS)


def test_the_rows_of_a_plan_come_first_and_other_weights_share_what_remains(net: Masked):
    plan = Plan({"twin.weight": AdaptiveCodebook(4)})
    alone = laconic.compress(net, Plan(plan.tensors, rest=Lossless()))
    for rest in ({}, {"rest": Lossless()}):
        result = laconic.compress(net, Plan(plan.tensors, **rest), budget=Budget(bits=8), lossless=["head.*", "*bias"])
        assert result.fitted is not None
        assert 0.99 * WEIGHTS < result.file_bytes <= WEIGHTS
        assert result.fitted.lossless == ("head.weight",)
        assert torch.equal(result.params["first.weight"], alone.params["first.weight"])
        assert torch.equal(result.params["twin.weight"], alone.params["first.weight"])
        assert torch.equal(result.params["head.weight"], net.head.weight)
        lost = sum(
            float((result.params[name].double() - getattr(net, name[:-7]).weight.detach().double()).square().sum())
            for name in ("first.weight", "second.weight")
        )
        energy = sum(
            float(layer.weight.detach().double().square().sum()) for layer in (net.first, net.second, net.head)
        )
        assert result.fitted.snr == pytest.approx(10 * np.log10(energy / lost))


REFUSED = {
    "rest": (
        {"budget": Budget(bits=3), "lossless": ["head*"]},
        r"3 bits per weight are 2,925 bytes, too few: the plan's rows take \d{3}, the lossless tensors with all names "
        r"\d,\d+, and 0 remain for the other 3,600 weights",
    ),
    "rows": ({"budget": Budget(snr=40)}, "40 dB cannot be: the plan's rows alone lose more"),
    "twice": ({"budget": Budget(bits=9), "lossless": ["first*"]}, r"first.weight .* is on the rows"),
    "nothing": ({"budget": Budget(bits=9), "lossless": ["x*"]}, r"pattern 'x\*' matches no tensor"),
    "no budget": ({"lossless": ["head*"]}, "lossless goes with a budget"),
    "no list": ({"budget": Budget(bits=9), "lossless": "head*"}, r"lossless is a list of patterns: \['head\*'\]"),
    "train": ({"budget": Budget(bits=9), "effort": "train"}, "effort 'train' needs a task"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_its_bytes_and_on_one_line(net: Masked, case: str):
    options, words = REFUSED[case]
    with pytest.raises(PlanError, match=words) as refused:
        laconic.compress(net, Plan({"first.weight": AdaptiveCodebook(4)}), **options)
    assert "\n" not in str(refused.value)


def test_a_compression_alone_leaves_masks_as_they_are(net: Masked):
    result = laconic.compress(net, AdaptiveCodebook(4))
    assert torch.equal(result.params["mask"], net.mask)


def test_tied_masks_stay_within_a_budget():
    """A further name has a record of its own, and that of a mask is longer than that of a grid."""
    tensors = {"w": noise(60, 50), "mask": triangle(128)}
    names = {"w": "w", **{f"block{i}.mask": "mask" for i in range(1, 9)}, "mask": "mask"}
    fitted = fit(tensors, Budget(bits=4), names=names)
    assert 0.98 * 1500 < fitted.file_bytes <= 1500


def test_memory_is_at_most_sixteen_bytes_a_weight_of_the_largest_tensor(tmp_path: Path):
    """NumPy's; the file, which is mapped, has four more."""
    path, count = tmp_path / "net.safetensors", 2_250_000
    save_checkpoint(path, {"w": torch.from_numpy(noise(1500, 1500))}, {})
    fit({"w": noise(300, 300)}, Budget(bits=3))  # kernels are compiled, tables made
    params = open_checkpoint(path).params
    tracemalloc.start()
    fit(Arrays(params), Budget(bits=4), threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * count
