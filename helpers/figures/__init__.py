"""Figures: one style and one colour a method for the whole workbook.

Functions take arrays or tables and return a figure, which a notebook shows
once and `save` writes; there is a file for each kind of chart.
"""

from helpers.figures.images import (
    circles_on,
    image_grid,
    map_sheet,
    sample_sheet,
)
from helpers.figures.interactive import explore
from helpers.figures.lines import curves, histories, scores_over
from helpers.figures.style import (
    INK,
    QUIET,
    class_colours,
    legend_below,
    new_chart,
    new_panels,
    save,
)
from helpers.figures.tables import (
    beside_plot,
    class_counts,
    confusion_matrices,
    dot_plot,
    interval_plot,
)
