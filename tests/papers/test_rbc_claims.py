"""The red-cell paper's sentences, each beside its arithmetic."""

import math

import pytest

from helpers.papers import rbc_claims

FOUND = "from the printed numbers"


@pytest.fixture(scope="module")
def lines():
    table = rbc_claims.audit()
    assert list(table) == ["in the text", FOUND]
    assert table.notna().all(axis=None)
    return table


def found(lines, words):
    """What the numbers give for each sentence with these words in it."""
    mine = lines["in the text"].str.contains(words, regex=False)
    return lines.loc[mine, FOUND].tolist()


def test_the_grid_over_alpha(lines):
    # Tables: 0.87 0.72 0.78 0.85 0.86 0.92 0.55, and 0.61 ... 0.78.
    (order,) = found(lines, "rises slightly")
    assert order.endswith("range of F1 0.37 | 0.26")
    assert "-0.11 | +0.50" in order
    ahead = found(lines, "at 4 | 2 of 7")
    assert ahead[0] == "f1: 4 | 1; ties 0 | 1" and len(ahead) == 3
    (best,) = found(lines, "the best α is ahead by 0.08 | 0.02")
    assert "1.35 s" in best


def test_the_test_part(lines):
    (accuracy,) = found(lines, "accuracy by 6.6%")
    assert "accuracy +0.011" in accuracy
    assert "[121] test cells, of which 8 are 6.6%" in accuracy
    assert found(lines, "at random") == [
        "Codocytes in test: [121]; in a stratified part 103.5"
    ]


def test_the_sweep(lines):
    assert found(lines, "ahead in F1 at every") == ["14 of 14"]
    (majority,) = found(lines, "at ρ = 37.90")
    # 2691 / 2833 normal cells, and three accuracies below that.
    assert f"{2691 / 2833:.4f}: above 3 of the 4" in majority
    assert len(found(lines, "has a trend with ρ")) == 2


def test_the_best_of_some_runs():
    assert rbc_claims.best_of(1) == pytest.approx(0, abs=1e-9)
    # The expected larger one of two normal numbers is 1 / sqrt(pi).
    assert rbc_claims.best_of(2) == pytest.approx(1 / math.sqrt(math.pi))
    assert rbc_claims.best_of(7) == pytest.approx(1.352, abs=1e-3)
