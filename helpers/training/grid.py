"""Many small networks, one a method and run, end to end in one program.

All (method x run) networks of runs of one size train in one compiled program.
A run's seed draws its initial weights and its batches; all methods of a run
share them, so that only what the method names differs.
"""

import time

import keras
import numpy as np
import pandas as pd
from keras import ops

from helpers.imbalance.splits import Split
from helpers.methods.losses import check_labels
from helpers.methods.registry import METHODS
from helpers.models.resnet import small_resnet
from helpers.models.stacked import stack
from helpers.training.bank import Bank
from helpers.training.fine_tuning import (
    Trained,
    history_rows,
    validation_scores,
)
from helpers.training.heads import (
    RunningScores,
    check_decisions,
    decide,
    epoch_batches,
)
from helpers.training.recipe import Protocol


def train_grid(
    images: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    protocol: Protocol,
    network=small_resnet,
    test_curves: bool = False,
) -> Trained:
    """Train a network from scratch for every method and run.

    The weights of the last epoch count, as in the CEFL paper, which has no
    validation part: ``val`` of a run may be empty, except for a method whose
    decision rule needs it.

    An epoch is ``ceil(n / batch_size)`` batches of a run of n training rows,
    as Keras and PyTorch count; the last one is filled up from the next pass.
    A sampler is asked once a run which rows make up the stream.  Late weights
    start at the first drop of the learning rate, see
    `helpers.training.Protocol.timed`.

    Parameters
    ----------
    images : uint8 (N, H, W, channels)
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run; runs of one size of training part share a
        program
    methods : names in `helpers.methods.METHODS`
    protocol : see `helpers.training.PROTOCOLS`; without augmentation
    network : from (classes, picture's shape, seed) to a model that
        `helpers.models.stack` takes
    test_curves : whether the history also has the scores of the test part
        after every epoch, part "test"; nothing is chosen by them

    Returns
    -------
    `Trained`, with ``best_epoch`` the last one; history of the training part
    and, where asked for, of the test part.

    Raises
    ------
    ValueError
        Where a method is unknown, labels are no class indices, images and
        labels do not match, or the protocol augments.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise ValueError(f"methods: {unknown} not in {sorted(METHODS)}")
    check_labels(labels)
    if images.dtype != np.uint8 or images.shape[:-3] != labels.shape:
        raise ValueError(
            f"images: uint8 ({len(labels)}, H, W, channels) is needed, got "
            f"{images.dtype} {images.shape}"
        )
    if protocol.augmentation:
        raise ValueError(
            f"protocol: the grid does not augment ({protocol.augmentation})"
        )
    start = time.perf_counter()
    chosen = [protocol.timed(METHODS[name]) for name in methods]
    n_classes = int(labels.max()) + 1
    check_decisions(labels, runs, chosen, n_classes)
    logits = np.empty(
        (len(methods), len(runs), len(labels), n_classes), "float32"
    )
    history = []
    for size in dict.fromkeys(len(run.train) for run in runs):
        own = [r for r, run in enumerate(runs) if len(run.train) == size]
        some = [runs[r] for r in own]
        bank = _NetworkBank(images, labels, some, chosen, protocol, network)
        history += _fit(bank, labels, some, chosen, protocol, test_curves)
        logits[:, own] = bank.logits([np.arange(len(labels))] * len(own))
    decide(logits, labels, runs, chosen)
    return Trained(
        methods=tuple(methods),
        runs=tuple(runs),
        logits=logits,
        best_epoch=np.full((len(methods), len(runs)), protocol.epochs),
        history=pd.DataFrame(history),
        seconds=time.perf_counter() - start,
    )


def _fit(bank, labels, runs, methods, protocol, test_curves):
    """Train the bank; return rows of its history."""
    rows = np.stack(
        [
            epoch_batches(1, labels, runs, protocol, sampler)
            for sampler in bank.samplers
        ],
        axis=1,
    )
    steps = len(rows) // protocol.epochs
    running = RunningScores(bank.streams, len(runs))
    history = []
    longest = max(len(run.test) for run in runs)
    tested = [np.resize(run.test, longest) for run in runs]

    def note(epoch, logs):
        scores = running.scores()
        logits = bank.logits(tested) if test_curves else None
        for r, run in enumerate(runs):
            for m, method in enumerate(methods):
                values = dict(
                    zip(("loss", "accuracy"), scores[:, r, m], strict=True)
                )
                history.extend(
                    history_rows(run, method.name, epoch, "train", values)
                )
                if test_curves:
                    values = validation_scores(
                        labels[run.test], logits[m, r, : len(run.test)]
                    )
                    history.extend(
                        history_rows(run, method.name, epoch, "test", values)
                    )

    bank.compile(
        optimizer=protocol.optimizer(steps),
        metrics=[running],
        jit_compile=True,
        steps_per_execution=steps,
    )
    bank.fit(
        {"rows": rows, "epoch": np.arange(len(rows), dtype="int32") // steps},
        labels[rows],
        batch_size=1,
        shuffle=False,
        epochs=protocol.epochs,
        steps_per_epoch=steps,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)],
        verbose=0,
    )
    return history


class _NetworkBank(Bank):
    """R x M networks; an entry is a row of the pictures."""

    def __init__(self, images, labels, runs, methods, protocol, network):
        super().__init__(
            "network_bank", labels, runs, methods, protocol.epochs
        )
        self.networks = stack(
            [
                network(self.n_classes, images.shape[1:], run.seed)
                for run in runs
            ],
            [m.cosine for m in methods],
            shared=len(self.samplers) == 1,
        )
        self.images = self.add_weight(
            images.shape, "zeros", "uint8", trainable=False
        )
        self.images.assign(images)

    def call(self, inputs, training=False):
        rows = inputs["rows"][0]
        seen = self.networks.input_shape[1]
        if rows.shape[0] != seen:
            streams = self.streams if rows.shape[0] > 1 else [0] * seen
            rows = ops.take(rows, streams, axis=0)
        pictures = ops.take(self.images, ops.swapaxes(rows, 0, 1), axis=0)
        pictures = ops.cast(pictures, "float32")
        return self.networks(pictures, training=training)[None]
