import numpy as np
import pytest

from helpers.representation import (
    effective_rank,
    linear_cka,
    relative_spread,
)


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(3, 1, (40, 12)).astype("float32")


def test_relative_spread_of_a_worked_example():
    # Mean (3, 4) of length 5; both pictures are 1 away from it.
    assert relative_spread([[3, 5], [3, 3]]) == pytest.approx(0.2)


def test_relative_spread_is_zero_for_equal_pictures():
    assert relative_spread(np.full((5, 3), 2.0)) == 0


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_effective_rank_counts_equally_strong_directions(rank):
    directions = np.eye(12)[:rank]
    assert effective_rank(
        np.concatenate([directions, -directions])
    ) == pytest.approx(rank)


def test_effective_rank_falls_as_one_direction_takes_over(features):
    stretched = features * np.array([50.0] + [1.0] * 11)
    assert effective_rank(stretched) < effective_rank(features) / 2


@pytest.mark.parametrize("measure", [relative_spread, effective_rank])
@pytest.mark.parametrize("scale", [1e-9, 1e6])
def test_scale_does_not_matter(features, measure, scale):
    scaled = (features * scale).astype("float32")
    assert measure(scaled) == pytest.approx(measure(features), rel=1e-4)


def test_cka_sees_through_rotation_scale_and_shift(features):
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]
    turned = 1e-7 * (features @ rotation) + 1e-5
    assert linear_cka(features, turned) == pytest.approx(1, abs=1e-4)


def test_cka_of_uncorrelated_directions_is_zero():
    a = np.array([[1.0], [-1], [1], [-1]])
    b = np.array([[1.0], [1], [-1], [-1]])
    assert linear_cka(a, b) == pytest.approx(0, abs=1e-12)


def test_cka_does_not_depend_on_the_order_of_the_two(features):
    other = features[:, :5] ** 2
    assert linear_cka(features, other) == pytest.approx(
        linear_cka(other, features)
    )


def test_errors_say_what_is_wrong(features):
    with pytest.raises(ValueError, match="40 and 39 rows"):
        linear_cka(features, features[1:])
    with pytest.raises(ValueError, match="same features"):
        effective_rank(np.ones((4, 3)))
    with pytest.raises(ValueError, match="same features"):
        linear_cka(features, np.ones((40, 3)))
    with pytest.raises(ValueError, match="at least 2"):
        relative_spread(np.ones((1, 3)))
