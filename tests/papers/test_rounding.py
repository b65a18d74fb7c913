"""What rounded numbers allow, by hand."""

import pytest

from helpers.papers import rounding as rd


@pytest.mark.parametrize(
    ("recall", "n", "hits"),
    [
        (0.70, 103, [72]),
        (0.70, 202, [141, 142]),
        (0.12, 8, [1]),
        (0.13, 8, [1]),  # 1/8 is a tie: either way
        (0.15, 8, []),
        (1.00, 3, [3]),
        (0.00, 3, [0]),
    ],
)
def test_possible_hits_by_hand(recall, n, hits):
    assert rd.possible_hits(recall, n).tolist() == hits
    assert rd.fits_rounding(recall, n) == bool(hits)
    errors = rd.possible_errors(recall, n).tolist()
    assert errors == [n - h for h in reversed(hits)]


def test_sizes_that_fit_by_hand():
    # Half right and at least 2 wrong: 2 of 4, 3 of 6 …, never an odd size
    # as small as these.
    assert rd.sizes_that_fit(0.5, 2, 9).tolist() == [4, 6, 8]


def test_bad_counts_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        rd.possible_hits(0.5, 0)
    with pytest.raises(ValueError, match="one recall and one count"):
        rd.accuracy_from_recalls([0.5], [1, 2])
