"""How networks are trained, and what a training returns.

Many heads or small networks in one compiled program, or one network after
another; every trainer returns a `Trained`.
"""

from helpers.training.comparison import (
    Trained,
    epoch_batches,
    two_at_a_time,
)
from helpers.training.recipe import (
    FINE_TUNING,
    RECIPES,
    CoupledSGD,
    Recipe,
    recipe_name,
)
from helpers.training.sequential import (
    WholeNetwork,
    network_of,
    train_one_by_one,
)
from helpers.training.vectorized import train_grid, train_heads
