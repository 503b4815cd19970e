"""Sizes between two steps: far below a bit, and in tensors of a few hundred weights, bytes leap."""

import numpy as np
import pytest
from crossing import crossed
from hypothesis import given, settings
from hypothesis import strategies as st

from laconic.errors import PlanError
from laconic.quantize.budget import NEAR, PASSES, QUALITIES, Budget, fit

from .test_budget import UNEVEN, elements, noise

FEW = {"few": {"w": noise(20, 20)}, "two": {"a": noise(10, 10), "b": noise(30, 30, seed=1), "bias": noise(10)}}


@crossed("quality, share", QUALITIES, (0.1, 0.15, 0.2))
def test_where_a_path_leaves_the_zeros_at_once_sizes_are_met_between(quality: str, share: float):
    """At a tenth of a bit, and in tensors of a few hundred weights, bytes leap from one step to the next."""
    octaves = {f"t{i}": noise(64, 64, seed=i) * 2.0**i for i in range(6)}
    nets = [(net, share) for net in [octaves, *UNEVEN.values()]]
    for net, bits in [*nets[share > 0.1 :: 2], (FEW["few"], 6.0), (FEW["two"], 7.0)]:
        size = int(bits * elements(net) / 8)
        assert size * (1 - NEAR) <= fit(net, Budget(size=size), QUALITIES[quality]).file_bytes <= size


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("name", FEW)
def test_an_error_that_a_few_hundred_weights_may_have_is_met(name: str, quality: str):
    for snr in (3.0, 12.0):
        assert snr <= fit(FEW[name], Budget(snr=snr), QUALITIES[quality]).snr < snr + 0.25


def test_a_size_below_that_of_zeros_alone_is_refused():
    for size in range(60, 130, 30):
        with pytest.raises(PlanError, match=f"{size} bytes are too few"):
            fit(FEW["two"], Budget(size=size))


@settings(max_examples=6)
@given(st.data())
def test_any_size_above_300_bytes_is_met_within_a_hundredth(data: st.DataObject):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shapes = st.lists(st.integers(8, 60).flatmap(lambda n: st.sampled_from([(n, 70), (200, n), (n, 9, 3, 3)])))
    net = {}
    for place, shape in enumerate(data.draw(shapes.filter(bool))):
        spread = np.exp2(rng.uniform(-4, 4, (shape[0], *[1] * (len(shape) - 1)))) if rng.random() < 0.5 else 1
        kept = rng.random(shape) < rng.choice([0.3, 1.0, 1.0])
        net[f"t{place}"] = (rng.laplace(size=shape) * spread * kept * np.exp2(rng.uniform(-6, 6))).astype(np.float32)
    size = int(data.draw(st.floats(0.2, 3)) * elements(net) / 8) + 300
    found = fit(net, Budget(size=size), QUALITIES[data.draw(st.sampled_from(list(QUALITIES)))])
    assert found.passes <= PASSES
    assert size * (1 - NEAR) <= found.file_bytes <= size or found.snr > 100  # nothing is lost that bytes could tell
