"""A claim is decided by its interval; what rounded numbers allow."""

import numpy as np
import pytest

from helpers.papers import (
    decided,
    fits_rounding,
    possible_hits,
    read_claims,
    readable_verdicts,
)

CLAIMS = read_claims("severity_claims")


@pytest.mark.parametrize(
    ("claim", "low", "high", "verdict"),
    [
        ("light", 0.01, 0.2, "supported here"),
        ("light", -0.01, 0.2, "not supported here"),
        ("light", -0.2, -0.1, "not supported here"),
        ("light", 0.0, 0.0, "not supported here"),
        ("light", np.nan, np.nan, "not supported here"),
        ("better", 0.01, 0.2, "supported here"),
        ("better", np.nan, np.nan, "cannot tell without ImageNet weights"),
    ],
)
def test_verdicts(claim, low, high, verdict):
    table = decided(CLAIMS, {claim: (low, low, high)})
    assert list(table["verdict"]) == [verdict]


def test_claims_keep_their_order_and_are_known():
    numbers = {
        "light": (0.2, 0.1, 0.3, 0.05),
        "resolution": np.array([-0.2, -0.3, -0.1]),
        "better": (np.nan,) * 3,
    }
    table = decided(CLAIMS, numbers)
    assert list(table.index) == ["resolution", "light", "better"]
    assert table.index.name == "claim"
    says = "Other light and skin tones hurt"
    assert table.loc["light", "what it says"] == says
    short = readable_verdicts(table)
    assert list(short["number [95 % interval]"]) == [
        "-0.200 [-0.300, -0.100]",
        "+0.200 [+0.100, +0.300]",
        "–",
    ]
    with pytest.raises(ValueError, match=r"numbers: \['weather'\] are none"):
        decided(CLAIMS, {"weather": (0.2, 0.1, 0.3)})


def test_what_is_measured_stands_beside_its_claim():
    assert CLAIMS.index.is_unique and len(CLAIMS) == 25
    assert set(CLAIMS["needs"]) == {"", "ImageNet weights"}
    counts = CLAIMS.index[CLAIMS["interval over"] == "exact"]
    assert list(counts) == ["protection", "lean", "aware"]


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
    assert possible_hits(recall, n).tolist() == hits
    assert fits_rounding(recall, n) == bool(hits)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        possible_hits(0.5, 0)


def test_what_printed_numbers_decide_is_told_by_paper():
    table = read_claims("audit_claims")
    assert table.index.is_unique and len(table) == 40
    assert set(table["paper"]) == {"acne", "CEFL", "loss balance", "red cells"}
    assert (table != "").all(axis=None)
