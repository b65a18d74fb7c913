"""One network after another: as the grid does, kept, and very small."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers import models
from helpers.data.catalog import load_digits
from helpers.imbalance.counts import subsample
from helpers.imbalance.splits import Split
from helpers.models.resnet import residual_network
from helpers.training.comparison import two_at_a_time
from helpers.training.recipe import FINE_TUNING, RECIPES
from helpers.training.sequential import (
    WholeNetwork,
    network_of,
    train_one_by_one,
)
from helpers.training.vectorized import train_grid

# Few and small steps: float32 sums of another order soon tell in training.
SMALL = replace(
    RECIPES["digits"], epochs=3, batch_size=16, drops=(1,), l2=1e-2
)
METHOD_NAMES = [
    "cefl2_g5",
    "cross_entropy_drw",
    "over_sampling",
    "logit_adjusted_post_hoc_t1",
]


def network(n_classes, shape, seed):
    return residual_network(n_classes, shape, seed, stages=((6, 1, 2),))


@pytest.fixture(scope="module")
def digits():
    data = load_digits(8)
    return data.images[:400], data.labels[:400]


@pytest.fixture(scope="module")
def run(digits):
    rest, test = np.arange(100, 400), np.arange(100)
    counts = np.linspace(3, 14, 10).astype(int)
    train = rest[subsample(digits[1][rest], counts, 0)]
    return Split("long tail", train, test[:0], test, 0)


@pytest.fixture(scope="module")
def study(digits, run):
    return train_one_by_one(*digits, [run], METHOD_NAMES, SMALL, network)


def test_agrees_with_the_grid(digits, run, study):
    grid = train_grid(*digits, [run], METHOD_NAMES, SMALL, network)
    # Sums in another order grow apart while training goes on.
    np.testing.assert_allclose(
        study.logits, grid.logits, atol=0.01 * grid.logits.std(), rtol=0
    )
    pairs = study.history.merge(
        grid.history, on=["method", "seed", "epoch", "part", "metric"]
    )
    assert len(pairs) == len(study.history) == len(METHOD_NAMES) * 3 * 2
    np.testing.assert_allclose(pairs["value_x"], pairs["value_y"], atol=0.02)
    assert (study.best_epoch == grid.best_epoch).all()


@pytest.mark.parametrize(
    ("name", "weights", "loaded"),
    [
        ("small_resnet", None, "random"),
        ("resnet50", None, "imagenet"),
        ("resnet101", "random", "random"),
    ],
)
def test_what_a_network_starts_from_is_told(name, weights, loaded):
    build, start, identity = network_of(name, weights)
    assert callable(build)
    assert start == loaded
    assert loaded in identity


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("WEIGHTS: 'imagenet', but resnet18", ("resnet18", "imagenet")),
        ("NETWORK: 'resnet19'", ("resnet19",)),
    ],
)
def test_weights_that_a_network_lacks_are_refused(message, named):
    with pytest.raises(ValueError, match=message):
        network_of(*named)


def test_augmentation_acts_in_training_only(digits, run, study):
    job = (*digits, [run], METHOD_NAMES[:1])
    moved = replace(SMALL, augmentation=("padded crop",))
    once, again = (train_one_by_one(*job, moved, network) for _ in range(2))
    np.testing.assert_allclose(once.logits, again.logits, atol=1e-4)
    apart = np.abs(once.logits[0] - study.logits[0]).mean()
    assert apart > 0.2 * study.logits[0].std()

    def linear(n_classes, shape, seed):
        draw = keras.initializers.GlorotUniform(seed)
        dense = keras.layers.Dense(n_classes, kernel_initializer=draw)
        return keras.Sequential([keras.layers.Flatten(), dense])

    # At learning rate 0 the logits are those of the images as they are.
    still = replace(moved, learning_rate=0.0, l2=0.0, drops=(), epochs=1)
    logits = train_one_by_one(*job, still, linear).logits[0, 0]
    images = digits[0].astype("float32")
    expected = linear(10, images.shape[1:], run.seed)(images)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-3)


def test_half_precision_is_trained_in(digits, run):
    """By an optimizer that Keras has wrapped, and in threads, too."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        own = two_at_a_time(lambda _: keras.config.dtype_policy().name, "ab")
        names = ["cross_entropy", "focal_a1_g2", "cross_entropy"]
        short = replace(SMALL, epochs=1, drops=())
        half = train_one_by_one(*digits, [run], names, short, network)
    finally:
        keras.config.set_dtype_policy("float32")
    assert own == ["mixed_float16", "mixed_float16"]
    assert np.isfinite(half.logits).all()
    np.testing.assert_allclose(half.logits[0], half.logits[2], atol=1e-3)


def test_what_it_cannot_train_is_refused(digits, run):
    images, labels = digits
    plain, best = METHOD_NAMES[:1], replace(SMALL, keep="best")
    for message, names, recipe in [
        (r"methods: \['ldam'\]", ["ldam"], SMALL),
        ("decides by validation", ["threshold_moving"], SMALL),
        ("no validation", plain, best),
    ]:
        with pytest.raises(ValueError, match=message):
            train_one_by_one(images, labels, [run], names, recipe, network)


# Fine-tuning, on tiny images: the slow regime in its smallest form.
TUNING = replace(FINE_TUNING, epochs=2, batch_size=8)


def fine_tune(images, labels, runs, methods, recipe=TUNING, keep_dir=None):
    network = WholeNetwork("EfficientNetB1", "random", recipe)
    job = (images, labels, runs, methods, recipe, network)
    return train_one_by_one(*job, keep_dir=keep_dir)


@pytest.fixture
def built(monkeypatch):
    """In place of EfficientNetB1, whose tracing alone takes a minute.

    The networks that were built: one a seed, of which the first is trained.
    """
    seen = []

    def backbone(name, weights, image_size, preprocessing="keras", seed=0):
        chain = [
            keras.Input((image_size, image_size, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
        ]
        seen.append(keras.Sequential(chain))
        return seen[-1]

    monkeypatch.setattr(models, "backbone", backbone)
    return seen


@pytest.fixture(scope="module")
def lesions():
    generator = np.random.default_rng(0)
    labels = np.arange(24) % 3
    images = generator.integers(80, size=(24, 32, 32, 3))
    images[..., 0] += 80 * labels[:, None, None]
    rows = generator.permutation(24)
    runs = [
        Split("random", rows[:16], rows[16:20], rows[20:], seed)
        for seed in (0, 1)
    ]
    return images.astype("uint8"), labels, runs


def test_fine_tuning_moves_the_backbone_but_not_its_statistics(lesions, built):
    images, labels, runs = lesions
    methods = ["cross_entropy", "weighted_cross_entropy"]
    outcome = fine_tune(images, labels, runs[:1], methods)
    assert outcome.logits.shape == (2, 1, 24, 3)
    assert set(outcome.history.metric) == {"loss", "accuracy", "macro_f1"}
    assert outcome.best_epoch.min() >= 1
    # At equal class counts eq. (1) is 1: both methods are the same.
    counts = np.bincount(labels[runs[0].train], minlength=3)
    same = np.array_equal(outcome.logits[0], outcome.logits[1])
    assert same == (len(set(counts)) == 1)
    _, convolution, normal, _ = built[0].layers
    assert np.abs(convolution.bias).max() > 0
    for values, start in zip(normal.weights, (1, 0, 0, 1), strict=True):
        np.testing.assert_array_equal(values, np.full(4, start))
    assert len(built) == 1


def test_batch_normalization_trains_where_a_momentum_is_given(lesions, built):
    images, labels, runs = lesions
    recipe = replace(TUNING, batch_norm_momentum=0.9)
    job = (images, labels, runs[:1], ["cross_entropy"])
    fine_tune(*job, recipe)
    normal = built[0].layers[2]
    assert normal.momentum == 0.9
    assert np.abs(normal.moving_mean).max() > 0


def test_a_training_in_a_used_program_is_that_of_a_new_one(
    lesions, built, tmp_path, capsys, monkeypatch
):
    """Seeds, weights and Adam's averages start anew; kept ones are read."""
    images, labels, runs = lesions
    methods = ["cross_entropy", "over_sampling", "cross_entropy_drw"]
    shorter = replace(runs[0], name="8 rows", train=runs[0].train[:8])
    compiled, usual = [], keras.Sequential.compile

    def compile_noted(model, *job, **how):
        compiled.append(model)
        usual(model, *job, **how)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Sequential, "compile", compile_noted)
        both = fine_tune(images, labels, [shorter, runs[1]], methods)
    assert (len(built), len(compiled)) == (2, 1)
    job = (images, labels, runs[1:], methods)
    alone = fine_tune(*job, keep_dir=tmp_path)
    np.testing.assert_allclose(both.logits[:, 1], alone.logits[:, 0], 1e-5)
    assert not np.allclose(both.logits[0, 0], both.logits[0, 1])
    assert len(list(tmp_path.glob("*.npz"))) == 3
    assert "kept" not in capsys.readouterr().out
    again = fine_tune(*job, keep_dir=tmp_path)
    assert capsys.readouterr().out.count(", kept") == 3
    np.testing.assert_array_equal(again.logits, alone.logits)
    assert again.devices == alone.devices
    assert alone.each_seconds.shape == alone.best_epoch.shape
    assert 0 < alone.each_seconds.sum() < alone.seconds
    assert again.history.equals(alone.history)
    named = replace(runs[1], name="another")
    for changed, kept in [
        ((images, labels, [named], methods), 3),
        ((255 - images, labels, runs[1:], methods), 0),
        ((images, labels, runs[1:], methods, replace(TUNING, dense=9)), 0),
    ]:
        found = fine_tune(*changed, keep_dir=tmp_path)
        assert capsys.readouterr().out.count(", kept") == kept
        assert set(found.history.split) == {changed[2][0].name}


def test_a_network_may_be_trained_whole_below_one_dense_layer():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = WholeNetwork("VGG16", "random")(5, (32, 32, 3), 3)
    finally:
        keras.config.set_dtype_policy("float32")
    assert half.layers[0].compute_dtype == "float16"
    assert half.outputs[0].dtype == "float32"
    whole = WholeNetwork("EfficientNet-Lite0", "random")
    assert whole.identity(3) != replace(whole, recipe=TUNING).identity(3)
    one, same, other = (whole(5, (32, 32, 3), seed) for seed in (0, 0, 1))
    base = one.layers[0].layers[-1]
    normal = [x for x in base.layers if hasattr(x, "moving_mean")]
    assert {(x.momentum, x.trainable) for x in normal} == {(0.9, True)}
    assert len(one.trainable_weights) > 2 * len(normal)
    weights = [network.get_weights() for network in (one, same, other)]
    for kernel in (0, -2):  # the first and the last
        first, again, another = (each[kernel] for each in weights)
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - another).max() > 0.01
