"""The chart of gains draws its numbers, whole and quiet."""

import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from helpers.figures import red_cells as rbc_figures

RATIOS = [37.9, 2.03, 7.8]


def _table(label="focal", spread=0.01):
    delta = np.array([0.03, -0.01, 0.02])
    table = pd.DataFrame({"label": label, "rho": RATIOS, "delta": delta})
    return table.assign(low=delta - spread, high=delta + spread)


@pytest.fixture
def fig():
    printed = _table("ResNet-50", np.nan)
    both = pd.concat([printed, _table("DenseNet-121", np.nan)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig = rbc_figures.gains_by_ratio(
            {"Published": both, "Measured": _table()}, "Gain", "Points"
        )
        fig.canvas.draw()
    assert not plt.get_fignums()
    return fig


def test_lines_are_the_tables_in_order_of_rho(fig):
    published, measured = fig.axes
    # The first line of each panel marks no difference.
    (line,) = measured.get_lines()[1:]
    assert line.get_xdata() == pytest.approx(sorted(RATIOS))
    assert line.get_ydata() == pytest.approx([-0.01, 0.02, 0.03])
    assert len(published.get_lines()) == 3
    assert set(measured.get_lines()[0].get_ydata()) == {0}


def test_intervals_are_those_of_the_table(fig):
    (bars,) = fig.axes[1].collections
    ends = [path.vertices[:, 1] for path in bars.get_paths()]
    assert np.allclose(ends, [[-0.02, 0], [0.01, 0.03], [0.02, 0.04]])
    # Equal values of two lines are drawn side by side.
    first, second = (line.get_xdata() for line in fig.axes[0].get_lines()[1:])
    assert np.all(np.asarray(first) < np.asarray(second))


def test_axes_and_legends(fig):
    assert [ax.get_title() for ax in fig.axes] == ["Published", "Measured"]
    assert fig.axes[0].get_ylabel() == "Points"
    assert fig.axes[0].get_ylim() == fig.axes[1].get_ylim()
    ticks = [t.get_text() for t in fig.axes[1].get_xticklabels()]
    assert ticks == ["2", "8", "38"]
    texts = [t.get_text() for t in fig.axes[0].get_legend().get_texts()]
    assert texts == ["ResNet-50", "DenseNet-121"]


def test_bad_tables_are_refused():
    with pytest.raises(ValueError, match=r"'A' lacks the columns \['low'\]"):
        rbc_figures.gains_by_ratio({"A": _table().drop(columns="low")}, "")
    many = pd.concat([_table(str(k)) for k in range(5)])
    with pytest.raises(ValueError, match="5 lines; 4 can be told apart"):
        rbc_figures.gains_by_ratio({"A": many}, "")
