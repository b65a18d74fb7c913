"""A paper's counts on other data: exact, disjoint, the same test for all."""

import numpy as np
import pytest

from helpers.imbalance.counts import scaled_counts
from helpers.imbalance.proportions import rebuild

ASKED = np.array([7, 335, 14, 100, 700])
# Six classes, shuffled; class 5 is the largest and class 0 the smallest.
SIZES = np.array([40, 70, 50, 80, 60, 90])
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(6), SIZES))


@pytest.fixture(scope="module")
def made():
    return rebuild(LABELS, ASKED, "part", [0, 1, 2], test=10, validation=5)


def test_the_largest_class_takes_the_largest_count(made):
    assert made.classes.tolist() == [2, 3, 4, 1, 5]
    assert set(LABELS[made.rows]) == {1, 2, 3, 4, 5}
    np.testing.assert_array_equal(made.classes[made.labels], LABELS[made.rows])


def test_parts_have_their_counts(made):
    expected = scaled_counts(ASKED, SIZES[made.classes] - 15)
    assert made.counts.tolist() == expected.tolist()
    for run in made.runs:
        for part, counts in (
            (run.train, expected),
            (run.val, [5] * 5),
            (run.test, [10] * 5),
        ):
            assert np.bincount(made.labels[part]).tolist() == list(counts)
        parts = np.concatenate([run.train, run.val, run.test])
        assert len(np.unique(parts)) == len(parts)
        assert parts.max() < len(made.rows)


def test_only_the_training_part_is_drawn_by_the_seed(made):
    first, second, _ = made.runs
    np.testing.assert_array_equal(first.test, second.test)
    np.testing.assert_array_equal(first.val, second.val)
    assert set(first.train) != set(second.train)
    assert [run.seed for run in made.runs] == [0, 1, 2]
    assert {run.name for run in made.runs} == {"part"}


def test_the_two_smallest_have_names_of_their_own(made):
    assert made.names.tolist() == ["S1", "C2", "S2", "C4", "C5"]
    assert repr(made).startswith("Rebuilt(S1 2, C2 ")


def test_classes_can_be_chosen():
    made = rebuild(LABELS, [4, 20], "part", [0], 10, 5, classes=[5, 0])
    assert np.bincount(LABELS[made.rows]).tolist() == [40, 0, 0, 0, 0, 90]
    assert (LABELS[made.rows[made.labels == 0]] == 5).all()
    assert made.counts.tolist() == [4, 20]


def test_what_cannot_be_rebuilt_is_told():
    with pytest.raises(ValueError, match="6 classes, 7 are needed"):
        rebuild(LABELS, [5] * 7, "part", [0], 10, 5)
    with pytest.raises(ValueError, match="class 2 has 50 images: 60 for test"):
        rebuild(LABELS, ASKED, "part", [0], 60, 5)
    with pytest.raises(ValueError, match="class 'c' has 50 images"):
        rebuild(LABELS, ASKED, "part", [0], 44, 5, class_names="abcdef")


def test_there_may_be_no_validation_part():
    """As in the paper: a class of 107 pictures has 7 besides its 100."""
    labels = np.repeat([0, 1], [107, 435])
    made = rebuild(labels, [7, 335], "part", [0], 100, 0, classes=[0, 1])
    assert made.counts.tolist() == [7, 335]
    (run,) = made.runs
    assert len(run.val) == 0
    assert np.bincount(made.labels[run.test]).tolist() == [100, 100]
