"""The grid against plain Keras, and what its methods share."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from helpers.data.in_memory import load_digits
from helpers.imbalance.sampling import subsample
from helpers.imbalance.splits import Split
from helpers.methods.losses import COSINE_SCALE
from helpers.methods.registry import METHODS
from helpers.models.resnet import residual_network
from helpers.training.grid import train_grid
from helpers.training.heads import epoch_batches
from helpers.training.recipe import PROTOCOLS

# Few and small steps: float32 sums of another order soon tell in training.
PROTOCOL = replace(
    PROTOCOLS["digits"],
    epochs=3,
    batch_size=16,
    learning_rate=0.1,
    drops=(1,),
    l2=1e-2,
)
METHOD_NAMES = ["cefl2_g5", "balanced_softmax", "cross_entropy_drw", "ldam"]
SAMPLED = ["cross_entropy", "over_sampling", "logit_adjusted_post_hoc_t1"]


def network(n_classes, shape, seed):
    return residual_network("t", n_classes, shape, ((6, 1, 2),), seed=seed)


@pytest.fixture(scope="module")
def digits():
    data = load_digits(8)
    return data.images, data.labels


def run(labels, seed, largest=14):
    """A long tail of 3 to ``largest``; the test part is the same for all."""
    rest, test = np.arange(100, len(labels)), np.arange(100)
    counts = np.linspace(3, largest, 10).astype(int)
    train = rest[subsample(labels[rest], counts, seed)]
    return Split(f"largest {largest}", train, test[:0], test, seed)


class Cosine(keras.layers.Layer):
    """The last layer of a plain network, made a cosine classifier."""

    def __init__(self, kernel):
        super().__init__()
        self.kernel = self.add_weight(kernel.shape, "zeros")
        self.kernel.assign(kernel)

    def call(self, x):
        normalised = keras.ops.normalize(self.kernel, axis=0)
        return COSINE_SCALE * keras.ops.normalize(x) @ normalised


def plain_keras(images, labels, run, method):
    """Logits of all rows after training one plain model, same batches."""
    model = network(10, images.shape[1:], run.seed)
    if method.cosine:
        kernel = model.layers[-1].get_weights()[0]
        last = Cosine(kernel)(model.layers[-2].output)
        model = keras.Model(model.input, last)
    counts = np.bincount(labels[run.train], minlength=10)
    rows = epoch_batches(1, labels, [run], PROTOCOL, method.sampler)[:, 0]
    steps = len(rows) // PROTOCOL.epochs
    model.compile(PROTOCOL.optimizer(steps), method.loss(counts))
    for step, batch in enumerate(rows):
        weights = np.ones(len(batch))
        late = PROTOCOL.drops[0] * steps
        if method.late_weights and step >= late:
            weights = method.late_weights(counts)[labels[batch]]
        model.train_on_batch(
            images[batch].astype("float32"), labels[batch], weights
        )
    return model.predict(images.astype("float32"), verbose=0)


@pytest.fixture(scope="module")
def study(digits):
    """Runs of two sizes, that is, two programs."""
    labels = digits[1]
    runs = [run(labels, 0), run(labels, 1), run(labels, 0, largest=9)]
    return train_grid(*digits, runs, METHOD_NAMES, PROTOCOL, network)


@pytest.fixture(scope="module")
def sampled(digits):
    return train_grid(*digits, [run(digits[1], 3)], SAMPLED, PROTOCOL, network)


def assert_close(logits, expected):
    # Sums in another order grow apart while training goes on.
    np.testing.assert_allclose(
        logits, expected, atol=0.01 * expected.std(), rtol=0
    )


@pytest.mark.parametrize(
    ("name", "r"), list(zip(METHOD_NAMES, (0, 1, 2, 0), strict=True))
)
def test_logits_agree_with_plain_keras(digits, study, name, r):
    """Where a test row or another cell took part, they would not."""
    logits = study.logits[METHOD_NAMES.index(name), r]
    expected = plain_keras(*digits, study.runs[r], METHODS[name])
    assert_close(logits, expected)


def test_a_sampler_has_batches_of_its_own(digits, sampled):
    for name, logits in zip(SAMPLED[:2], sampled.logits, strict=False):
        expected = plain_keras(*digits, sampled.runs[0], METHODS[name])
        assert_close(logits[0], expected)


def test_a_rule_moves_the_trained_networks_logits(digits, sampled):
    labels = digits[1]
    counts = np.bincount(labels[sampled.runs[0].train])
    np.testing.assert_allclose(
        sampled.logits[2, 0] - sampled.logits[0, 0],
        np.tile(-np.log(counts / counts.sum()), (len(labels), 1)),
        atol=1e-3,
    )


def test_cells_differ(study):
    cells = study.logits.reshape(12, -1)
    apart = np.abs(cells[:, None] - cells).max(axis=-1)
    assert (apart + np.eye(12)).min() > 0.01


def test_outcome_reads_as_that_of_the_heads(study):
    assert study.logits.shape == (4, 3, 1797, 10)
    assert (study.best_epoch == PROTOCOL.epochs).all()
    rows, tested = study.tested("ldam", "largest 14")
    np.testing.assert_array_equal(rows, np.arange(100))
    np.testing.assert_array_equal(tested, study.logits[3, :2, :100])
    history = study.history
    assert set(history.part) == {"train"}
    assert set(history.split) == {"largest 14", "largest 9"}
    assert len(history) == 12 * PROTOCOL.epochs * 2
    losses = history.query("metric == 'loss'").groupby("epoch").value.mean()
    assert losses[3] < losses[1]


def test_test_scores_of_every_epoch_are_noted_where_asked_for(digits):
    images, labels = digits
    methods = ["cross_entropy", "over_sampling"]
    runs = [run(labels, 0), run(labels, 1)]
    job = (images, labels, runs, methods, PROTOCOL, network)
    plain, noted = train_grid(*job), train_grid(*job, test_curves=True)
    np.testing.assert_allclose(noted.logits, plain.logits, atol=1e-3)
    history = noted.history
    pd.testing.assert_frame_equal(
        history[history["part"] == "train"].reset_index(drop=True),
        plain.history,
        rtol=1e-3,
    )
    last = history.query(
        "part == 'test' and metric == 'accuracy' and epoch == 3"
    ).set_index(["method", "seed"])["value"]
    for m, name in enumerate(methods):
        for r, own in enumerate(runs):
            hits = noted.logits[m, r, own.test].argmax(-1) == labels[own.test]
            assert last[name, own.seed] == pytest.approx(hits.mean())
    assert len(history.query("part == 'test'")) == 2 * 2 * 3 * 3


def test_bad_input_is_named(digits):
    images, labels = digits
    rest = ([run(labels, 0)], ["cross_entropy"], PROTOCOL)
    with pytest.raises(ValueError, match="focus"):
        train_grid(images, labels, rest[0], ["focus"], PROTOCOL)
    with pytest.raises(ValueError, match="images: uint8"):
        train_grid(images / 255, labels, *rest)
    with pytest.raises(ValueError, match="images: uint8"):
        train_grid(images[1:], labels, *rest)
    for bad in (labels - 1, labels / 2):
        with pytest.raises(ValueError, match="labels"):
            train_grid(images, bad, *rest)
    with pytest.raises(ValueError, match="augment"):
        train_grid(images, labels, *rest[:2], PROTOCOLS["cifar"])
    with pytest.raises(ValueError, match="threshold_moving.*validation"):
        train_grid(images, labels, rest[0], ["threshold_moving"], PROTOCOL)
