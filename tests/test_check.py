"""An exercise's check says correct, not yet and why, or not attempted."""

import numpy as np
import pytest

from helpers.check import exercise


def square(x):
    return x**2


def forgets_to_return(x):
    x**2


def fails(x):
    raise KeyError("a")


HINTS = [(0.3, "that is the recall")]


@pytest.mark.parametrize(
    ("answer", "expected", "line"),
    [
        (0.5, 0.5, "correct"),
        (0.5004, 0.5, "correct"),
        (np.float32(0.5), 0.5, "correct"),
        (0.3, 0.5, "not yet, because that is the recall"),
        (0.4, 0.5, "not yet, because it is 0.4: too small"),
        (2, 0.5, "not yet, because it is 2: too large"),
        (..., 0.5, "not attempted"),
        (None, "B", "not attempted"),
        ("b", "B", "not yet, because it is 'b'"),
        (1, "B", "not yet, because it is 1, not a text"),
        ("half", 0.5, "not yet, because it is 'half'"),
        (np.bool_(True), True, "correct"),
        (1, True, "not yet, because it is 1, not True or False"),
        ({"a"}, {"a"}, "correct"),
        ([1, 2], {1, 2}, "not yet, because it is [1, 2], not a set"),
        (["a", "b"], ["a", "b"], "correct"),
        ([1, 2.0], np.array([1, 2]), "correct"),
        (np.nan, 0.5, "not yet, because it is nan: that is wrong"),
        (
            [np.nan, np.nan],
            [1, 2],
            "not yet, because it is nan at place 0: that is wrong",
        ),
        ([1, [2, 3]], [1, 2], "not yet, because it is [1, [2, 3]]"),
        ([1, 3], [1, 2], "not yet, because it is 3 at place 1: that is wrong"),
        (
            [1],
            [1, 2],
            "not yet, because it has shape (1,); expected shape (2,)",
        ),
        (square, [((2,), 4), ((-1,), 1)], "correct"),
        (
            abs,
            [((0,), 0), ((-2,), 4)],
            "not yet, because f(-2) is 2: too small",
        ),
        (forgets_to_return, [((2,), 4)], "not attempted"),
        (fails, [((2,), 4)], "not yet, because f(2) raised KeyError('a')"),
    ],
)
def test_what_a_check_says(answer, expected, line, capsys):
    exercise("1", answer, expected, HINTS)
    assert capsys.readouterr().out == f"Exercise 1: {line}.\n"


def test_a_hint_is_for_a_function_s_first_result(capsys):
    exercise("2", abs, [((-2,), 4)], [(2, "the square is missing")])
    said = capsys.readouterr().out
    assert said == "Exercise 2: not yet, because the square is missing.\n"
