"""Networks trained one after another, in a program compiled once.

For networks that are too large for the one program of `training.vectorized`,
and for recipes that augment.  Arguments and outcome are the same.
"""

import functools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from helpers import models
from helpers.imbalance import Split
from helpers.methods import CrossEntropy, WeightedCrossEntropy
from helpers.paths import kept
from helpers.session import device
from helpers.training.comparison import (
    Epochs,
    Trained,
    chosen_methods,
    decide,
    epoch_batches,
    training_counts,
)
from helpers.training.recipe import Recipe

VERSION = 2
"""Of what a training does; a higher one makes kept trainings stale."""

NETWORKS = {"resnet50": "ResNet-50", "resnet101": "ResNet-101"}
NETWORKS |= {"small_resnet": None, "resnet18_cifar": None}
NETWORKS |= {"resnet18": None, "resnet34": None}
NETWORKS |= {"resnet20": None, "resnet32": None}
"""Residual networks; the backbone of those that have ImageNet weights."""


def network_of(
    name: str, weights: str | None = None
) -> tuple[Callable, str, str]:
    """A network by name for `train_one_by_one`, and what it starts from.

    name : of `NETWORKS`
    weights : "imagenet", "random" or a file; None: ImageNet's where there are
        any

    Returns the network; "imagenet", "random" or the file's name; and how a
    result names these weights.  Raises ValueError for another name, and for
    weights that the network lacks.
    """
    if name not in NETWORKS:
        raise ValueError(f"NETWORK: {name!r} not in {sorted(NETWORKS)}")
    backbone = NETWORKS[name]
    weights = weights or ("imagenet" if backbone else "random")
    identity = "random, drawn from each run's seed"
    if weights != "random":
        if not backbone:
            raise ValueError(
                f"WEIGHTS: {weights!r}, but {name} has no trained weights; "
                "give 'random', or resnet50 or resnet101 as the network"
            )
        identity = models.weights_identity(backbone, weights)
    if backbone:
        return models.trainable(backbone, weights), weights, identity
    return _Untrained(name), weights, identity


@dataclass(frozen=True)
class _Untrained:
    """A residual network by name, whose weights follow from a run's seed."""

    name: str

    def __call__(self, n_classes, shape, seed):
        return getattr(models, self.name)(n_classes, shape, seed)

    def identity(self, seed):
        return self.name, seed


@dataclass(frozen=True)
class WholeNetwork:
    """A backbone and a Dense-Dropout-Dense head, all of it to be trained.

    A network for `train_one_by_one`.  See `helpers.models.backbone`; the
    recipe gives the head, and what BatchNorm does.
    """

    backbone: str
    weights: str
    recipe: Recipe
    preprocessing: str = "keras"

    def __call__(self, n_classes, shape, seed):
        job = self.backbone, self.weights, shape[0], self.preprocessing
        base = models.backbone(*job, seed=seed)
        models.unfreeze(base, self.recipe.batch_norm_momentum)
        head = self.recipe.dense, self.recipe.dropout, seed
        return models.build_classifier(base, n_classes, *head)

    def identity(self, seed):
        weights = models.weights_identity(self.backbone, self.weights, seed)
        return weights, self.preprocessing


def train_one_by_one(
    images: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    recipe: Recipe,
    network: Callable[[int, tuple, int], keras.Model],
    test_curves: bool = False,
    keep_dir: Path | None = None,
) -> Trained:
    """Train a network for every method and run.

    All methods of a run start from the same weights and see the same batches
    (those of `helpers.training.train_grid`); only what a method names differs.

    Parameters
    ----------
    images : uint8 (N, H, W, channels)
    runs : one `Split` a run; its ``seed`` draws the initial weights, the
        batches, the augmentation and the dropout
    methods : without a cosine classifier; see `chosen_methods` for what is
        raised
    network : from (classes, an image's shape, seed) to a model from images
        0-255 to logits; to be kept, it has an ``identity`` as `WholeNetwork`
    labels, recipe, test_curves : see `helpers.training.train_grid`
    keep_dir : where each finished training is kept under a hash of all that
        it follows from, so that a study that was stopped goes on there, on
        another machine too; None keeps nothing
    """
    chosen = chosen_methods(methods, labels, runs, recipe, cosine=False)
    start = time.perf_counter()
    programs, trained, history = {}, [], []
    # A method's runs one after another, as they share a compiled program.
    jobs = [(method, run) for method in chosen for run in runs]
    for number, (method, run) in enumerate(jobs, 1):
        batches = _Batches(images, labels, run, method, recipe)
        made_of = {"version": VERSION, "images": images, "labels": labels}
        made_of |= {"batches": batches.rows, "weights": batches.weights}
        made_of |= {"scored": [run.val, run.test if test_curves else []]}
        made_of |= {"first_epoch": method.late_epoch(recipe.epochs)}
        made_of |= {"seed": run.seed, "loss": batches.loss.get_config()}
        made_of |= {"network": keep_dir and network.identity(run.seed)}
        made_of |= {"recipe": asdict(recipe)}
        made_of |= {"precision": keras.config.dtype_policy().name}
        job = (batches, run, method, recipe, network, test_curves, programs)
        train = functools.partial(_train, *job)
        one, was_kept = kept(keep_dir, made_of, train)
        trained.append(one)
        # A kept training knows neither the split's nor the method's name.
        names = {"method": method.name, "split": run.name}
        history += [row | names for row in json.loads(str(one["history"]))]
        print(
            f"{number} of {len(jobs)}: {method.name}, {run.name}, seed "
            f"{run.seed}, best epoch {one['best_epoch']}{', kept' * was_kept}",
            flush=True,
        )
    shape = (len(methods), len(runs))
    logits = np.stack([one["logits"] for one in trained])
    logits = logits.reshape(*shape, len(labels), -1)
    decide(logits, labels, runs, chosen)
    return Trained(
        methods=tuple(methods),
        runs=tuple(runs),
        logits=logits,
        best_epoch=np.reshape([one["best_epoch"] for one in trained], shape),
        history=pd.DataFrame(history),
        seconds=time.perf_counter() - start,
        devices=tuple(sorted({str(one["device"]) for one in trained})),
        each_seconds=np.reshape([one["seconds"] for one in trained], shape),
    )


class _Batches:
    """The batches of a training, with each epoch's class weights."""

    def __init__(self, images, labels, run, method, recipe):
        self.images, self.labels = images, labels
        counts = training_counts(labels, [run])[0]
        size = recipe.batch_size
        self.rows = epoch_batches(
            labels, [run], recipe.epochs, size, sampler=method.sampler
        ).reshape(recipe.epochs, -1, size)
        self.loss = method.loss(counts)
        self.weights = np.ones((recipe.epochs, len(counts)), "float32")
        if type(self.loss) is WeightedCrossEntropy:
            # As weights of samples they are no part of the compiled program,
            # which then serves every run of both scenarios.
            self.weights *= self.loss.class_weights
            self.loss = CrossEntropy()
        if method.late_weights:
            late = method.late_epoch(recipe.epochs)
            self.weights[late:] *= method.late_weights(counts)

    def __iter__(self):
        for rows, weights in zip(self.rows, self.weights, strict=True):
            for batch in rows:
                labels = self.labels[batch]
                images = self.images[batch].astype("float32")
                yield images, labels, weights[labels]


def _train(batches, run, method, recipe, network, test_curves, programs):
    """One training: its logits, best epoch, history, seconds and device."""
    images, loss, steps = batches.images, batches.loss, batches.rows.shape[1]
    shape, n_classes = images.shape[1:], batches.weights.shape[-1]
    # Dropout, where a network has any, takes its seed from the global one.
    keras.utils.set_random_seed(run.seed)
    layers = models.augmentation_layers(recipe.augmentation, run.seed)
    layers.append(network(n_classes, shape, run.seed))
    new = keras.Sequential([keras.Input(shape), *layers])
    key = json.dumps([loss.get_config(), steps], sort_keys=True)
    if key not in programs:
        programs.clear()  # one network at a time in memory
        plain = keras.metrics.SparseCategoricalCrossentropy(
            from_logits=True, name="plain_loss"
        )
        hits = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        new.compile(recipe.new_optimizer(steps), loss, metrics=[plain, hits])
        programs[key] = new, _optimizer_state(new)
    model, fresh = programs[key]
    # The seeds of what a layer draws are among its variables.
    for layer, new_layer in zip(model.layers, new.layers, strict=True):
        _assign(layer, new_layer.variables)
    _assign(model.optimizer, fresh)
    best = []

    def running(logs):
        scores = [logs["plain_loss"], logs["accuracy"]]
        return np.reshape(scores, (2, 1, 1))

    def logits(rows):
        return predicted_logits(model, images[rows[0]])[None, None]

    def keep(better):
        if better.any():
            best[:] = model.get_weights()

    job = (batches.labels, [run], [method], recipe, test_curves)
    epochs = Epochs(*job, running, logits, keep)
    start = time.perf_counter()
    model.fit(
        iter(batches),
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=[epochs],
        verbose=0,
    )
    seconds = time.perf_counter() - start
    if best:
        model.set_weights(best)
    return {
        "logits": predicted_logits(model, images),
        "best_epoch": int(epochs.best_epoch[0, 0]),
        "history": json.dumps(epochs.history),
        "seconds": seconds,
        "device": device(),
    }


def _optimizer_state(model):
    model.optimizer.build(model.trainable_variables)
    variables = model.optimizer.variables
    return [keras.ops.convert_to_numpy(v).copy() for v in variables]


def _assign(holder, values):
    for variable, value in zip(holder.variables, values, strict=True):
        variable.assign(value)


def predicted_logits(
    model: keras.Model, images: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """Logits of images (N, ...), in batches of one size, float32.

    A shorter last batch would cost a second tracing of the network.
    """
    batches = -(-len(images) // batch_size)
    rows = np.resize(np.arange(len(images)), (batches, batch_size))
    logits = [
        np.asarray(model.predict_on_batch(images[batch].astype("float32")))
        for batch in rows
    ]
    return np.concatenate(logits)[: len(images)]
