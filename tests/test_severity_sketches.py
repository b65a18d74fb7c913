"""Heads on frozen maps: the right rows, scored on the test part."""

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from helpers import severity_sketches as sketches
from helpers.splits import Split

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
# A colour a grade.
IMAGES = RNG.integers(0, 60, (60, 32, 32, 3)).astype("uint8")
IMAGES[np.arange(60), ..., LABELS] += 150
RUN = Split(
    "random", np.arange(36), np.arange(36, 40), np.arange(40, 60), None
)
ASKED = []


def fake(name, weights, image_size, scaling, pooled):
    """Means over blocks of the picture, and a feature that never varies."""
    ASKED.append((name, weights, image_size, scaling, pooled))
    flat = keras.layers.Conv2D(1, 1, kernel_initializer="zeros")
    inputs = keras.Input((image_size, image_size, 3))
    maps = keras.layers.AveragePooling2D(8)(inputs)
    maps = keras.layers.Concatenate()([maps, flat(maps)])
    return keras.Model(inputs, maps)


@pytest.fixture
def made(monkeypatch):
    ASKED.clear()
    monkeypatch.setattr(sketches, "backbone", fake)
    return sketches.frozen_rows(
        ["VGG16", "EfficientNetB0"],
        "offline",
        IMAGES,
        LABELS,
        RUN,
        [0, 1],
        None,
        epochs=30,
    )


def test_rows_are_the_sketches_and_the_wrong_scalings(made):
    table, _ = made
    rows = list(
        table[["network", "scaling", "pooling", "rate"]].itertuples(
            index=False, name=None
        )
    )
    own = [
        ("own", pooling, rate)
        for pooling in ("average", "attention")
        for rate in (1e-4, 1e-3)
    ]
    divided = ("divided by 255", "average", 1e-3)
    vgg = [*own, ("none", "average", 1e-3), divided]
    assert rows == [
        *(("VGG16", *row) for row in vgg),
        *(("EfficientNetB0", *row) for row in (*own, divided)),
    ]
    assert {weights for _, weights, *_ in ASKED} == {"random"}
    assert not any(pooled for *_, pooled in ASKED)
    assert (table["weights"] == "random, seed 0").all()


def test_scores_are_those_of_the_grades(made):
    table, graded = made
    said = graded["VGG16"]
    assert said.shape == (2, 20)
    truth = LABELS[RUN.test]
    row = table.query(
        "network == 'VGG16' and scaling == 'own' and pooling == 'average'"
        " and rate == 1e-3"
    ).iloc[0]
    kappas = [cohen_kappa_score(truth, s, weights="quadratic") for s in said]
    assert row["kappa"] == pytest.approx(np.mean(kappas))
    hits = [accuracy_score(truth, s) for s in said]
    assert row["accuracy"] == pytest.approx(np.mean(hits))
    assert row["accuracy"] > 0.9
    assert (row["seeds"], row["epochs"]) == (2, 30)


def test_a_weights_file_is_one_networks_own():
    assert sketches.weights_for("EfficientNetB1", "offline") == "offline"
    assert sketches.weights_for("VGG16", "offline") == "random"
    assert sketches.weights_for("VGG16", "imagenet") == "imagenet"


def test_whole_networks_are_tuned(monkeypatch):
    def trainable(name, weights):
        def network(n_classes, shape, seed):
            keras.utils.set_random_seed(seed)
            layers = keras.layers
            return keras.Sequential(
                [
                    keras.Input(shape),
                    layers.Rescaling(1 / 255),
                    layers.GlobalAveragePooling2D(),
                    layers.Dense(n_classes),
                ]
            )

        return network

    monkeypatch.setattr(sketches, "trainable", trainable)
    table = sketches.tuned_rows(
        ["EfficientNetB0"], "offline", IMAGES, LABELS, RUN, [0], None, 2
    )
    assert list(table["rate"]) == [1e-4, 1e-3]
    assert list(table["network"]) == ["EfficientNetB0"] * 2
    assert table["kappa"].between(-1, 1).all()
    assert sketches.tuned_rows([], "", IMAGES, LABELS, RUN, [0], None).empty
