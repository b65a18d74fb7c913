"""Whole networks trained by a protocol of the CEFL paper, one after another.

For networks that are too large for the one program of `helpers.grid`, and
for protocols that augment.  Outcome and arguments are the same.
"""

import time

import keras
import numpy as np
import pandas as pd

from helpers.heads import check_decisions, decide, epoch_batches
from helpers.losses import check_labels
from helpers.methods import METHODS
from helpers.optimisers import Protocol, augmentation_layers
from helpers.splits import Split
from helpers.training import Trained, compile_measured, history_rows


def train_one_by_one(
    images: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    protocol: Protocol,
    network,
) -> Trained:
    """Train a network for every method and run.

    All methods of a run start from the same weights and see the same batches
    (those of `helpers.grid.train_grid`); only what the method names differs.
    The weights of the last epoch count, as in the CEFL paper: ``val`` of a
    run may be empty, except for a method whose decision rule needs it.

    Parameters
    ----------
    images : uint8 (N, H, W, channels)
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run; its ``seed`` draws the initial weights, the
        batches and the augmentation
    methods : names in `helpers.methods.METHODS`, without a cosine classifier
    protocol : see `helpers.optimisers.PROTOCOLS`
    network : from (classes, picture's shape, seed) to a model from pictures
        0-255 to logits

    Returns
    -------
    `Trained`, with ``best_epoch`` the last one; history of the training part.

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
    chosen = [METHODS[name] for name in methods]
    n_classes = int(labels.max()) + 1
    check_decisions(labels, runs, chosen, n_classes)
    logits = np.empty((len(methods), len(runs), len(labels), n_classes), "f4")
    history, jobs = [], len(methods) * len(runs)
    for m, method in enumerate(chosen):
        for r, run in enumerate(runs):
            batches = _Batches(images, labels, run, method, protocol)
            model = _compiled(images, labels, run, method, protocol, network)
            log = model.fit(
                batches,
                epochs=protocol.epochs,
                shuffle=False,
                callbacks=[keras.callbacks.LambdaCallback(batches.begin)],
                verbose=0,
            ).history
            logits[m, r] = model.predict(images, batch_size=256, verbose=0)
            for epoch in range(protocol.epochs):
                scores = {
                    "loss": log["plain_loss"][epoch],
                    "accuracy": log["accuracy"][epoch],
                }
                history += history_rows(
                    run, method.name, epoch, "train", scores
                )
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
