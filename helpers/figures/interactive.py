"""A figure that a reader changes by sliders, where a kernel is at hand."""

import inspect
from collections.abc import Callable

from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from helpers.figures.style import save
from helpers.session import Workspace


def explore(
    draw: Callable[..., Figure], workspace: Workspace, name: str, **choices
) -> None:
    """Save and show a figure and, above it, what draws it anew.

    The figure of the default arguments is saved, and shown as a plain
    picture. A run without a reader (papermill, the runner, nbval) ends there:
    its notebook holds no widget, which GitHub or an HTML page could not show.

    Parameters
    ----------
    draw : returns a figure; each of its arguments has a default
    workspace, name : as for `save`
    **choices : for arguments of ``draw``, a slider's (lowest, highest, step),
        or a list to choose from

    Raises ``ValueError`` for a choice that is no argument of ``draw``.

    >>> explore(draw, workspace, "loss", gamma=(0, 5, 0.5))
    """
    arguments = inspect.signature(draw).parameters
    if unknown := choices.keys() - arguments.keys():
        known = ", ".join(arguments)
        raise ValueError(f"draw has no argument {unknown}; it has {known}")
    start = {key: arguments[key].default for key in choices}
    controls = _controls(start, choices) if _is_read_live() else {}
    shown = display(save(draw(), workspace, name), display_id=True)

    def draw_anew(_) -> None:
        shown.update(draw(**{key: c.value for key, c in controls.items()}))

    for control in controls.values():
        control.observe(draw_anew, "value")


def _is_read_live() -> bool:
    """Whether somebody runs this cell in a notebook's front end.

    JupyterLab, Notebook and VS Code send a cell's id along with its code.
    nbclient, and so papermill and nbconvert, and nbval do not.
    """
    parent = getattr(get_ipython(), "get_parent", dict)()
    return "cellId" in parent.get("metadata", {})


def _controls(start: dict, choices: dict) -> dict:
    """A control for each choice, shown in a row."""
    from ipywidgets import HBox, interactive

    controls = {}
    for key, choice in choices.items():
        own = interactive.widget_from_abbrev(choice, start[key])
        own.description = key.replace("_", " ")
        # A figure takes a moment: it is drawn where a slider comes to rest.
        own.continuous_update = False
        controls[key] = own
    # Without the text "HBox(children=…)", which a page would show instead.
    shown = HBox([*controls.values()])._repr_mimebundle_()
    shown.pop("text/plain")
    display(shown, raw=True)
    return controls
