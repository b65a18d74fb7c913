"""What a reader may change, and the plain picture where nobody reads."""

import sys

import ipywidgets
import pytest

from helpers import figures
from helpers.figures import interactive
from helpers.runner.notebooks import WIDGET
from helpers.session import Workspace

CHOICES = {"gamma": (0, 5, 0.5), "loss": ["CE", "focal"]}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """What is drawn, shown and shown anew in place of a notebook."""
    seen = {"drawn": [], "shown": [], "anew": []}

    def draw(gamma=2.0, loss="focal", rho=10):
        seen["drawn"].append((gamma, loss, rho))
        return figures.new_chart(1, 1)

    class Shown:
        update = staticmethod(seen["anew"].append)

    def display(what, raw=False, display_id=False):
        seen["shown"].append(what)
        return Shown if display_id else None

    monkeypatch.setattr(interactive, "display", display)
    return seen, draw, Workspace("04", "quick", tmp_path)


def test_without_a_reader_it_is_the_picture_of_the_defaults(book, monkeypatch):
    seen, draw, workspace = book
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # nor is it needed
    figures.explore(draw, workspace, "loss", **CHOICES)
    assert seen["drawn"] == [(2.0, "focal", 10)]
    (shown,) = seen["shown"]
    assert set(dir(shown)) >= {"_repr_png_"}
    assert (workspace.figures / "04_loss.png").is_file()
    with pytest.raises(ValueError, match="no argument.*gama.*has gamma, loss"):
        figures.explore(draw, workspace, "loss", gama=(0, 5, 1))


def test_a_reader_s_slider_draws_anew(book, monkeypatch):
    seen, draw, workspace = book
    parent = {"metadata": {"cellId": "one"}}
    rows, box = [], ipywidgets.HBox
    monkeypatch.setattr(
        ipywidgets, "HBox", lambda row: box(rows.append(row) or row)
    )
    shell = type("Shell", (), {"get_parent": lambda self: parent})
    monkeypatch.setattr(interactive, "get_ipython", shell)
    figures.explore(draw, workspace, "loss", **CHOICES)
    bundle, first = seen["shown"]
    assert list(bundle) == [WIDGET]
    ((slider, menu),) = rows
    assert (slider.min, slider.max, slider.step) == (0, 5, 0.5)
    assert (slider.value, slider.description) == (2.0, "gamma")
    assert (menu.options, menu.value) == (("CE", "focal"), "focal")
    slider.value, menu.value = 3.5, "CE"
    assert seen["drawn"][1:] == [(3.5, "focal", 10), (3.5, "CE", 10)]
    assert len(seen["anew"]) == 2 and first not in seen["anew"]
