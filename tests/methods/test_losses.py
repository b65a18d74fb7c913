"""Losses against their papers' formulas in float64, Keras and scikit-learn.

The same file passes on JAX, with ``KERAS_BACKEND=jax``.
"""

import importlib.util
import os
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
import reference
from sklearn.metrics import log_loss

from helpers.imbalance.counts import balanced_weights
from helpers.methods.losses import (
    CEFL,
    CEFL2,
    LDAM,
    BalancedSoftmax,
    CrossEntropy,
    Focal,
    LabelCountBalance,
    LogitAdjusted,
    LossTotalBalance,
    WeightedCrossEntropy,
    check_labels,
)

CLASSES = 5
COUNTS = np.array([500, 40, 7, 90, 1])
WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0, 0.1])
EFFECTIVE = reference.effective_number_weights(COUNTS, 0.999)
CAP = 1.5


FOCUSED = {
    Focal: reference.focal,
    CEFL: reference.cefl,
    CEFL2: reference.cefl2,
}
BALANCES = [LabelCountBalance(), LossTotalBalance(), LossTotalBalance(CAP)]
LOSSES = [
    CrossEntropy(),
    WeightedCrossEntropy(WEIGHTS),
    WeightedCrossEntropy(EFFECTIVE),
    Focal(1, EFFECTIVE),
    Focal(2, 0.75),
    Focal(2, WEIGHTS),
    LogitAdjusted(COUNTS),
    LogitAdjusted(COUNTS, 2),
    BalancedSoftmax(COUNTS),
    LDAM(COUNTS),
    LDAM(COUNTS, 0.3, 8),
    *(made(gamma) for made in FOCUSED for gamma in (0, 0.5, 1, 2, 5)),
    *BALANCES,
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda x: x.name)
every_balance = pytest.mark.parametrize("loss", BALANCES, ids=lambda x: x.name)


def in_words(loss):
    """What a loss is in `reference`, and its weights, without a gradient."""
    if loss in BALANCES:
        return (
            reference.cross_entropy,
            lambda y, z: reference.balancing_weights(
                y, z, loss.name, loss.cap
            ),
        )
    numbers = {key: getattr(loss, key) for key in loss.parameters}
    unweighted = partial(getattr(reference, loss.name), **numbers)
    return unweighted, lambda y, z: np.ones(len(y))


def batch_from_usual_to_extreme():
    """Labels (N,) and float32 logits (N, 5)."""
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


LABELS, LOGITS = batch_from_usual_to_extreme()
# A batch for balances: class 3 is absent, class 4 has one sample.
FEW = np.array([0] * 13 + [1] * 6 + [2] * 4 + [4])
FEW_LOGITS = np.random.default_rng(0).normal(0, 2, (24, 5)).astype("float32")


@pytest.fixture
def batch():
    """Ordinary logits.  One shape everywhere: JAX compiles for each."""
    generator = np.random.default_rng(4)
    return LABELS, generator.normal(0, 3, LOGITS.shape).astype("float32")


def value(loss, labels, logits, **options):
    return float(keras.ops.convert_to_numpy(loss(labels, logits, **options)))


def values(loss, labels, predictions):
    return keras.ops.convert_to_numpy(loss.call(labels, predictions))


def gradient(loss, labels, predictions):
    """Gradient of the batch's summed loss, shaped as the predictions."""
    x = keras.ops.convert_to_tensor(predictions)
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: loss.call(labels, x).sum())(x))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(loss.call(labels, x))
    return tape.gradient(total, x).numpy()


def sums(labels, values):
    """Sum of the values of each class, (C,)."""
    return np.bincount(labels, values, minlength=CLASSES)


def odds_of(p):
    """Logits of two classes whose first one has probability p."""
    logits = np.zeros((1, 2), "float32")
    logits[0, 0] = np.log(p) - np.log1p(-p)
    return logits


ZEROS, SURE = np.zeros((1, 2), "float32"), odds_of(0.75)


@pytest.mark.parametrize(
    ("loss", "labels", "logits", "expected"),
    [
        (CrossEntropy(), [1], ZEROS, [0.6931]),
        (WeightedCrossEntropy([0.5, 2.0]), [1], ZEROS, [1.3863]),
        (Focal(2), [0], SURE, [0.01798]),
        (CEFL(2), [0], SURE, [0.08541]),
        (CEFL2(2), [0], SURE, [0.04495]),
        (LogitAdjusted([3, 1]), [1], ZEROS, [1.3863]),
        (BalancedSoftmax([3, 1]), [1], ZEROS, [1.3863]),
        (LDAM([16, 1], 0.5, 2), [1], ZEROS, [1.3133]),
        (LDAM([16, 1], 0.5, 2), [0], ZEROS, [0.9741]),
        (LabelCountBalance(), [0, 0, 0, 1], ZEROS, [0.4621] * 3 + [1.3863]),
        (LossTotalBalance(), [0, 0, 0, 1], ZEROS, [0.4621] * 3 + [1.3863]),
        (LossTotalBalance(), [0, 1], odds_of(0.75), [0.8370] * 2),
    ],
)
def test_the_docstrings_numbers(loss, labels, logits, expected):
    logits = np.repeat(logits, len(labels), axis=0)
    digits = len(str(expected[0]).split(".")[1])
    for result, number in zip(
        values(loss, labels, logits), expected, strict=True
    ):
        assert round(float(result), digits) == number


@every_loss
def test_values_and_gradients_are_the_papers(loss):
    unweighted, weights_of = in_words(loss)
    for labels, logits in ((LABELS, LOGITS), (FEW, FEW_LOGITS)):
        exact = logits.astype("float64")
        weights = weights_of(labels, exact)
        expected = weights * unweighted(labels, exact)
        slopes = reference.gradient(unweighted, labels, exact)
        slopes = weights[:, None] * slopes
        for found, wanted in (
            (values(loss, labels, logits), expected),
            (gradient(loss, labels, logits), slopes),
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1, 2])
@pytest.mark.parametrize("made", FOCUSED)
def test_what_is_left_of_one_minus_p_is_right(made, gamma):
    """Relative error at 1 - p from 4e-5 to 3e-7, where 1 - p rounds."""
    logits = np.zeros((6, 3), "float32")
    logits[:, 1] = np.linspace(10.8, 15.7, 6)
    labels = np.full(6, 1)
    exact = logits.astype("float64")

    def wanted(y, z):
        return FOCUSED[made](y, z, gamma)

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
def test_finite_at_the_extremes(loss, size):
    rows = np.array([[1, 0, -1, 0, 0], [1, 1, 1, 1, 1]], "float32")
    logits = np.resize(size * rows, LOGITS.shape)
    assert np.isfinite(values(loss, LABELS, logits)).all()
    assert np.isfinite(gradient(loss, LABELS, logits)).all()


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(loss, dtype):
    logits = keras.ops.cast(LOGITS, dtype)
    rounded = keras.ops.convert_to_numpy(keras.ops.cast(logits, "float32"))
    result = loss.call(LABELS, logits)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(result),
        values(loss, LABELS, rounded),
        rtol=1e-6,
    )
    half = keras.ops.cast(gradient(loss, LABELS, logits), "float32")
    step = 2**-11 if dtype == "float16" else 2**-8
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(half),
        gradient(loss, LABELS, rounded),
        rtol=step,
        atol=1e-6,
    )


def fitted(loss, logits, labels, rate, **options):
    """A Dense layer of ones, trained by Keras; its history."""
    dense = keras.layers.Dense(5, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((5,)), dense])
    model.compile(keras.optimizers.SGD(rate), loss)
    history = model.fit(logits, labels, verbose=0, **options)
    return model.get_weights(), history.history["loss"]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("loss", [CEFL2(2), LDAM(COUNTS)])
def test_trains_under_mixed_precision(batch, policy, loss):
    labels, logits = batch
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        # Keras lowers its loss scale until the gradients are finite.
        (kernel, _), history = fitted(loss, logits, labels, 0.01, epochs=8)
    finally:
        keras.config.set_dtype_policy(before)
    assert np.isfinite(history).all()
    assert np.isfinite(kernel).all()
    assert np.abs(kernel - 1).max() > 0


@every_loss
def test_sample_weights_multiply_the_losses(loss, batch):
    labels, logits = batch
    weights = np.linspace(0, 2, len(labels)).astype("float32")
    expected = (weights * values(loss, labels, logits)).mean()
    assert value(loss, labels, logits, sample_weight=weights) == pytest.approx(
        expected, rel=1e-5
    )


def test_labels_that_do_not_fit_are_refused(batch):
    labels, logits = batch
    one_hot = np.eye(5, dtype=int)[labels]
    # The last of these would be broadcast without a word.
    for given in (one_hot, labels[:, None], labels[:-1], labels[:1]):
        for called in (CrossEntropy(), CrossEntropy().call):
            with pytest.raises(ValueError, match="labels: .* got shape"):
                called(given, logits)


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


def test_names_are_the_classes_in_words():
    names = {"cross_entropy", "cefl2", "ldam", "label_count_balance"}
    assert set(ONE_OF_EACH) >= names


@each_loss
def test_what_is_no_class_index_is_refused(loss):
    for labels in ([-1, 0], [3, 0], [2**32, 0]):
        for given in (labels, np.array(labels)):
            for called in (loss, loss.call):
                with pytest.raises(ValueError, match="class indices 0 to 2"):
                    called(given, THREE)


@each_loss
def test_floats_are_no_class_indices(loss):
    """As Keras calls a loss; its `call` gets floats from Keras itself."""
    for given in ([0.5, 1.0], [0.0, 1.0], np.eye(3)[:2]):
        with pytest.raises(ValueError, match="labels: .* must be integers"):
            loss(np.array(given), THREE)
    with pytest.raises(ValueError, match=r"labels: .* got 0\.5"):
        loss.call(np.array([0.5, 1.0]), THREE)
    np.testing.assert_array_equal(
        values(loss, np.array([0.0, 1.0]), THREE), values(loss, [0, 1], THREE)
    )


@each_loss
def test_one_output_column_is_refused(loss):
    with pytest.raises(ValueError, match="one output column"):
        loss([0, 1], THREE[:, :1])


def test_every_type_of_index_gives_the_same_number():
    """Logits log(1, 2, 5) and label 1: p = 2 / 8, the loss is log 4."""
    logits = np.log([[1, 2, 5], [1, 2, 5]]).astype("float32")
    kinds = [np.array([1, 1], dtype) for dtype in "bBhHiIlL"]
    kinds += [np.array([True, True]), [1, 1]]
    kinds += [keras.ops.convert_to_tensor(kind) for kind in kinds[::2]]
    for labels in kinds:
        assert value(CrossEntropy(), labels, logits) == pytest.approx(
            np.log(4), rel=1e-6
        )


@pytest.mark.parametrize("loss", [CEFL2(2), LossTotalBalance()])
def test_in_compiled_code_a_bad_label_gives_nan(loss):
    def loss_in_training(labels):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model.compile("sgd", loss)
        history = model.fit(THREE, np.array(labels), verbose=0)
        return history.history["loss"][0]

    assert np.isfinite(loss_in_training([2, 0]))
    assert np.isnan(loss_in_training([3, 0]))
    with pytest.raises(ValueError, match="labels: .* must be integers"):
        loss_in_training([2.0, 0.0])


@pytest.mark.parametrize(
    "bad", [[0.0, 1.0], [[0, 1]], [0, -1], [True, False], ["a", "b"]]
)
def test_training_labels_are_checked(bad):
    check_labels([0, 2])
    with pytest.raises(ValueError, match="labels"):
        check_labels(bad)


A_CLASS = [[[1, 2, 3, 4, 5]], [[50, 4, 3, 2, 6]]]
A_SET = [[0.5], [2]]


@pytest.mark.parametrize(
    ("made", "numbers"),
    [
        (WeightedCrossEntropy, A_CLASS),
        (lambda alpha: Focal(2, alpha), A_CLASS),
        (Focal, A_SET),
        (CEFL, A_SET),
        (CEFL2, A_SET),
        (LogitAdjusted, A_CLASS),
        (BalancedSoftmax, A_CLASS),
        (LDAM, A_CLASS),
        (lambda _: LabelCountBalance(), A_SET),
        (lambda _: LossTotalBalance(CAP), A_SET),
    ],
)
def test_leading_axes_broadcast(batch, made, numbers):
    """Two training sets, each with numbers and batches of its own."""
    labels, logits = batch
    labels = np.stack([labels, labels[::-1] % 3])
    logits = np.stack([logits, 2 * logits])
    together = values(made(np.array(numbers)), labels, logits)
    assert together.shape == labels.shape
    for index, number in enumerate(numbers):
        alone = made(np.array(number)[0])
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
        ("cap", lambda bad: LossTotalBalance(bad[1])),
    ],
)
def test_impossible_numbers_are_refused(name, made):
    positive = name in ("counts", "cap")
    for bad in (-1, np.nan, np.inf, *([0] if positive else [])):
        with pytest.raises(ValueError, match=name):
            made([1, bad])


def test_cross_entropy_is_sklearns_log_loss(batch):
    labels, logits = batch
    p = reference.softmax(logits.astype("float64"))
    assert value(CrossEntropy(), labels, logits) == pytest.approx(
        log_loss(labels, p, labels=range(5)), rel=1e-6
    )


def test_weighted_trains_like_keras_class_weight(batch):
    labels, logits = batch
    options = {"rate": 0.1, "batch_size": len(labels)}
    (ours, _), _ = fitted(
        WeightedCrossEntropy(WEIGHTS), logits, labels, **options
    )
    (theirs, _), _ = fitted(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        logits,
        labels,
        class_weight=dict(enumerate(WEIGHTS)),
        **options,
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert np.abs(ours - 1).max() > 1e-3


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Focal(0), CrossEntropy()),
        (CEFL(0), CrossEntropy()),
        (CEFL2(0), CrossEntropy()),
        (WeightedCrossEntropy(np.ones(5)), CrossEntropy()),
        (LogitAdjusted(COUNTS, 0), CrossEntropy()),
        (Focal(0, WEIGHTS), WeightedCrossEntropy(WEIGHTS)),
        (BalancedSoftmax(COUNTS), LogitAdjusted(COUNTS, 1)),
    ],
    ids=lambda loss: loss.name,
)
def test_special_cases_are_another_loss(one, other):
    np.testing.assert_allclose(
        values(one, LABELS, LOGITS),
        values(other, LABELS, LOGITS),
        rtol=1e-5,
        atol=1e-5,
    )


def test_how_far_from_focal_loss_at_p_0_999():
    focal, cefl, cefl2 = (
        values(made(2), [0], odds_of(0.999))[0] for made in FOCUSED
    )
    assert cefl / focal == pytest.approx(1001, abs=0.5)
    assert cefl2 / focal == pytest.approx(2.00, abs=0.005)


def test_counts_of_the_whole_training_set_are_equation_1():
    labels = np.where(FEW == 4, 3, FEW)
    labels[:2] = 4
    weights = balanced_weights(np.bincount(labels))
    np.testing.assert_allclose(
        values(LabelCountBalance(), labels, FEW_LOGITS),
        values(WeightedCrossEntropy(weights), labels, FEW_LOGITS),
        rtol=1e-5,
    )
    assert weights.max() > 2


def test_gradient_of_totals_is_that_of_the_sum_of_logarithms():
    exact = FEW_LOGITS.astype("float64")
    present = np.unique(FEW)

    def sum_of_logarithms(move):
        plain = reference.cross_entropy(FEW, exact + move)
        return np.log(sums(FEW, plain)[present]).sum()

    differences = np.empty_like(exact)
    for place in np.ndindex(exact.shape):
        move = np.zeros_like(exact)
        move[place] = 1e-6
        ahead, behind = sum_of_logarithms(move), sum_of_logarithms(-move)
        differences[place] = (ahead - behind) / 2e-6
    share = reference.cross_entropy(FEW, exact).sum() / len(present)
    np.testing.assert_allclose(
        gradient(LossTotalBalance(), FEW, FEW_LOGITS),
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
    balanced = values(LossTotalBalance(), labels, logits)
    half = 5 * np.log(5) / 2 + np.log1p(4 * np.exp(-float(margin))) / 2
    assert sums(labels, balanced)[:2] == pytest.approx([half] * 2, rel=1e-5)
    # -p_y' times the weight: the slope at the learnt class does not fade ...
    slope = gradient(LossTotalBalance(), labels, logits)[5, 1]
    assert slope == pytest.approx(-half, rel=0.05)
    # ... but does where the weight is capped.
    slope = gradient(LossTotalBalance(CAP), labels, logits)[5, 1]
    assert slope == pytest.approx(-4 * CAP * np.exp(-float(margin)), rel=0.05)


@every_balance
@pytest.mark.parametrize("labels", [[2] * len(FEW), [2]])
def test_a_batch_of_one_class_is_left_as_it_is(loss, labels):
    logits = FEW_LOGITS[: len(labels)]
    for of in (values, gradient):
        np.testing.assert_allclose(
            of(loss, labels, logits),
            of(CrossEntropy(), labels, logits),
            rtol=1e-4,
            atol=1e-6,
        )


@pytest.mark.parametrize("cap", [None, CAP])
def test_a_class_without_loss_is_left_out(cap):
    logits = FEW_LOGITS.copy()
    logits[-1, 4] = 1e4
    loss = LossTotalBalance(cap) if cap else LossTotalBalance()
    result = values(loss, FEW, logits)
    rest = values(loss, FEW[:-1], logits[:-1])
    np.testing.assert_allclose(result, [*rest, 0], rtol=1e-6)
    slopes = gradient(loss, FEW, logits)
    assert np.isfinite(slopes).all() and not slopes[-1].any()
    if cap is None:
        plain = values(CrossEntropy(), FEW, logits).sum()
        assert result.sum() == pytest.approx(plain, rel=1e-6)


@every_balance
def test_a_batch_without_loss(loss):
    logits = 1e4 * np.eye(CLASSES, dtype="float32")[FEW]
    assert not values(loss, FEW, logits).any()
    assert not gradient(loss, FEW, logits).any()


def test_the_losses_are_the_same_on_jax():
    if keras.backend.backend() == "jax":
        pytest.skip("these tests run on JAX already")
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed: pip install -r requirements.txt")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__]
        + ["-k", "papers or compiled or type_of_index"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
