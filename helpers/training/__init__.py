"""How networks are trained, and what a training returns.

Many heads or small networks in one compiled program, or one network after
another; every trainer returns a `Trained`.

With ``KERAS_BACKEND=jax`` the same notebooks run. Keras draws other random
numbers there from the same seed (initial weights, dropout, augmentation), so
scores differ as they do between seeds. In the quick profile the large effects
stay: with a split by source macro-F1 is 0.18 lower in notebook 03 with
TensorFlow, 0.19 with JAX; balanced softmax adds 0.030 and 0.028 of accuracy in
05. Which of the smaller differences leave zero out is not the same (LDAM-DRW
in 05 does with JAX alone, +0.035).
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
