"""The checked exercises of a notebook, as its cells hold them."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import nbformat

CALL = "check.exercise"


@dataclass(frozen=True)
class Exercise:
    """A stub that ends in a check, a wrong answer, a collapsed solution."""

    name: str
    stub: str
    check: str
    wrong: str
    solution: str


def read_exercises(nb: nbformat.NotebookNode) -> list[Exercise]:
    """The exercises, in order; raises ``ValueError`` for one out of form."""
    found = []
    for number, cell in enumerate(nb.cells):
        tagged = "exercise" in cell.metadata.get("tags", [])
        if cell.cell_type == "code" and tagged:
            after = nb.cells[number + 1 : number + 2]
            found.append(_read(cell, after[0].source if after else ""))
        elif cell.cell_type == "code" and CALL in cell.source:
            raise ValueError(f"cell {number} has a check and no tag")
    return found


def _read(cell: nbformat.NotebookNode, after: str) -> Exercise:
    last = ast.parse(cell.source).body[-1]
    if not ast.unparse(last).startswith(f"{CALL}("):
        raise ValueError(f"does not end in a check: {cell.source}")
    solution = re.findall(r"^```python\n(.*?)^```$", after, re.M | re.S)
    collapsed = re.search(r"<details>.*```python.*</details>", after, re.S)
    if len(solution) != 1 or not collapsed:
        raise ValueError(f"has no collapsed solution: {cell.source}")
    if "wrong" not in cell.metadata:
        raise ValueError(f"its metadata hold no wrong answer: {cell.source}")
    return Exercise(
        name=ast.literal_eval(last.value.args[0]),
        stub=cell.source,
        check=ast.unparse(last),
        wrong=cell.metadata.wrong,
        solution=solution[0],
    )


def answered(nb: nbformat.NotebookNode) -> Iterator[tuple[str, str]]:
    """What the checks must begin to say, and what they say.

    Of a notebook that was executed with `append_answers`: first the stubs,
    then a wrong answer and the solution of each.
    """
    for cell in nb.cells:
        tags = cell.metadata.get("tags", [])
        if "exercise" in tags or "verdict" in cell.metadata:
            name = cell.metadata.get("exercise", r"\d+")
            verdict = cell.metadata.get("verdict", "not attempted.")
            text = "".join(o.get("text", "") for o in cell.outputs)
            yield rf"Exercise {name}: {verdict}", text


def append_answers(nb: nbformat.NotebookNode) -> None:
    """At the end, check a wrong answer and the solution of each exercise."""
    for exercise in read_exercises(nb):
        for answer, verdict in [
            (exercise.wrong, "not yet, because "),
            (exercise.solution, "correct."),
        ]:
            source = f"{answer}\n{exercise.check}"
            cell = nbformat.v4.new_code_cell(source)
            cell.metadata.update(exercise=exercise.name, verdict=verdict)
            nb.cells.append(cell)
