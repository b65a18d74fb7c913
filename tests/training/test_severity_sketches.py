"""Heads on frozen maps, whole networks and probes: rows, scores, differences.

All networks here are fakes of a few weights.
"""

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from helpers.imbalance.splits import Split
from helpers.papers.claims import read_claims
from helpers.training import severity_sketches as sketches
from helpers.training.severity_sketches import WHOLE, Network, Trained
from helpers.training.severity_studies import Scored

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
# A colour a grade.
IMAGES = RNG.integers(0, 60, (60, 32, 32, 3)).astype("uint8")
IMAGES[np.arange(60), ..., LABELS] += 150
RUN = Split(
    "random", np.arange(36), np.arange(36, 40), np.arange(40, 60), None
)
VGG = Network("VGG16", "imagenet")
LITE = Network("EfficientNet-Lite0", "imagenet")
ASKED = []


def fake_base(name, weights, image_shape, seed=0):
    """Means over blocks of the image, and a feature that never varies."""
    ASKED.append((name, weights))
    flat = keras.layers.Conv2D(1, 1, kernel_initializer="zeros")
    inputs = keras.Input(image_shape)
    maps = keras.layers.AveragePooling2D(8)(inputs)
    maps = keras.layers.Concatenate()([maps, flat(maps)])
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    return keras.Model(inputs, pooled)


@pytest.fixture(autouse=True, scope="module")
def no_packages():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketches, "base_network", fake_base)
        patch.setattr(
            sketches, "weights_identity", lambda name, weights, seed=0: weights
        )
        yield


@pytest.fixture(scope="module")
def made(no_packages):
    ASKED.clear()
    chosen = [VGG, LITE, Network("VGG16", "random")]
    return sketches.frozen_rows(
        chosen, IMAGES, LABELS, RUN, [0, 1], None, epochs=15
    )


def test_rows_are_the_sketches_and_other_preprocessing(made):
    table, graded = made
    rows = [
        (key.network, key.preprocessing, key.pooling, key.rate)
        for key in graded
    ]
    rates = (1e-4, 1e-3)
    average = [("keras", "average", rate) for rate in rates]
    gate = [("keras", "attention", rate) for rate in rates]
    divided = ("divide_by_255", "average", 1e-3)
    vgg = [*average, divided, ("none", "average", 1e-3), *gate]
    assert rows == [
        *((VGG, *row) for row in vgg),
        *((LITE, *row) for row in (*average, divided, *gate)),
        *((Network("VGG16", "random"), *row) for row in vgg),
    ]
    assert list(table["network"]) == [key.network.name for key in graded]
    assert list(table["preprocessing"]) == [
        key.preprocessing for key in graded
    ]
    # One network for all that is trained on it.
    assert ASKED[:3] == [VGG, LITE, ("VGG16", "random")]


def test_scores_are_those_of_the_grades(made):
    table, graded = made
    said = graded[Trained(VGG, "keras", "average", 1e-3)]
    assert said.shape == (2, 20)
    truth = LABELS[RUN.test]
    row = table.query(
        "network == 'VGG16' and weights == 'imagenet' and rate == 1e-3"
        " and preprocessing == 'keras' and pooling == 'average'"
    ).iloc[0]
    kappas = [cohen_kappa_score(truth, s, weights="quadratic") for s in said]
    assert row["kappa"] == pytest.approx(np.mean(kappas))
    hits = [accuracy_score(truth, s) for s in said]
    assert row["accuracy"] == pytest.approx(np.mean(hits))
    assert row["accuracy"] > 0.9
    assert (row["seeds"], row["epochs"], row["image_size"]) == (2, 15, 32)


def test_gate_and_other_preprocessing_can_be_left_out(made):
    some = IMAGES, LABELS, RUN, [0, 1], None, 15, ("average",), ("keras",)
    table, graded = sketches.frozen_rows([LITE], *some)
    assert set(table.pooling) == {"average"} and len(graded) == 2
    for key, own in graded.items():
        np.testing.assert_array_equal(own, made[1][key])


def test_a_weights_file_is_one_networks_own():
    chosen = sketches.networks(
        ["VGG16", "EfficientNetB1"], ["VGG16"], "EfficientNetB1", "own.h5"
    )
    assert chosen == [
        VGG,
        ("EfficientNetB1", "own.h5"),
        ("VGG16", "random"),
    ]
    twice = sketches.networks(["VGG16"], ["VGG16"], "EfficientNetB1", "random")
    assert twice == [("VGG16", "random")]


def grades(accuracy, seed=0):
    """Grades of 200 images, by so much right, two seeds."""
    rng = np.random.default_rng(seed)
    truth = np.arange(200) % 4
    return np.where(rng.random((2, 200)) < accuracy, truth, (truth + 1) % 4)


def test_differences_decide_the_claims_on_imagenet():
    scored = Scored(np.arange(200) % 4, None)
    graded = {
        Trained(network, preprocessing, pooling, rate): grades(accuracy)
        for network, preprocessing, pooling, rate, accuracy in (
            (VGG, "keras", "average", 1e-4, 0.5),
            (VGG, "keras", "average", 1e-3, 0.7),
            (VGG, "keras", "attention", 1e-4, 0.5),
            (VGG, "none", "average", 1e-3, 0.6),
            (VGG, "keras", WHOLE, 1e-4, 0.9),
            (VGG, "keras", WHOLE, 1e-3, 0.3),
            (LITE, "keras", "average", 1e-3, 0.9),
            (LITE, "keras", WHOLE, 1e-4, 0.8),
            (Network("VGG16", "random"), "keras", "average", 1e-3, 1),
        )
    }
    table = sketches.compared(graded, scored)
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
    assert sketches.compared({}, scored).empty


def test_a_network_of_b0_itself_is_no_stand_in():
    b0 = Network("EfficientNetB0", "imagenet")
    graded = {
        Trained(network, "keras", "average", 1e-3): grades(0.8)
        for network in (VGG, LITE, b0)
    }
    table = sketches.compared(graded, Scored(np.arange(200) % 4, None))
    own = table[table.claim == "better"]
    assert list(own.after) == ["EfficientNetB0, average, 0.001"]


def fake_backbone(name, weights, image_size, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def test_whole_networks_are_trained_and_kept(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sketches, "backbone", fake_backbone)
    made = IMAGES, LABELS, RUN
    table, graded = sketches.tuned_rows(
        [LITE], *made, [0, 1], None, 2, tmp_path
    )
    assert list(table["rate"]) == [1e-4, 1e-3]
    assert list(table["pooling"]) == [WHOLE] * 2
    assert table["kappa"].between(-1, 1).all()
    assert len(list(tmp_path.iterdir())) == 4
    assert "kept" not in capsys.readouterr().out

    def refused(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(sketches, "Program", refused)
    again, said = sketches.tuned_rows([LITE], *made, [0, 1], None, 2, tmp_path)
    pd.testing.assert_frame_equal(again, table)
    for key, own in graded.items():
        np.testing.assert_array_equal(said[key], own)
    assert capsys.readouterr().out.count("kept") == 4
    with pytest.raises(AssertionError, match="trained again"):
        sketches.tuned_rows([LITE], *made, [0], None, 3, tmp_path)
    assert sketches.tuned_rows([], *made, [0], None)[0].empty


@pytest.mark.parametrize(
    ("weights", "moves"), [("imagenet", 0), ("random", 1)]
)
def test_batch_norm_keeps_what_pre_training_gave_it(
    monkeypatch, weights, moves
):
    monkeypatch.setattr(sketches, "backbone", fake_backbone)
    network = Network("EfficientNet-Lite0", weights)
    model = sketches._whole(network, IMAGES, LABELS, 0)
    norm = next(
        layer
        for layer in model.layers[0].layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    before = keras.ops.convert_to_numpy(norm.moving_mean)
    model.compile("sgd", "mse")
    target = np.zeros((60, 3))
    model.fit(IMAGES.astype("float32"), target, epochs=1, verbose=0)
    assert bool(
        (keras.ops.convert_to_numpy(norm.moving_mean) != before).any()
    ) == bool(moves)


def test_probes_score_every_image_once_a_reshuffle(monkeypatch):
    rng = np.random.default_rng(1)
    given = {
        VGG: rng.normal(size=(60, 5)),
        LITE: np.eye(3)[LABELS] + rng.normal(0, 0.1, (60, 3)),
    }
    monkeypatch.setattr(
        sketches,
        "frozen_features",
        lambda images, name, weights: given[name, weights][None],
    )
    units = np.array([f"s{k // 3}" for k in range(60)])
    table = sketches.probe_rows(
        [VGG, LITE], IMAGES, LABELS, units, [0, 1], False
    )
    by_chance, easy = table.to_dict("records")
    assert by_chance["value"] < 0.6 and easy["value"] > 0.95
    assert by_chance["minus first"] == 0
    assert easy["minus first"] == pytest.approx(
        easy["value"] - by_chance["value"]
    )
    assert easy["minus first low"] > 0
    assert set(table.score) == {"macro-F1"}
    pairs = sketches.compared_probes(table.assign(dataset="acne5"))
    assert list(pairs.claim) == ["better, lesions"]
    assert pairs.number[0] == easy["minus first"]
    without = sketches.compared_probes(table[1:].assign(dataset="acne5"))
    assert without.empty
    graded = sketches.probe_rows(
        [VGG], IMAGES, LABELS, None, [0], True
    ).assign(dataset="skin")
    assert set(graded.score) == {"kappa"}
    assert sketches.compared_probes(graded).empty


def test_labels_name_another_learning_rate_of_vgg16():
    pairs = pd.DataFrame(
        [
            ["", "B0, average, 0.001", "VGG16, average, 0.001", 0.1, 0, 1, 2],
            ["", "B0, average, 0.001", "VGG16, average, 0.0001", 2, 1, 2, 2],
            ["", "VGG16, average, 0.01", "VGG16, average, 0.1", 0, 0, 0, 2],
            ["", "B0 (random), probe, x", "VGG16, probe, x", 0, 0, 0, 2],
            ["", "B0, probe, x", "VGG16, probe, x", 0, -2, 2, 2],
        ],
        columns=sketches.COMPARED,
    )
    table = sketches.against_vgg(pairs)
    assert list(table.label) == [
        "B0, average, 0.001",
        "B0, average, 0.001 (VGG16: 0.0001)",
    ]
    assert list(table.delta) == [0.1, 2]
    assert sketches.against_vgg(pairs[2:]).empty
