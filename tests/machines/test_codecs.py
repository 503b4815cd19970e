"""Gradients as bytes: what is promised of every codec, and of each."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laconic.errors import FormatError, PlanError, WeightsError
from laconic.machines.catalogue import SCHEMES, scheme_of
from laconic.machines.clustered import Clustered
from laconic.machines.exact import Exact
from laconic.machines.floats import DTYPES, Floats
from laconic.machines.largest import Largest
from laconic.machines.levels import Levels
from laconic.machines.memory import ErrorFeedback, MomentumCorrection
from laconic.machines.scheme import Scheme
from laconic.machines.signs import Signs
from laconic.machines.ternary import Ternary
from laconic.machines.wire import FORMS

TERNARY = [Ternary(clip, form) for clip in (None, 2.5) for form in FORMS]
FLOATS = [Floats(kind) for kind in DTYPES]
CODECS = [*TERNARY, Levels(), Levels(1, 4), Largest(0.1), Signs(), Clustered(4), *FLOATS, Exact()]
SHAPES = [(0,), (1,), (), (3, 0, 2), (7,), (5, 3), (2, 3, 4, 5)]
DRAWS = 4000
SURE = 5.0
"""Standard errors that a mean of draws may be off: a normal one is by chance once in 1.7 million, one of the 300 means
here in one of 5,000 choices of seeds. The seeds are fixed."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=1):
    return torch.randn(shape, generator=generator(seed))


def there_and_back(codec, gradient, seed=0, shared=None):
    return codec.decode(codec.encode(gradient, generator(seed), shared), tuple(gradient.shape), shared)


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_every_shape_comes_back_in_float32_and_a_generator_decides_it(codec):
    for shape in SHAPES:
        for gradient in (normal(*shape), torch.zeros(shape), normal(*shape).bfloat16()):
            back = there_and_back(codec, gradient)
            assert (back.shape, back.dtype) == (gradient.shape, torch.float32)
            assert codec.encode(gradient, generator()) == codec.encode(gradient, generator())
            assert bool(back.isfinite().all())
        assert torch.equal(there_and_back(codec, torch.zeros(shape)), torch.zeros(shape))


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_what_is_on_the_grid_comes_back_as_it_is(codec):
    """What a codec has made once, it makes again; a shared scale is part of the grid."""
    grid = there_and_back(codec, normal(40, 10))
    if isinstance(codec, Ternary) and codec.clip:  # the standard deviation of what is on the grid is another
        codec, scale = Ternary(None, codec.form), float(grid.abs().max())
        assert torch.equal(there_and_back(codec, grid, shared=scale), grid)
    if isinstance(codec, Levels):  # likewise the norm: one number a bucket has all of it
        grid = torch.tensor([0.0, 0.0, -2.0, 0.0, 0.5])
        codec = Levels(codec.levels, 4)
    if isinstance(codec, Signs):
        grid = grid.sign() * 0.5
    assert torch.equal(there_and_back(codec, grid), grid)


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_a_message_that_is_cut_short_or_goes_on_is_refused(codec):
    gradient = normal(33)
    message = codec.encode(gradient, generator())
    for bad in (*(message[:end] for end in range(len(message))), message + b"\0"):
        with pytest.raises(FormatError):
            codec.decode(bad, (33,))


@pytest.mark.parametrize("codec", CODECS, ids=repr)
@given(data=st.binary(max_size=40), size=st.integers(0, 70))
def test_bytes_of_nobody_are_decoded_or_refused(codec, data, size):
    try:
        assert codec.decode(data, (size,)).shape == (size,)
    except FormatError:
        pass


@given(st.lists(st.integers(0, 2), max_size=70), st.sampled_from(FORMS))
def test_ternary_digits_come_back(digits, form):
    scale = 0.25
    gradient = scale * (torch.tensor(digits) - 1.0)
    assert torch.equal(there_and_back(Ternary(None, form), gradient, shared=scale), gradient)


@given(st.lists(st.floats(-8, 8, width=32), max_size=60), st.integers(1, 3))
def test_exact_is_exact(numbers, repeats):
    gradient = torch.tensor(numbers * repeats)
    assert torch.equal(there_and_back(Exact(), gradient), gradient)


# --- what rounding at random promises -----------------------------------------------------------------


def drawn(codec, gradient, shared=None):
    """Many draws at once: of a gradient that repeats itself scale, norms and standard deviation are as before."""
    return there_and_back(codec, gradient.repeat(DRAWS), 0, shared).view(DRAWS, -1).double()


def require_mean(draws, expected, variance):
    off, errors = (draws.mean(0) - expected).abs(), (variance / DRAWS).sqrt()
    assert bool((off <= SURE * errors + 1e-6).all()), (off / errors).max()


GRADIENT = torch.cat([normal(28), torch.tensor([0.0, 3.0, -3.0, 1e-3])])
EXPECTED = GRADIENT.double()


@pytest.mark.parametrize("shared", [None, 3.0, 7.0])
def test_the_mean_of_many_draws_of_terngrad_is_the_gradient_whatever_larger_scale_is_shared(shared):
    draws, scale = drawn(Ternary(None), GRADIENT, shared), shared or 3.0
    assert set(draws.unique().tolist()) == {-scale, 0.0, scale}
    require_mean(draws, EXPECTED, scale * EXPECTED.abs() - EXPECTED.square())


@pytest.mark.parametrize(("levels", "bucket"), [(1, 32), (7, 32), (4, 8)])
def test_the_mean_of_many_draws_of_qsgd_is_the_gradient_and_their_variance_within_lemma_3_1(levels, bucket):
    draws, squares = drawn(Levels(levels, bucket), GRADIENT), EXPECTED.view(-1, bucket).square().sum(1)
    step = squares.sqrt().repeat_interleave(bucket) / levels
    share = (EXPECTED.abs() / step) % 1
    require_mean(draws, EXPECTED, step.square() * share * (1 - share))
    errors = (draws - EXPECTED).square().view(DRAWS, -1, bucket).sum(2)
    bound = min(bucket / levels**2, math.sqrt(bucket) / levels) * squares
    assert bool((errors.mean(0) <= bound + SURE * errors.std(0) / math.sqrt(DRAWS)).all())


def test_clipping_is_the_only_bias_of_terngrad():
    gradient = torch.cat([normal(99), torch.tensor([40.0])]).double()
    bound = 2.5 * gradient.std(correction=0)
    clipped = gradient.clamp(-bound, bound)
    assert float(gradient.max()) > bound
    require_mean(drawn(Ternary(2.5), gradient), clipped, bound * clipped.abs() - clipped.square())


def test_the_second_moment_of_terngrad_is_the_scale_times_the_sum_of_sizes():
    squares = drawn(Ternary(None), GRADIENT).square().sum(1)
    promised = float(EXPECTED.abs().max() * EXPECTED.abs().sum())
    assert abs(float(squares.mean()) - promised) <= SURE * float(squares.std()) / math.sqrt(DRAWS)


# --- what each makes of a gradient ----------------------------------------------------------------------


def test_top_k_keeps_what_a_sort_says():
    gradient = normal(100)
    order = sorted(range(100), key=lambda i: -abs(gradient[i]))[:10]
    expected = torch.zeros(100)
    expected[order] = gradient[order]
    assert torch.equal(there_and_back(Largest(0.1), gradient), expected)


def test_signs_have_the_scale_of_least_squared_error():
    gradient = normal(50)
    back = there_and_back(Signs(), gradient)
    least = min(float((gradient - s * gradient.sign()).square().sum()) for s in np.linspace(0.01, 3, 1000))
    assert float((gradient - back).square().sum()) <= least + 1e-4


def test_a_codebook_is_no_worse_than_any_cut_of_the_sorted_numbers():
    gradient = normal(30)
    ordered = gradient.sort().values
    cuts = [(ordered[:i], ordered[i:]) for i in range(1, 30)]
    least = min(sum(float((part - part.mean()).square().sum()) for part in cut) for cut in cuts)
    assert float((gradient - there_and_back(Clustered(2), gradient)).square().sum()) == pytest.approx(least, rel=1e-5)


def test_wire_forms_take_the_bytes_that_they_promise():
    gradient = normal(10_000)
    sizes = {form: len(Ternary(None, form).encode(gradient, generator())) for form in FORMS}
    assert sizes["2 bits"] == 4 + 2500
    assert sizes["base 3"] == 4 + 2000
    digits = there_and_back(Ternary(None), gradient).sign()
    shares = torch.unique(digits, return_counts=True)[1] / 10_000
    entropy = -float((shares * shares.log2()).sum()) * 10_000 / 8
    assert entropy < sizes["entropy"] < 1.05 * entropy + 20
    assert len(Levels().encode(gradient, generator())) <= 4 * 20 + 5000 + 5
    assert len(Signs().encode(gradient, generator())) == 4 + 1250
    assert len(Largest(0.01).encode(gradient, generator())) < 100 * (4 + 1.5)


def test_what_no_type_has_room_for_is_refused():
    with pytest.raises(WeightsError, match="float16 holds numbers up to 65504"):
        Floats("float16").encode(torch.tensor([1e5]), generator())


NO_NUMBERS = ("qsgd: 3", "qsgd:1_0", "qsgd:3 ", "qsgd:٣", "clustered:+4", "topk: 0.1", "dgc:0.0_1", "topk:nan")
"""What Python's own readers of numbers take, all of it."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Ternary(0.0), "clip"),
        (lambda: Ternary(form="4 bits"), "2 bits, base 3, entropy"),
        (lambda: Levels(0), "levels"),
        (lambda: Levels(7, 0), "bucket"),
        (lambda: Largest(0.0), "share"),
        (lambda: Clustered(0), "codebook"),
        (lambda: Floats("float8"), "bfloat16"),
        (lambda: MomentumCorrection(1.0), "momentum"),
        (lambda: Scheme(clip=0.0), "clip"),
        (lambda: Scheme(Signs(), warm_up=3), "Largest"),
        (lambda: scheme_of("terngard"), "did you mean 'terngrad'"),
        (lambda: scheme_of("qsgd:many"), "qsgd:many"),
        (lambda: scheme_of("signs:2"), "signs:2"),
        (lambda: scheme_of("topk:7"), "share"),
        (lambda: scheme_of("powersgd:2"), "compress_gradients"),
        (lambda: scheme_of("powerSGD"), "did you mean 'powersgd'"),
        *((lambda name=name: scheme_of(name), f"^'{re.escape(name)}'.*without spaces") for name in NO_NUMBERS),
    ],
)
def test_bad_arguments_are_named(make, said):
    with pytest.raises(PlanError, match=said):
        make()


def test_every_name_makes_a_scheme_and_says_which_tensors_it_leaves_alone():
    shapes = {"a.weight": (200, 100), "a.bias": (200,), "b.weight": (100, 200), "b.bias": (100,)}
    alone = {name: sorted(scheme_of(name).left_alone(shapes)) for name in SCHEMES}
    assert alone["terngrad"] == ["a.bias", "b.bias", "b.weight"]
    assert alone["qsgd"] == alone["topk"] == alone["dgc"] == alone["signs"] == ["a.bias", "b.bias"]
    assert alone["float32"] == []


# --- memories -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [Largest(0.1), Signs(), Clustered(2), Ternary()], ids=repr)
def test_error_feedback_loses_nothing(codec):
    """What was sent and what is left add up to all gradients: numbers are on a grid, so that sums are exact."""
    memory, held, sent, total = ErrorFeedback(), {}, torch.zeros(64).double(), torch.zeros(64).double()
    for step in range(20):
        gradient = normal(64, seed=step)
        wanted, kept = memory.wanted(gradient, held)
        got = there_and_back(codec, wanted, step)
        held = memory.left(wanted, got, kept)
        sent, total = sent + got, total + gradient
        assert torch.allclose(sent + held["residual"], total, atol=1e-5, rtol=0)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_correction_is_the_optimizers_momentum_where_all_is_sent(nesterov):
    weights = torch.zeros(9, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=1.0, momentum=0.9, nesterov=nesterov)
    memory, held, own = MomentumCorrection(0.9, nesterov).of_all_sent(), {}, torch.zeros(9)
    for step in range(5):
        weights.grad = normal(9, seed=step)
        wanted, kept = memory.wanted(weights.grad, held)
        held, own = memory.left(wanted, wanted, kept), own - wanted
        optimizer.step()
    assert torch.allclose(own, weights.detach(), atol=1e-5)


def test_deep_gradient_compression_is_a_transcription_of_its_algorithm():
    """Lin et al., with momentum that does not look ahead, one number at a time."""
    memory, codec, held = MomentumCorrection(0.9, nesterov=False), Largest(0.25), {}
    u, v = [0.0] * 8, [0.0] * 8
    for step in range(12):
        gradient = normal(8, seed=step)
        wanted, kept = memory.wanted(gradient, held)
        got = there_and_back(codec, wanted)
        held = memory.left(wanted, got, kept)
        for i in range(8):
            u[i] = 0.9 * u[i] + float(gradient[i])
            v[i] = v[i] + u[i]
        threshold = sorted(map(abs, v))[-2]
        for i in range(8):
            mask = abs(v[i]) >= threshold
            assert float(got[i]) == pytest.approx(v[i] if mask else 0.0, abs=1e-5)
            u[i], v[i] = (0.0, 0.0) if mask else (u[i], v[i])
        assert held["unsent"].tolist() == pytest.approx(v, abs=1e-5)
        assert held["momentum"].tolist() == pytest.approx(u, abs=1e-5)
