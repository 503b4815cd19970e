"""Budgets: never overshot, met closely, and refused with reasons where they cannot be met."""

import itertools
import math

import ml_dtypes
import numpy as np
import pytest
from crossing import crossed, usually
from hypothesis import given, settings
from hypothesis import strategies as st

from laconic.errors import PlanError, WeightsError
from laconic.format import container
from laconic.format.codes import DenseCode, GridCode
from laconic.quantize.budget import NEAR, PASSES, QUALITIES, Budget, Fitted, Tools, fit

META = {"net": "toy", "note": "words " * 30}


def noise(*shape: int, seed: int = 0, dtype: object = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def correlated(seed: int = 0) -> np.ndarray:
    """Kernels of 3 × 3 whose neighbours are alike, in rows of unlike spreads."""
    rng = np.random.default_rng(seed)
    kernels = rng.normal(size=(64, 40, 1, 1)) + 0.3 * rng.normal(size=(64, 40, 3, 3))
    return (kernels * 2.0 ** rng.uniform(-1.5, 1.5, (64, 1, 1, 1))).astype(np.float32)


NETS = {
    "matrix": {"w": noise(150, 200)},
    "kernels": {"conv": correlated(), "bias": noise(64), "fc": 0.3 * noise(150, 100, seed=1), "fc.bias": noise(150)},
    "heavy": {"w": np.random.default_rng(0).standard_t(2, (200, 150)).astype(np.float32), "v": noise(30, 40)},
    "deep": {f"{i}.{part}": noise(*((48, 16, 3, 3) if part == "weight" else (48,)), seed=i) / (1 + i)
             for i in range(6) for part in ("weight", "bias", "norm")},
    "short floats": {"w": noise(100, 300).astype(np.float16), "v": noise(90, 100).astype(ml_dtypes.bfloat16)},
}  # fmt: skip
BYTES_OF = {name: sum(array.nbytes for array in net.values()) for name, net in NETS.items()}


def elements(net: dict[str, np.ndarray]) -> int:
    return sum(array.size for array in net.values() if array.ndim >= 2)


def checked(net: dict[str, np.ndarray], found: Fitted, metadata: dict[str, str] | None = None) -> dict[str, np.ndarray]:
    """Return the tensors of the file, after what holds of every budget."""
    data = container.dumps(found.codes, metadata or {})
    assert found.file_bytes == len(data)
    assert found.passes <= PASSES
    assert list(found.codes) == list(net)
    back = {name: code.decompress() for name, code in container.loads(data).codes.items()}
    lost = energy = 0.0
    for name, array in net.items():
        assert (back[name].shape, back[name].dtype) == (array.shape, array.dtype)
        if array.ndim < 2 or name in found.lossless:
            assert back[name].tobytes() == array.tobytes()
        if array.ndim >= 2 and array.dtype.kind in "fV":
            lost += float(((back[name].astype(np.float64) - array.astype(np.float64)) ** 2).sum())
            energy += float((array.astype(np.float64) ** 2).sum())
    assert found.snr == (pytest.approx(10 * math.log10(energy / lost), abs=1e-6) if lost else math.inf)
    return back


# --- sizes -----------------------------------------------------------------------------------------


@crossed("name, quality, bits", NETS, QUALITIES, [1.0, 2.0, 4.0, 7.0])
def test_bits_are_never_overshot_and_met_within_a_hundredth(name: str, quality: str, bits: float):
    net = NETS[name]
    found = fit(net, Budget(bits=bits), QUALITIES[quality], META)
    checked(net, found, META)
    allowed = bits * elements(net) / 8
    assert allowed * (1 - NEAR) < found.file_bytes <= allowed


UNEVEN = {
    "octaves": {"w": (np.random.default_rng(0).normal(size=(64, 40, 3, 3))
                      * 2.0 ** np.random.default_rng(1).uniform(-3, 3, (64, 1, 1, 1))).astype(np.float32)},
    "laplace": {"w": np.random.default_rng(0).laplace(size=(500, 200)).astype(np.float32)},
    "pruned": {"w": noise(400, 300) * (np.random.default_rng(1).random((400, 300)) < 0.05)},
    "unlike": {"a": noise(100, 100), "b": 0.01 * noise(300, 50, seed=1), "c": 10 * noise(64, 16, 3, 3, seed=2)},
}  # fmt: skip


@crossed("name, quality", UNEVEN, ["fast", "default"])
def test_budgets_far_below_a_bit_are_met_as_closely(name: str, quality: str):
    for bits in (0.3,):
        found = fit(UNEVEN[name], Budget(bits=bits), QUALITIES[quality])
        assert bits * elements(UNEVEN[name]) / 8 * (1 - NEAR) < found.file_bytes <= bits * elements(UNEVEN[name]) / 8
    for snr in (10.0,):
        assert snr <= fit(UNEVEN[name], Budget(snr=snr), QUALITIES[quality]).snr < snr + 0.1


def test_rows_and_columns_of_zeros_leave_the_scales_finite():
    for scale in (1e-8, 1.0, 1e8):
        weights = noise(60, 40) * scale
        weights[10:40], weights[:, 5:30] = 0, 0
        found = fit({"w": weights, "conv": weights.reshape(60, 10, 2, 2)}, Budget(bits=2), QUALITIES["max"])
        assert found.snr > 30


def test_where_a_budget_has_room_for_the_weights_as_they_are_nothing_is_lost():
    net = UNEVEN["pruned"]
    found = fit(net, Budget(bits=5))
    assert found.snr == math.inf
    assert found.file_bytes < 5 * elements(net) / 8


@usually("name", ["kernels", "short floats"], else_=["matrix", "heavy", "deep"])
def test_sizes_and_ratios_are_met_as_bits_are(name: str):
    size = BYTES_OF[name] // 9
    found = fit(NETS[name], Budget(size=size))
    checked(NETS[name], found)
    assert size * (1 - NEAR) < found.file_bytes <= size
    again = fit(NETS[name], Budget(ratio=BYTES_OF[name] / size), reference_bytes=BYTES_OF[name])
    assert container.dumps(again.codes) == container.dumps(found.codes)
    with pytest.raises(PlanError, match="a ratio needs the size"):
        fit(NETS[name], Budget(ratio=9))


def test_metadata_are_counted():
    net, size = NETS["matrix"], 12_000
    metadata = {"words": "".join(map(chr, np.random.default_rng(0).integers(48, 122, 4000)))}
    plain, noted = fit(net, Budget(size=size)), fit(net, Budget(size=size), metadata=metadata)
    assert size * (1 - NEAR) < len(container.dumps(noted.codes, metadata)) <= size
    assert noted.snr < plain.snr


@settings(max_examples=8)
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=4), min_size=1, max_size=3), st.floats(-6, 6),
    st.integers(0, 1500), st.sampled_from([*QUALITIES]),
)  # fmt: skip
def test_small_networks_are_within_their_size_or_refused(shapes: list, scale: float, more: int, quality: str):
    net = {f"{i}.w": 10.0**scale * noise(*shape, seed=i, dtype=np.float64) for i, shape in enumerate(shapes)}
    net["bias"] = noise(3)
    size = container.bits({"bias": DenseCode.of(net["bias"])}) // 8 + more
    try:
        found = fit(net, Budget(size=size), QUALITIES[quality])
    except PlanError:
        assert more < 400 + 60 * len(net)  # what names, tables and states take
        return
    checked(net, found)
    assert found.file_bytes <= size


def test_more_bytes_are_less_error():
    found = [fit(NETS["kernels"], Budget(bits=bits)) for bits in (1, 3, 6, 8)]
    for less, more in itertools.pairwise(found):
        assert less.file_bytes < more.file_bytes
        assert less.snr < more.snr - 3
        assert less.step > more.step


def test_quality_is_less_error_for_the_same_bytes():
    for name in ("matrix", "deep"):
        snr = [fit(NETS[name], Budget(bits=3), QUALITIES[quality]).snr for quality in ("fast", "default", "max")]
        assert snr[0] + 0.5 < snr[1] < snr[2]


# --- distortions -----------------------------------------------------------------------------------


@crossed("quality, snr, dtype", QUALITIES, [10.0, 18.0, 25.0], [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_an_snr_is_reached_and_hardly_exceeded(quality: str, snr: float, dtype: type):
    net = {"conv": correlated().astype(dtype), "fc": (0.3 * noise(100, 120)).astype(dtype), "bias": noise(64)}
    found = fit(net, Budget(snr=snr), QUALITIES[quality])
    checked(net, found)
    assert snr <= found.snr < snr + 0.1


def test_an_snr_between_rounding_and_exactness_is_reached_from_above():
    """Rounding to a short type loses 50 dB or so, or nothing at all."""
    net = {"w": noise(60, 50).astype(ml_dtypes.bfloat16)}
    found = fit(net, Budget(snr=80))
    checked(net, found)
    assert found.snr >= 80


# --- what is always true ---------------------------------------------------------------------------


def test_the_same_network_gives_the_same_file():
    for quality, budget in (("fast", Budget(snr=20)), ("max", Budget(bits=2))):
        one, other = (fit(NETS["kernels"], budget, QUALITIES[quality]) for _ in range(2))
        assert container.dumps(one.codes) == container.dumps(other.codes)


def test_other_tensors_are_kept_to_the_bit():
    rng = np.random.default_rng(0)
    net = {
        "w": noise(100, 100),
        "bias": np.float32([np.nan, np.inf, -np.inf, -0.0, 1e-45]),
        "counts": rng.integers(-9, 9, (30, 30)),
        "mask": rng.random((30, 30)) < 0.5,
        "scalar": np.float32(3.25),
        "empty": np.zeros((0, 5), np.float32),
        "zeros": np.zeros((40, 50), np.float32),
    }
    found = fit(net, Budget(size=12_000))
    back = checked(net, found)
    for name in list(net)[1:]:
        assert back[name].tobytes() == np.asarray(net[name]).tobytes()
        assert isinstance(found.codes[name], DenseCode)
    assert isinstance(found.codes["w"], GridCode)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused_by_name(bad: float):
    weights = noise(20, 30)
    weights[3, :2] = bad
    with pytest.raises(WeightsError, match="layer1: 2 of 600 weights are NaN or infinite"):
        fit({"layer0": noise(5, 5), "layer1": weights}, Budget(bits=3))


def test_a_budget_that_cannot_be_met_says_what_can():
    net = {"w": noise(50, 60), "bias": noise(1000)}
    with pytest.raises(PlanError, match=r"100 bytes are too few: biases.* take [34],\d\d\d, and"):
        fit(net, Budget(size=100))
    least = container.bits({"bias": DenseCode.of(net["bias"])}) // 8
    several = {f"w{k}": noise(20, 20, seed=k) for k in range(12)} | {"bias": net["bias"]}
    with pytest.raises(PlanError, match=r"the smallest file tried has [34],\d\d\d"):
        fit(several, Budget(size=least + 60))
    with pytest.raises(PlanError, match="too few"):
        fit({"bias": noise(1000)}, Budget(size=100))


@crossed(
    "net, quality",
    [
        {}, {"w": np.zeros((9, 9), np.float32)}, {"w": np.full((9, 9), 0.1, np.float32)}, {"w": np.float32([[-2]])},
        {"w": np.zeros((0, 4), np.float32)}, {"w": np.zeros((9, 9)), "v": noise(60, 60)},
        {"w": noise(12, 12, dtype=np.float64) * 1e-300}, {"w": noise(12, 12, dtype=np.float64) * 1e300},
        {"w": np.full((2, 2, 3, 3), 3e38, np.float32)}, {"w": np.full((40, 40), 1e-45, np.float32)},
    ],
    QUALITIES,
)  # fmt: skip
def test_degenerate_networks_are_within_their_budgets(net: dict[str, np.ndarray], quality: str):
    found = fit(net, Budget(size=4000), QUALITIES[quality])
    checked_sizes = container.dumps(found.codes)
    assert found.file_bytes == len(checked_sizes) <= 4000
    for name, array in net.items():
        back = container.loads(checked_sizes).codes[name].decompress()
        top = float(np.abs(array).max(initial=0)) or 1.0
        assert np.abs(back / top - array / top).max(initial=0) < 0.05


@crossed("outlier", [1e3, 1e30])
def test_one_gigantic_weight_does_not_spoil_the_others(outlier: float):
    weights = noise(100, 150)
    weights[7, 8] = outlier
    net = {"w": weights, "v": noise(60, 60, seed=1)}
    found = fit(net, Budget(bits=9), QUALITIES["default"])
    back = checked(net, found)
    assert back["w"][7, 8] == pytest.approx(outlier, rel=1e-3)


@pytest.mark.parametrize("quality", QUALITIES)
def test_integers_stay_in_their_32_bits_however_much_room_there_is(quality: str):
    for net in (
        {"w": np.full((40, 40), 0.1, np.float32)},
        {"w": np.full((20, 10, 3, 3), 0.1, np.float32)},  # whose transforms are larger
        {"w": np.full((1, 2, 32, 32), -7.0, np.float32)},
        {"w": noise(3, 3, 3, 3), "v": noise(40, 2)},
    ):
        for size in (1000, 6000) if quality == "default" else (6000,):
            found = fit(net, Budget(size=size), QUALITIES[quality])
            checked(net, found)
            assert found.file_bytes <= size
            assert found.snr > 10


# --- tools -----------------------------------------------------------------------------------------

WITHOUT = {
    "trellis": ("kernels", Tools(states=1)), "dct": ("kernels", Tools(dct=False)),
    "scales": ("kernels", Tools(scales=False)), "dead zone": ("matrix", Tools(states=1, dead_zone=False)),
    "columns": ("columns", Tools()),
}  # fmt: skip


def test_every_tool_makes_files_smaller_where_it_is_meant_to():
    columns = (noise(300, 200) * 2.0 ** np.random.default_rng(1).uniform(-4, 4, 200)).astype(np.float32)
    nets = NETS | {"columns": {"w": columns}}
    more = {"dead zone": Tools(states=1), "columns": Tools(columns=True)}
    for tool, (name, without) in WITHOUT.items():
        with_it, less = (fit(nets[name], Budget(snr=12), tools) for tools in (more.get(tool, Tools()), without))
        assert with_it.file_bytes < 0.99 * less.file_bytes, tool


def test_more_states_make_files_smaller():
    sizes = [fit(NETS["matrix"], Budget(snr=18), Tools(states=states)).file_bytes for states in (1, 4, 8, 16, 32, 64)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 6


def test_pairs_cost_little_and_tables_of_their_own_more():
    plain, pairs = (fit(NETS["matrix"], Budget(snr=12), Tools(states=1, pairs=pairs)) for pairs in (False, True))
    assert plain.file_bytes <= pairs.file_bytes <= 1.015 * plain.file_bytes
    shared, apart = (fit(NETS["deep"], Budget(snr=12), Tools(shared=shared)) for shared in (True, False))
    assert shared.file_bytes < apart.file_bytes
    models = [
        len({id(code.model) for code in found.codes.values() if isinstance(code, GridCode)})
        for found in (shared, apart)
    ]
    assert models == [1, 6]


@pytest.mark.parametrize("states", [0, 2, 3, 7, 128, -4])
def test_only_six_numbers_of_states_are_taken(states: int):
    with pytest.raises(PlanError, match=f"states are one of 1, 4, 8, 16, 32, 64, not {states}"):
        Tools(states=states)


# --- what is asked ---------------------------------------------------------------------------------


def test_a_budget_is_one_number_above_0():
    for bad in ({}, {"bits": 2, "snr": 20}, {"size": 100, "ratio": 3}, {"bits": 1, "size": 1, "ratio": 1, "snr": 1}):
        with pytest.raises(PlanError, match="a budget is one of bits, size, ratio, snr, kl and drop"):
            Budget(**bad)
    for name in ("bits", "size", "ratio", "snr", "kl", "drop"):
        for value in (0, -1, math.nan, math.inf):
            words = "size is an integer" if name == "size" and not isinstance(value, int) else "is above 0 and finite"
            with pytest.raises(PlanError, match=words):
                Budget(**{name: value})


def test_a_budget_says_what_was_asked():
    assert str(Budget(bits=2.5)) == "2.5 bits per weight"
    assert str(Budget(size=1_234_567)) == "1,234,567 bytes"
    assert str(Budget(ratio=12)) == "ratio 12"
    assert str(Budget(snr=20.25)) == "20.25 dB"
    assert [Budget(bits=3).bytes(100, None), Budget(size=7).bytes(1, None)] == [37, 7]
    assert Budget(ratio=3).bytes(1, 100) == 33
    assert [str(Budget(kl=0.02)), str(Budget(drop=0.5))] == ["a KL of 0.02 nats", "a drop of 0.5 points"]
    assert [budget.bytes(1, 100) for budget in (Budget(snr=3), Budget(kl=1), Budget(drop=1))] == [None] * 3


def test_weights_alone_cannot_meet_what_is_asked_of_outputs():
    for budget in (Budget(kl=0.02), Budget(drop=0.5)):
        with pytest.raises(PlanError, match=f"{budget} needs effort 'calibrate'"):
            fit(NETS["deep"], budget)


def test_every_pass_is_told():
    told: list[tuple[int, int]] = []
    found = fit(NETS["matrix"], Budget(bits=3), watch=lambda number, size: told.append((number, size)))
    assert [number for number, _ in told] == list(range(1, found.passes + 1))
    assert found.file_bytes in [size for _, size in told]


@pytest.mark.parametrize("quality", QUALITIES)
def test_sizes_of_a_hundred_bits_a_weight_and_more_lose_nothing(quality: str):
    for shape, more in (((1, 1), 36), ((1, 7), 480)):
        net = {"w": noise(*shape, dtype=np.float64), "bias": noise(3)}
        size = container.bits({"bias": DenseCode.of(net["bias"])}) // 8 + more
        try:
            found = fit(net, Budget(size=size), QUALITIES[quality])
        except PlanError:
            continue
        checked(net, found)
        assert found.file_bytes <= size
