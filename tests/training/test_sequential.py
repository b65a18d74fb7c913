"""One network after another: as the grid does, kept, and very small."""

import threading
from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers import models
from helpers.data.catalog import load_digits
from helpers.imbalance.sampling import subsample
from helpers.imbalance.splits import Split
from helpers.models.resnet import residual_network
from helpers.training import sequential
from helpers.training.recipe import FINE_TUNING, RECIPES
from helpers.training.sequential import (
    Job,
    Program,
    fine_tune,
    movement,
    network_of,
    train_one_by_one,
    two_at_a_time,
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
    return residual_network("t", n_classes, shape, ((6, 1, 2),), seed=seed)


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


def test_late_weights_start_at_the_first_drop(digits, run):
    """At learning rate 0 after it, they have nothing to act on."""
    methods = ["cross_entropy", "cross_entropy_drw"]
    ends = [
        train_one_by_one(
            *digits,
            [run],
            methods,
            replace(SMALL, epochs=5, drops=drops),
            network,
        ).logits
        for drops in ((4,), (1,))
    ]
    apart = [np.abs(a - b).max() for a, b in ends]
    # Four fifths of the training instead of one: further apart.
    assert apart[1] > 2 * apart[0] > 0


def test_test_scores_of_every_epoch_are_noted_where_asked_for(digits, run):
    job = (*digits, [run], METHOD_NAMES[:1], SMALL, network)
    noted = train_one_by_one(*job, test_curves=True)
    rows = noted.history.query("part == 'test' and metric == 'accuracy'")
    assert rows["epoch"].tolist() == [1, 2, 3]
    hits = noted.logits[0, 0, run.test].argmax(-1) == digits[1][run.test]
    assert rows["value"].iloc[-1] == pytest.approx(hits.mean())
    assert set(noted.history["part"]) == {"train", "test"}


@pytest.mark.parametrize(
    ("name", "weights", "loaded"),
    [
        ("small_resnet", None, "random"),
        ("resnet18_cifar", "random", "random"),
        ("resnet34", None, "random"),
        ("resnet50", None, "imagenet"),
        ("resnet101", "random", "random"),
    ],
)
def test_what_a_network_starts_from_is_told(name, weights, loaded):
    build, start, told = network_of(name, weights)
    assert callable(build)
    assert start == loaded
    assert loaded in told


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("WEIGHTS: 'imagenet', but resnet18", ("resnet18", "imagenet")),
        ("NETWORK: 'resnet19'", ("resnet19",)),
    ],
)
def test_weights_that_a_network_lacks_are_refused(message, given):
    with pytest.raises(ValueError, match=message):
        network_of(*given)


def test_augmentation_acts_in_training_only(digits, run, study):
    job = (*digits, [run], METHOD_NAMES[:1])
    moved = replace(SMALL, augmentation=("padded crop",))
    once, again = (train_one_by_one(*job, moved, network) for _ in range(2))
    np.testing.assert_allclose(once.logits, again.logits, atol=1e-4)
    apart = np.abs(once.logits[0] - study.logits[0]).mean()
    assert apart > 0.2 * study.logits[0].std()

    def without_statistics(n_classes, shape, seed):
        """A network whose BatchNorm keeps what it starts with."""
        model = network(n_classes, shape, seed)
        for layer in model.layers:
            if hasattr(layer, "moving_mean"):
                layer.trainable = False
        return model

    # At learning rate 0 nothing is learnt: what is left are the initial
    # weights' logits of the images, which augmentation must not have touched.
    still = replace(SMALL, learning_rate=0.0, l2=0.0, drops=(), epochs=1)
    untouched = [
        train_one_by_one(
            *job, replace(still, augmentation=kind), without_statistics
        ).logits
        for kind in ((), ("padded crop", "flip"))
    ]
    np.testing.assert_allclose(*untouched, atol=1e-5)


def test_what_it_cannot_train_is_refused(digits, run):
    images, labels = digits
    plain = METHOD_NAMES[:1]
    for message, y, names, recipe in [
        (r"methods: \['ldam'\]", labels, ["ldam"], SMALL),
        (r"methods: \['focus'\]", labels, ["focus"], SMALL),
        ("labels", labels - 1, plain, SMALL),
        ("labels", labels / 2, plain, SMALL),
        ("decides by validation", labels, ["threshold_moving"], SMALL),
        ("no validation", labels, plain, replace(SMALL, keep="best")),
    ]:
        with pytest.raises(ValueError, match=message):
            train_one_by_one(images, y, [run], names, recipe, network)


# Fine-tuning, on tiny images: the slow regime in its smallest form.
BACKBONE = ("EfficientNetB1", "random")
TUNING = replace(FINE_TUNING, epochs=2, batch_size=8)


@pytest.fixture(autouse=True)
def small_backbone(monkeypatch):
    """In place of EfficientNetB1, whose tracing alone takes a minute."""

    def built(name, weights, image_size, preprocessing="keras", seed=0):
        return keras.Sequential(
            [
                keras.Input((image_size, image_size, 3)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Conv2D(4, 3),
                keras.layers.BatchNormalization(),
                keras.layers.GlobalAveragePooling2D(),
            ]
        )

    monkeypatch.setattr(models, "backbone", built)


@pytest.fixture
def compiled(monkeypatch):
    """Models that are compiled in a test."""
    seen, real = [], sequential.compile_measured
    monkeypatch.setattr(
        sequential,
        "compile_measured",
        lambda model, *rest: (seen.append(model), real(model, *rest))[1],
    )
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


def batch_normalization(model):
    return model.layers[-1].layers[0].layers[2]


def test_fine_tuning_moves_the_backbone_but_not_its_statistics(
    lesions, compiled
):
    images, labels, runs = lesions
    methods = ["cross_entropy", "weighted_cross_entropy"]
    outcome = fine_tune(images, labels, runs[:1], methods, *BACKBONE, TUNING)
    assert outcome.logits.shape == (2, 1, 24, 3)
    assert np.isfinite(outcome.logits).all()
    rows, logits = outcome.tested("cross_entropy", "random")
    np.testing.assert_array_equal(rows, np.sort(runs[0].test))
    np.testing.assert_array_equal(logits[0], outcome.logits[0, 0, rows])
    assert set(outcome.history.metric) == {"loss", "accuracy", "macro_f1"}
    assert outcome.history.epoch.max() == 2
    assert outcome.best_epoch.min() >= 1
    # At equal class counts eq. (1) is 1: both methods are the same.
    counts = np.bincount(labels[runs[0].train], minlength=3)
    same = np.array_equal(outcome.logits[0], outcome.logits[1])
    assert same == (len(set(counts)) == 1)
    (model,) = compiled  # one program for both scenarios
    convolution = model.layers[-1].layers[0].layers[1]
    assert np.abs(convolution.bias).max() > 0
    fresh = keras.layers.BatchNormalization()
    fresh.build((None, 30, 30, 4))
    kept = batch_normalization(model).weights
    for one, new in zip(kept, fresh.weights, strict=True):
        np.testing.assert_array_equal(one, new)


def test_batch_normalization_trains_where_a_momentum_is_given(
    lesions, compiled
):
    images, labels, runs = lesions
    recipe = replace(TUNING, batch_norm_momentum=0.9)
    job = (images, labels, runs[:1], ["cross_entropy"], *BACKBONE)
    fine_tune(*job, recipe)
    normal = batch_normalization(compiled[0])
    assert normal.momentum == 0.9
    assert np.abs(normal.moving_mean).max() > 0


def test_a_training_in_a_used_program_is_that_of_a_new_one(
    lesions, compiled, tmp_path, capsys
):
    """Seeds, weights and Adam's averages start anew; kept ones are read."""
    images, labels, runs = lesions
    methods = ["cross_entropy", "over_sampling", "cross_entropy_drw"]
    rest = (methods, *BACKBONE, TUNING)
    both = fine_tune(images, labels, runs, *rest)
    assert len(compiled) == 1
    job = (images, labels, runs[1:], *rest)
    alone = fine_tune(*job, keep_dir=tmp_path)
    np.testing.assert_allclose(both.logits[:, 1], alone.logits[:, 0], 1e-5)
    assert not np.allclose(both.logits[0, 0], both.logits[0, 1])
    assert len(list(tmp_path.glob("*.npz"))) == 3
    assert "kept" not in capsys.readouterr().out
    again = fine_tune(*job, keep_dir=tmp_path)
    assert capsys.readouterr().out.count(", kept") == 3
    np.testing.assert_array_equal(again.logits, alone.logits)
    assert again.devices == alone.devices
    assert again.history.equals(alone.history)
    named = replace(runs[1], name="another")
    for changed, kept in [
        ((images, labels, [named], *rest), 3),
        ((255 - images, labels, runs[1:], *rest), 0),
        ((images, labels, runs[1:], *rest[:-1], replace(TUNING, dense=9)), 0),
    ]:
        found = fine_tune(*changed, keep_dir=tmp_path)
        assert capsys.readouterr().out.count(", kept") == kept
        assert set(found.history.split) == {changed[2][0].name}


# A channel a class, brighter in one quarter: a flip moves it, no more.
LABELS = np.arange(60) % 3
MAPS = np.random.default_rng(0).normal(0, 0.3, (60, 4, 4, 3)).astype("float32")
MAPS[np.arange(60), 0, 1, LABELS] += 6


def split(seed=0):
    rows = np.arange(60)
    return Split("random", rows[:40], rows[:0], rows[40:], seed)


def tiny(seed):
    keras.utils.set_random_seed(seed)
    frozen = keras.layers.Conv2D(8, 1, activation="relu", name="base")
    frozen.trainable = False
    pool, dense = keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(3)
    return keras.Sequential([keras.Input((4, 4, 3)), frozen, pool, dense])


def test_a_program_learns_and_at_learning_rate_0_does_not():
    before, jobs = MAPS.copy(), [Job(split(), 0.03), Job(split(), 0.0)]
    program = Program(tiny)
    fitted = program.train(MAPS, LABELS, jobs, 30)
    hits = fitted.logits[0].argmax(-1) == LABELS
    assert hits[40:].mean() > 0.9
    assert movement(fitted.starts[1], fitted.weights[1]) == 0
    assert fitted.logits.shape == (2, 60, 3)
    np.testing.assert_array_equal(MAPS, before)
    other = program.logits(fitted.weights, MAPS[10:25])
    np.testing.assert_allclose(other, fitted.logits[:, 10:25], atol=1e-4)


def test_a_job_knows_nothing_of_the_one_before():
    alone = Program(tiny).train(MAPS, LABELS, [Job(split(1), 0.01)], 3)
    jobs = [Job(split(0), 0.1), Job(split(1), 0.01)]
    after = Program(tiny).train(MAPS, LABELS, jobs, 3)
    for a, b in zip(alone.weights[0], after.weights[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        alone.logits[0], after.logits[1], rtol=1e-4, atol=1e-5
    )


def test_a_start_is_taken_and_a_frozen_layer_stays():
    start = [0.5 * w for w in tiny(7).get_weights()]
    jobs = [Job(split(), 0.1, start)]
    fitted = Program(tiny).train(MAPS, LABELS, jobs, 2)
    assert movement(fitted.starts[0], start) == 0
    kernel, _ = fitted.weights[0][-2:]
    assert np.abs(kernel - start[-2]).max() > 0
    for before, after in zip(start[:-2], fitted.weights[0][:-2], strict=True):
        np.testing.assert_array_equal(before, after)


def test_blocks_do_not_change_what_is_learnt(monkeypatch):
    job = (MAPS, LABELS, [Job(split(), 0.01)], 3)
    whole = Program(tiny).train(*job, flips=False)
    monkeypatch.setattr(sequential, "_BLOCK", 32 * MAPS[:1].nbytes)
    parts = Program(tiny).train(*job, flips=False)
    np.testing.assert_allclose(whole.logits, parts.logits, atol=1e-4)


def test_two_at_a_time_is_two_and_in_order():
    both = threading.Barrier(2, timeout=20)  # breaks where one waits alone
    found = two_at_a_time(lambda k: (both.wait() >= 0, k)[1], "abcd")
    assert found == [*"abcd"]
    with pytest.raises(ZeroDivisionError):
        two_at_a_time(lambda k: 1 / k, [1, 0, 2])


def test_programs_side_by_side_learn_what_they_learn_alone():
    def seeded(seed):
        draw = keras.initializers.GlorotUniform(seed)
        dense = keras.layers.Dense(3, kernel_initializer=draw)
        pool = keras.layers.GlobalMaxPooling2D()
        return keras.Sequential([keras.Input((4, 4, 3)), pool, dense])

    def logits(rate):
        jobs = [Job(split(seed), rate) for seed in (0, 1)]
        return Program(seeded).train(MAPS, LABELS, jobs, 3).logits

    rates = (0.01, 0.03, 0.1)
    beside = two_at_a_time(logits, rates)
    for alone, other in zip(map(logits, rates), beside, strict=True):
        np.testing.assert_allclose(alone, other, rtol=1e-4, atol=1e-5)


def test_movement_is_a_share():
    before = [np.array([3.0]), np.array([[4.0]])]
    after = [np.array([3.0]), np.array([[5.0]])]
    assert movement(before, after) == pytest.approx(0.2)
