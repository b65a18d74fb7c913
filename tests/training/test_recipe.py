"""The CEFL paper's optimizer, learning rates and augmentation."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers.methods import METHODS
from helpers.models import augmentation_layers
from helpers.training import RECIPES, CoupledSGD, Recipe, recipe_name


def walk(optimizer, gradients):
    """Where a weight of 1 goes under given gradients."""
    weight, path = keras.Variable([1.0]), []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [weight])
        path.append(float(weight[0]))
    return path


DROP = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.1, 0.01])
GRADIENTS = np.random.default_rng(0).normal(size=20)


@pytest.mark.parametrize(
    ("optimizer", "gradients", "path"),
    [
        # v = 0.5 + 0.1 x 1, w = 1 - 0.1 v; and the same once more.
        (
            CoupledSGD(0.1, 0.9, l2=0.1),
            [0.5, 0.2],
            [0.94, 0.94 - 0.1 * (0.54 + 0.2 + 0.094)],
        ),
        # A lower learning rate counts at once; with Keras' own it does not.
        (
            CoupledSGD(DROP, 0.9, l2=0.0),
            [0.5, 0.2],
            [0.95, 0.95 - 0.01 * (0.45 + 0.2)],
        ),
        (
            CoupledSGD(0.1, 0.9, l2=0.0),
            GRADIENTS,
            walk(keras.optimizers.SGD(0.1, 0.9), GRADIENTS),
        ),
    ],
)
def test_steps_of_coupled_sgd(optimizer, gradients, path):
    assert walk(optimizer, gradients) == pytest.approx(path, abs=1e-5)


def test_every_variable_decays():
    """Biases and BatchNorm's scales too, unlike in many recipes."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, bias_initializer="ones"),
            layers.BatchNormalization(beta_initializer="ones"),
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
    optimizer, rates = recipe.new_optimizer(steps), []
    for step in range(recipe.epochs * steps):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    return rates


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
    layers = augmentation_layers(recipe.augmentation, 0)
    assert len(layers) == len(augmentation)
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


def test_the_recipe_of_long_tails_warms_up_and_drops_to_a_hundredth():
    """Epochs 1 to 5 at 0.02 to 0.1, and two drops: Cao et al., their code."""
    expected = [0.02, 0.04, 0.06, 0.08, *[0.1] * 156, *[1e-3] * 20]
    expected += [1e-5] * 20
    rates = learning_rates(RECIPES["long tail"], 3)
    assert rates == pytest.approx(np.repeat(expected, 3), rel=1e-4)
    short = RECIPES["long tail"].shortened(30)
    assert (short.warm_up, short.drops) == (1, (24, 27))


@pytest.mark.parametrize(
    ("dataset", "protocol", "name"),
    [
        ("digits", None, "digits"),
        ("cifar10", None, "cifar"),
        ("cifar100", "digits", "digits"),
        ("AI_Challenger_Crops", None, "crops"),
        ("Mushroom-9", None, "mushrooms"),
        ("my_images", "crops", "crops"),
    ],
)
def test_each_data_set_has_its_recipe(dataset, protocol, name):
    assert recipe_name(dataset, protocol) == name


def test_a_data_set_of_no_paper_needs_a_recipe():
    with pytest.raises(ValueError, match=r"PROTOCOL: .*'my_images'"):
        recipe_name("my_images")
    with pytest.raises(ValueError, match="PROTOCOL: 'crop'"):
        recipe_name("my_images", "crop")


def test_a_shorter_recipe_keeps_the_shares_of_its_drops():
    short = RECIPES["crops"].shortened(12)
    assert (short.epochs, short.drops) == (12, (6, 10))
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
    assert RECIPES["red cells"].timed(METHODS[name]) is METHODS[name]
    plain = METHODS["focal_a1_g2"]
    assert RECIPES["cifar"].timed(plain) is plain


@pytest.mark.parametrize(
    "wrong", [{"optimizer": "Adam"}, {"keep": "first"}, {"epochs": 0}]
)
def test_what_is_no_recipe_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)
