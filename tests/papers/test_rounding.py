"""What rounded numbers allow, by hand."""

import pytest

from helpers import papers as rd


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


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        rd.possible_hits(0.5, 0)
