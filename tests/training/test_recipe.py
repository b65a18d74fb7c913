"""The CEFL paper's optimiser, learning rates and augmentation."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers.methods.registry import METHODS
from helpers.models.augmentation import augmentation_layers
from helpers.training.recipe import RECIPES, CoupledSGD, Recipe, recipe_name


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


def test_every_variable_decays():
    """Biases and BatchNorm's scales too, unlike in many recipes."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, bias_initializer="ones"),
            keras.layers.BatchNormalization(beta_initializer="ones"),
        ]
    )
    weights = model.trainable_weights
    before = [np.asarray(w).copy() for w in weights]
    optimizer = CoupledSGD(0.1, 0.9, l2=0.5)
    optimizer.apply([keras.ops.zeros(w.shape) for w in weights], weights)
    assert len(before) == 4
    for old, new in zip(before, weights, strict=True):
        np.testing.assert_allclose(np.asarray(new), 0.95 * old, rtol=1e-5)


def learning_rates(recipe, steps):
    """Of every step, as the optimizer has it."""
    optimizer = recipe.new_optimizer(steps)
    found = []
    for step in range(recipe.epochs * steps):
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return found


PHOTOGRAPHS = {"resized crop", "flip", "colour jitter", "rotation"}


@pytest.mark.parametrize(
    ("name", "size", "epochs", "batch", "rates", "augmentation"),
    [
        ("cifar", 32, (60, 20, 20), 128, 0.05, {"padded crop", "flip"}),
        ("crops", 224, (30, 20, 10), 64, 0.01, PHOTOGRAPHS),
        ("mushrooms", 224, (60, 20, 20), 64, 0.01, PHOTOGRAPHS),
        ("digits", 8, (18, 6, 6), 32, 0.05, set()),
        ("red cells", 224, (100,), 32, 0.001, set()),
    ],
)
def test_recipes_are_the_papers(
    name, size, epochs, batch, rates, augmentation
):
    """Epochs at each learning rate, a tenth of the one before; Table 1."""
    recipe = RECIPES[name]
    assert (recipe.image_size, recipe.epochs) == (size, sum(epochs))
    assert (recipe.batch_size, recipe.keep) == (batch, "last")
    assert set(recipe.augmentation) == augmentation
    assert len(augmentation_layers(recipe.augmentation, 0)) == len(
        augmentation
    )
    expected = [rates / 10**k for k in range(len(epochs))]
    expected = np.repeat(expected, np.multiply(epochs, 7))
    assert learning_rates(recipe, 7) == pytest.approx(expected, rel=1e-5)
    optimizer = recipe.new_optimizer(7)
    if name == "red cells":
        assert isinstance(optimizer, keras.optimizers.Adam)
        assert (optimizer.beta_1, optimizer.weight_decay) == (0.9, None)
    else:
        assert (optimizer.momentum, optimizer.l2) == (0.9, 1e-4)
    one = recipe.shortened(1)
    assert learning_rates(one, 3) == pytest.approx([rates] * 3)


def test_a_drop_acts_on_adam_too():
    recipe = replace(RECIPES["red cells"], epochs=3, drops=(2,))
    dropped = recipe.new_optimizer(5)
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
def test_each_data_set_has_its_own_recipe(dataset, name):
    assert recipe_name(dataset) == name
    assert recipe_name(dataset, "digits") == "digits"


def test_a_data_set_of_no_paper_needs_a_recipe():
    with pytest.raises(ValueError, match=r"PROTOCOL: .*'my_images'"):
        recipe_name("my_images")
    assert recipe_name("my_images", "crops") == "crops"
    with pytest.raises(ValueError, match="PROTOCOL: 'crop'"):
        recipe_name("my_images", "crop")


def test_a_shorter_recipe_keeps_the_shares_of_its_drops():
    short = RECIPES["crops"].shortened(12)
    assert (short.epochs, short.drops) == (12, (6, 10))
    assert short.learning_rate == RECIPES["crops"].learning_rate
    assert RECIPES["crops"].shortened(None) is RECIPES["crops"]


@pytest.mark.parametrize("name", ["cross_entropy_drw", "ldam_drw"])
def test_late_weights_start_at_the_first_drop(name):
    """As in Cao et al.: epoch 160 of 200."""
    cao = replace(RECIPES["cifar"], epochs=200, drops=(160, 180))
    recipes = [RECIPES[k] for k in ("cifar", "crops", "mushrooms", "digits")]
    starts = (60, 30, 60, 18, 160)
    for recipe, epoch in zip([*recipes, cao], starts, strict=True):
        timed = recipe.timed(METHODS[name])
        assert timed.late_epoch(recipe.epochs) == epoch
        share = timed.settings["late_from"]
        assert share == pytest.approx(epoch / recipe.epochs)
        assert timed.late_weights is METHODS[name].late_weights


def test_methods_without_late_weights_and_no_drops_stay():
    plain = METHODS["focal_a1_g2"]
    assert RECIPES["cifar"].timed(plain) is plain
    late = METHODS["cross_entropy_drw"]
    assert RECIPES["red cells"].timed(late) is late


@pytest.mark.parametrize("wrong", [{"optimizer": "Adam"}, {"keep": "first"}])
def test_what_is_no_recipe_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)
