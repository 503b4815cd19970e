"""Joins of like sign: counted as pairs, beside shuffles that are drawn as they should be."""

from itertools import combinations, permutations

import numpy as np
import pytest

from laconic.insight.sign_regions import Beside, joins, places_shuffled, regions, signs_shuffled, squares


def by_pairs(image, reach):
    """Slow twin: every pair of pixels."""
    like = every = 0
    for (a, b), (c, d) in combinations(np.ndindex(image.shape), 2):
        product = int(image[a, b]) * int(image[c, d])
        if product and max(abs(a - c), abs(b - d)) <= reach:
            every += 1
            like += product > 0
    return like, every


def drawn(shape, density, seed):
    """Random signs, 0 where pruned."""
    rng = np.random.default_rng(seed)
    return (rng.choice([-1, 1], shape) * (rng.random(shape) < density)).astype(np.int8)


@pytest.mark.parametrize("shape", [(5, 7), (6, 6), (1, 9), (4, 1), (1, 1)])
@pytest.mark.parametrize("reach", [1, 2, 7])
def test_joins_are_pairs_of_pixels_within_reach(shape, reach):
    signs = np.stack([drawn(shape, density, seed) for density, seed in ((0.3, 0), (0.8, 1), (0.0, 2))])
    like, every = joins(signs, reach)
    assert list(zip(like, every, strict=True)) == [by_pairs(image, reach) for image in signs]


def test_shuffles_keep_what_they_promise():
    signs = np.stack([drawn((6, 6), density, seed) for density, seed in ((0.2, 0), (0.5, 1))])
    field = signs.any(0)
    rng = np.random.default_rng(0)
    other, moved = signs_shuffled(signs, rng), places_shuffled(signs, field, rng)
    np.testing.assert_array_equal(other != 0, signs != 0)
    assert not moved[:, ~field].any()
    for shuffled in (other, moved):
        assert (shuffled != signs).any()
        for one, image in zip(shuffled, signs, strict=True):
            np.testing.assert_array_equal(np.sort(one, axis=None), np.sort(image, axis=None))


def test_shuffles_of_signs_are_alike_likely_and_p_is_that_of_all_orders():
    image = np.array([[1, 1, 0, -1], [0, 0, 1, -1]], np.int8)
    places = image != 0
    figures = []
    for order in permutations(image[places].tolist()):
        other = image.copy()
        other[places] = order
        like, every = by_pairs(other, 1)
        figures.append(like / every)
    found = regions(image[None].astype(np.float32), (1,), 2000, 0)[0].signs
    assert found.found == 0.6
    exact = np.mean(np.array(figures) >= found.found)
    assert found.p == pytest.approx(exact, abs=0.05)  # 2,000 draws: four standard errors
    assert found.mean == pytest.approx(np.mean(figures), abs=0.03)


def test_joins_of_survivors_anywhere_are_as_many_as_chance_makes():
    images = np.zeros((3, 8, 8), np.float32)
    images[:, 2:5, 2:6] = 0.1
    images[1, 2:5, 2:6] *= -1
    (near,) = regions(images, (1,), 400, 0)
    pairs = by_pairs(np.ones((8, 8), np.int8), 1)[1]
    expected = pairs * (12 * 11) / (64 * 63) / 12  # each pair of pixels survives with (12/64)(11/63)
    error = near.near_anywhere.deviation / np.sqrt(400)
    assert near.near_anywhere.mean == pytest.approx(expected, abs=4 * error)
    assert near.near_used.mean == near.near_used.found  # the pixels in use are all taken
    assert near.signs.found == near.signs.mean == 1.0
    assert near.signs.z == 0.0
    assert near.signs.p == 1.0


def test_halves_of_one_sign_stand_out_and_random_signs_do_not():
    rng = np.random.default_rng(1)
    kept = rng.random((20, 12, 12)) < 0.3
    halves = np.where(np.arange(12) < 6, -1.0, 1.0) * kept
    scattered = rng.choice([-1.0, 1.0], kept.shape) * kept
    for one in regions(halves, (1, 3), 99, 0):
        assert max(one.signs.p, one.anywhere.p, one.used.p) == 0.01
        assert one.signs.z > 10
        assert one.alone > 0.6
    for one in regions(scattered, (1, 3), 99, 0):
        assert abs(one.signs.z) < 4
        assert one.alone < 0.3
        assert one.compact < 0.5
    assert (
        regions(halves, (1,), 9, 3)[0].record() == regions(np.concatenate([halves, 0 * halves]), (1,), 9, 3)[0].record()
    )  # an image without survivors counts for nothing


def test_a_square_is_compact_and_no_survivors_have_no_joins():
    counts = np.array([0, 1, 4, 9, 16, 12])
    filled = squares(counts, 4, 4)
    np.testing.assert_array_equal(filled.sum((1, 2)), counts)
    np.testing.assert_array_equal(joins(filled)[1], [0, 0, 6, 20, 42, 29])
    assert squares(np.array([5]), 1, 9).sum() == 5
    assert regions(filled, (1,), 3, 0)[0].compact == 1.0
    empty = regions(np.zeros((2, 3, 3)), (1,), 3, 0)[0]
    assert (empty.joins, empty.signs.found, empty.compact, empty.alone) == (0, 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="shape \\(images, height, width\\)"):
        regions(np.zeros((3, 3)), (1,), 3, 0)
    with pytest.raises(ValueError, match="1 or more, not 0"):
        regions(np.zeros((1, 3, 3)), (1,), 0, 0)


def test_p_counts_the_images_themselves():
    assert Beside.of(2.0, np.array([1.0, 2.0, 3.0])).p == 0.75
    assert Beside.of(9.0, np.array([1.0, 2.0, 3.0])).p == 0.25
