"""A claim is decided once, by its interval."""

import numpy as np
import pytest

from helpers.papers.severity_claims import (
    CANNOT_TELL,
    CLAIMS,
    NOT_SUPPORTED,
    SUPPORTED,
    Ledger,
    verdict,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.2, SUPPORTED),
        (-0.01, 0.2, NOT_SUPPORTED),
        (-0.2, -0.1, NOT_SUPPORTED),
        (0.0, 0.0, NOT_SUPPORTED),
        (np.nan, np.nan, NOT_SUPPORTED),
    ],
)
def test_verdicts(low, high, expected):
    assert verdict(low, high) == expected
    assert verdict(low, high, needs_imagenet=True) == CANNOT_TELL


def test_a_ledger_keeps_the_claims_order():
    ledger = Ledger()
    ledger.decide("light", (0.2, 0.1, 0.3))
    ledger.decide("resolution", (-0.2, -0.3, -0.1))
    ledger.decide("better", (np.nan,) * 3, needs_imagenet=True)
    table = ledger.table()
    assert list(table.index) == ["resolution", "light", "better"]
    assert list(table["verdict"]) == [NOT_SUPPORTED, SUPPORTED, CANNOT_TELL]
    assert table.loc["light", "what it says"] == CLAIMS["light"][0]
    numbers = ledger.readable()["number [95 % interval]"]
    assert list(numbers) == [
        "-0.200 [-0.300, -0.100]",
        "+0.200 [+0.100, +0.300]",
        "–",
    ]
    assert list(ledger.readable("light").index) == ["light"]


def test_a_claim_is_decided_once():
    ledger = Ledger()
    ledger.decide("light", (0.2, 0.1, 0.3))
    for key in ("light", "weather"):
        with pytest.raises(ValueError, match=key):
            ledger.decide(key, (0.2, 0.1, 0.3))
