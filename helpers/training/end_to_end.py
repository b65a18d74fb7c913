"""Whole networks trained by a protocol of the CEFL paper, one after another.

For networks that are too large for the one program of `training.grid`, and
for protocols that augment.  Outcome and arguments are the same.
"""

import time
from collections.abc import Callable

import keras
import numpy as np
import pandas as pd

from helpers.imbalance.splits import Split
from helpers.methods.losses import check_labels
from helpers.methods.registry import METHODS
from helpers.models.backbones import trainable, weights_identity
from helpers.models.resnet import (
    resnet18,
    resnet18_cifar,
    resnet34,
    small_resnet,
)
from helpers.training.fine_tuning import (
    Trained,
    compile_measured,
    history_rows,
    validation_scores,
)
from helpers.training.heads import check_decisions, decide, epoch_batches
from helpers.training.recipe import Protocol, augmentation_layers

UNTRAINED = {
    "small_resnet": small_resnet,
    "resnet18_cifar": resnet18_cifar,
    "resnet18": resnet18,
    "resnet34": resnet34,
}
"""Our own residual networks, of which there are no trained weights."""

PRETRAINED = {"resnet50": "ResNet-50", "resnet101": "ResNet-101"}
"""Networks that Keras has with ImageNet's weights."""


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
    What `train_one_by_one` takes as its network, the weights, one of
    "imagenet", "random" and the file's name, and how these are told from
    others in a result.

    Raises
    ------
    ValueError
        For another name, and for weights that a network does not have.
    """
    if name in UNTRAINED:
        if weights not in (None, "random"):
            raise ValueError(
                f"WEIGHTS: {weights!r}, but {name} has no trained weights; "
                f"give 'random', or one of {sorted(PRETRAINED)} as the network"
            )
        return UNTRAINED[name], "random", "random, drawn from each run's seed"
    if name not in PRETRAINED:
        known = sorted(UNTRAINED | PRETRAINED)
        raise ValueError(f"NETWORK: {name!r} not in {known}")
    weights = weights or "imagenet"
    build = trainable(PRETRAINED[name], weights)
    if weights == "random":
        return build, weights, "random, drawn from each run's seed"
    return build, weights, weights_identity(PRETRAINED[name], weights)


def train_one_by_one(
    images: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    protocol: Protocol,
    network,
    test_curves: bool = False,
) -> Trained:
    """Train a network for every method and run.

    All methods of a run start from the same weights and see the same batches
    (those of `helpers.training.train_grid`); only what a method names differs.
    Late weights start at the first drop of the learning rate, as there.

    The weights of the last epoch count, as in the CEFL paper: ``val`` of a
    run may be empty, except for a method whose decision rule needs it.

    Parameters
    ----------
    images : uint8 (N, H, W, channels)
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run; its ``seed`` draws the initial weights, the
        batches and the augmentation
    methods : names in `helpers.methods.METHODS`, without a cosine classifier
    protocol : see `helpers.training.PROTOCOLS`
    network : from (classes, picture's shape, seed) to a model from pictures
        0-255 to logits
    test_curves : whether the history also has the scores of the test part
        after every epoch, part "test"; nothing is chosen by them

    Returns
    -------
    `Trained`, with ``best_epoch`` the last one; history of the training part
    and, where asked for, of the test part.

    Raises
    ------
    ValueError
        Where a method is unknown or needs a cosine classifier, or decides by
        validation and a run has none, or labels are no class indices.
    """
    unfit = [
        name for name in methods if name not in METHODS or METHODS[name].cosine
    ]
    if unfit:
        known = [name for name in METHODS if not METHODS[name].cosine]
        raise ValueError(f"methods: {unfit} not in {known}")
    check_labels(labels)
    start = time.perf_counter()
    chosen = [protocol.timed(METHODS[name]) for name in methods]
    n_classes = int(labels.max()) + 1
    check_decisions(labels, runs, chosen, n_classes)
    logits = np.empty((len(methods), len(runs), len(labels), n_classes), "f4")
    history, jobs = [], len(methods) * len(runs)
    for m, method in enumerate(chosen):
        for r, run in enumerate(runs):
            batches = _Batches(images, labels, run, method, protocol)
            model = _compiled(images, labels, run, method, protocol, network)
            log = _Log(images, labels, run, method.name, test_curves)
            begin = keras.callbacks.LambdaCallback(batches.begin)
            model.fit(
                batches,
                epochs=protocol.epochs,
                shuffle=False,
                callbacks=[begin, log],
                verbose=0,
            )
            logits[m, r] = model.predict(images, batch_size=256, verbose=0)
            history += log.rows
            print(
                f"{m * len(runs) + r + 1} of {jobs}: {method.name}, "
                f"{run.name}, seed {run.seed}",
                flush=True,
            )
    decide(logits, labels, runs, chosen)
    return Trained(
        methods=tuple(methods),
        runs=tuple(runs),
        logits=logits,
        best_epoch=np.full((len(methods), len(runs)), protocol.epochs),
        history=pd.DataFrame(history),
        seconds=time.perf_counter() - start,
    )


def _compiled(images, labels, run, method, protocol, network):
    # Dropout, where a network has any, takes its seed from the global one.
    keras.utils.set_random_seed(run.seed)
    n_classes = int(labels.max()) + 1
    model = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            *augmentation_layers(protocol.augmentation, run.seed),
            network(n_classes, images.shape[1:], run.seed),
        ]
    )
    counts = np.bincount(labels[run.train], minlength=n_classes)
    steps = -(-len(run.train) // protocol.batch_size)
    compile_measured(model, method.loss(counts), protocol.optimizer(steps))
    return model


class _Log(keras.callbacks.Callback):
    """Notes the scores of every epoch, of the test part where asked for."""

    def __init__(self, images, labels, run, method, test_curves):
        super().__init__()
        self.images, self.labels = images[run.test], labels[run.test]
        self.run, self.method, self.rows = run, method, []
        self.test_curves = test_curves

    def on_epoch_end(self, epoch, logs=None):
        parts = {
            "train": {"loss": logs["plain_loss"], "accuracy": logs["accuracy"]}
        }
        if self.test_curves:
            logits = self.model.predict(self.images, batch_size=256, verbose=0)
            parts["test"] = validation_scores(self.labels, logits)
        for part, scores in parts.items():
            self.rows += history_rows(
                self.run, self.method, epoch, part, scores
            )


class _Batches(keras.utils.PyDataset):
    """The batches of `epoch_batches`, with a method's late weights."""

    def __init__(self, images, labels, run, method, protocol):
        super().__init__()
        self.images, self.labels = images, labels
        rows = epoch_batches(1, labels, [run], protocol, method.sampler)
        self.rows = rows[:, 0].reshape(
            protocol.epochs, -1, protocol.batch_size
        )
        self.epoch, self.late_epoch = 0, protocol.epochs
        if method.late_weights:
            counts = np.bincount(labels[run.train], minlength=labels.max() + 1)
            self.weights = method.late_weights(counts)
            self.late_epoch = method.late_epoch(protocol.epochs)

    def __len__(self):
        return self.rows.shape[1]

    def __getitem__(self, index):
        rows = self.rows[self.epoch, index]
        labels = self.labels[rows]
        weights = np.ones(len(rows), "float32")
        if self.epoch >= self.late_epoch:
            weights = self.weights[labels].astype("float32")
        return self.images[rows].astype("float32"), labels, weights

    def begin(self, epoch, logs=None):
        """For a callback: the hooks of PyDataset run when a model is built."""
        self.epoch = epoch
