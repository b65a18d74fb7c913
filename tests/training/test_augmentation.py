"""Random copies of images: every flip, every angle, drawn image by image."""

import keras
import numpy as np
import pytest

from helpers.data.red_cells import rotated_copies
from helpers.models import features
from helpers.training import recipe as optimisers

KINDS = (
    *("padded crop", "resized crop", "flip", "vertical flip"),
    *("colour jitter", "rotation"),
)


def looks(copies):
    """Whether each copy of `ramps` is flipped (N, 2), and its angle (N,)."""
    middle = copies[:, 22:42, 22:42].astype(float)
    down, right = (
        np.diff(middle, axis=axis).mean(axis=(1, 2)) for axis in (1, 2)
    )
    flipped = np.stack([right[:, 0] < 0, down[:, 1] < 0], axis=1)
    return flipped, np.degrees(np.arctan(down[:, 0] / right[:, 0]))


@pytest.fixture(scope="module")
def ramps():
    """One image, 400 times: red rises to the right, green downwards."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 4 * np.arange(64)
    image[..., 1] = 4 * np.arange(64)[:, None]
    return np.repeat(image[None], 400, axis=0)


def test_all_four_flips_are_as_frequent(ramps):
    flipped, _ = looks(rotated_copies(ramps))
    shares = np.bincount(flipped @ [1, 2], minlength=4) / len(flipped)
    np.testing.assert_allclose(shares, 0.25, atol=0.07)


def test_rotation_is_by_up_to_15_degrees_to_either_side(ramps):
    _, angles = looks(rotated_copies(ramps))
    assert -15.5 < angles.min() < -13
    assert 13 < angles.max() < 15.5
    assert angles.std() == pytest.approx(30 / np.sqrt(12), rel=0.1)


def test_a_flip_does_not_tell_the_angle(ramps):
    flipped, angles = looks(rotated_copies(ramps))
    for axis in (0, 1):
        both = [angles[flipped[:, axis] == kind].mean() for kind in (0, 1)]
        assert np.abs(both).max() < 2.5


def test_copies_are_sound_images_and_repeat_with_their_seed(ramps):
    some = np.random.default_rng(0).integers(256, size=(8, 16, 16, 3))
    some = some.astype(np.uint8)
    copies = rotated_copies(some)
    assert (copies.dtype, copies.shape) == (some.dtype, some.shape)
    np.testing.assert_array_equal(copies, rotated_copies(some))
    assert (copies != rotated_copies(some, seed=7)).any()
    # No black comes in from outside.
    assert rotated_copies(np.full_like(some, 200)).min() >= 199


@pytest.mark.parametrize(
    "layer",
    [
        *optimisers.augmentation_layers(KINDS, 0),
        *features.augmentation_layers(0),
    ],
    ids=lambda layer: layer.name,
)
def test_each_image_of_a_batch_is_drawn_by_itself(layer):
    """Keras' RandomCrop, for one, draws one place for a whole batch."""
    image = np.random.default_rng(0).uniform(0, 255, (1, 24, 24, 3))
    batch = image.astype("float32").repeat(32, axis=0)
    out = keras.ops.convert_to_numpy(layer(batch, training=True)).round(2)
    different = len(np.unique(out.reshape(32, -1), axis=0))
    is_flip = isinstance(layer, keras.layers.RandomFlip)
    assert different == 2 if is_flip else different > 16
