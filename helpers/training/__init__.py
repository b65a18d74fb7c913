"""How networks are trained, and what a training returns.

Many heads or small networks in one compiled program, or one network after
another; every trainer returns a `Trained`.
"""

from helpers.training.comparison import epoch_batches
from helpers.training.recipe import (
    FINE_TUNING,
    RECIPES,
    CoupledSGD,
    Recipe,
    recipe_name,
)
from helpers.training.result import Trained
from helpers.training.sequential import (
    Job,
    Program,
    fine_tune,
    movement,
    network_of,
    train_one_by_one,
    two_at_a_time,
)
from helpers.training.vectorized import train_grid, train_heads
