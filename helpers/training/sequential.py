"""Networks trained one after another, in a program compiled once.

For networks that are too large for the one program of `training.vectorized`,
and for recipes that augment.  Arguments and outcome are the same.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
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

PRETRAINED = {"resnet50": "ResNet-50", "resnet101": "ResNet-101"}
UNTRAINED = (
    *("small_resnet", "resnet18_cifar", "resnet20", "resnet32"),
    *("resnet18", "resnet34"),
)
"""Residual networks with ImageNet weights, by their backbone, and without."""


def network_of(
    name: str, weights: str | None = None
) -> tuple[Callable, str, str]:
    """A network by name for `train_one_by_one`, and what it starts from.

    name : of `PRETRAINED` or `UNTRAINED`
    weights : "imagenet", "random" or a file; None: ImageNet's where there are
        any

    Returns the network; "imagenet", "random" or the file's name; and how a
    result names these weights.  Raises ValueError for another name, and for
    weights that the network lacks.
    """
    if name not in (names := sorted([*PRETRAINED, *UNTRAINED])):
        raise ValueError(f"NETWORK: {name!r} not in {names}")
    backbone = PRETRAINED.get(name)
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
        return WholeNetwork(backbone, weights), weights, identity
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
    """A backbone, all of it to be trained, with a classifier on top.

    A network for `train_one_by_one`, from (classes, (side, side, 3), seed) to
    a model from images 0-255, RGB, to logits, float32.  ``seed`` draws the
    classifier, and all of it where weights are random.

    Attributes
    ----------
    backbone, weights, preprocessing : see `helpers.models.backbone`
    recipe : gives a Dense-Dropout-Dense classifier, and what BatchNorm does.
        None: a Dense layer, and BatchNorm's moving averages keep 0.9 of
        themselves a step, as in the CEFL paper's framework; Keras' own number
        is 0.99
    """

    backbone: str
    weights: str
    recipe: Recipe | None = None
    preprocessing: str = "keras"

    def __call__(self, n_classes, shape, seed):
        job = self.backbone, self.weights, shape[0], self.preprocessing
        base, recipe = models.backbone(*job, seed=seed), self.recipe
        models.unfreeze(base, recipe.batch_norm_momentum if recipe else 0.9)
        # Half precision ends here: losses want logits in full.
        top = [keras.layers.Dense(n_classes, dtype="float32")]
        if recipe:
            head = recipe.dense, recipe.dropout, seed
            top = models.head_layers(n_classes, *head)
        return keras.Sequential([base, *top])

    def identity(self, seed):
        weights = models.weights_identity(self.backbone, self.weights, seed)
        plain = () if self.recipe else ("one Dense layer",)
        return weights, self.preprocessing, *plain


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
        0-255 to logits; to be kept, it has an ``identity`` as `WholeNetwork`.
        It is built once a seed, and traced once a loss
    labels, recipe, test_curves : see `helpers.training.train_grid`
    keep_dir : where each finished training is kept under a hash of all that
        it follows from, so that a study that was stopped goes on there, on
        another machine too; None keeps nothing
    """
    chosen = chosen_methods(methods, labels, runs, recipe, cosine=False)
    start = time.perf_counter()
    seeds = dict.fromkeys(run.seed for run in runs)
    program, trained, history = _Program(network, recipe, seeds), [], []
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
        job = (program, batches, run, method, test_curves)
        one, was_kept = kept(keep_dir, made_of, partial(_train, *job))
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
        self.loss, self.n_classes = method.loss(counts), len(counts)
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
                # Bytes: the network turns them into floats where it computes.
                yield self.images[batch], labels, weights[labels]


class _Program:
    """A network that is built and traced once, and that trainings share."""

    def __init__(self, network, recipe, seeds):
        self.network, self.recipe, self.seeds = network, recipe, seeds
        self.model = self.scorer = self.compiled_for = self.fresh = None
        self.starts = {}  # values of a network's variables, by seed

    def build(self, shape, n_classes):
        """Draw the weights of all seeds; one network stays.

        All at once, since to set TensorFlow's seed makes it prepare every
        compiled program again.
        """
        for seed in self.seeds:
            # A Dropout without a seed takes it from the global one.
            keras.utils.set_random_seed(seed)
            names = self.recipe.augmentation
            layers = models.augmentation_layers(names, seed)
            layers.append(self.network(n_classes, shape, seed))
            new = keras.Sequential([keras.Input(shape), *layers])
            self.starts[seed] = _values(_variables(new))
            if self.model is None:
                self.model = new
                # Another loss does not make it trace its predictions anew.
                self.scorer = keras.Sequential([keras.Input(shape), *layers])

    def begin(self, batches, seed):
        """Let it start from a seed's weights; compile it for another loss."""
        recipe, loss = self.recipe, batches.loss
        if self.model is None:
            self.build(batches.images.shape[1:], batches.n_classes)
        # A learning rate that stays as it is needs no count of steps.
        steps = batches.rows.shape[1]
        key = [loss.get_config(), steps if recipe.scheduled else None]
        if key != self.compiled_for:
            plain = keras.metrics.SparseCategoricalCrossentropy(
                from_logits=True, name="plain_loss"
            )
            hits = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
            optimizer = recipe.new_optimizer(steps)
            self.model.compile(optimizer, loss, metrics=[plain, hits])
            # In mixed_float16, Keras has wrapped it to scale the loss.
            optimizer = self.model.optimizer
            optimizer.build(self.model.trainable_variables)
            self.fresh = _values(optimizer.variables)
            self.compiled_for = key
        _assign(_variables(self.model), self.starts[seed])
        _assign(self.model.optimizer.variables, self.fresh)
        return self.model

    def logits(self, images):
        """Logits (N, C) of images (N, ...)."""
        return models.in_batches(self.scorer.predict_on_batch, images, 64)


def _train(program, batches, run, method, test_curves):
    """One training: its logits, best epoch, history, seconds and device."""
    model, recipe = program.begin(batches, run.seed), program.recipe
    images, best = batches.images, []

    def running(logs):
        scores = [logs["plain_loss"], logs["accuracy"]]
        return np.reshape(scores, (2, 1, 1))

    def logits(rows):
        return program.logits(images[rows[0]])[None, None]

    def keep(better):
        if better.any():
            best[:] = model.get_weights()

    job = (batches.labels, [run], [method], recipe, test_curves)
    epochs = Epochs(*job, running, logits, keep)
    start = time.perf_counter()
    model.fit(
        iter(batches),
        epochs=recipe.epochs,
        steps_per_epoch=batches.rows.shape[1],
        shuffle=False,
        callbacks=[epochs],
        verbose=0,
    )
    seconds = time.perf_counter() - start
    if best:
        model.set_weights(best)
    return {
        "logits": program.logits(images),
        "best_epoch": int(epochs.best_epoch[0, 0]),
        "history": json.dumps(epochs.history),
        "seconds": seconds,
        "device": device(),
    }


def _variables(model):
    """Of a network, with the seeds of what its layers draw."""
    return [value for layer in model.layers for value in layer.variables]


def _values(variables):
    return [keras.ops.convert_to_numpy(each).copy() for each in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
