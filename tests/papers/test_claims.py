"""What rounded numbers allow."""

import pytest

from helpers.papers import fits_rounding, possible_hits, read_claims


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
    worked_out = table[["found", "verdict"]] == ""
    assert (worked_out["found"] == worked_out["verdict"]).all()
    assert (table.drop(columns=worked_out) != "").all(axis=None)


def test_claims_of_the_web_answer_have_a_number_each():
    table = read_claims("severity_claims")
    assert table.index.is_unique and (table != "").all(axis=None)
    parts = {"diagnosis", *(f"example {n}" for n in (1, 2, 3))}
    assert set(table["part"]) == parts
