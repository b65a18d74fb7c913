"""Figures: one style, one colour a method for the whole workbook.

Functions return figures that a notebook shows once; `save` writes them.
"""

from helpers.figures.ablation import (
    by_epoch,
    by_network,
    dots,
    gain_map,
    tails,
)
from helpers.figures.balance import (
    class_curves,
    loss_shares,
    mean_probabilities,
    means_and_spreads,
    score_by_batch_size,
)
from helpers.figures.charts import (
    class_counts,
    confusion_pair,
    factorial,
    gradient_share,
    histories,
    interval_plot,
    per_class_change,
    weights_bar,
)
from helpers.figures.images import picture_grid, sample_sheet, some_classes
from helpers.figures.losses import heat_map
from helpers.figures.red_cells import gains_by_ratio
from helpers.figures.severity import by_rate, by_side, grade_errors, map_sheet
from helpers.figures.smears import (
    causes,
    circles_on,
    in_a_row,
    settings_sweep,
    votes,
)
from helpers.figures.style import INK, QUIET, new_chart, save
