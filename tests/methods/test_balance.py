"""Loss balance in the batch: its properties, to the rounding of float32.

The same file passes on JAX, with ``KERAS_BACKEND=jax``.
"""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import reference

from helpers.imbalance.counts import balanced_weights
from helpers.methods.balance import LabelCountBalance, LossTotalBalance
from helpers.methods.losses import CrossEntropy, WeightedCrossEntropy

N, CLASSES = 24, 5
# Class 3 is absent; class 4 has one sample.
LABELS = np.array([0] * 13 + [1] * 6 + [2] * 4 + [4])
LOGITS = np.random.default_rng(0).normal(0, 2, (N, CLASSES)).astype("float32")
CAP = 1.5
LOSSES = {
    "counts": LabelCountBalance(),
    "totals": LossTotalBalance(),
    "totals, capped": LossTotalBalance(CAP),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def sums(labels, values):
    """Sum of the values of each class, (C,)."""
    return np.bincount(labels, values, minlength=CLASSES)


def weights_in_words(labels, logits, loss):
    """Weights of the samples, in float64 and one class after another."""
    own = reference.cross_entropy(labels, logits.astype("float64"))
    mass = np.ones(len(labels)) if loss is LOSSES["counts"] else own
    there = [c for c in range(CLASSES) if mass[labels == c].sum() > 0]
    weights = np.zeros(len(labels))
    for c in there:
        equal = mass.sum() / len(there)
        weights[labels == c] = equal / mass[labels == c].sum()
    if loss is LOSSES["totals, capped"]:
        weights = np.minimum(weights, CAP)
    return weights, own


def values(loss, labels, logits):
    return keras.ops.convert_to_numpy(loss.call(labels, logits))


def gradient(loss, labels, logits):
    """Gradient of the batch's summed loss, shaped as the logits."""
    x = keras.ops.convert_to_tensor(logits)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: loss.call(labels, x).sum())(x))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(loss.call(labels, x))
    return tape.gradient(total, x).numpy()


def cross_entropy_gradient(labels, logits):
    return (
        reference.softmax(logits.astype("float64")) - np.eye(CLASSES)[labels]
    )


def test_the_docstrings_numbers():
    zeros = np.zeros((4, 2), "float32")
    for loss in (LabelCountBalance(), LossTotalBalance()):
        result = values(loss, [0, 0, 0, 1], zeros)
        assert result.round(4).tolist() == pytest.approx(
            [0.4621] * 3 + [1.3863]
        )
    sure = np.array([[np.log(3), 0]] * 2, "float32")
    result = values(LossTotalBalance(), [0, 1], sure)
    assert result.tolist() == pytest.approx([np.log(16 / 3) / 2] * 2)
    assert result[0] == pytest.approx(0.8370, abs=5e-5)


@every_loss
def test_values_and_gradients_in_words(loss):
    weights, own = weights_in_words(LABELS, LOGITS, loss)
    np.testing.assert_allclose(
        values(loss, LABELS, LOGITS), weights * own, rtol=1e-5
    )
    np.testing.assert_allclose(
        gradient(loss, LABELS, LOGITS),
        weights[:, None] * cross_entropy_gradient(LABELS, LOGITS),
        rtol=1e-4,
        atol=1e-6,
    )


def test_counts_give_every_present_class_the_same_weight():
    own = reference.cross_entropy(LABELS, LOGITS.astype("float64"))
    weights = values(LOSSES["counts"], LABELS, LOGITS) / own
    assert weights.sum() == pytest.approx(N, rel=1e-6)
    share = N / 4
    assert sums(LABELS, weights) == pytest.approx(
        [share, share, share, 0, share], rel=1e-5
    )


def test_counts_of_the_whole_training_part_are_equation_1():
    labels = np.where(LABELS == 4, 3, LABELS)
    labels[:2] = 4
    weights = balanced_weights(np.bincount(labels))
    expected = WeightedCrossEntropy(weights)
    np.testing.assert_allclose(
        values(LOSSES["counts"], labels, LOGITS),
        values(expected, labels, LOGITS),
        rtol=1e-5,
    )
    assert weights.max() > 2


def test_totals_give_every_present_class_the_same_loss_and_keep_the_sum():
    own = values(CrossEntropy(), LABELS, LOGITS)
    balanced = values(LOSSES["totals"], LABELS, LOGITS)
    assert balanced.sum() == pytest.approx(own.sum(), rel=1e-6)
    share = own.sum() / 4
    assert sums(LABELS, balanced) == pytest.approx(
        [share, share, share, 0, share], rel=1e-5
    )
    # It was not so before.
    assert sums(LABELS, own).max() > 2 * share


def test_gradient_of_totals_is_that_of_the_sum_of_logarithms():
    exact = LOGITS.astype("float64")
    present = np.unique(LABELS)

    def sum_of_logarithms(logits):
        own = reference.cross_entropy(LABELS, logits)
        return np.log(sums(LABELS, own)[present]).sum()

    differences = np.empty_like(exact)
    for place in np.ndindex(exact.shape):
        move = np.zeros_like(exact)
        move[place] = 1e-6
        differences[place] = (
            sum_of_logarithms(exact + move) - sum_of_logarithms(exact - move)
        ) / 2e-6
    share = reference.cross_entropy(LABELS, exact).sum() / len(present)
    np.testing.assert_allclose(
        gradient(LOSSES["totals"], LABELS, LOGITS),
        share * differences,
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("margin", [5, 12, 20, 30, 60])
def test_a_class_learnt_ever_better_keeps_its_share(margin):
    """Far below where log_softmax ends in float32, and without end."""
    logits = np.zeros((6, CLASSES), "float32")
    labels = np.array([0, 0, 0, 0, 0, 1])
    logits[5, 1] = margin
    balanced = values(LOSSES["totals"], labels, logits)
    half = 5 * np.log(5) / 2 + np.log1p(4 * np.exp(-float(margin))) / 2
    assert sums(labels, balanced)[:2] == pytest.approx([half] * 2, rel=1e-5)
    # -p_y' times the weight: the pull on the learnt class does not fade ...
    pull = gradient(LOSSES["totals"], labels, logits)[5, 1]
    assert pull == pytest.approx(-half, rel=0.05)
    # ... but does where the weight is capped.
    capped = gradient(LOSSES["totals, capped"], labels, logits)[5, 1]
    assert capped == pytest.approx(-4 * CAP * np.exp(-float(margin)), rel=0.05)


@pytest.mark.parametrize("cap", [0.1, 1, CAP, 10, 1e6])
def test_a_capped_class_contributes_less(cap):
    logits = LOGITS.copy()
    logits[-1, 4] += 8  # the one sample of class 4 is learnt
    plain = sums(LABELS, values(CrossEntropy(), LABELS, logits))
    capped = sums(LABELS, values(LossTotalBalance(cap), LABELS, logits))
    equal = plain.sum() / 4
    assert capped == pytest.approx(np.minimum(equal, cap * plain), rel=1e-4)
    assert capped.sum() <= plain.sum() * (1 + 1e-6)
    if cap == 1e6:
        assert capped.sum() == pytest.approx(plain.sum(), rel=1e-5)


@every_loss
@pytest.mark.parametrize("labels", [[2] * N, [2]])
def test_a_batch_of_one_class_is_left_as_it_is(loss, labels):
    logits = LOGITS[: len(labels)]
    np.testing.assert_allclose(
        values(loss, labels, logits),
        values(CrossEntropy(), labels, logits),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        gradient(loss, labels, logits),
        cross_entropy_gradient(np.array(labels), logits),
        rtol=1e-4,
        atol=1e-6,
    )


@every_loss
def test_an_absent_class_pulls_nothing_but_what_softmax_does(loss):
    """Its column of the gradient is the weighted p: it is pushed down."""
    weights, _ = weights_in_words(LABELS, LOGITS, loss)
    p = reference.softmax(LOGITS.astype("float64"))[:, 3]
    np.testing.assert_allclose(
        gradient(loss, LABELS, LOGITS)[:, 3], weights * p, rtol=1e-4
    )
    assert weights.min() > 0


@pytest.mark.parametrize("name", ["totals", "totals, capped"])
def test_a_class_without_loss_is_left_out(name):
    logits = LOGITS.copy()
    logits[-1, 4] = 1e4
    loss = LOSSES[name]
    result = values(loss, LABELS, logits)
    rest = values(loss, LABELS[:-1], logits[:-1])
    np.testing.assert_allclose(result, [*rest, 0], rtol=1e-6)
    pull = gradient(loss, LABELS, logits)
    assert np.isfinite(pull).all() and not pull[-1].any()
    if name == "totals":
        plain = values(CrossEntropy(), LABELS, logits).sum()
        assert result.sum() == pytest.approx(plain, rel=1e-6)


@every_loss
def test_a_batch_without_loss(loss):
    logits = 1e4 * np.eye(CLASSES, dtype="float32")[LABELS]
    assert not values(loss, LABELS, logits).any()
    assert not gradient(loss, LABELS, logits).any()


@every_loss
@pytest.mark.parametrize("size", [50, 1e4, 1e30])
def test_finite_at_the_extremes(loss, size):
    rows = np.array([[1, 0, -1, 0, 0], [1, 1, 1, 1, 1]], "float32")
    logits = np.resize(size * rows, LOGITS.shape)
    assert np.isfinite(values(loss, LABELS, logits)).all()
    assert np.isfinite(gradient(loss, LABELS, logits)).all()


@every_loss
def test_the_gradient_does_not_see_the_weights_move(loss):
    """At a point where the weights are 1, it is that of cross-entropy."""
    labels = np.arange(10) % CLASSES
    logits = np.eye(CLASSES, dtype="float32")[labels]
    np.testing.assert_allclose(
        gradient(loss, labels, logits),
        cross_entropy_gradient(labels, logits),
        rtol=1e-5,
    )


@every_loss
def test_each_batch_is_balanced_by_itself(loss):
    """Runs on a leading axis, as a bank of heads calls it."""
    other = np.random.default_rng(1).permutation(LABELS)[::-1] % 3
    labels, logits = np.stack([LABELS, other]), np.stack([LOGITS, -LOGITS])
    together = values(loss, labels.astype("float32"), logits)
    for row, one, z in zip(together, labels, logits, strict=True):
        np.testing.assert_allclose(row, values(loss, one, z), rtol=1e-6)
    joined = values(loss, labels.ravel(), logits.reshape(-1, CLASSES))
    assert not np.allclose(together.ravel(), joined, rtol=0.01)


@every_loss
def test_one_hot_column_and_float_labels(loss):
    plain = values(loss, LABELS, LOGITS)
    for labels in (
        np.eye(CLASSES)[LABELS],
        LABELS[:, None],
        LABELS.astype("float32"),
    ):
        np.testing.assert_array_equal(values(loss, labels, LOGITS), plain)


@every_loss
def test_order_in_the_batch_does_not_matter(loss):
    order = np.random.default_rng(2).permutation(N)
    np.testing.assert_allclose(
        values(loss, LABELS[order], LOGITS[order]),
        values(loss, LABELS, LOGITS)[order],
        rtol=1e-5,
    )


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(loss, dtype):
    half = keras.ops.cast(keras.ops.convert_to_tensor(LOGITS), dtype)
    result = loss.call(LABELS, half)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    rounded = keras.ops.convert_to_numpy(keras.ops.cast(half, "float32"))
    np.testing.assert_allclose(result, values(loss, LABELS, rounded))


@every_loss
def test_probabilities_give_what_logits_give(loss):
    p = reference.softmax(LOGITS.astype("float64")).astype("float32")
    again = type(loss).from_config({**loss.get_config(), "from_logits": False})
    np.testing.assert_allclose(
        values(again, LABELS, p), values(loss, LABELS, LOGITS), rtol=1e-4
    )


@every_loss
def test_survives_saving(loss):
    config = json.loads(json.dumps(keras.losses.serialize(loss)))
    again = keras.losses.deserialize(config)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert again.get_config().get("cap") == getattr(loss, "cap", None)
    np.testing.assert_array_equal(
        values(again, LABELS, LOGITS), values(loss, LABELS, LOGITS)
    )


@pytest.mark.parametrize("cap", [0, -1, np.nan, np.inf])
def test_caps_that_are_none_are_refused(cap):
    with pytest.raises(ValueError, match="cap"):
        LossTotalBalance(cap)


def model_with(loss):
    dense = keras.layers.Dense(CLASSES, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((CLASSES,)), dense])
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


@every_loss
def test_sample_weights_come_after_the_balance(loss):
    own = np.linspace(0, 2, N).astype("float32")
    result = loss(LABELS, LOGITS, sample_weight=own)
    expected = (own * values(loss, LABELS, LOGITS)).mean()
    assert float(result) == pytest.approx(expected, rel=1e-5)


@every_loss
def test_trains_in_keras_with_a_shorter_last_batch(loss):
    """Two steps of gradient descent, the same as by hand."""
    model = model_with(loss)
    model.fit(
        LOGITS, LABELS, batch_size=16, shuffle=False, epochs=1, verbose=0
    )
    kernel, bias = np.ones((CLASSES, CLASSES)), np.zeros(CLASSES)
    for part in (slice(16), slice(16, N)):
        x, y = LOGITS[part].astype("float64"), LABELS[part]
        z = x @ kernel + bias
        weights, _ = weights_in_words(y, z, loss)
        pull = weights[:, None] * cross_entropy_gradient(y, z) / len(y)
        kernel, bias = kernel - 0.1 * x.T @ pull, bias - 0.1 * pull.sum(0)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-4)
    np.testing.assert_allclose(
        model.get_weights()[1], bias, rtol=1e-4, atol=1e-6
    )


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
