"""Pre-training EfficientNetB1 on the formula corpus, step by step.

Every batch follows from its number, the weights and the optimiser's state
are kept with the number of the step: a run that was stopped goes on where it
was and ends as if nothing had happened.
"""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd
from keras import ops

from helpers.corpus import FACTORS, Batch, Corpus
from helpers.models import (
    depth_features,
    efficientnet_b1,
    set_batch_normalization_momentum,
)


@dataclass(frozen=True)
class Stage:
    """Steps at one picture size (pixels, a multiple of 32) and batch size."""

    size: int
    batch: int
    steps: int


@dataclass(frozen=True)
class Pretraining:
    """The recipe; the stages go from small pictures to large ones."""

    stages: tuple[Stage, ...]
    n_classes: int = 240
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    seed: int = 0

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_of(self, step: int) -> Stage:
        """The stage that step (counted from 0) belongs to."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        raise ValueError(f"step: there are {self.steps} steps, got {step}")


SHIPPED = Pretraining(
    stages=(Stage(32, 128, 1800), Stage(64, 128, 1300), Stage(96, 64, 300))
)
"""What made the weights in data/weights: 416,000 pictures."""


def pretrain(
    recipe: Pretraining, folder: Path, report_every: int = 50
) -> tuple[keras.Model, pd.DataFrame]:
    """Train, or go on training, and keep checkpoints in a folder.

    recipe: what to train; a folder holds one recipe's run only.
    report_every: steps between two rows of the history and two checkpoints.

    Returns the network as `pretext_network` made it, trained, and its
    history: one row a report with step, size, pictures, seconds and the
    means since the last report of what was measured while training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model, rows = _resume(recipe, folder)
    corpus = Corpus(recipe.n_classes, recipe.seed)
    done = rows[-1]["step"] if rows else 0

    def draw(step):
        stage = recipe.stage_of(step)
        return corpus.batch(step, stage.batch, stage.size)

    begun, measured = time.perf_counter(), []
    # One thread draws the next batch while the network learns from this one.
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(draw, done) if done < recipe.steps else None
        for step in range(done, recipe.steps):
            batch = pending.result()
            if step + 1 < recipe.steps:
                pending = pool.submit(draw, step + 1)
            measured.append(
                model.train_on_batch(
                    batch.images.astype("float32"),
                    targets(batch, recipe),
                    return_dict=True,
                )
            )
            if (step + 1) % report_every == 0 or step + 1 == recipe.steps:
                now = time.perf_counter()
                rows.append(
                    {
                        "step": step + 1,
                        "size": recipe.stage_of(step).size,
                        "pictures": _pictures(recipe, step + 1),
                        "seconds": now - begun,
                        **pd.DataFrame(measured).astype(float).mean(),
                    }
                )
                begun, measured = now, []
                _keep(model, rows, folder)
    return model, pd.DataFrame(rows)


def pretext_network(recipe: Pretraining) -> keras.Model:
    """EfficientNetB1 with the pretext heads, compiled.

    Heads on the frozen-feature depths of `helpers.models.depth_features`
    name the class and the drawn factors; one on the pooled top names the
    class too, so that every depth is asked for something.  Residual branches
    start at zero (Goyal et al., arXiv:1706.02677, section 5.1): the deep
    network begins as a shallow one.  BatchNorm momentum 0.95, no stochastic
    depth.
    """
    keras.utils.set_random_seed(recipe.seed)
    base = efficientnet_b1(weights=None, image_size=None)
    set_batch_normalization_momentum(base, 0.95)
    for layer in base.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
            branch = base.get_layer(layer.name.replace("drop", "project_bn"))
            branch.gamma.assign(ops.zeros_like(branch.gamma))
    layers = keras.layers

    def scaled(features):
        # Small inputs: Adam's equal steps on 1,280 weights a logit would
        # move it by more than it has learnt.
        return layers.BatchNormalization(
            momentum=0.95, gamma_initializer=keras.initializers.Constant(0.1)
        )(features)

    depth = scaled(depth_features(base))
    outputs = {
        "class": layers.Dense(recipe.n_classes, name="class")(depth),
        "factors": layers.Dense(len(FACTORS), name="factors")(depth),
        "top": layers.Dense(recipe.n_classes, name="top")(scaled(base.output)),
    }
    model = keras.Model(base.input, outputs, name="pretext")
    warm_up = max(1, recipe.steps // 20)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=recipe.steps - warm_up,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )
    cross_entropy = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=recipe.label_smoothing
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(
            rate, weight_decay=recipe.weight_decay, global_clipnorm=5.0
        ),
        loss={
            "class": cross_entropy,
            "factors": KnownSquaredError(),
            "top": cross_entropy,
        },
        metrics={"class": "accuracy", "top": "accuracy"},
    )
    return model


@keras.saving.register_keras_serializable(package="imbalance_workbook")
class KnownSquaredError(keras.losses.Loss):
    """Mean squared error over the factors that are known (not NaN).

    Shapes: both float (N, F); result (N,) before the reduction.
    """

    def call(self, y_true, y_pred):
        known = ops.logical_not(ops.isnan(y_true))
        error = ops.where(known, y_true, y_pred) - y_pred
        return ops.mean(ops.square(error), axis=-1)


def backbone_of(model: keras.Model) -> keras.Model:
    """EfficientNetB1 without top out of a trained pretext network."""
    trained = keras.Model(model.input, model.get_layer("avg_pool").output)
    base = efficientnet_b1(weights=None, image_size=None)
    # In their order: Keras numbers the names of some layers in a process.
    base.set_weights(trained.get_weights())
    return base


def save_half(backbone: keras.Model, path: Path) -> None:
    """Write Keras weights with kernels in half precision, all or nothing.

    Vectors (biases, BatchNorm's statistics) stay in single precision: a
    small variance would be lost in half.
    """
    whole = path.with_name("whole.weights.h5")
    small = path.with_name(f"part.{path.name}")
    backbone.save_weights(whole)
    with h5py.File(whole) as source, h5py.File(small, "w") as target:

        def copy(name, item):
            if isinstance(item, h5py.Group):
                target.require_group(name).attrs.update(item.attrs)
            else:
                kind = "float16" if item.ndim > 1 else item.dtype
                target.create_dataset(name, data=item[()].astype(kind))

        source.visititems(copy)
        target.attrs.update(source.attrs)
    os.replace(small, path)
    whole.unlink()


def targets(batch: Batch, recipe: Pretraining) -> dict[str, np.ndarray]:
    """What each head of the pretext network shall say of a batch."""
    one_hot = np.eye(recipe.n_classes, dtype="float32")[batch.labels]
    return {"class": one_hot, "factors": batch.factors, "top": one_hot}


def _pictures(recipe, steps):
    stages = (recipe.stage_of(step) for step in range(steps))
    return sum(stage.batch for stage in stages)


def _keep(model, rows, folder):
    """Both files in one new folder that takes the old one's place."""
    new, kept, old = (folder / name for name in ("new", "kept", "old"))
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    model.save(new / "network.keras")
    pd.DataFrame(rows).to_csv(new / "history.csv", index=False)
    shutil.rmtree(old, ignore_errors=True)
    if kept.exists():
        kept.rename(old)
    new.rename(kept)
    shutil.rmtree(old, ignore_errors=True)


def _resume(recipe, folder):
    note = folder / "recipe.txt"
    if note.is_file() and note.read_text() != repr(recipe):
        raise ValueError(
            f"{note} tells of another recipe; name another folder, or delete "
            "this one to begin anew"
        )
    for name in ("kept", "old"):
        history = folder / name / "history.csv"
        if history.is_file():
            model = keras.models.load_model(folder / name / "network.keras")
            return model, pd.read_csv(history).to_dict("records")
    note.write_text(repr(recipe))
    return pretext_network(recipe), []
