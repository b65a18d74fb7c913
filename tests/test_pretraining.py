"""Pre-training: resumable, its weights usable, its file small and exact."""

import keras
import numpy as np
import pytest

from helpers import models, pretraining
from helpers.corpus import FACTORS
from helpers.pretraining import (
    KnownSquaredError,
    Pretraining,
    Stage,
    backbone_of,
    pretrain,
    save_half,
)

WIDTHS = dict(zip(models.DEPTHS, (3, 4, 5, 6), strict=True))
RECIPE = Pretraining((Stage(32, 6, 3), Stage(64, 3, 1)), n_classes=6)


def small_network(weights, image_size):
    """A network with the layers' names, quick to trace."""
    layers = keras.layers
    inputs = keras.Input((image_size, image_size, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    for name, width in WIDTHS.items():
        x = layers.Conv2D(width, 3, 2, "same", name=f"{name}_conv")(x)
        block = name.removesuffix("_add")
        branch = layers.BatchNormalization(name=f"{block}_project_bn")(x)
        branch = layers.Dropout(0.2, name=f"{block}_drop")(branch)
        x = layers.Add(name=name)([x, branch])
    top = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(inputs, top)


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "efficientnet_b1", small_network)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return pretrain(RECIPE, folder, report_every=2), folder


def test_history_counts_steps_and_pictures(whole):
    (_, history), _ = whole
    assert history["step"].tolist() == [2, 4]
    assert history["size"].tolist() == [32, 64]
    assert history["pictures"].tolist() == [12, 21]
    assert np.isfinite(history["loss"]).all()


def test_a_stopped_run_goes_on(whole, tmp_path, monkeypatch):
    (model, history), _ = whole
    draw = pretraining.Corpus.batch

    def stop(self, number, *rest):
        if number == 3:
            raise KeyboardInterrupt
        return draw(self, number, *rest)

    monkeypatch.setattr(pretraining.Corpus, "batch", stop)
    with pytest.raises(KeyboardInterrupt):
        pretrain(RECIPE, tmp_path, report_every=2)
    monkeypatch.undo()
    again, resumed = pretrain(RECIPE, tmp_path, report_every=2)
    assert resumed["step"].tolist() == [2, 4]
    np.testing.assert_allclose(resumed["loss"], history["loss"], rtol=1e-4)
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-4)


def test_another_recipe_in_the_folder_is_refused(whole):
    _, folder = whole
    other = Pretraining(RECIPE.stages, n_classes=6, seed=1)
    with pytest.raises(ValueError, match="another recipe"):
        pretrain(other, folder)


def test_the_backbone_is_taken_out_as_trained(whole):
    (model, _), _ = whole
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 64, 64, 3))
    base = backbone_of(model)
    found, own = (
        keras.Model(network.input, models.depth_features(network))
        for network in (base, model)
    )
    np.testing.assert_allclose(
        found.predict(pictures, verbose=0),
        own.predict(pictures, verbose=0),
        rtol=1e-4,
    )


def test_the_saved_file_is_small_whole_and_loads(tmp_path):
    base = models.efficientnet_b1(None, None)
    path = tmp_path / "mine.weights.h5"
    save_half(base, path)
    assert path.stat().st_size < 15e6
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    loaded = models.build_backbone(str(path), 64).layers[-1]
    for one, other in zip(base.weights, loaded.weights, strict=True):
        kept = np.asarray(one)
        if kept.ndim > 1:
            kept = kept.astype("float16")
        np.testing.assert_array_equal(kept, other)


def test_residual_branches_start_at_zero(monkeypatch):
    monkeypatch.setattr(pretraining, "efficientnet_b1", models.efficientnet_b1)
    network = pretraining.pretext_network(RECIPE)
    gammas = {
        layer.name: np.asarray(layer.gamma)
        for layer in network.layers
        if layer.name.endswith("_project_bn")
    }
    zero = {name for name, gamma in gammas.items() if not gamma.any()}
    added = {
        layer.name.replace("add", "project_bn")
        for layer in network.layers
        if layer.name.endswith("_add")
    }
    assert zero == added and len(added) == 16
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.momentum == 0.95


def test_unknown_factors_neither_cost_nor_pull():
    known = np.zeros((2, len(FACTORS)), "float32")
    known[0, 0], known[1] = 2, np.nan
    predicted = keras.ops.ones((2, len(FACTORS)))
    loss = KnownSquaredError(reduction=None)(known, predicted)
    np.testing.assert_allclose(loss, [1, 0])


def test_steps_beyond_the_recipe_are_refused():
    assert RECIPE.stage_of(2).size == 32
    assert RECIPE.stage_of(3).size == 64
    with pytest.raises(ValueError, match="step"):
        RECIPE.stage_of(4)
