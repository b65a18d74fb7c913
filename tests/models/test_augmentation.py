"""Random changes of images: as strong as they say, image by image."""

import keras
import numpy as np
import pytest

from helpers.models.augmentation import (
    ACNE_AUGMENTATION,
    Window,
    augmentation_layers,
    rotated_copies,
)

NAMES = ("padded crop", "resized crop", "vertical flip", "colour jitter")
NAMES += ("rotation", *ACNE_AUGMENTATION)


def shown(layer, images, training=True):
    return keras.ops.convert_to_numpy(layer(images, training=training))


@pytest.fixture
def images():
    shape = (60, 8, 8, 3)
    return np.random.default_rng(0).uniform(1, 255, shape).astype("float32")


def ramps(count, side):
    """Rows rise in the first channel, columns in the second."""
    steps = np.arange(side, dtype="float32")
    made = np.empty((count, side, side, 2), "float32")
    made[..., 0], made[..., 1] = steps[:, None], steps
    return made


@pytest.mark.parametrize("name", NAMES)
def test_each_image_of_a_batch_is_changed_by_itself_in_training(name):
    """Keras' RandomCrop, for one, draws one place for a whole batch."""
    image = np.random.default_rng(0).uniform(0, 255, (1, 24, 24, 3))
    batch = image.astype("float32").repeat(64, axis=0)
    outs = []
    for seed in (0, 0, 10):
        (layer,) = augmentation_layers((name,), seed)
        outs.append(shown(layer, batch))
        np.testing.assert_array_equal(shown(layer, batch, False), batch)
    np.testing.assert_array_equal(outs[0], outs[1])
    assert np.abs(outs[0] - outs[2]).max() > 1
    different = len({one.round(2).tobytes() for one in outs[0]})
    assert different == 2 if "flip" in name else different > 20


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="blur"):
        augmentation_layers(("flip", "blur"), 0)


def test_padded_crop_is_padding_then_cropping(images):
    out = shown(*augmentation_layers(("padded crop",), 0), images)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    places = set()
    for image, source in zip(out, padded, strict=True):
        fitting = [
            (i, j)
            for i in range(9)
            for j in range(9)
            if np.allclose(source[i : i + 8, j : j + 8], image, atol=1e-3)
        ]
        assert len(fitting) == 1
        places.add(fitting[0])
    # Every row and every column, the outermost ones too.
    assert {i for i, _ in places} == {j for _, j in places} == set(range(9))


def test_resized_crop_shows_a_part_of_each_image():
    (layer,) = augmentation_layers(("resized crop",), 0)
    out = shown(layer, ramps(500, 32))
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
    zero = keras.ops.zeros((1,))
    layer = Window(lambda *_: (0.5, zero, 0.5, 4 + zero), seed=0)
    out = shown(layer, ramps(1, 8))[0]
    places = (np.arange(8) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(out[1:, 0, 0], places[1:], atol=1e-3)
    np.testing.assert_allclose(out[0, :-1, 1], 4 + places[:-1], atol=1e-3)


def test_flips_go_both_ways(images):
    seen = np.repeat(images[:1], 64, axis=0)
    for layer in augmentation_layers(("flip", "vertical flip"), 0):
        seen = shown(layer, seen)
    one = images[0]
    for look in (one, one[:, ::-1], one[::-1], one[::-1, ::-1]):
        assert any(np.allclose(other, look, atol=1e-3) for other in seen)


def test_colour_jitter_goes_both_ways_and_as_far_as_it_says():
    """Keras' one number for the contrast would only ever raise it."""
    (jitter,) = augmentation_layers(("colour jitter",), 0)
    assert isinstance(jitter, keras.layers.RandomColorJitter)
    layers = keras.layers
    seen = {"value_range": (0, 255), "seed": 0}
    grey = np.full((400, 2, 2, 3), 100, "float32")
    grey[:, 1] = 140
    red = np.full((400, 2, 2, 3), 100, "float32")
    red[..., 0] = 120
    out = shown(layers.RandomContrast(jitter.contrast_factor, **seen), grey)
    contrast = (out[:, 1, 0, 0] - out[:, 0, 0, 0]) / 40
    saturation = layers.RandomSaturation(jitter.saturation_factor, **seen)
    out = shown(saturation, red)
    saturation = (1 - out.min(-1) / out.max(-1)) / (1 - 100 / 120)
    out = shown(layers.RandomHue(jitter.hue_factor, **seen), red)
    # From red, hue grows with green and falls with blue, a sixth a step.
    hue = (out[..., 1] - out[..., 2]) / (out.max(-1) - out.min(-1)) / 6
    out = shown(layers.RandomBrightness(jitter.brightness_factor, **seen), red)
    brightness = (out - red) / 255
    for found, low, high, near in [
        (contrast, 0.8, 1.2, 0.01),
        (saturation, 0.8, 1.2, 0.01),
        (hue, -0.02, 0.02, 0.002),
        (brightness, -0.2, 0.2, 0.01),
    ]:
        ends = (found.min(), found.max())
        assert ends == pytest.approx((low, high), abs=near)


@pytest.fixture(scope="module")
def looks():
    """Whether each of 400 rotated copies is flipped (N, 2); its angle (N,)."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., :2] = 4 * ramps(1, 64)[0, ..., ::-1]
    copies = rotated_copies(np.repeat(image[None], 400, axis=0))
    middle = copies[:, 22:42, 22:42].astype(float)
    down, right = (
        np.diff(middle, axis=axis).mean(axis=(1, 2)) for axis in (1, 2)
    )
    flipped = np.stack([right[:, 0] < 0, down[:, 1] < 0], axis=1)
    return flipped, np.degrees(np.arctan(down[:, 0] / right[:, 0]))


def test_rotated_copies_are_flipped_both_ways_as_often(looks):
    shares = np.bincount(looks[0] @ [1, 2], minlength=4) / 400
    np.testing.assert_allclose(shares, 0.25, atol=0.07)


def test_rotation_is_by_up_to_15_degrees_whatever_the_flip(looks):
    flipped, angles = looks
    assert -15.5 < angles.min() < -13
    assert 13 < angles.max() < 15.5
    assert angles.std() == pytest.approx(30 / np.sqrt(12), rel=0.1)
    for axis in (0, 1):
        both = [angles[flipped[:, axis] == kind].mean() for kind in (0, 1)]
        assert np.abs(both).max() < 2.5


def test_copies_are_sound_images_and_repeat_with_their_seed():
    some = np.random.default_rng(0).integers(256, size=(8, 16, 16, 3))
    some = some.astype(np.uint8)
    copies = rotated_copies(some)
    assert (copies.dtype, copies.shape) == (some.dtype, some.shape)
    np.testing.assert_array_equal(copies, rotated_copies(some))
    assert (copies != rotated_copies(some, seed=7)).any()
    # No black comes in from outside.
    assert rotated_copies(np.full_like(some, 200)).min() >= 199
