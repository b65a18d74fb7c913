"""Checks of the exercises: correct, not yet and why, or not attempted.

A check prints one line and never raises, so that a notebook whose exercises
are not attempted runs to its end. ``python -m helpers.check FOLDER`` prints
what the checks said in all executed notebooks of a folder.

To add an exercise, end a code cell with `exercise`, tag it ``exercise`` and
put a wrong answer as code into its metadata (``"wrong": "answer = 0.3"``).
The next cell holds the solution between ``<details><summary>Solution`` and
``</details>``, with one block of Python. ``make test`` runs the stub, the
wrong answer and the solution, and wants *not attempted*, *not yet* and
*correct*; ``make handout`` leaves the last two out.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

CALL = re.compile(r"""^check\.exercise\(\s*["'](\w+)["']""", re.M)


def exercise(
    name: str,
    answer: object,
    expected: object,
    because: Iterable[tuple[object, str]] = (),
    *,
    tolerance: float = 1e-3,
) -> None:
    """Print whether an answer is right.

    Parameters
    ----------
    name : the exercise's number, "3"
    answer : a number, text, True or False, list, array or set; or a function.
        ``...``, or a function that returns it or None, is not attempted
    expected : the right value; for a function, a list of pairs: a tuple of
        arguments and the right result
    because : pairs of a wrong value and what it says about the mistake; for a
        function, its wrong result for the first arguments
    tolerance : how far a number may lie off: so much, or so much of its size

    >>> exercise("1", 0.3, 0.5, [(0.3, "that is the recall")])
    Exercise 1: not yet, because that is the recall.
    >>> exercise("1", 0.5, 0.5)
    Exercise 1: correct.
    >>> exercise("1", ..., 0.5)
    Exercise 1: not attempted.
    """
    if callable(answer):
        verdict = _of_function(answer, expected, because, tolerance)
    else:
        verdict = _of_value(answer, expected, because, tolerance)
    print(f"Exercise {name}: {verdict}.")


def _of_function(function: Callable, cases, because, tolerance) -> str:
    for place, (arguments, expected) in enumerate(cases):
        call = f"f({', '.join(map(_shown, arguments))})"
        try:
            result = function(*arguments)
        except Exception as error:  # the reader's code may do anything
            return f"not yet, because {call} raised {error!r}"
        hints = () if place else because
        verdict = _of_value(result, expected, hints, tolerance, call)
        if verdict != "correct":
            return verdict
    return "correct"


def _of_value(answer, expected, because, tolerance, what="it") -> str:
    if answer is None or answer is ...:
        return "not attempted"
    if isinstance(answer, np.generic):
        answer = answer.item()
    off = _what_is_off(answer, expected, tolerance)
    if not off:
        return "correct"
    for wrong, text in because:
        if not _what_is_off(answer, wrong, tolerance):
            return f"not yet, because {text}"
    return f"not yet, because {what} {off}"


_KINDS = {str: "a text", bool: "True or False", set: "a set"}


def _what_is_off(answer, expected, tolerance: float) -> str:
    """How an answer differs, without telling the right one; "" if it is it."""
    shown = f"is {_shown(answer)}"
    if kind := _KINDS.get(type(expected)):
        if type(answer) is not type(expected):
            return f"{shown}, not {kind}"
        return "" if answer == expected else shown
    try:
        right = np.asarray(expected, dtype=float)
        given = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):  # texts in a list, say
        pair = (np.asarray(v, dtype=object) for v in (answer, expected))
        return "" if np.array_equal(*pair) else shown
    if given.shape != right.shape:
        shape = f"shape {right.shape}" if right.ndim else "a single number"
        return f"has shape {given.shape}; expected {shape}"
    near = {"rtol": tolerance, "atol": tolerance, "equal_nan": True}
    if np.allclose(given, right, **near):
        return ""
    if not given.ndim and not np.isnan(given):
        side = "large" if given > right else "small"
        return f"{shown}: too {side}"
    off = np.nan_to_num(np.abs(given - right), nan=np.inf)
    place = f" at place {off.argmax()}" if given.ndim else ""
    return f"is {given.flat[off.argmax()]:.4g}{place}: that is wrong"


def _shown(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value!r:.60}"


def marks(folder: Path | str) -> pd.DataFrame:
    """What the checks said in the executed notebooks of a folder.

    A row a file and a column an exercise: "correct", "not yet", "not
    attempted", "error" where the answer raised one, "not run" where the
    notebook stopped before. The last column counts the correct ones.

    Raises ``FileNotFoundError`` where no notebook holds an exercise, and
    ``ValueError`` where a file is no notebook.
    """
    rows = {}
    for path in sorted(Path(folder).rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:  # JupyterLab's copies
            continue
        try:
            cells = json.loads(path.read_text("utf-8"))["cells"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is no notebook; take it out") from None
        for cell in cells:
            for name in CALL.findall("".join(cell["source"])):
                outputs = cell.get("outputs", [])
                raised = any(o["output_type"] == "error" for o in outputs)
                text = "".join("".join(o.get("text", "")) for o in outputs)
                verdict = rf"^Exercise {name}: (correct|not yet|not attempted)"
                said = [*re.findall(verdict, text, re.M), "not run"]
                file = str(path.relative_to(folder))
                rows.setdefault(file, {})[name] = (
                    "error" if raised else said[0]
                )
    if not rows:
        raise FileNotFoundError(f"no notebook with exercises in {folder}")
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("")
    table = table[sorted(table)]
    return table.assign(correct=(table == "correct").sum(axis=1))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m helpers.check FOLDER")
    try:
        print(marks(sys.argv[1]).to_string())
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
