"""Heads on frozen maps, whole networks and probes: rows, scores, differences.

All networks here are fakes of a few weights.
"""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from helpers import evaluation, models
from helpers.imbalance.splits import Split
from helpers.papers import read_claims
from helpers.training import severity_sketches as sketches
from helpers.training.severity_sketches import WHOLE

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
# A colour a grade.
IMAGES = RNG.integers(0, 60, (60, 32, 32, 3)).astype("uint8")
IMAGES[np.arange(60), ..., LABELS] += 150
RUN = Split(
    "random", np.arange(36), np.arange(36, 40), np.arange(40, 60), None
)
VGG = ("VGG16", "imagenet")
LITE = ("EfficientNet-Lite0", "imagenet")
RANDOM = ("VGG16", "random")
SKETCHES = sketches.Sketches(
    IMAGES, LABELS, RUN, evaluation.TestSet(LABELS[RUN.test])
)


def fake_backbone(
    name, weights, image_size, preprocessing=None, pooled=True, seed=0
):
    """Means over blocks of the image, and a feature that never varies."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((image_size, image_size, 3))
    maps = keras.layers.Rescaling(1 / 255)(inputs)
    maps = keras.layers.Conv2D(4, 1)(maps)
    maps = keras.layers.BatchNormalization()(maps)
    maps = keras.layers.AveragePooling2D(8)(maps)
    flat = keras.layers.Conv2D(1, 1, kernel_initializer="zeros")(maps)
    maps = keras.layers.Concatenate()([maps, flat])
    pool = keras.layers.GlobalAveragePooling2D()
    model = keras.Model(inputs, pool(maps) if pooled else maps)
    model.trainable = False
    return model


@pytest.fixture(autouse=True, scope="module")
def no_packages():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "backbone", fake_backbone)
        patch.setattr(
            models, "weights_identity", lambda name, weights, seed=0: weights
        )
        yield


@pytest.fixture(scope="module")
def made(no_packages):
    chosen = [VGG, LITE, RANDOM]
    poolings = ["average", "attention"]
    return SKETCHES.frozen(chosen, [0, 1], 15, poolings, models.PREPROCESSING)


def test_rows_are_the_sketches_and_other_preprocessing(made):
    table, graded = made
    average = [("keras", "average", rate) for rate in (1e-4, 1e-3)]
    gate = [("keras", "attention", rate) for rate in (1e-4, 1e-3)]
    divided = ("divide_by_255", "average", 1e-3)
    vgg = [*average, divided, ("none", "average", 1e-3), *gate]
    columns = ["network", "weights", "preprocessing", "pooling", "rate"]
    assert list(table[columns].itertuples(index=False, name=None)) == [
        *((*VGG, *row) for row in vgg),
        *((*LITE, *row) for row in (*average, divided, *gate)),
        *((*RANDOM, *row) for row in vgg),
    ]
    assert list(graded)[3] == "VGG16, average, 0.001, none"
    assert list(graded)[-1] == "VGG16 (random), attention, 0.001"


def test_scores_are_those_of_the_grades(made):
    table, graded = made
    predicted = graded["VGG16, average, 0.001"]
    assert predicted.shape == (2, 20)
    row, truth = table.iloc[1], LABELS[RUN.test]
    kappas = [
        cohen_kappa_score(truth, own, weights="quadratic") for own in predicted
    ]
    assert row["kappa"] == pytest.approx(np.mean(kappas))
    assert row["low"] <= row["kappa"] <= row["high"]
    hits = np.mean([accuracy_score(truth, own) for own in predicted])
    assert row["accuracy"] == pytest.approx(hits) and hits > 0.9
    assert (row["seeds"], row["epochs"], row["image_size"]) == (2, 15, 32)


def test_a_weights_file_is_one_networks_own():
    both = ["VGG16", "EfficientNetB1"]
    chosen = sketches.networks(both, ["VGG16"], "EfficientNetB1", "own.h5")
    assert chosen == [VGG, ("EfficientNetB1", "own.h5"), RANDOM]
    twice = sketches.networks(["VGG16"], ["VGG16"], "EfficientNetB1", "random")
    assert twice == [RANDOM]


def grades(accuracy, seed=0):
    """Grades of 200 images, by so much right, two seeds."""
    rng = np.random.default_rng(seed)
    truth = np.arange(200) % 4
    return np.where(rng.random((2, 200)) < accuracy, truth, (truth + 1) % 4)


def test_differences_decide_the_claims_on_imagenet():
    accuracies = {
        "VGG16, average, 0.0001": 0.5,
        "VGG16, average, 0.001": 0.7,
        "VGG16, attention, 0.0001": 0.5,
        "VGG16, average, 0.001, none": 0.6,
        f"VGG16, {WHOLE}, 0.0001": 0.9,
        f"VGG16, {WHOLE}, 0.001": 0.3,
        "EfficientNet-Lite0, average, 0.001": 0.9,
        f"EfficientNet-Lite0, {WHOLE}, 0.0001": 0.8,
        "VGG16 (random), average, 0.001": 1,
        "VGG16 (random), average, 0.0001": 1,
    }
    graded = {name: grades(right) for name, right in accuracies.items()}
    scored = evaluation.TestSet(np.arange(200) % 4)
    compared = replace(SKETCHES, scored=scored).compared
    table = compared(graded)
    number = table[table.claim != ""].set_index("claim")["number"]
    claims = read_claims("severity_claims")
    on_imagenet = claims.index[claims["needs"] != ""]
    assert set(number.index) == set(on_imagenet) - {"better, lesions"}
    assert number["better"] > 0 and number["as written"] > number["better"]
    assert number["rate, VGG16's head"] < 0 < number["rate, whole VGG16"]
    assert number["gate, VGG16"] == 0 > number["better, whole"]
    better = table[table.claim == "better"].iloc[0]
    assert better.after == "EfficientNet-Lite0, average, 0.001"
    assert better.before == "VGG16, average, 0.001"
    assert better.low <= better.number <= better.high
    assert "VGG16, average, 0.001, none" in set(table.before)
    assert not table.after.str.contains("random").any()
    # Lite0 stands in for B0 only where there is none.
    graded["EfficientNetB0, average, 0.001"] = grades(0.8)
    table = compared(graded)
    better = table[table.claim == "better"]
    assert list(better.after) == ["EfficientNetB0, average, 0.001"]
    assert compared({}).empty and list(compared({})) == list(table)


def test_whole_networks_are_trained_and_kept(monkeypatch, tmp_path, capsys):
    made = [LITE], [0, 1]
    table, graded = SKETCHES.whole(*made, 2, tmp_path)
    assert list(table["rate"]) == [1e-4, 1e-3]
    assert list(table["pooling"]) == [WHOLE] * 2
    assert table["kappa"].between(-1, 1).all()
    assert len(list(tmp_path.iterdir())) == 4
    assert "kept" not in capsys.readouterr().out

    def refused(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(sketches, "Program", refused)
    again, kept = SKETCHES.whole(*made, 2, tmp_path)
    pd.testing.assert_frame_equal(again, table)
    for key, own in graded.items():
        np.testing.assert_array_equal(kept[key], own)
    assert capsys.readouterr().out.count("kept") == 4
    with pytest.raises(AssertionError, match="trained again"):
        SKETCHES.whole(*made, 3, tmp_path)
    assert SKETCHES.whole([], [0], 2)[0].empty


def test_probes_score_every_image_once_a_reshuffle(monkeypatch):
    rng = np.random.default_rng(1)
    given = {
        VGG: rng.normal(size=(60, 5)),
        LITE: np.eye(3)[LABELS] + rng.normal(0, 0.1, (60, 3)),
        RANDOM: rng.normal(size=(60, 5)),
    }
    monkeypatch.setattr(
        models,
        "frozen_features",
        lambda images, name, weights: given[name, weights][None],
    )
    groups = np.array([f"s{k // 3}" for k in range(60)])
    made = IMAGES, LABELS, groups, [0, 1]
    table, pairs = sketches.probe_rows([*given], "acne5", *made, False)
    by_chance, easy, _ = table.to_dict("records")
    assert by_chance["value"] < 0.6 and easy["value"] > 0.95
    assert by_chance["minus first"] == 0
    minus = easy["value"] - by_chance["value"]
    assert easy["minus first"] == pytest.approx(minus)
    assert easy["minus first low"] > 0
    assert set(table.score) == {"macro-F1"}
    assert list(pairs.claim) == ["better, lesions", ""]
    assert pairs.number.iloc[0] == easy["minus first"]
    assert list(pairs.after) == [
        "EfficientNet-Lite0, probe, acne5",
        "VGG16 (random), probe, acne5",
    ]
    assert set(pairs.before) == {"VGG16, probe, acne5"}
    # κ where classes are grades; nothing to compare without trained VGG16.
    table, pairs = sketches.probe_rows([VGG, LITE], "skin", *made, True)
    assert set(table.score) == {"kappa"} and list(pairs.claim) == [""]
    assert sketches.probe_rows([LITE, VGG], "skin", *made, True)[1].empty
