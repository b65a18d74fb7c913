"""The head bank against plain Keras, and what its methods share."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers.imbalance.sampling import resample
from helpers.imbalance.splits import Split
from helpers.methods.losses import COSINE_SCALE
from helpers.methods.post_hoc import prior_offsets, tuned_offsets
from helpers.methods.registry import METHODS
from helpers.models.layers import head_initializers, head_layers
from helpers.training.heads import (
    HeadSettings,
    RunningScores,
    epoch_batches,
    train_heads,
)

METHOD_NAMES = ["cross_entropy", "weighted_cross_entropy"]
SETTINGS = HeadSettings(dense=16, dropout=0.0, epochs=3)
LATE = 2  # four fifths of three epochs


@pytest.fixture(scope="module")
def study():
    """Five overlapping classes, the last one rare; two views."""
    generator = np.random.default_rng(0)
    labels = generator.choice(5, 400, p=[0.4, 0.2, 0.2, 0.15, 0.05])
    centres = generator.normal(size=(5, 40))
    plain = centres[labels] + generator.normal(0, 2, (400, 40))
    noisy = plain + generator.normal(0, 0.5, plain.shape)
    return np.stack([plain, noisy]).astype("float32"), labels


def run(seed, first=0):
    rows = np.random.default_rng(first).permutation(400)
    return Split("random", rows[:256], rows[256:320], rows[320:], seed)


class Cosine(keras.layers.Layer):
    """A cosine classifier, as a reader would write it."""

    def __init__(self, n_classes, width, seed):
        super().__init__()
        kernel = head_initializers(seed)[1]((width, n_classes))
        self.kernel = self.add_weight(
            shape=kernel.shape, initializer=lambda shape, dtype: kernel
        )

    def call(self, x):
        length = keras.ops.norm(x, axis=-1, keepdims=True)
        size = keras.ops.norm(self.kernel, axis=0)
        return COSINE_SCALE * (x @ self.kernel) / (length * size)


def plain_keras(features, labels, run, name, settings, epochs):
    """Logits of all rows after ``epochs``, one Keras model, same batches."""
    method = METHODS[name]
    view = features[0]
    part = view[run.train]
    x = (view - part.mean(axis=0)) / part.std(axis=0)
    counts = np.bincount(labels[run.train], minlength=5)
    head = head_layers(5, settings.dense, 0.0, run.seed)
    if method.cosine:
        head[-1] = Cosine(5, settings.dense, run.seed)
    model = keras.Sequential([keras.Input(x.shape[1:]), *head])
    model.compile(
        keras.optimizers.Adam(settings.learning_rate), method.loss(counts)
    )
    rows = epoch_batches(1, labels, [run], settings, method.sampler)[:, 0]
    steps = len(rows) // settings.epochs
    for step, batch in enumerate(rows[: epochs * steps]):
        weights = None
        if method.late_weights and step >= LATE * steps:
            weights = method.late_weights(counts)[labels[batch]]
        model.train_on_batch(x[batch], labels[batch], weights)
    return model.predict(x, verbose=0)


def test_logits_agree_with_plain_keras(study):
    features, labels = study
    runs = [run(0), run(1, first=1)]
    bank = train_heads(features[:1], labels, runs, METHOD_NAMES, SETTINGS)
    for m, method in enumerate(METHOD_NAMES):
        for r, one in enumerate(runs):
            epochs = bank.best_epoch[m, r]
            expected = plain_keras(
                features, labels, one, method, SETTINGS, epochs
            )
            np.testing.assert_allclose(
                bank.logits[m, r], expected, atol=1e-3, rtol=0
            )
    assert np.abs(bank.logits).max() > 0.5


def test_every_method_trains_as_it_would_alone(study):
    """All of the registry in one program; some of it against plain Keras."""
    features, labels = study
    one = run(0)
    bank = train_heads(features[:1], labels, [one], list(METHODS), SETTINGS)
    logits = dict(zip(METHODS, bank.logits[:, 0], strict=True))
    counts = np.bincount(labels[one.train], minlength=5)
    assert np.isfinite(bank.logits).all()
    for name in (
        "focal_a1_g2",
        "cefl_g5",
        "balanced_softmax",
        "ldam",
        "ldam_drw",
        "over_sampling",
        "under_sampling",
    ):
        epochs = bank.best_epoch[list(METHODS).index(name), 0]
        expected = plain_keras(features, labels, one, name, SETTINGS, epochs)
        np.testing.assert_allclose(logits[name], expected, atol=2e-3, rtol=0)
    assert np.abs(logits["ldam"]).max() < COSINE_SCALE
    plain = logits["cross_entropy"]
    np.testing.assert_allclose(
        logits["logit_adjusted_post_hoc_t1"],
        plain + prior_offsets(counts),
        atol=1e-4,
    )
    np.testing.assert_allclose(
        logits["threshold_moving"],
        plain + tuned_offsets(plain[one.val], labels[one.val]),
        atol=1e-4,
    )
    for name, own in logits.items():
        assert name == "cross_entropy" or np.abs(own - plain).max() > 1e-3


def test_running_scores_are_of_each_methods_own_batches():
    """Three methods on two streams, two runs; the second method is wrong."""
    labels = np.random.default_rng(0).integers(5, size=(2, 2, 8))
    logits = 9 * np.eye(5, dtype="float32")[labels[[0, 1, 1]]]
    logits[1] *= -1
    running = RunningScores([0, 1, 1], 2)
    running.update_state(labels[None], logits.swapaxes(0, 1)[None])
    np.testing.assert_array_equal(running.scores()[1], [[1, 0, 1]] * 2)
    assert (running.scores()[0][:, [0, 2]] < 0.01).all()


def test_late_weights_change_nothing_before_their_time(study):
    features, labels = study
    trained = train_heads(
        features,
        labels,
        [run(0)],
        ["cross_entropy", "cross_entropy_drw"],
        SETTINGS,
    )
    table = trained.history.query("metric == 'loss' and part == 'val'")
    plain, late = (
        table[table.method == name].value.to_numpy()
        for name in trained.methods
    )
    np.testing.assert_allclose(late[:LATE], plain[:LATE], rtol=1e-6)
    assert abs(late[LATE] - plain[LATE]) > 1e-3
    assert trained.best_epoch[1, 0] == LATE + 1


def test_scores_agree_with_plain_keras_after_full_training(study):
    """With dropout: not the same numbers, but the same scores."""
    features, labels = study
    settings = HeadSettings(dense=16, dropout=0.3, epochs=12)
    runs = [run(seed) for seed in range(6)]
    bank = train_heads(features[:1], labels, runs, METHOD_NAMES[:1], settings)
    mine, keras_own = [], []
    for one, logits in zip(runs, bank.logits[0], strict=True):
        part = features[0, one.train]
        x = (features[0] - part.mean(axis=0)) / part.std(axis=0)
        keras.utils.set_random_seed(one.seed)
        model = keras.Sequential(
            [keras.Input(x.shape[1:]), *head_layers(5, 16, 0.3, one.seed)]
        )
        model.compile(
            keras.optimizers.Adam(1e-3), METHODS["cross_entropy"].loss(None)
        )
        model.fit(x[one.train], labels[one.train], epochs=12, verbose=0)
        guessed = model.predict(x[one.test], verbose=0).argmax(axis=1)
        keras_own.append((guessed == labels[one.test]).mean())
        predicted = logits[one.test].argmax(axis=1)
        mine.append((predicted == labels[one.test]).mean())
    spread = np.std(keras_own, ddof=1) + np.std(mine, ddof=1)
    assert abs(np.mean(mine) - np.mean(keras_own)) < max(spread, 0.03)


def test_a_seed_does_not_depend_on_its_company(study):
    features, labels = study
    settings = replace(SETTINGS, dropout=0.3)
    alone = train_heads(
        features, labels, [run(1)], ["cross_entropy"], settings
    )
    among = train_heads(
        features, labels, [run(0), run(1)], METHOD_NAMES, settings
    )
    np.testing.assert_allclose(
        alone.logits[0, 0], among.logits[0, 1], atol=1e-4
    )


def test_methods_that_are_equal_give_equal_heads(study):
    """Same weights, batches and dropout: only the loss may differ."""
    features, labels = study
    settings = replace(SETTINGS, dropout=0.3)
    twins = train_heads(
        features, labels, [run(0)], ["cross_entropy"] * 2, settings
    )
    np.testing.assert_array_equal(twins.logits[0], twins.logits[1])
    both = train_heads(features, labels, [run(0)], METHOD_NAMES, settings)
    assert np.abs(both.logits[0] - both.logits[1]).max() > 0.01


def test_best_epoch_has_the_best_validation_score(study):
    features, labels = study
    trained = train_heads(features, labels, [run(0)], METHOD_NAMES, SETTINGS)
    history = trained.history.query("part == 'val' and metric == 'macro_f1'")
    for m, method in enumerate(METHOD_NAMES):
        curve = history[history.method == method].set_index("epoch").value
        assert trained.best_epoch[m, 0] == curve.idxmax()
    assert set(trained.history.part) == {"train", "val"}


def test_every_row_once_before_any_twice():
    one = run(0)
    settings = HeadSettings(batch_size=32, epochs=2)
    rows = epoch_batches(3, np.zeros(400), [one], settings)
    assert rows.shape == (16, 1, 32)
    first = np.sort(rows[:8].ravel() % 400)
    np.testing.assert_array_equal(first, np.sort(one.train))
    assert set(rows.ravel() // 400) == {0, 1, 2}


@pytest.mark.parametrize("sampler", ["over", "under"])
def test_samplers_make_up_the_stream(study, sampler):
    _, labels = study
    one = run(0)
    settings = HeadSettings(batch_size=20, epochs=40)
    rows = epoch_batches(1, labels, [one], settings, sampler)
    assert len(rows) == 40 * 13
    pool = one.train[resample(labels[one.train], sampler, one.seed)]
    stream = rows[:, 0].ravel()
    assert set(stream) == set(pool) <= set(one.train)
    np.testing.assert_array_equal(np.sort(stream[: len(pool)]), np.sort(pool))
    shares = np.bincount(labels[stream]) / len(stream)
    np.testing.assert_allclose(shares, 0.2, atol=0.01)


def test_test_rows_never_train(study):
    features, labels = study
    one = run(0)
    names = [*METHOD_NAMES, "under_sampling", "threshold_moving"]
    scrambled = labels.copy()
    scrambled[one.test] = 0
    spoilt = features.copy()
    spoilt[:, one.test] = 1e3
    honest = train_heads(features, labels, [one], names, SETTINGS)
    other = train_heads(spoilt, scrambled, [one], names, SETTINGS)
    np.testing.assert_array_equal(
        honest.logits[:, :, one.val], other.logits[:, :, one.val]
    )


def test_bad_input_is_named(study):
    features, labels = study
    with pytest.raises(ValueError, match="focus"):
        train_heads(features, labels, [run(0)], ["focus"], SETTINGS)
    with pytest.raises(ValueError, match="features"):
        train_heads(features[0], labels, [run(0)], METHOD_NAMES, SETTINGS)
    for bad in (labels - 1, labels + 0.5, np.eye(3)[labels % 3]):
        with pytest.raises(ValueError, match="labels"):
            train_heads(features, bad, [run(0)], METHOD_NAMES, SETTINGS)
