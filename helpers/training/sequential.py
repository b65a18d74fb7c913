"""Networks trained one after another, in a program compiled once.

For networks that are too large for the one program of `training.vectorized`,
and for recipes that augment.  Arguments and outcome are the same.
"""

import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from helpers import models
from helpers.imbalance import Split
from helpers.methods import CrossEntropy, WeightedCrossEntropy, check_labels
from helpers.paths import kept
from helpers.session import device
from helpers.training.comparison import chosen_methods, decide, epoch_batches
from helpers.training.recipe import Recipe
from helpers.training.result import Epochs, Trained

VERSION = 2
"""Of what a training does; a higher one makes kept trainings stale."""

UNTRAINED = ("small_resnet", "resnet18_cifar", "resnet18", "resnet34")
PRETRAINED = {"resnet50": "ResNet-50", "resnet101": "ResNet-101"}
"""Residual networks: our own, and those that Keras has ImageNet weights of."""

# Of `Program`: bytes of inputs laid out at once, and steps without a return
# to Python, which costs a tiny network a third more.
_BLOCK, _STEPS = 2**28, 16


def network_of(
    name: str, weights: str | None = None
) -> tuple[Callable, str, str]:
    """A network to train, and which weights it really starts from.

    Parameters
    ----------
    name : of `UNTRAINED` or `PRETRAINED`
    weights : "imagenet", "random" or a file; None takes ImageNet's where
        there are any

    Returns
    -------
    What `train_one_by_one` takes as its network; "imagenet", "random" or the
    file's name; and how these weights are told from others in a result.
    Raises ValueError for another name, and for weights that there are not.
    """
    if name not in (*UNTRAINED, *PRETRAINED):
        known = sorted((*UNTRAINED, *PRETRAINED))
        raise ValueError(f"NETWORK: {name!r} not in {known}")
    weights = weights or ("random" if name in UNTRAINED else "imagenet")
    told = "random, drawn from each run's seed"
    if name in PRETRAINED:
        name = PRETRAINED[name]
        if weights != "random":
            told = models.weights_identity(name, weights)
        return models.trainable(name, weights), weights, told
    if weights != "random":
        raise ValueError(
            f"WEIGHTS: {weights!r}, but {name} has no trained weights; give "
            f"'random', or one of {sorted(PRETRAINED)} as the network"
        )
    return getattr(models, name), weights, told


def fine_tune(
    images: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    backbone: str,
    weights: str,
    recipe: Recipe,
    preprocessing: str = "keras",
    keep_dir: Path | None = None,
) -> Trained:
    """Train a backbone and a Dense-Dropout-Dense head, end to end.

    Parameters
    ----------
    images : uint8 (N, size, size, 3)
    backbone, weights, preprocessing : see `helpers.models.backbone`
    recipe : for example `helpers.training.FINE_TUNING`
    labels, runs, methods, keep_dir : see `train_one_by_one`
    """

    def network(n_classes, shape, seed):
        base = models.backbone(
            backbone, weights, shape[0], preprocessing, seed=seed
        )
        base.trainable = True
        if recipe.batch_norm_momentum is None:
            models.freeze_batch_normalization(base)
        else:
            momentum = recipe.batch_norm_momentum
            models.set_batch_normalization_momentum(base, momentum)
        return models.build_classifier(
            base, n_classes, recipe.dense, recipe.dropout, seed
        )

    def identity(seed):
        return models.weights_identity(backbone, weights, seed), preprocessing

    job = (images, labels, runs, methods, recipe, network)
    return train_one_by_one(*job, keep_dir=keep_dir, identity=identity)


def train_one_by_one(
    images: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    recipe: Recipe,
    network: Callable[[int, tuple, int], keras.Model],
    test_curves: bool = False,
    keep_dir: Path | None = None,
    identity: Callable[[int], object] | None = None,
) -> Trained:
    """Train a network for every method and run.

    All methods of a run start from the same weights and see the same batches
    (those of `helpers.training.train_grid`); only what a method names differs.
    Late weights start at the first drop of the learning rate, as there.

    Parameters
    ----------
    images : uint8 (N, H, W, channels)
    runs : one `Split` a run; its ``seed`` draws the initial weights, the
        batches, the augmentation and the dropout
    methods : without a cosine classifier
    network : from (classes, an image's shape, seed) to a model from images
        0-255 to logits
    labels, recipe, test_curves : see `helpers.training.train_grid`
    keep_dir : where each finished training is kept under a hash of all that
        it follows from, so that a study that was stopped goes on there, on
        another machine too; None keeps nothing
    identity : from a seed to what tells the network from others, as JSON;
        needed to keep

    Raises
    ------
    ValueError
        Where a method is unknown or needs a cosine classifier, or a run has
        no validation set to choose or decide by, or labels are no class
        indices.
    """
    chosen = chosen_methods(methods, labels, runs, recipe, cosine=False)
    start = time.perf_counter()
    programs, trained = {}, []
    # A method's runs one after another, as they share a compiled program.
    jobs = [(method, run) for method in chosen for run in runs]
    for number, (method, run) in enumerate(jobs, 1):
        batches = _Batches(images, labels, run, method, recipe)
        made_of = {
            "version": VERSION,
            "images": images,
            "labels": labels,
            "batches": batches.rows,
            "weights": batches.weights,
            "scored": [run.val, run.test if test_curves else []],
            "first_epoch": method.late_epoch(recipe.epochs),
            "seed": run.seed,
            "loss": batches.loss.get_config(),
            "network": identity and identity(run.seed),
            "recipe": asdict(recipe),
        }
        job = (batches, run, method, recipe, network, test_curves, programs)
        one, known = kept(keep_dir, made_of, lambda job=job: _train(*job))
        trained.append(one)
        print(
            f"{number} of {len(jobs)}: {method.name}, {run.name}, seed "
            f"{run.seed}, best epoch {one['best_epoch']}{', kept' * known}",
            flush=True,
        )
    shape = (len(methods), len(runs))
    logits = np.stack([one["logits"] for one in trained])
    logits = logits.reshape(*shape, len(labels), -1)
    decide(logits, labels, runs, chosen)
    history = [
        # A kept training knows neither the split's nor the method's name.
        {**row, "method": method.name, "split": run.name}
        for (method, run), one in zip(jobs, trained, strict=True)
        for row in json.loads(str(one["history"]))
    ]
    return Trained(
        methods=tuple(methods),
        runs=tuple(runs),
        logits=logits,
        best_epoch=np.reshape([one["best_epoch"] for one in trained], shape),
        history=pd.DataFrame(history),
        seconds=time.perf_counter() - start,
        devices=tuple(sorted({str(one["device"]) for one in trained})),
    )


def _train(batches, run, method, recipe, network, test_curves, programs):
    """One training: its logits, best epoch, history, seconds and device."""
    start = time.perf_counter()
    shape, n_classes = batches.images.shape[1:], batches.weights.shape[-1]
    # Dropout, where a network has any, takes its seed from the global one.
    keras.utils.set_random_seed(run.seed)
    model = keras.Sequential(
        [
            keras.Input(shape),
            *models.augmentation_layers(recipe.augmentation, run.seed),
            network(n_classes, shape, run.seed),
        ]
    )
    loss, steps = batches.loss, len(batches)
    key = json.dumps([loss.get_config(), steps], sort_keys=True)
    if key not in programs:
        programs.clear()  # one network at a time in memory
        fresh = compile_measured(model, loss, recipe.new_optimizer(steps))
        programs[key] = model, fresh
    else:
        new, (model, fresh) = model, programs[key]
        for layer, fresh_layer in zip(model.layers, new.layers, strict=True):
            _assign(layer, fresh_layer.variables)
        _assign(model.optimizer, fresh)
    images, best = batches.images, []

    def logits(rows):
        return predicted_logits(model, images[rows[0]])[None, None]

    def running(logs):
        scores = [logs["plain_loss"], logs["accuracy"]]
        return np.reshape(scores, (2, 1, 1))

    def keep(better):
        if better.any():
            best[:] = model.get_weights()

    job = (batches.labels, [run], [method], recipe, test_curves)
    epochs = Epochs(*job, running, logits, keep)
    # The hooks of PyDataset also run when a model is built.
    begin = keras.callbacks.LambdaCallback(batches.begin)
    model.fit(
        batches,
        epochs=recipe.epochs,
        shuffle=False,
        callbacks=[begin, epochs],
        verbose=0,
    )
    if best:
        model.set_weights(best)
    return {
        "logits": predicted_logits(model, images),
        "best_epoch": int(epochs.best_epoch[0, 0]),
        "history": json.dumps(epochs.history),
        "seconds": time.perf_counter() - start,
        "device": device(),
    }


def compile_measured(model: keras.Model, loss, optimizer) -> list[np.ndarray]:
    """Compile a model from images to logits, with metrics for all losses.

    They are "plain_loss", cross-entropy whatever the loss, and "accuracy",
    both without sample weights.  Returns the optimizer's first state.
    """
    metrics = keras.metrics
    model.compile(
        optimizer=optimizer,
        loss=loss,
        metrics=[
            metrics.SparseCategoricalCrossentropy(
                from_logits=True, name="plain_loss"
            ),
            metrics.SparseCategoricalAccuracy(name="accuracy"),
        ],
    )
    return _fresh_optimizer(model)


def _fresh_optimizer(model):
    model.optimizer.build(model.trainable_variables)
    variables = model.optimizer.variables
    return [keras.ops.convert_to_numpy(v).copy() for v in variables]


def _assign(of, values):
    """To an optimizer, or to a layer and to the seeds of what it draws."""
    for variable, value in zip(of.variables, values, strict=True):
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


class _Batches(keras.utils.PyDataset):
    """The batches of `epoch_batches`, with each epoch's class weights."""

    def __init__(self, images, labels, run, method, recipe):
        super().__init__()
        self.images, self.labels, self.epoch = images, labels, 0
        counts = np.bincount(labels[run.train], minlength=labels.max() + 1)
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

    def begin(self, epoch, logs=None):
        self.epoch = epoch

    def __len__(self):
        return self.rows.shape[1]

    def __getitem__(self, index):
        rows = self.rows[self.epoch, index]
        labels = self.labels[rows]
        images = self.images[rows].astype("float32")
        return images, labels, self.weights[self.epoch, labels]


class Job(NamedTuple):
    """One training: rows and seed of a run, a learning rate, a start.

    ``start`` is a list as of ``Model.get_weights``; None stands for the
    weights that the run's seed draws.
    """

    run: Split
    learning_rate: float
    start: list[np.ndarray] | None = None


class Fitted(NamedTuple):
    """What J jobs came to on N rows of C classes.

    logits: float32 (J, N, C) of all rows; starts, weights: a list a job, as
    of ``Model.get_weights``, before and after; seconds: of all.
    """

    logits: np.ndarray
    starts: list[list[np.ndarray]]
    weights: list[list[np.ndarray]]
    seconds: float


class Program:
    """A tiny network, compiled once and trained as often as asked.

    Adam at a constant learning rate, plain cross-entropy; the last epoch
    counts, so that nothing is chosen.  Inputs of many steps are laid out at
    once, without a return to Python.

    network : from a seed to a model from inputs to logits; the seed draws the
        initial weights of jobs without a start.  Layers that it does not
        train stay as they are.
    """

    def __init__(self, network: Callable[[int], keras.Model]):
        self.network, self.initial = network, {}
        self.model = network(0)
        self.model.compile(
            optimizer=keras.optimizers.Adam(),
            loss=CrossEntropy(),
            jit_compile=False,
            steps_per_execution=_STEPS,
        )
        self.fresh = _fresh_optimizer(self.model)

    def train(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        jobs: list[Job],
        epochs: int,
        batch_size: int = 32,
        flips: bool = True,
    ) -> Fitted:
        """Train once a job.

        Jobs of one seed and one training set see the same batches, in the
        same order, whatever else differs.

        Parameters
        ----------
        inputs : (N, ...) images 0-255, or maps (N, h, w, F)
        labels : int (N,), 0 ... C - 1
        epochs, batch_size : an epoch is ``ceil(n / batch_size)`` batches
        flips : whether each input is flipped left-right and up-down at
            random, anew every time; a grade does not mind
        """
        check_labels(labels)
        begun = time.perf_counter()
        logits, starts, weights = [], [], []
        for run, learning_rate, start in jobs:
            if start is None and run.seed not in self.initial:
                self.initial[run.seed] = self.network(run.seed).get_weights()
            starts.append(self.initial[run.seed] if start is None else start)
            self.model.set_weights(starts[-1])
            _assign(self.model.optimizer, self.fresh)
            self.model.optimizer.learning_rate = learning_rate
            rows = epoch_batches(labels, [run], epochs, batch_size)[:, 0]
            self._fit(inputs, labels, rows, flips, run.seed)
            weights.append(self.model.get_weights())
            logits.append(predicted_logits(self.model, inputs, 32))
        seconds = time.perf_counter() - begun
        return Fitted(np.stack(logits), starts, weights, seconds)

    def logits(self, weights: list[list], inputs: np.ndarray) -> np.ndarray:
        """Logits (J, N, C) of other inputs, from the weights of J jobs."""
        found = []
        for own in weights:
            self.model.set_weights(own)
            found.append(predicted_logits(self.model, inputs, 32))
        return np.stack(found)

    def _fit(self, inputs, labels, rows, flips, seed):
        """One pass over the rows of all batches, (steps, batch), in blocks."""
        generator = np.random.default_rng(seed)
        size = rows.shape[1]
        held = max(1, _BLOCK // (size * inputs[:1].nbytes))
        for block in np.split(rows, range(held, len(rows), held)):
            block = block.ravel()
            x = inputs[block]
            for axis in (1, 2) if flips else ():
                flipped = generator.random(len(block)) < 0.5
                x[flipped] = np.flip(x[flipped], axis)
            self.model.fit(
                x, labels[block], batch_size=size, shuffle=False, verbose=0
            )


def two_at_a_time(function: Callable, items: Iterable) -> list:
    """``map`` in two threads: the function's results, in the items' order.

    A tiny network keeps no more than one core busy, and the backend lets go
    of Python while it computes.  Each item wants its own `Program`, and
    networks whose initial weights do not come from Keras' global seed.  The
    first error is raised when both threads have stopped.  A single item needs
    no thread.
    """
    items = list(items)
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


def movement(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    """How far weights went from their start: ‖after - before‖ / ‖before‖."""
    one, two = (
        np.concatenate([array.ravel() for array in arrays]).astype(float)
        for arrays in (before, after)
    )
    return float(np.linalg.norm(two - one) / np.linalg.norm(one))
