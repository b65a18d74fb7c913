"""How networks are trained, and what a training returns.

Many heads or small networks in one compiled program, or one network after
another; every trainer returns a `Trained`.
"""

from helpers.training.end_to_end import network_of, train_one_by_one
from helpers.training.fine_tuning import FineTuning, fine_tune
from helpers.training.grid import train_grid
from helpers.training.heads import HeadSettings, epoch_batches, train_heads
from helpers.training.recipe import (
    PROTOCOLS,
    CoupledSGD,
    augmentation_layers,
    protocol_of,
)
from helpers.training.regression import train_by_hand
from helpers.training.severity_sketches import (
    against_vgg,
    compared,
    compared_probes,
    frozen_rows,
    networks,
    probe_rows,
    tuned_rows,
)
from helpers.training.severity_studies import (
    Job,
    Program,
    Scored,
    movement,
    two_at_a_time,
)
