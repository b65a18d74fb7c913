"""Figures: one style, one colour a method for the whole workbook.

Functions return figures that a notebook shows once; `save` writes them. They
take arrays or tables, never load data; titles describe, never name a winner.
"""

from helpers.figures.bars import (
    bar_chart,
    class_counts,
    gradient_share,
)
from helpers.figures.images import (
    circles_on,
    image_grid,
    map_sheet,
    sample_sheet,
    some_classes,
)
from helpers.figures.intervals import (
    dot_plot,
    interval_plot,
    scores_by_class,
)
from helpers.figures.lines import (
    curves,
    histories,
    scores_over,
)
from helpers.figures.matrices import confusion_matrices, heat_maps
from helpers.figures.style import (
    INK,
    QUIET,
    class_colours,
    legend_below,
    new_chart,
    new_panels,
    save,
)
