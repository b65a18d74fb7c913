"""The pages of text: links lead somewhere, facts are those of the code."""

import re
import tomllib

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from helpers.paths import MEASURED_DIR, NOTEBOOKS_DIR, ROOT

PAGES = ["README.md", "notebooks/README.md", "data/README.md"]
PAGES += ["data/measured/README.md"]


def anchor(heading):
    """A heading's place in a page, as GitHub names it."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    text = path.read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if link.startswith("http"):
            continue
        file, _, place = link.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), link
        if place:
            headings = re.findall(r"^#+ (.*)$", there.read_text("utf-8"), re.M)
            assert place in map(anchor, headings), link


def minutes(path):
    """To read a notebook, at 200 words and 20 lines of code a minute."""
    words = lines = 0
    for cell in nbformat.read(path, as_version=4).cells:
        words += len(cell.source.split()) * (cell.cell_type == "markdown")
        full = re.findall(r"\S.*", cell.source)
        lines += len(full) * (cell.cell_type == "code")
    return words / 200 + lines / 20


@pytest.mark.parametrize("page", ["README.md", "notebooks/README.md"])
def test_pages_have_a_row_for_every_notebook_and_are_short(page):
    text = (ROOT / page).read_text("utf-8")
    row = r"^\| \[?(\w\d_\w+)\b.*?\| (\d+) \|"
    stated = {name: int(time) for name, time in re.findall(row, text, re.M)}
    there = {
        path.stem: minutes(path) for path in NOTEBOOKS_DIR.glob("*.ipynb")
    }
    assert stated == pytest.approx(there, abs=3)
    assert len(text.splitlines()) <= 150


def test_the_citation_has_what_the_format_asks_for():
    """Version 1.2.0 of the Citation File Format."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == project["version"]
    assert cited["license"] == project["license"]
    assert cited["message"]
    assert len(cited["references"]) == 5
    for work in [cited, *cited["references"]]:
        assert work["type"] and work["title"]
        for author in work["authors"]:
            assert author.keys() <= {"name", "family-names", "given-names"}


NUMBER = r"([+−]?\d\.\d+)"
INTERVAL = re.compile(rf"{NUMBER} \[{NUMBER}, {NUMBER}\](?!, commit)")


def intervals_in(text):
    """Each "−0.009 [−0.016, −0.002]": three numbers, and their decimals."""
    text = re.sub(r"\s+", " ", text.replace("**", ""))
    for found in INTERVAL.finditer(text):
        numbers = [float(n.replace("−", "-")) for n in found.groups()]
        yield numbers, len(found[1].partition(".")[2])


@pytest.fixture(scope="module")
def measured():
    """Rows of number, low and high in `data/measured`, and turned round."""
    rows = []
    for path in MEASURED_DIR.glob("*.csv"):
        table = pd.read_csv(path).select_dtypes("number")
        for low in table.filter(regex="low$"):
            high = low.removesuffix("low") + "high"
            for column in table.columns if high in table else ():
                rows.append(table[[column, low, high]].to_numpy())
    rows = np.concatenate(rows)
    return np.concatenate([rows, -rows[:, [0, 2, 1]]])


@pytest.mark.parametrize(
    ("page", "least"), [("README.md", 8), ("data/measured/README.md", 100)]
)
def test_each_interval_in_the_texts_is_measured(page, least, measured):
    """All three numbers are one row's, rounded, or notebook 10 shows them.

    The latter are those of the embedded images; "commit" names old code.
    """
    (path,) = NOTEBOOKS_DIR.glob("10_*.ipynb")
    outputs = [c.get("outputs", []) for c in nbformat.read(path, 4).cells]
    shown = [
        o.get("data", {}).get("text/plain", "") for c in outputs for o in c
    ]
    printed = np.array(
        [numbers for numbers, _ in intervals_in(" ".join(shown))]
    )
    measured = np.concatenate([measured, printed, -printed[:, [0, 2, 1]]])
    stated = [*intervals_in((ROOT / page).read_text("utf-8"))]
    assert len(stated) >= least
    for numbers, decimals in stated:
        rounding = 0.5 * 10**-decimals + 1e-9
        close = np.abs(measured - numbers).max(axis=1) <= rounding
        assert close.any(), numbers
