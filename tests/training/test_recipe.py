"""The CEFL paper's optimiser, learning rates and augmentation."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers.methods.registry import METHODS
from helpers.training.recipe import (
    PROTOCOLS,
    CoupledSGD,
    PaddedCrop,
    ResizedCrop,
    augmentation_layers,
    protocol_of,
)


def walk(optimizer, gradients, start=1.0):
    """Where a weight goes under given gradients."""
    weight = keras.Variable([start])
    path = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [weight])
        path.append(float(weight[0]))
    return path


def test_two_steps_by_hand():
    """v = 0.5 + 0.1 x 1; w = 1 - 0.1 v = 0.94; and the same once more."""
    path = walk(CoupledSGD(0.1, 0.9, l2=0.1), [0.5, 0.2])
    assert path == pytest.approx([0.94, 0.94 - 0.1 * (0.54 + 0.2 + 0.094)])


def test_a_lower_rate_counts_at_once():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [0], [0.1, 0.01]
    )
    path = walk(CoupledSGD(schedule, 0.9, l2=0.0), [0.5, 0.2])
    assert path == pytest.approx([0.95, 0.95 - 0.01 * (0.45 + 0.2)])
    keras_own = walk(keras.optimizers.SGD(schedule, 0.9), [0.5, 0.2])
    assert keras_own[1] == pytest.approx(0.95 - 0.1 * 0.45 - 0.01 * 0.2)


def test_without_decay_it_is_keras_own():
    gradients = np.random.default_rng(0).normal(size=20)
    ours = walk(CoupledSGD(0.1, 0.9, l2=0.0), gradients)
    keras_own = walk(keras.optimizers.SGD(0.1, 0.9), gradients)
    assert ours == pytest.approx(keras_own, abs=1e-5)


def test_decoupled_decay_is_ten_times_weaker():
    steps = [0.0] * 400
    ours = walk(CoupledSGD(0.1, 0.9, l2=1e-3), steps)
    decoupled = walk(keras.optimizers.SGD(0.1, 0.9, weight_decay=1e-3), steps)
    # Per step, once the momentum has built up.
    shrunk = [np.log(path[199] / path[399]) for path in (ours, decoupled)]
    assert shrunk[0] / shrunk[1] == pytest.approx(10, rel=0.02)


def values(variables):
    return [keras.ops.convert_to_numpy(v.value) for v in variables]


def test_every_variable_decays():
    """Biases and BatchNorm's scales too, unlike in many recipes."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, bias_initializer="ones"),
            keras.layers.BatchNormalization(beta_initializer="ones"),
        ]
    )
    before = values(model.trainable_weights)
    optimizer = CoupledSGD(0.1, 0.9, l2=0.5)
    zeros = [keras.ops.zeros(w.shape) for w in model.trainable_weights]
    optimizer.apply(zeros, model.trainable_weights)
    assert len(before) == 4
    after = values(model.trainable_weights)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, 0.95 * old, rtol=1e-5)


def test_optimiser_is_serialisable_and_checks_its_numbers():
    ours = CoupledSGD(0.02, 0.8, l2=0.3)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(ours))
    assert isinstance(copy, CoupledSGD)
    assert walk(copy, [1, 2]) == walk(ours, [1, 2])
    with pytest.raises(ValueError, match="momentum"):
        CoupledSGD(0.1, 0.0)
    with pytest.raises(ValueError, match="l2"):
        CoupledSGD(0.1, 0.9, l2=-1.0)


@pytest.mark.parametrize(
    ("name", "size", "epochs", "batch", "rates"),
    [
        ("cifar", 32, 100, 128, {0: 0.05, 60: 0.005, 80: 0.0005}),
        ("crops", 224, 60, 64, {0: 0.01, 30: 0.001, 50: 0.0001}),
        ("mushrooms", 224, 100, 64, {0: 0.01, 60: 0.001, 80: 0.0001}),
    ],
)
def test_protocols_are_the_papers(name, size, epochs, batch, rates):
    protocol = PROTOCOLS[name]
    assert (protocol.image_size, protocol.epochs) == (size, epochs)
    assert protocol.batch_size == batch
    assert (protocol.momentum, protocol.l2) == (0.9, 1e-4)
    expected, rate = [], None
    for epoch in range(epochs):
        rate = rates.get(epoch, rate)
        expected.append(rate)
    assert [protocol.rate(e) for e in range(epochs)] == pytest.approx(expected)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_optimisers_schedule_is_the_rate_of_the_epoch(name):
    protocol, steps = PROTOCOLS[name], 7
    optimizer = protocol.optimizer(steps)
    rates = []
    for step in range(protocol.epochs * steps):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    expected = [protocol.rate(e) for e in range(protocol.epochs)]
    assert rates == pytest.approx(np.repeat(expected, steps), rel=1e-5)
    if name == "red cells":
        assert isinstance(optimizer, keras.optimizers.Adam)
        assert (optimizer.beta_1, optimizer.weight_decay) == (0.9, None)
    else:
        assert (optimizer.momentum, optimizer.l2) == (0.9, 1e-4)


def test_adam_is_the_red_cell_papers():
    protocol = PROTOCOLS["red cells"]
    assert (protocol.batch_size, protocol.epochs) == (32, 100)
    assert {protocol.rate(epoch) for epoch in range(100)} == {1e-3}
    dropped = replace(protocol, epochs=3, drops=(2,)).optimizer(5)
    weight = keras.Variable([1.0])
    dropped.build([weight])
    dropped.iterations.assign(10)
    dropped.apply([keras.ops.convert_to_tensor([0.3])])
    # Without its momentum's past, a step is rate x (1 - 0.9) / (1 - 0.9^11)
    # over the root of (1 - 0.999) / (1 - 0.999^11).
    step = 1e-4 * 0.1 / (1 - 0.9**11) / np.sqrt(0.001 / (1 - 0.999**11))
    assert float(weight.value[0]) == pytest.approx(1 - step, rel=1e-6)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("digits", "digits"),
        ("cifar10", "cifar"),
        ("cifar100", "cifar"),
        ("crop_disease", "crops"),
        ("AI_Challenger_Crops", "crops"),
        ("mushrooms", "mushrooms"),
        ("Mushroom-9", "mushrooms"),
    ],
)
def test_each_data_set_has_its_own_protocol(dataset, name):
    assert protocol_of(dataset) == name
    assert protocol_of(dataset, "digits") == "digits"


def test_a_data_set_of_no_paper_needs_a_protocol():
    with pytest.raises(ValueError, match=r"PROTOCOL: .*'my_images'"):
        protocol_of("my_images")
    assert protocol_of("my_images", "crops") == "crops"
    with pytest.raises(ValueError, match="PROTOCOL: 'crop'"):
        protocol_of("my_images", "crop")


def test_a_shorter_protocol_keeps_the_shares_of_its_drops():
    short = PROTOCOLS["crops"].shortened(12)
    assert (short.epochs, short.drops) == (12, (6, 10))
    assert short.learning_rate == PROTOCOLS["crops"].learning_rate
    assert PROTOCOLS["crops"].shortened(None) is PROTOCOLS["crops"]
    for name, protocol in PROTOCOLS.items():
        one = protocol.shortened(1)
        optimizer = one.optimizer(3)
        rates = []
        for step in range(3):
            optimizer.iterations.assign(step)
            rates.append(float(optimizer.learning_rate))
        assert rates == pytest.approx([protocol.learning_rate] * 3), name


@pytest.mark.parametrize("name", ["cross_entropy_drw", "ldam_drw"])
def test_late_weights_start_at_the_first_drop_of_the_rate(name):
    """As in Cao et al.: epoch 160 of 200, where the rate drops first."""
    starts = {"cifar": 60, "crops": 30, "mushrooms": 60, "digits": 18}
    for key, epoch in starts.items():
        protocol = PROTOCOLS[key]
        timed = protocol.timed(METHODS[name])
        assert timed.late_epoch(protocol.epochs) == epoch
        assert protocol.rate(epoch - 1) == protocol.learning_rate
        assert timed.settings["late_from"] == pytest.approx(
            epoch / protocol.epochs
        )
        assert timed.late_weights is METHODS[name].late_weights
    cao = replace(PROTOCOLS["cifar"], epochs=200, drops=(160, 180))
    assert cao.timed(METHODS[name]).late_epoch(200) == 160


def test_methods_without_late_weights_and_no_drops_stay():
    plain = METHODS["focal_a1_g2"]
    assert PROTOCOLS["cifar"].timed(plain) is plain
    late = METHODS["cross_entropy_drw"]
    assert PROTOCOLS["red cells"].timed(late) is late


def test_table_1():
    """Columns of the paper's Table 1, less what changes nothing at random."""
    assert set(PROTOCOLS["cifar"].augmentation) == {"padded crop", "flip"}
    photographs = {"resized crop", "flip", "colour jitter", "rotation"}
    assert set(PROTOCOLS["crops"].augmentation) == photographs
    assert set(PROTOCOLS["mushrooms"].augmentation) == photographs
    for protocol in PROTOCOLS.values():
        made = augmentation_layers(protocol.augmentation, 0)
        assert len(made) == len(protocol.augmentation)
    with pytest.raises(ValueError, match="blur"):
        augmentation_layers(("flip", "blur"), 0)


def shown(layer, pictures, training=True):
    return keras.ops.convert_to_numpy(layer(pictures, training=training))


@pytest.fixture
def pictures():
    shape = (60, 8, 8, 3)
    return np.random.default_rng(0).uniform(1, 255, shape).astype("float32")


def test_padded_crop_is_padding_then_cropping(pictures):
    out = shown(PaddedCrop(2, seed=0), pictures)
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)))
    places = set()
    for picture, source in zip(out, padded, strict=True):
        fitting = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.allclose(source[i : i + 8, j : j + 8], picture, atol=1e-3)
        ]
        assert len(fitting) == 1
        places.add(fitting[0])
    # Every row and every column, the outermost ones too.
    assert {i for i, _ in places} == {j for _, j in places} == set(range(5))


def test_resized_crop_shows_a_part_of_each_picture():
    ramp = np.arange(32, dtype="float32")
    pictures = np.empty((500, 32, 32, 2), "float32")
    pictures[..., 0], pictures[..., 1] = ramp[:, None], ramp
    out = shown(ResizedCrop(seed=0), pictures)
    assert out.min() > -1e-3
    assert out.max() < 31.001
    # The slope of the ramp is the share of the side that is shown.
    tall = out[:, 17, 0, 0] - out[:, 16, 0, 0]
    wide = out[:, 0, 17, 1] - out[:, 0, 16, 1]
    area, whole = tall * wide, (tall > 0.999) | (wide > 0.999)
    assert 0.07 < area.min() < 0.15
    assert 0.85 < area.max() <= 1.001
    assert area[~whole].mean() == pytest.approx(0.45, abs=0.05)
    ratio = np.log(wide / tall)
    assert 0.2 < np.abs(ratio).max() < np.log(4 / 3) + 0.01
    middle = out[:, 15:17, 0, 0].mean(axis=1)
    assert middle.min() < 12 < 19 < middle.max()


def test_a_resized_part_keeps_its_place():
    """The right upper quarter, at pixels' centres, seen twice as large."""
    ramp = np.arange(8, dtype="float32")
    pictures = np.empty((1, 8, 8, 2), "float32")
    pictures[..., 0], pictures[..., 1] = ramp[:, None], ramp
    layer = ResizedCrop(seed=0)
    half = keras.ops.full((1,), 0.5)
    layer.windows = lambda *_: (half, 0 * half, half, 8 * half)
    out = shown(layer, pictures)[0]
    places = (np.arange(8) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(out[1:, 0, 0], places[1:], atol=1e-3)
    np.testing.assert_allclose(out[0, :-1, 1], 4 + places[:-1], atol=1e-3)


def test_pictures_change_only_while_training(pictures):
    for layer in augmentation_layers(PROTOCOLS["crops"].augmentation, 0):
        assert np.abs(shown(layer, pictures) - pictures).max() > 1
        still = shown(layer, pictures, training=False)
        np.testing.assert_array_equal(still, pictures)


def test_flips_go_both_ways(pictures):
    seen = np.repeat(pictures[:1], 64, axis=0)
    for layer in augmentation_layers(("flip", "vertical flip"), 0):
        seen = shown(layer, seen)
    looks = [pictures[0], pictures[0, :, ::-1], pictures[0, ::-1]]
    looks.append(pictures[0, ::-1, ::-1])
    for look in looks:
        assert any(np.allclose(one, look, atol=1e-3) for one in seen)


def test_augmentation_repeats_with_its_seed(pictures):
    names = PROTOCOLS["cifar"].augmentation
    out = []
    for seed in (0, 0, 10):
        x = pictures
        for layer in augmentation_layers(names, seed):
            x = shown(layer, x)
        out.append(x)
    np.testing.assert_array_equal(out[0], out[1])
    assert np.abs(out[0] - out[2]).max() > 1


@pytest.mark.parametrize(
    "name",
    [
        "padded crop",
        "resized crop",
        "flip",
        "vertical flip",
        "colour jitter",
        "rotation",
    ],
)
def test_every_picture_of_a_batch_is_changed_by_itself(pictures, name):
    """Keras' RandomCrop, for one, draws one place for a whole batch."""
    same = np.repeat(pictures[:1], 64, axis=0)
    (layer,) = augmentation_layers((name,), 0)
    looks = {one.round(2).tobytes() for one in shown(layer, same)}
    assert len(looks) == 2 if "flip" in name else len(looks) > 20


def test_colour_jitter_goes_both_ways_and_as_far_as_it_says():
    """Keras' one number for the contrast would only ever raise it."""
    (jitter,) = augmentation_layers(("colour jitter",), 0)
    assert isinstance(jitter, keras.layers.RandomColorJitter)
    layers = keras.layers
    seen = {"value_range": (0, 255), "seed": 0}
    grey = np.full((400, 2, 2, 3), 100, "float32")
    grey[:, 1] = 140
    out = shown(layers.RandomContrast(jitter.contrast_factor, **seen), grey)
    times = (out[:, 1, 0, 0] - out[:, 0, 0, 0]) / 40
    assert (times.min(), times.max()) == pytest.approx((0.8, 1.2), abs=0.01)
    red = np.full((400, 2, 2, 3), 100, "float32")
    red[..., 0] = 120
    saturation = layers.RandomSaturation(jitter.saturation_factor, **seen)
    out = shown(saturation, red)
    times = (1 - out.min(-1) / out.max(-1)) / (1 - 100 / 120)
    assert (times.min(), times.max()) == pytest.approx((0.8, 1.2), abs=0.01)
    out = shown(layers.RandomHue(jitter.hue_factor, **seen), red)
    # From red, hue grows with green and falls with blue, a sixth a step.
    hue = (out[..., 1] - out[..., 2]) / (out.max(-1) - out.min(-1)) / 6
    assert (hue.min(), hue.max()) == pytest.approx((-0.02, 0.02), abs=0.002)
    out = shown(layers.RandomBrightness(jitter.brightness_factor, **seen), red)
    moved = (out - red) / 255
    assert (moved.min(), moved.max()) == pytest.approx((-0.2, 0.2), abs=0.01)
