"""The head bank against plain Keras, and what its methods share."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers.heads import HeadSettings, epoch_batches, train_heads
from helpers.methods import METHODS
from helpers.models import head_layers
from helpers.splits import Split

METHOD_NAMES = ["cross_entropy", "weighted_cross_entropy"]
SETTINGS = HeadSettings(dense=16, dropout=0.0, epochs=3)


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


def plain_keras(features, labels, run, method, settings, epochs):
    """Logits of all rows after ``epochs``, one Keras model, same batches."""
    view = features[0]
    part = view[run.train]
    x = (view - part.mean(axis=0)) / part.std(axis=0)
    counts = np.bincount(labels[run.train], minlength=5)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            *head_layers(5, settings.dense, 0.0, run.seed),
        ]
    )
    model.compile(
        keras.optimizers.Adam(settings.learning_rate),
        METHODS[method].loss(counts),
    )
    rows = epoch_batches(1, len(labels), [run], settings)[:, 0]
    for batch in rows[: epochs * len(rows) // settings.epochs]:
        model.train_on_batch(x[batch], labels[batch])
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
    rows = epoch_batches(3, 400, [one], HeadSettings(batch_size=32, epochs=2))
    assert rows.shape == (16, 1, 32)
    first = np.sort(rows[:8].ravel() % 400)
    np.testing.assert_array_equal(first, np.sort(one.train))
    assert set(rows.ravel() // 400) == {0, 1, 2}


def test_test_rows_never_train(study):
    features, labels = study
    one = run(0)
    scrambled = labels.copy()
    scrambled[one.test] = 0
    spoilt = features.copy()
    spoilt[:, one.test] = 1e3
    honest = train_heads(features, labels, [one], METHOD_NAMES, SETTINGS)
    other = train_heads(spoilt, scrambled, [one], METHOD_NAMES, SETTINGS)
    np.testing.assert_array_equal(
        honest.logits[:, :, one.val], other.logits[:, :, one.val]
    )


def test_bad_input_is_named(study):
    features, labels = study
    with pytest.raises(ValueError, match="focus"):
        train_heads(features, labels, [run(0)], ["focus"], SETTINGS)
    with pytest.raises(ValueError, match="features"):
        train_heads(features[0], labels, [run(0)], METHOD_NAMES, SETTINGS)
