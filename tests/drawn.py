"""What every figure of the book must pass before anybody looks at it."""

import warnings
from collections.abc import Callable
from itertools import combinations

from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def assert_whole_and_quiet(
    plot: Callable[[], Figure], monkeypatch, slanted: bool = False
) -> None:
    """No warning, no text cut off or upon another, not kept by pyplot.

    Ticks beyond the axes are never drawn and do not count. slanted: there are
    slanted names, whose boxes overlap where they themselves do not.
    """
    texts = {}
    draw = plt.Text.draw

    def noted(text, renderer):
        if text.get_visible() and text.get_text().strip():
            texts[id(text)] = text
        draw(text, renderer)

    monkeypatch.setattr(plt.Text, "draw", noted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas = FigureCanvasAgg(plot())
        canvas.draw()
    assert not plt.get_fignums(), "pyplot would show it once more"
    width, height = canvas.get_width_height()
    boxes = [
        (text.get_text(), text.get_window_extent()) for text in texts.values()
    ]
    assert boxes
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0
        inside &= box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} is cut at {box}"
    for (text, box), (other, box2) in combinations(boxes, 2):
        # The inner pixel is what counts: boxes of neighbours may touch.
        overlap = min(box.x1, box2.x1) - max(box.x0, box2.x0) > 1
        overlap &= min(box.y1, box2.y1) - max(box.y0, box2.y0) > 1
        assert slanted or not overlap, f"{text!r} lies on {other!r}"
