"""One network after another: the grid's outcome, with augmentation."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.data.in_memory import load_digits
from helpers.imbalance.sampling import subsample
from helpers.imbalance.splits import Split
from helpers.models.resnet import residual_network
from helpers.training.end_to_end import network_of, train_one_by_one
from helpers.training.grid import train_grid
from helpers.training.recipe import PROTOCOLS

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


def test_late_weights_start_at_the_first_drop(digits, run):
    """At rate 0 after it, late weights have nothing to act on."""
    protocol = replace(PROTOCOL, epochs=5, drops=(4,))
    ends = [
        train_one_by_one(
            *digits,
            [run],
            ["cross_entropy", "cross_entropy_drw"],
            replace(protocol, drops=drops),
            network,
        ).logits
        for drops in ((4,), (1,))
    ]
    apart = [np.abs(a - b).max() for a, b in ends]
    # Four fifths of the training instead of one: further apart.
    assert apart[1] > 2 * apart[0] > 0


def test_test_scores_of_every_epoch_are_noted_where_asked_for(digits, run):
    job = (*digits, [run], METHOD_NAMES[:1], PROTOCOL, network)
    noted = train_one_by_one(*job, test_curves=True)
    rows = noted.history.query("part == 'test' and metric == 'accuracy'")
    assert rows["epoch"].tolist() == [1, 2, 3]
    hits = noted.logits[0, 0, run.test].argmax(-1) == digits[1][run.test]
    assert rows["value"].iloc[-1] == pytest.approx(hits.mean())
    assert set(noted.history["part"]) == {"train", "test"}


@pytest.mark.parametrize(
    ("name", "weights", "loaded"),
    [
        ("small_resnet", None, "random"),
        ("resnet18_cifar", "random", "random"),
        ("resnet34", None, "random"),
        ("resnet50", None, "imagenet"),
        ("resnet101", "random", "random"),
    ],
)
def test_what_a_network_starts_from_is_told(name, weights, loaded):
    build, start, told = network_of(name, weights)
    assert callable(build)
    assert start == loaded
    assert loaded in told


def test_weights_that_a_network_lacks_are_refused():
    with pytest.raises(ValueError, match="WEIGHTS: 'imagenet', but resnet18"):
        network_of("resnet18", "imagenet")
    with pytest.raises(ValueError, match="NETWORK: 'resnet19'"):
        network_of("resnet19")


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
