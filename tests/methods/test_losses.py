"""Losses against their papers' formulas in float64, Keras and scikit-learn.

The same file passes on JAX: ``KERAS_BACKEND=jax pytest tests/test_losses.py``.
"""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import reference
from sklearn.metrics import log_loss

from helpers.imbalance.counts import balanced_weights
from helpers.methods.balance import LabelCountBalance, LossTotalBalance
from helpers.methods.losses import (
    CEFL,
    CEFL2,
    CrossEntropy,
    Focal,
    WeightedCrossEntropy,
    check_labels,
)
from helpers.methods.remedies import LDAM, BalancedSoftmax, LogitAdjusted

COUNTS = np.array([500, 40, 7, 90, 1])
WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0, 0.1])
EFFECTIVE = reference.effective_number_weights(COUNTS, 0.999)
GAMMAS = (0, 0.5, 1, 2, 5)


@dataclass(frozen=True)
class Pair:
    """A loss, and what makes its values in float64."""

    loss: keras.losses.Loss
    reference: object


def pair(loss, function, *numbers):
    return Pair(loss, lambda y, z: function(y, z, *numbers))


PAIRS = {
    "cross-entropy": pair(CrossEntropy(), reference.cross_entropy),
    "weighted": pair(
        WeightedCrossEntropy(WEIGHTS),
        reference.weighted_cross_entropy,
        WEIGHTS,
    ),
    "class-balanced": pair(
        WeightedCrossEntropy(EFFECTIVE),
        reference.weighted_cross_entropy,
        EFFECTIVE,
    ),
    "class-balanced focal": pair(
        Focal(1, EFFECTIVE), reference.focal, 1, EFFECTIVE
    ),
    "focal, alpha 0.75": pair(Focal(2, 0.75), reference.focal, 2, 0.75),
    "focal, alpha a class": pair(
        Focal(2, WEIGHTS), reference.focal, 2, WEIGHTS
    ),
    "logit-adjusted": pair(
        LogitAdjusted(COUNTS), reference.logit_adjusted, COUNTS, 1
    ),
    "logit-adjusted, tau 2": pair(
        LogitAdjusted(COUNTS, 2), reference.logit_adjusted, COUNTS, 2
    ),
    "balanced softmax": pair(
        BalancedSoftmax(COUNTS), reference.balanced_softmax, COUNTS
    ),
    "LDAM": Pair(
        LDAM(COUNTS),
        lambda y, z: reference.ldam(y, z / 30, COUNTS, 0.5, 30),
    ),
    "LDAM, margin 0.3, scale 8": Pair(
        LDAM(COUNTS, 0.3, 8),
        lambda y, z: reference.ldam(y, z / 8, COUNTS, 0.3, 8),
    ),
    **{
        f"{name}, gamma {gamma}": pair(made(gamma), function, gamma)
        for name, made, function in (
            ("focal", Focal, reference.focal),
            ("CEFL", CEFL, reference.cefl),
            ("CEFL2", CEFL2, reference.cefl2),
        )
        for gamma in GAMMAS
    },
}
every_loss = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def drawn_batch():
    """Labels (N,) and float32 logits (N, 5), from usual to extreme ones."""
    generator = np.random.default_rng(3)
    signs = generator.choice([-1, 1], (64, 5))
    logits = np.concatenate(
        [
            generator.normal(0, 1, (64, 5)),
            generator.normal(0, 5, (64, 5)),
            generator.normal(0, 20, (64, 5)),
            50 * signs,
            50 + generator.normal(0, 1, (64, 5)),
            np.eye(5)[generator.integers(5, size=64)] * 16,
        ]
    ).astype("float32")
    return generator.integers(5, size=len(logits)), logits


LABELS, LOGITS = drawn_batch()


@pytest.fixture
def batch():
    """Ordinary logits.  One shape everywhere: JAX compiles for each."""
    generator = np.random.default_rng(4)
    return LABELS, generator.normal(0, 3, LOGITS.shape).astype("float32")


def value(loss, labels, logits, **kwargs):
    return float(keras.ops.convert_to_numpy(loss(labels, logits, **kwargs)))


def values(loss, labels, predictions):
    return keras.ops.convert_to_numpy(loss.call(labels, predictions))


def gradient(loss, labels, predictions):
    """Gradient of each sample's loss, shaped as the predictions."""
    x = keras.ops.convert_to_tensor(predictions)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: loss.call(labels, x).sum())(x))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(loss.call(labels, x))
    return tape.gradient(total, x).numpy()


def half(logits, dtype):
    return keras.ops.cast(keras.ops.convert_to_tensor(logits), dtype)


def odds_of(p):
    """Logits of two classes whose first one has probability p."""
    logits = np.zeros((1, 2), "float32")
    logits[0, 0] = np.log(p) - np.log1p(-p)
    return logits


def factor(loss, logits):
    """What a loss multiplies the cross-entropy of label 0 by."""
    exact = reference.cross_entropy(np.array([0]), logits.astype("float64"))
    return float(values(loss, [0], logits)[0] / exact[0])


def test_the_docstrings_numbers():
    zeros = np.zeros((1, 2), "float32")
    three_quarters = odds_of(0.75)
    for loss, label, logits, expected in (
        (CrossEntropy(), 1, zeros, 0.6931),
        (WeightedCrossEntropy([0.5, 2.0]), 1, zeros, 1.3863),
        (Focal(2), 0, three_quarters, 0.01798),
        (CEFL(2), 0, three_quarters, 0.08541),
        (CEFL2(2), 0, three_quarters, 0.04495),
        (LogitAdjusted([3, 1]), 1, zeros, 1.3863),
        (BalancedSoftmax([3, 1]), 1, zeros, 1.3863),
        (LDAM([16, 1], 0.5, 2), 1, zeros, 1.3133),
        (LDAM([16, 1], 0.5, 2), 0, zeros, 0.9741),
    ):
        digits = len(str(expected).split(".")[1])
        assert round(value(loss, [label], logits), digits) == expected


@every_loss
def test_values_and_gradients_are_the_papers(pair):
    exact = LOGITS.astype("float64")
    np.testing.assert_allclose(
        values(pair.loss, LABELS, LOGITS),
        pair.reference(LABELS, exact),
        rtol=1e-5,
        atol=1e-5,
    )
    np.testing.assert_allclose(
        gradient(pair.loss, LABELS, LOGITS),
        reference.gradient(pair.reference, LABELS, exact),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("gamma", [0.5, 1, 2])
@pytest.mark.parametrize(
    ("made", "function"),
    [
        (Focal, reference.focal),
        (CEFL, reference.cefl),
        (CEFL2, reference.cefl2),
    ],
)
def test_what_is_left_of_one_minus_p_is_right(made, function, gamma):
    """Relative error at 1 - p from 4e-5 to 3e-7, where 1 - p rounds."""
    logits = np.zeros((6, 3), "float32")
    logits[:, 1] = np.linspace(10.8, 15.7, 6)
    labels = np.full(6, 1)
    exact = logits.astype("float64")

    def wanted(y, z):
        return function(y, z, gamma)

    np.testing.assert_allclose(
        values(made(gamma), labels, logits), wanted(labels, exact), rtol=1e-5
    )
    # A longer step: the differences must not drown in the values' rounding.
    np.testing.assert_allclose(
        gradient(made(gamma), labels, logits),
        reference.gradient(wanted, labels, exact, step=1e-4),
        rtol=1e-4,
    )


@every_loss
@pytest.mark.parametrize("size", [50, 1e4, 1e30])
def test_finite_at_the_extremes(pair, size):
    rows = np.array([[1, 0, -1, 0, 0], [1, 1, 1, 1, 1]], "float32")
    logits = np.resize(size * rows, LOGITS.shape)
    assert np.isfinite(values(pair.loss, LABELS, logits)).all()
    assert np.isfinite(gradient(pair.loss, LABELS, logits)).all()


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(pair, dtype):
    logits = half(LOGITS, dtype)
    rounded = keras.ops.convert_to_numpy(half(logits, "float32"))
    result = pair.loss.call(LABELS, logits)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(result),
        values(pair.loss, LABELS, rounded),
        rtol=1e-6,
    )
    pull = keras.ops.cast(gradient(pair.loss, LABELS, logits), "float32")
    step = 2**-11 if dtype == "float16" else 2**-8
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(pull),
        gradient(pair.loss, LABELS, rounded),
        rtol=step,
        atol=1e-6,
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("loss", [CEFL2(2), LDAM(COUNTS)])
def test_trains_under_mixed_precision(batch, policy, loss):
    labels, logits = batch
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        dense = keras.layers.Dense(5, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((5,)), dense])
        model.compile(keras.optimizers.SGD(0.01), loss)
        # Keras lowers its loss scale until the gradients are finite.
        history = model.fit(logits, labels, epochs=8, verbose=0)
    finally:
        keras.config.set_dtype_policy(before)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(model.get_weights()[0]).all()
    assert np.abs(model.get_weights()[0] - 1).max() > 0


def from_probabilities(loss):
    config = {**loss.get_config(), "from_logits": False}
    return type(loss).from_config(config)


@every_loss
def test_probabilities_give_what_logits_give(pair, batch):
    labels, logits = batch
    p = reference.softmax(logits.astype("float64")).astype("float32")
    loss = from_probabilities(pair.loss)
    np.testing.assert_allclose(
        values(loss, labels, p),
        values(pair.loss, labels, logits),
        rtol=1e-4,
        atol=1e-5,
    )
    # Through the softmax, so that its derivative is the logits' own.
    own = gradient(loss, labels, p)
    back = p * (own - (own * p).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(
        back, gradient(pair.loss, labels, logits), rtol=1e-4, atol=1e-5
    )


@every_loss
def test_impossible_and_certain_probabilities_are_finite(pair):
    sure = np.arange(len(LABELS)) % 5
    p = np.eye(5, dtype="float32")[sure]
    loss = from_probabilities(pair.loss)
    result = values(loss, LABELS, p)
    assert np.isfinite(result).all()
    assert np.isfinite(gradient(loss, LABELS, p)).all()
    assert (result[sure != LABELS] > 0.5).all()


@every_loss
def test_one_hot_and_column_labels(pair):
    plain = values(pair.loss, LABELS, LOGITS)
    for labels in (np.eye(5)[LABELS], LABELS[:, None]):
        np.testing.assert_array_equal(values(pair.loss, labels, LOGITS), plain)
        assert value(pair.loss, labels, LOGITS) == pytest.approx(
            plain.mean(), rel=1e-5
        )


def test_labels_that_do_not_fit_are_refused(batch):
    labels, logits = batch
    wrong = (np.eye(4)[labels % 4], labels[:, None, None], labels[:-1])
    # These two would be broadcast without a word.
    for given in (*wrong, labels[:1], np.eye(5)[labels[:1]]):
        with pytest.raises(ValueError, match="labels: .* got shape"):
            CrossEntropy().call(given, logits)


ONE_OF_EACH = {
    loss.name: loss
    for loss in (
        CrossEntropy(),
        WeightedCrossEntropy([1, 2, 3]),
        Focal(2, [1, 2, 3]),
        CEFL(2),
        CEFL2(2),
        LogitAdjusted([5, 3, 1]),
        BalancedSoftmax([5, 3, 1]),
        LDAM([5, 3, 1]),
        LabelCountBalance(),
        LossTotalBalance(),
    )
}
each_loss = pytest.mark.parametrize(
    "loss", ONE_OF_EACH.values(), ids=ONE_OF_EACH
)
THREE = np.array([[1, 2, 0.5], [0.2, 0.1, 3]], "float32")
NO_INDEX = {
    "negative": [-1, 0],
    "as many as classes": [3, 0],
    "32 bits too large": [2**32, 0],
}
NO_ONE_HOT = {
    "probabilities": [[0.2, 0.3, 0.5], [0, 0, 1]],
    "two classes": [[1, 1, 0], [0, 0, 1]],
    "no class": [[0, 0, 0], [0, 0, 1]],
    "negative": [[1, 1, -1], [0, 0, 1]],
}


@each_loss
@pytest.mark.parametrize("labels", NO_INDEX.values(), ids=NO_INDEX)
def test_what_is_no_class_index_is_refused(loss, labels):
    for given in (np.array(labels), np.array(labels)[:, None], labels):
        for called in (loss, loss.call):
            with pytest.raises(ValueError, match="labels: class indices 0 to"):
                called(given, THREE)


@each_loss
def test_floats_are_no_class_indices(loss):
    """As Keras calls a loss; its `call` gets floats from Keras itself."""
    for given in ([0.5, 1.0], [0.0, 1.0], [[0.0], [1.0]]):
        with pytest.raises(ValueError, match="labels: .* must be integers"):
            loss(np.array(given), THREE)
    with pytest.raises(ValueError, match=r"labels: .* got 0\.5"):
        loss.call(np.array([0.5, 1.0]), THREE)


@each_loss
@pytest.mark.parametrize("labels", NO_ONE_HOT.values(), ids=NO_ONE_HOT)
def test_what_is_no_one_hot_row_is_refused(loss, labels):
    for called in (loss, loss.call):
        with pytest.raises(ValueError, match="labels: one-hot rows"):
            called(np.array(labels), THREE)


@each_loss
def test_one_output_column_is_refused(loss):
    for labels in (np.array([0, 1]), np.array([[0], [1]])):
        with pytest.raises(ValueError, match="one output column"):
            loss(labels, THREE[:, :1])


@each_loss
@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_what_is_no_probability_is_refused(loss, bad):
    p = np.array([[bad, 0.4, 0.5], [0.2, 0.3, 0.5]], "float32")
    with pytest.raises(ValueError, match="predictions: probabilities"):
        from_probabilities(loss)([0, 1], p)


def test_every_type_of_index_gives_the_same_number():
    """Logits log(1, 2, 5) and label 1: p = 2 / 8, the loss is log 4."""
    logits = np.log([[1, 2, 5], [1, 2, 5]]).astype("float32")
    kinds = [np.array([1, 1], dtype) for dtype in "bBhHiIlL"]
    kinds += [np.array([True, True]), [1, 1], np.array([[1], [1]])]
    kinds += [np.eye(3, dtype=dtype)[[1, 1]] for dtype in "?Bif"]
    kinds += [keras.ops.convert_to_tensor(kind) for kind in kinds[::2]]
    for labels in kinds:
        assert value(CrossEntropy(), labels, logits) == pytest.approx(
            np.log(4), rel=1e-6
        )


def fitted_loss(loss, labels, logits):
    """The loss that compiled training reports."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", loss)
    return model.fit(logits, labels, verbose=0).history["loss"][0]


@each_loss
def test_in_compiled_code_a_bad_label_gives_nan(loss):
    assert np.isfinite(fitted_loss(loss, np.array([2, 0]), THREE))
    for labels in ([3, 0], [[0.2, 0.3, 0.5], [0, 0, 1]]):
        assert np.isnan(fitted_loss(loss, np.array(labels), THREE))
    with pytest.raises(ValueError, match="labels: .* must be integers"):
        fitted_loss(loss, np.array([2.0, 0.0]), THREE)


@pytest.mark.parametrize(
    "bad", [[0.0, 1.0], [[0, 1]], [0, -1], [True, False], ["a", "b"]]
)
def test_training_labels_are_checked(bad):
    check_labels([0, 2])
    with pytest.raises(ValueError, match="labels"):
        check_labels(bad)


@every_loss
def test_sample_weights_are_honoured(pair, batch):
    labels, logits = batch
    weights = np.linspace(0, 2, len(labels)).astype("float32")
    expected = (weights * values(pair.loss, labels, logits)).mean()
    assert value(
        pair.loss, labels, logits, sample_weight=weights
    ) == pytest.approx(expected, rel=1e-5)


@every_loss
def test_survives_saving(pair, batch):
    labels, logits = batch
    p = reference.softmax(logits)
    for loss, given in (
        (pair.loss, logits),
        (from_probabilities(pair.loss), p),
    ):
        config = json.loads(json.dumps(keras.losses.serialize(loss)))
        again = keras.losses.deserialize(config)
        assert type(again) is type(loss)
        assert again.get_config() == loss.get_config()
        assert value(again, labels, given) == value(loss, labels, given)


@pytest.mark.parametrize(
    ("made", "numbers"),
    [
        (WeightedCrossEntropy, [[[1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1]]]),
        (lambda a: Focal(2, a), [[[1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1]]]),
        (Focal, [[0.5], [2]]),
        (CEFL, [[0.5], [2]]),
        (CEFL2, [[0.5], [2]]),
        (LogitAdjusted, [[[1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1]]]),
        (BalancedSoftmax, [[[1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1]]]),
        (LDAM, [[[1, 2, 3, 4, 5]], [[50, 4, 3, 2, 6]]]),
    ],
)
def test_leading_axes_broadcast(batch, made, numbers):
    """Two training sets, each with numbers of its own, in one call."""
    labels, logits = batch
    labels = np.stack([labels, labels[::-1]])
    logits = np.stack([logits, 2 * logits])
    together = values(made(np.array(numbers)), labels, logits)
    assert together.shape == labels.shape
    for index, own in enumerate(numbers):
        alone = made(np.array(own)[0])
        np.testing.assert_allclose(
            together[index],
            values(alone, labels[index], logits[index]),
            rtol=1e-5,
        )


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("class_weights", WeightedCrossEntropy),
        ("alpha", lambda bad: Focal(2, bad)),
        ("gamma", Focal),
        ("gamma", CEFL),
        ("gamma", CEFL2),
        ("counts", LDAM),
        ("counts", BalancedSoftmax),
        ("counts", LogitAdjusted),
        ("tau", lambda bad: LogitAdjusted([3, 1], bad[1])),
        ("max_margin", lambda bad: LDAM([3, 1], bad[1])),
        ("scale", lambda bad: LDAM([3, 1], 0.5, bad[1])),
    ],
)
@pytest.mark.parametrize("bad", [[1, -1], [1, np.nan], [1, np.inf]])
def test_impossible_numbers_are_refused(name, made, bad):
    with pytest.raises(ValueError, match=name):
        made(bad)


@pytest.mark.parametrize("made", [LDAM, BalancedSoftmax, LogitAdjusted])
def test_an_empty_class_is_refused(made):
    with pytest.raises(ValueError, match="counts"):
        made([3, 0, 1])


def test_cross_entropy_is_sklearns_log_loss(batch):
    labels, logits = batch
    p = reference.softmax(logits.astype("float64"))
    assert value(CrossEntropy(), labels, logits) == pytest.approx(
        log_loss(labels, p, labels=range(5)), rel=1e-6
    )


def test_weighted_divides_by_the_batch_size_not_by_the_weights(batch):
    labels, logits = batch
    weights = balanced_weights(np.bincount(labels, minlength=5))
    own = reference.cross_entropy(labels, logits.astype("float64"))
    expected = (weights[labels] * own).sum() / len(labels)
    result = value(WeightedCrossEntropy(weights), labels, logits)
    assert result == pytest.approx(expected, rel=1e-6)


def test_weighted_trains_like_keras_class_weight(batch):
    labels, logits = batch

    def trained(loss, class_weight):
        dense = keras.layers.Dense(5, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((5,)), dense])
        model.compile(keras.optimizers.SGD(0.1), loss)
        model.fit(
            logits,
            labels,
            batch_size=len(labels),
            class_weight=class_weight,
            verbose=0,
        )
        return model.get_weights()[0]

    plain = trained(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        dict(enumerate(WEIGHTS)),
    )
    ours = trained(WeightedCrossEntropy(WEIGHTS), None)
    np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)
    assert np.abs(ours - 1).max() > 1e-3


def test_equal_weights_change_nothing(batch):
    labels, logits = batch
    ones = WeightedCrossEntropy(np.ones(5))
    assert value(ones, labels, logits) == pytest.approx(
        value(CrossEntropy(), labels, logits), rel=1e-6
    )


@pytest.mark.parametrize("alpha", [0.25, WEIGHTS])
def test_focal_is_keras_own_where_that_does_not_clip(batch, alpha):
    labels, logits = batch
    p = reference.softmax(logits.astype("float64"))[
        np.arange(len(labels)), labels
    ]
    inside = (p > 0.001) & (p < 0.999)
    assert inside.sum() > 200
    labels, logits = labels[inside], logits[inside]
    theirs = keras.losses.CategoricalFocalCrossentropy(
        list(np.broadcast_to(alpha, 5)), 2.0, from_logits=True, reduction=None
    )
    np.testing.assert_allclose(
        values(Focal(2, alpha), labels, logits),
        values(theirs, np.eye(5, dtype="float32")[labels], logits),
        rtol=1e-4,
        atol=1e-7,
    )


def test_one_alpha_only_rescales_and_one_a_class_does_not(batch):
    labels, logits = batch
    whole = gradient(Focal(2), labels, logits)
    np.testing.assert_allclose(
        gradient(Focal(2, 0.75), labels, logits), 0.75 * whole, rtol=1e-6
    )
    own = gradient(Focal(2, WEIGHTS), labels, logits)
    np.testing.assert_allclose(
        own, WEIGHTS[labels][:, None] * whole, rtol=1e-5
    )


@pytest.mark.parametrize("made", [Focal, CEFL, CEFL2])
def test_without_focus_they_are_cross_entropy(made):
    np.testing.assert_allclose(
        values(made(0), LABELS, LOGITS),
        values(CrossEntropy(), LABELS, LOGITS),
        rtol=1e-5,
        atol=1e-6,
    )


def test_alpha_a_class_without_focus_is_weighted_cross_entropy():
    np.testing.assert_allclose(
        values(Focal(0, WEIGHTS), LABELS, LOGITS),
        values(WeightedCrossEntropy(WEIGHTS), LABELS, LOGITS),
        rtol=1e-5,
        atol=1e-6,
    )


def test_balanced_softmax_is_logit_adjustment_at_tau_1():
    np.testing.assert_allclose(
        values(BalancedSoftmax(COUNTS), LABELS, LOGITS),
        values(LogitAdjusted(COUNTS), LABELS, LOGITS),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("gamma", [0.5, 1, 2, 5])
def test_hard_samples_see_cross_entropy(gamma):
    """p -> 0: the factor is 1 - gamma p^2 and 1 - gamma p^3."""
    for p, made, power in ((3e-4, CEFL, 2), (3e-4, CEFL2, 3)):
        logits = odds_of(p).astype("float64")
        function = {CEFL: reference.cefl, CEFL2: reference.cefl2}[made]
        label = np.array([0])
        exact = function(label, logits, gamma) / reference.cross_entropy(
            label, logits
        )
        assert (1 - exact[0]) / p**power == pytest.approx(gamma, rel=2e-3)
    assert 1 - factor(CEFL(gamma), odds_of(0.01)) == pytest.approx(
        gamma * 0.01**2, rel=0.05
    )
    assert 1 - factor(CEFL2(gamma), odds_of(0.03)) == pytest.approx(
        gamma * 0.03**3, rel=0.1
    )


@pytest.mark.parametrize("gamma", [0.5, 1, 2, 5])
def test_easy_samples_do_not_see_focal_loss(gamma):
    """p -> 1: what the factors of CEFL and CEFL2 tend to."""
    left = 1e-5
    logits = odds_of(1 - left)
    cefl = left if gamma > 1 else left**gamma
    cefl2 = left ** min(gamma, 2)
    cefl *= 2 if gamma == 1 else 1
    cefl2 *= 2 if gamma == 2 else 1
    assert factor(CEFL(gamma), logits) == pytest.approx(cefl, rel=5e-3)
    assert factor(CEFL2(gamma), logits) == pytest.approx(cefl2, rel=5e-3)


def test_how_far_from_focal_loss_at_p_0_999():
    logits = odds_of(0.999)
    focal = factor(Focal(2), logits)
    assert factor(CEFL(2), logits) / focal == pytest.approx(1001, abs=0.5)
    assert factor(CEFL2(2), logits) / focal == pytest.approx(2.00, abs=0.005)


def test_ldam_asks_a_margin_of_the_rare_class():
    """A rare sample has half a cosine less; the others' logits stay."""
    cosines = np.array([[0.6, 0.1, 0, 0, 0.6]], "float32")
    loss = LDAM(COUNTS)
    plain = values(CrossEntropy(), [4], 30 * (cosines - [0, 0, 0, 0, 0.5]))
    assert values(loss, [4], 30 * cosines)[0] == pytest.approx(plain[0])
    assert values(loss, [0], 30 * cosines) < values(loss, [4], 30 * cosines)


def test_all_of_this_holds_on_jax():
    if keras.backend.backend() == "jax":
        pytest.skip("these tests run on JAX already")
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed: pip install -r requirements.txt")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
