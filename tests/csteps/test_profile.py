"""A machine by what was measured, or by a model: what is predicted, what is best, and the file that says it."""

import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_codes import CASES, canonical, dense, low_rank, tucker

from laconic.csteps.costs import Flops, ProfiledTime, Time
from laconic.csteps.layers import OTHERS, PRODUCTS, Layer, layers_of
from laconic.csteps.profile import LAYOUTS, Device, Point, Profile, Setting, _not_negative, best
from laconic.csteps.profile_file import load_profile, parse_profile, to_toml
from laconic.errors import PlanError
from laconic.format.codes import SparseCode, Symbols
from laconic.format.codes.counting import ideal_bits
from laconic.models.uses import Use

DEVICE = load_profile(Path(__file__).parents[2] / "examples" / "device_256kb.toml")
RNG = np.random.default_rng(0)


def synthetic(layer, setting, batch):
    """Seconds of a machine that is linear in calls, multiply-adds and bytes."""
    work = -(-layer.outputs // 16) * 16 * layer.columns * layer.positions * batch
    return 5e-6 + 2e-11 * work + 7e-12 * layer.stored + 3e-12 * batch * layer.activations


def measured(shapes, threads=(1,)):
    cases = [
        (Layer("dense", m, n), Setting("rows", 0, t), batch) for m, n in shapes for batch in (1, 32) for t in threads
    ]
    return Profile(
        "m", "torch", "2", threads, (1 << 15, 1 << 40, 1 << 41), points=tuple(Point(*c, synthetic(*c)) for c in cases)
    )


SHAPES = [(12, 96), (96, 300), (250, 700), (24, 24), (1500, 400), (90, 450), (220, 2000), (1000, 1000)]


def test_a_layer_that_was_measured_takes_what_it_took():
    noisy = tuple(replace(p, seconds=p.seconds * RNG.uniform(0.5, 2)) for p in measured(SHAPES).points)
    profile = replace(measured(SHAPES), points=noisy)
    for point in noisy:
        told = point.batch * profile.seconds(point.layer, point.setting, point.batch)
        assert told == pytest.approx(point.seconds, rel=1e-3)


def test_a_machine_that_is_linear_is_learnt_from_some_layers():
    profile = measured(SHAPES)
    for layer, batch in [(Layer("dense", 300, 784), 1), (Layer("dense", 100, 300), 32), (Layer("dense", 48, 3000), 8)]:
        assert batch * profile.seconds(layer, Setting(), batch) == pytest.approx(
            synthetic(layer, Setting(), batch), rel=1e-3
        )


def test_least_squares_of_numbers_not_below_0_meet_a_slow_twin():
    for _ in range(6):
        rows, wanted = RNG.standard_normal((12, 4)), RNG.standard_normal(12)
        found, slow = _not_negative(rows, wanted), np.zeros(4)
        for _ in range(4000):  # projected gradient
            slow = np.maximum(slow - 0.02 * rows.T @ (rows @ slow - wanted), 0)
        assert (found >= 0).all()
        assert found == pytest.approx(slow, abs=1e-4)


@pytest.mark.parametrize("profile", [DEVICE, measured(SHAPES, (1, 2))], ids=["model", "measured"])
def test_the_best_setting_is_the_least_of_all(profile):
    for layer in (Layer("dense", 300, 784, positions=7), Layer("dense", 2, 3)):
        for batch in (1, 32):
            found = best(layer, profile, batch)
            every = [profile.seconds(layer, setting, batch) for setting in profile.settings(layer)]
            assert found.seconds == min(every) == profile.seconds(layer, None, batch)
            assert found == best(layer, profile, batch)


def test_bytes_beyond_the_cache_by_hand():
    device = Device(call=0.0, multiply_add=0.0, byte=1.0, cache=10_000)
    layer = Layer("dense", 100, 50, positions=20)
    weights, read, written = 20_000, 4_000, 8_000
    assert device.seconds(layer, Setting("rows"), 1) == 20 * weights + read + written
    assert device.seconds(layer, Setting("columns"), 1) == weights + read + written
    assert device.seconds(layer, Setting("tiles", 20), 1) == weights + read + written  # 4,000 bytes a block
    assert device.seconds(layer, Setting("tiles", 40), 1) == weights + 3 * read + written  # 8,000: inputs do not fit
    assert device.seconds(layer, Setting("columns"), 2) == weights + 2 * read + 2 * written * 100
    assert replace(device, cache=1 << 20).seconds(layer, Setting("rows"), 1) == weights + read + written
    assert device.seconds(Layer("elementwise", 30, 30), Setting(), 1) == 240


def test_a_device_wants_another_layout_than_a_machine_with_a_large_cache():
    layer = Layer("convolution", 512, 512, (3, 3), positions=16)
    large = replace(DEVICE, device=replace(DEVICE.device, cache=1 << 25))
    assert best(layer, DEVICE).setting.layout != best(layer, large).setting.layout == "rows"


# --- what runs of a code ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layers_have_the_multiply_adds_of_the_code(case):
    code = CASES[case]
    layers = layers_of(code, Use(3))
    sparse = "parse" in repr(type(code)) or any("parse" in type(part).__name__ for part in code.streams().values())
    if (
        len(code.shape) >= 2
        and code.size
        and not sparse
        and not hasattr(code, "factors")
        and "ash" not in repr(type(code))
    ):
        assert sum(layer.multiply_adds for layer in layers) == Flops(3)("w", code)
    assert all(layer.kind in PRODUCTS for layer in layers)
    assert layers_of(code, Use(0)) == []


def test_factors_run_one_after_the_other():
    spatial = layers_of(low_rank((8, 6, 3, 5), 2, "out.kh|in.kw"), Use(10))
    assert [(layer.outputs, layer.inputs, layer.kernel) for layer in spatial] == [(2, 6, (1, 5)), (8, 2, (3, 1))]
    turned = layers_of(low_rank((8, 6, 3, 5), 2, "out.kw|in.kh"), Use(10))
    assert [layer.kernel for layer in turned] == [(3, 1), (1, 5)]
    three = layers_of(tucker((8, 6, 3, 3), (2, 4)), Use(10))
    assert [(layer.outputs, layer.inputs, layer.kernel) for layer in three] == [
        (4, 6, (1, 1)),
        (2, 4, (3, 3)),
        (8, 2, (1, 1)),
    ]
    four = layers_of(canonical((8, 6, 3, 3), 5), Use(10))
    assert [(layer.outputs, layer.inputs, layer.groups) for layer in four] == [
        (5, 6, 1),
        (5, 5, 5),
        (5, 5, 5),
        (8, 5, 1),
    ]
    assert layers_of(dense((8, 1, 3, 3)), Use(10, groups=8)) == [Layer("grouped", 8, 8, (3, 3), 8, 10)]


def test_what_is_pruned_runs_without_rows_and_inputs_of_which_nothing_is_left():
    mask = np.zeros((6, 5, 3, 3), bool)
    mask[np.ix_([0, 2], [1, 3, 4])] = True
    mask[0, 1, 0] = False
    code = SparseCode(mask.shape, "float32", Symbols(mask.ravel().astype("uint8"), 2), dense((int(mask.sum()),)))
    assert layers_of(code, Use(4)) == [Layer("convolution", 2, 3, (3, 3), positions=4)]
    assert layers_of(code, Use(4), as_stored=True)[0].weight_bytes == ideal_bits(code) / 8


def test_the_price_of_time_is_at_the_best_way_to_run_and_falls_with_rank():
    time = Time.of_profile(DEVICE, {"w": Use(16), "b": 0})
    prices = [time("w", low_rank((64, 60), rank)) for rank in (1, 8, 30)]
    assert prices == sorted(prices)
    assert (
        time("w", dense((64, 60)))
        == best(Layer("dense", 64, 60, positions=16, weight_bytes=64 * 60 * 4), DEVICE).seconds
    )
    assert time("b", dense((64,))) == 0
    with pytest.raises(PlanError, match="c: positions say nothing of this tensor; they name w, b"):
        time("c", dense((2, 2)))
    with pytest.raises(PlanError, match=r"w: a cost in time is that of a machine.*--target"):
        ProfiledTime(None)("w", dense((2, 2)))


# --- the file --------------------------------------------------------------------------------------

NAMES = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)
SIZES = st.integers(1, 1 << 40)


@st.composite
def profiles(draw):
    threads = tuple(draw(st.lists(st.integers(1, 64), min_size=1, max_size=3)))
    head = {"name": draw(NAMES), "runtime": draw(NAMES), "version": draw(NAMES), "threads": threads}
    head |= {
        "caches": tuple(draw(st.lists(SIZES, max_size=3))),
        "weights": draw(st.sampled_from(["float32", "stored"])),
    }
    seconds = st.floats(1e-12, 1e3)
    if draw(st.booleans()):
        return Profile(**head, device=Device(draw(seconds), draw(seconds), draw(seconds), draw(SIZES)))
    points = []
    for kind in draw(st.lists(st.sampled_from(PRODUCTS + OTHERS), min_size=1, max_size=4, unique=True)):
        layout = draw(st.sampled_from(LAYOUTS.get(kind, ("rows",))))
        setting = Setting(layout, draw(st.integers(1, 99)) if layout == "tiles" else 0, draw(st.integers(1, 9)))
        groups, side = draw(st.integers(1, 4)), draw(st.integers(0, 7))
        layer = Layer(kind, groups * draw(st.integers(1, 99)), groups * draw(st.integers(1, 99)),
                      (side, side) if side else (), groups, draw(SIZES), draw(st.integers(1, 9)))  # fmt: skip
        points.append(Point(layer, setting, draw(st.integers(1, 99)), draw(seconds)))
    return Profile(**head, session=draw(seconds), points=tuple(points))


@given(profiles())
@settings(max_examples=30, deadline=None)
def test_a_profile_comes_back_from_its_file_as_it_was(profile):
    assert parse_profile(tomllib.loads(to_toml(profile))) == profile


GOOD = tomllib.loads(to_toml(DEVICE))
ROWS = tomllib.loads(to_toml(measured(SHAPES[:2])))


def changed(table, path, value):
    """A copy of ``table`` with ``value`` at ``path``, or without it."""
    head, *rest = path
    if not rest and value is None:
        return {k: v for k, v in table.items() if k != head}
    inner = changed(table[head], rest, value) if rest else value
    if isinstance(table, list):
        return [inner if number == head else one for number, one in enumerate(table)]
    return {**table, head: inner}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["name"], None, "missing: ['name']"),
        (["name"], 3, "name is a str, not 3"),
        (["colour"], "red", "strange: ['colour']"),
        (["version"], 2, "version is 1, not 2"),
        (["threads"], [], "threads are numbers from 1 on"),
        (["threads"], [True], "threads: a whole number from 1"),
        (["caches"], [1 << 50], "caches: a whole number from 1"),
        (["weights"], "bfloat16", "weights are 'float32' or 'stored'"),
        (["session"], math.nan, "session: a finite number"),
        (["session"], -1.0, "session: a number from 0 on"),
        (["device"], None, "either measured layers or the model"),
        (["device", "byte"], math.inf, "device: byte: a finite number"),
        (["device", "cache"], 0.5, "device: cache is a int"),
        (["measured"], [3], "measured 1: it is a table"),
    ],
)
def test_a_bad_device_is_refused_by_the_key(path, value, said):
    with pytest.raises(PlanError) as refused:
        parse_profile(changed(GOOD, path, value))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["kind"], "quantum", "kind is one of dense"),
        (["layout"], "spiral", "layout of dense is one of rows"),
        (["layout"], "tiles", "a tile goes with layout 'tiles'"),
        (["tile"], -1, "tile: a whole number from 0"),
        (["points"], None, "missing: ['points']"),
        (["points", 0], [1, 2], "point 1: it has the 9 numbers outputs"),
        (["points", 0], "123456789", "point 1: it has the 9 numbers"),
        (["points", 0, 0], 0, "point 1: outputs: a whole number from 1"),
        (["points", 0, 4], 5, "groups divide outputs and inputs"),
        (["points", 0, 2], 3, "a kernel has height and width or neither"),
        (["points", 0, 8], 0.0, "seconds: a number above 0"),
        (["points", 0, 8], math.nan, "seconds: a finite number"),
    ],
)
def test_bad_measurements_are_refused_by_the_place(path, value, said):
    with pytest.raises(PlanError) as refused:
        parse_profile(changed(ROWS, ["measured", 0, *path], value))
    assert said in str(refused.value)


def test_a_file_that_is_no_profile_says_so(tmp_path):
    for content, said in [("[[[", "is not TOML"), ("x = 1", "strange"), ("a = " + "[" * 20_000, "is not TOML")]:
        (tmp_path / "bad.toml").write_text(content)
        with pytest.raises(PlanError, match=said):
            load_profile(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PlanError, match="is not TOML"):
        load_profile(tmp_path / "bad.toml")
    with pytest.raises(PlanError, match="cannot be read"):
        load_profile(tmp_path / "none.toml")


def test_what_was_not_measured_is_named():
    with pytest.raises(PlanError, match="measured no convolution layer with rows on 1 threads; it knows dense"):
        measured(SHAPES).seconds(Layer("convolution", 3, 3, (3, 3)))
