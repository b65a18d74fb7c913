"""Fine-tuning, on tiny pictures: the slow regime in its smallest form."""

import keras
import numpy as np
import pytest

from helpers.imbalance.splits import Split
from helpers.methods.losses import CrossEntropy
from helpers.training import fine_tuning as training
from helpers.training.fine_tuning import FineTuning, fine_tune


def small_backbone(name, weights, image_size, preprocessing="keras", seed=0):
    """In place of EfficientNetB1, whose tracing alone takes a minute."""
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


@pytest.fixture(scope="module")
def tuned():
    """Two methods, one run of two epochs on 32-pixel pictures."""
    generator = np.random.default_rng(0)
    labels = np.arange(24) % 3
    images = generator.integers(80, size=(24, 32, 32, 3))
    images[..., 0] += 80 * labels[:, None, None]
    rows = generator.permutation(24)
    run = Split("random", rows[:16], rows[16:20], rows[20:], 0)
    models = []
    real = training.compile_measured

    def watched(model, *arguments):
        models.append(model)
        real(model, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.backbones, "backbone", small_backbone)
        patch.setattr(training, "compile_measured", watched)
        outcome = fine_tune(
            images.astype("uint8"),
            labels,
            [run],
            ["cross_entropy", "weighted_cross_entropy"],
            "EfficientNetB1",
            "random",
            FineTuning(epochs=2, batch_size=8),
        )
    return outcome, models


def test_outcome_has_the_shape_of_the_head_bank(tuned):
    outcome, _ = tuned
    assert outcome.logits.shape == (2, 1, 24, 3)
    assert np.isfinite(outcome.logits).all()
    rows, logits = outcome.tested("cross_entropy", "random")
    np.testing.assert_array_equal(rows, np.sort(outcome.runs[0].test))
    np.testing.assert_array_equal(logits[0], outcome.logits[0, 0, rows])
    assert set(outcome.history.metric) == {"loss", "accuracy", "macro_f1"}
    assert outcome.history.epoch.max() == 2
    assert outcome.best_epoch.min() >= 1


def test_backbone_moves_and_batch_normalization_does_not(tuned):
    _, models = tuned
    (model,) = models  # one program for both scenarios
    backbone = model.layers[-4]
    _, convolution, normal, _ = backbone.layers
    assert np.abs(convolution.bias).max() > 0
    fresh = keras.layers.BatchNormalization()
    fresh.build((None, 30, 30, 4))
    for kept, new in zip(normal.weights, fresh.weights, strict=True):
        np.testing.assert_array_equal(kept, new)


def test_batch_normalization_trains_where_a_momentum_is_given(monkeypatch):
    monkeypatch.setattr(training.backbones, "backbone", small_backbone)
    images = np.full((4, 32, 32, 3), 90, np.uint8)
    labels = np.array([0, 1, 0, 1])
    settings = FineTuning(batch_norm_momentum=0.9)
    model = training._network(
        (32, 32, 3), 2, 0, "EfficientNetB1", "random", settings, "keras"
    )
    loss = CrossEntropy()
    training.compile_measured(model, loss, keras.optimizers.Adam(1e-3))
    normal = model.layers[-4].layers[2]
    assert normal.momentum == 0.9
    before = np.asarray(normal.moving_mean).copy()
    model.train_on_batch(images.astype("float32"), labels)
    assert not np.array_equal(before, normal.moving_mean)


def test_methods_that_are_more_than_a_loss_are_refused():
    with pytest.raises(ValueError, match="over_sampling.*cross_entropy"):
        fine_tune(
            None, None, [], ["over_sampling"], "", "random", FineTuning()
        )


def test_a_training_in_a_used_program_is_that_of_a_new_one(tmp_path):
    """Seeds, weights and Adam's averages start anew; kept ones are read."""
    generator = np.random.default_rng(1)
    images = generator.integers(256, size=(20, 32, 32, 3)).astype("uint8")
    labels, rows = np.arange(20) % 2, np.arange(20)
    runs = [
        Split("random", rows[:12], rows[12:16], rows[16:], seed)
        for seed in (0, 1)
    ]
    arguments = (["cross_entropy"], "EfficientNetB1", "random")
    settings = FineTuning(epochs=2, batch_size=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.backbones, "backbone", small_backbone)
        both = fine_tune(images, labels, runs, *arguments, settings)
        alone = fine_tune(
            images, labels, runs[1:], *arguments, settings, keep_dir=tmp_path
        )
    np.testing.assert_allclose(both.logits[0, 1], alone.logits[0, 0], 1e-5)
    assert not np.allclose(both.logits[0, 0], both.logits[0, 1])
    assert len(list(tmp_path.glob("*.npz"))) == 1
    again = fine_tune(  # the real network would take a minute
        images, labels, runs[1:], *arguments, settings, keep_dir=tmp_path
    )
    np.testing.assert_array_equal(again.logits, alone.logits)
    assert again.devices == alone.devices
    assert again.history.equals(alone.history)


def test_labels_that_are_no_class_indices_are_refused():
    for bad in (np.array([0, -1]), np.array([0.0, 1.0])):
        with pytest.raises(ValueError, match="labels"):
            fine_tune(
                None, bad, [], ["cross_entropy"], "any", "random", FineTuning()
            )


def test_methods_start_alike(tuned):
    """At equal class counts eq. (1) is 1: both methods are the same."""
    outcome, _ = tuned
    counts = np.bincount(
        (np.arange(24) % 3)[outcome.runs[0].train], minlength=3
    )
    same = np.array_equal(outcome.logits[0], outcome.logits[1])
    assert same == (len(set(counts)) == 1)


def test_scores_are_those_of_plain_cross_entropy():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    scores = training.validation_scores(np.array([0, 2]), logits)
    assert scores["loss"] == pytest.approx(-np.log([0.5, 0.1]).mean())
    assert scores["accuracy"] == 0.5
    assert scores["macro_f1"] == pytest.approx(1 / 3)


def test_folds_are_pooled_row_by_row():
    """Each row's logits come from the run that kept it for test."""
    everything = np.arange(6)
    runs = [
        Split(
            "by source", everything[:0], everything[:0], np.array(rows), seed
        )
        for seed, rows in [(7, [4, 0]), (7, [1, 5]), (7, [2, 3])]
    ]
    logits = np.zeros((1, 3, 6, 2), "float32")
    logits += np.arange(3)[None, :, None, None]
    outcome = training.Trained(("cross_entropy",), runs, logits, None, None, 0)
    rows, pooled = outcome.tested("cross_entropy", "by source")
    np.testing.assert_array_equal(rows, everything)
    np.testing.assert_array_equal(pooled[0, :, 0], [0, 1, 2, 2, 0, 1])
    with pytest.raises(ValueError, match="published"):
        outcome.tested("cross_entropy", "published")
