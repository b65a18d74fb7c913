"""The committed outputs are what a quick run says: ``make test-book``.

Times and rates are ignored, numbers may differ by a little, images by all.
"""

import re
from collections.abc import Iterator
from itertools import zip_longest

import nbformat
import pytest

from helpers.paths import NOTEBOOKS_DIR
from helpers.runner import clean, read_notebooks, run

NOTEBOOKS = read_notebooks(NOTEBOOKS_DIR)
ABSOLUTE, RELATIVE = 0.02, 0.05

NUMBER = re.compile(r"[-−+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")
IGNORED = re.compile(
    r"^(Versions|Device):|\b(m?s|seconds?|minutes?|hours?|MB|memory)\b"
    "|processor time"
)


def lines(cell: nbformat.NotebookNode) -> Iterator[str]:
    """What a cell printed or showed as text, a line or a table's entry each.

    An entry has its row and its column in front.
    """
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        for part in (output.get("text", ""), data.get("text/markdown", "")):
            yield from part.splitlines()
        rows = [
            re.findall(r"<t([hd])[^>]*>(.*?)</t", row, re.S)
            for row in re.findall(
                r"<tr.*?</tr>", data.get("text/html", ""), re.S
            )
        ]
        head = []
        for row in rows:
            values = [text for kind, text in row if kind == "d"]
            label = [text for kind, text in row if kind == "h"]
            if values:
                for name, value in zip(
                    head[-len(values) :], values, strict=False
                ):
                    yield f"{' '.join(label)}, {name}: {value}"
            elif any(label[1:]) or not head:
                head = label


def differences(before, after) -> Iterator[str]:
    """Lines of two executed notebooks that differ, by cell."""
    for number, cells in enumerate(zip(before, after, strict=True)):
        texts = [
            [line for line in lines(cell) if not IGNORED.search(line)]
            for cell in cells
        ]
        for pair in zip_longest(*texts, fillvalue=""):
            if not alike(*pair):
                yield f"cell {number}: {pair[0]!r} became {pair[1]!r}"


def alike(one: str, other: str) -> bool:
    """The same words, and numbers no farther apart than allowed."""
    words = [NUMBER.sub("#", text).split() for text in (one, other)]
    numbers = [
        [float(n.replace(",", "").replace("−", "-")) for n in found]
        for found in (NUMBER.findall(one), NUMBER.findall(other))
    ]
    return words[0] == words[1] and all(
        a == pytest.approx(b, RELATIVE, ABSOLUTE)
        for a, b in zip(*numbers, strict=True)
    )


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("book") / "run"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("F1 0.512, n = 1,200", "F1 0.525,  n = 1210", True),
        ("Δ = −0.006: lower", "Δ = 0.006: lower", True),
        ("F1 0.512", "F1 0.57", False),
        ("0.1: higher", "0.1: lower", False),
    ],
)
def test_what_is_alike(one, other, same):
    assert alike(one, other) == same


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)
def test_committed_outputs_are_those_of_a_run(notebook, run_dir):
    more = {"run_dir": run_dir, "resume": run_dir.exists()}
    report = run("quick", [notebook.number], **more)
    assert report.exit_code == 0
    executed = run_dir / "notebooks" / notebook.path.name
    nbs = [nbformat.read(p, as_version=4) for p in (notebook.path, executed)]
    assert list(differences(*(clean(nb).cells for nb in nbs))) == []
