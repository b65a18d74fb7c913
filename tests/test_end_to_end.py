"""One network after another: the grid's outcome, with augmentation."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.digits import load_digits
from helpers.end_to_end import train_one_by_one
from helpers.grid import train_grid
from helpers.optimisers import PROTOCOLS
from helpers.residual import residual_network
from helpers.sampling import subsample
from helpers.splits import Split

# Few and small steps: float32 sums of another order soon tell in training.
PROTOCOL = replace(
    PROTOCOLS["digits"], epochs=3, batch_size=16, drops=(1,), l2=1e-2
)
METHOD_NAMES = [
    "cefl2_g5",
    "cross_entropy_drw",
    "over_sampling",
    "logit_adjusted_post_hoc_t1",
]


def network(n_classes, shape, seed):
    return residual_network("t", n_classes, shape, ((6, 1, 2),), seed=seed)


@pytest.fixture(scope="module")
def digits():
    data = load_digits(8)
    return data.images[:400], data.labels[:400]


@pytest.fixture(scope="module")
def run(digits):
    rest, test = np.arange(100, 400), np.arange(100)
    counts = np.linspace(3, 14, 10).astype(int)
    train = rest[subsample(digits[1][rest], counts, 0)]
    return Split("long tail", train, test[:0], test, 0)


@pytest.fixture(scope="module")
def study(digits, run):
    return train_one_by_one(*digits, [run], METHOD_NAMES, PROTOCOL, network)


def test_agrees_with_the_grid(digits, run, study):
    grid = train_grid(*digits, [run], METHOD_NAMES, PROTOCOL, network)
    # Sums in another order grow apart while training goes on.
    np.testing.assert_allclose(
        study.logits, grid.logits, atol=0.01 * grid.logits.std(), rtol=0
    )
    pairs = study.history.merge(
        grid.history, on=["method", "seed", "epoch", "part", "metric"]
    )
    assert len(pairs) == len(study.history) == len(METHOD_NAMES) * 3 * 2
    np.testing.assert_allclose(pairs["value_x"], pairs["value_y"], atol=0.02)
    assert (study.best_epoch == grid.best_epoch).all()


def test_augmentation_acts_in_training_only(digits, run, study):
    moved = replace(PROTOCOL, augmentation=("padded crop",))
    once, again = (
        train_one_by_one(*digits, [run], METHOD_NAMES[:1], moved, network)
        for _ in range(2)
    )
    np.testing.assert_allclose(once.logits, again.logits, atol=1e-4)
    apart = np.abs(once.logits[0] - study.logits[0]).mean()
    assert apart > 0.2 * study.logits[0].std()
    # At rate 0 nothing is learnt: what is left are the initial weights'
    # logits of the pictures, which augmentation must not have touched.
    still = {"learning_rate": 0.0, "l2": 0.0, "drops": (), "epochs": 1}
    untouched = [
        train_one_by_one(
            *digits,
            [run],
            METHOD_NAMES[:1],
            replace(PROTOCOL, augmentation=kind, **still),
            _without_statistics,
        ).logits
        for kind in ((), ("padded crop", "flip"))
    ]
    np.testing.assert_allclose(*untouched, atol=1e-5)


def _without_statistics(n_classes, shape, seed):
    """A network whose BatchNorm keeps what it starts with."""
    model = network(n_classes, shape, seed)
    for layer in model.layers:
        if hasattr(layer, "moving_mean"):
            layer.trainable = False
    return model


@pytest.mark.parametrize("name", ["ldam", "no such method"])
def test_a_method_it_cannot_train_is_refused(digits, run, name):
    with pytest.raises(ValueError, match=rf"methods: \['{name}'\]"):
        train_one_by_one(*digits, [run], [name], PROTOCOL, network)


def test_labels_that_are_no_class_indices_are_refused(digits, run):
    images, labels = digits
    for bad in (labels - 1, labels / 2):
        with pytest.raises(ValueError, match="labels"):
            train_one_by_one(
                images, bad, [run], METHOD_NAMES[:1], PROTOCOL, network
            )


def test_a_rule_without_validation_is_refused(digits, run):
    with pytest.raises(ValueError, match="decides by validation"):
        train_one_by_one(
            *digits, [run], ["threshold_moving"], PROTOCOL, network
        )
