"""Fine-tuning the whole network, one run after another, for every method.

The outcome has the same shape as that of `helpers.heads`, so a notebook
reads both regimes with the same code.
"""

import time
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from scipy.special import log_softmax

from helpers.evaluation import confusion, macro_f1_from
from helpers.features import augmentation_layers
from helpers.losses import check_labels
from helpers.methods import METHODS
from helpers.models import (
    build_backbone,
    build_classifier,
    freeze_batch_normalization,
    set_batch_normalization_momentum,
)
from helpers.splits import Split


@dataclass(frozen=True)
class Trained:
    """What M methods learnt in R runs on N rows of C classes.

    Attributes
    ----------
    methods : names, in the order of the first axis
    runs : the runs, in the order of the second axis
    logits : float32 (M, R, N, C) of all rows, the plain view, with the
        weights of the best epoch
    best_epoch : int (M, R), counted from 1: the highest macro-F1 on
        validation, the earliest one of equals
    history : one row a (method, split, seed, epoch, part, metric); "loss" is
        plain cross-entropy for every method, so curves compare; "train" is
        measured while training, with augmentation and dropout
    seconds : of the whole training
    """

    methods: tuple[str, ...]
    runs: tuple[Split, ...]
    logits: np.ndarray
    best_epoch: np.ndarray
    history: pd.DataFrame
    seconds: float

    def tested(self, method: str, split: str) -> tuple[np.ndarray, np.ndarray]:
        """What a method says of the rows its runs on a split kept for test.

        Runs of one seed are folds: their test parts are pooled, so that each
        row is judged by the run that did not see it.

        Returns the tested rows, int64 (T,), and logits, float32 (S, T, C),
        one for each seed.  Raises ValueError where no run is of that split
        or where the seeds do not test the same rows, each once.
        """
        own = [i for i, run in enumerate(self.runs) if run.name == split]
        seeds = list(dict.fromkeys(self.runs[i].seed for i in own))
        if not own:
            raise ValueError(f"split: no run is named {split!r}")
        by_seed = []
        for seed in seeds:
            folds = [i for i in own if self.runs[i].seed == seed]
            rows = np.concatenate([self.runs[i].test for i in folds])
            order = np.argsort(rows)
            logits = np.concatenate(
                [
                    self.logits[
                        self.methods.index(method), i, self.runs[i].test
                    ]
                    for i in folds
                ]
            )
            by_seed.append((rows[order], logits[order]))
        rows = by_seed[0][0]
        if len(np.unique(rows)) < len(rows) or any(
            not np.array_equal(rows, other) for other, _ in by_seed
        ):
            raise ValueError(
                f"split {split!r}: the seeds do not test the same rows once"
            )
        return rows, np.stack([logits for _, logits in by_seed])


@dataclass(frozen=True)
class FineTuning:
    """What the acne paper leaves unsaid, the same for every method.

    batch_norm_momentum: None keeps BatchNorm's statistics and scales as the
    weights give them; a number lets it train with that momentum, which a
    network without pre-training needs.
    """

    dense: int = 128
    dropout: float = 0.3
    learning_rate: float = 1e-4
    batch_size: int = 32
    epochs: int = 30
    batch_norm_momentum: float | None = None


def fine_tune(
    images: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    weights: str,
    settings: FineTuning,
    scaling: str = "corrected",
) -> Trained:
    """Train EfficientNetB1 and its head end to end.

    For each run all methods start from the same weights and see the same
    batches; only the loss differs.  Adam; the epoch with the best validation
    macro-F1 is kept.

    Parameters
    ----------
    images : uint8 (N, size, size, 3)
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run; its ``seed`` draws the head, the batches, the
        augmentation and the dropout
    methods : names in `helpers.methods.METHODS`
    weights, scaling : see `helpers.models.build_backbone`

    Raises
    ------
    ValueError
        Where a method is unknown, or is more than a loss: samplers, late
        weights and decision rules are known to `helpers.heads` alone.
        Where labels are no class indices.
    """
    beyond = [
        name
        for name in methods
        if name not in METHODS or not METHODS[name].only_loss
    ]
    if beyond:
        known = [name for name in METHODS if METHODS[name].only_loss]
        raise ValueError(
            f"methods: {beyond} cannot be fine-tuned; these can: {known}"
        )
    check_labels(labels)
    start = time.perf_counter()
    logits, best_epochs, history = [], [], []
    jobs = [(method, run) for method in methods for run in runs]
    for number, (method, run) in enumerate(jobs, 1):
        model = _compiled(
            images, labels, run, method, weights, settings, scaling
        )
        keeper = _KeepBest(images, labels, run, method)
        batches = _Batches(images, labels, run, settings.batch_size)
        model.fit(
            batches,
            epochs=settings.epochs,
            shuffle=False,
            callbacks=[keeper],
            verbose=0,
        )
        model.set_weights(keeper.best_weights)
        logits.append(model.predict(images, verbose=0))
        best_epochs.append(keeper.best_epoch)
        history += keeper.history
        print(
            f"{number} of {len(jobs)}: {method}, {run.name}, "
            f"seed {run.seed}, best epoch {keeper.best_epoch}",
            flush=True,
        )
    shape = (len(methods), len(runs))
    return Trained(
        methods=tuple(methods),
        runs=tuple(runs),
        logits=np.stack(logits).reshape(*shape, len(labels), -1),
        best_epoch=np.reshape(best_epochs, shape),
        history=pd.DataFrame(history),
        seconds=time.perf_counter() - start,
    )


def validation_scores(
    labels: np.ndarray, logits: np.ndarray
) -> dict[str, float]:
    """Plain cross-entropy ("loss"), accuracy and macro-F1 of logits (N, C)."""
    own = log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]
    predicted = logits.argmax(axis=-1)
    table = confusion(labels, predicted, logits.shape[-1])
    return {
        "loss": float(-own.mean()),
        "accuracy": float((predicted == labels).mean()),
        "macro_f1": float(macro_f1_from(table)),
    }


def history_rows(
    run: Split, method: str, epoch: int, part: str, scores: dict[str, float]
) -> list[dict]:
    """Rows of `Trained.history` for one epoch, counted from 0 by Keras."""
    return [
        {
            "method": method,
            "split": run.name,
            "seed": run.seed,
            "epoch": epoch + 1,
            "part": part,
            "metric": metric,
            "value": float(value),
        }
        for metric, value in scores.items()
    ]


def _compiled(images, labels, run, method, weights, settings, scaling):
    # Dropout inside EfficientNet takes its seeds from the global one.
    keras.utils.set_random_seed(run.seed)
    size, n_classes = images.shape[1], int(labels.max()) + 1
    backbone = build_backbone(weights, size, scaling, run.seed)
    if settings.batch_norm_momentum is None:
        freeze_batch_normalization(backbone)
    else:
        set_batch_normalization_momentum(
            backbone, settings.batch_norm_momentum
        )
    classifier = build_classifier(
        backbone, n_classes, settings.dense, settings.dropout, run.seed
    )
    model = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            *augmentation_layers(run.seed),
            classifier,
        ]
    )
    counts = np.bincount(labels[run.train], minlength=n_classes)
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    compile_measured(model, METHODS[method].loss(counts), optimizer)
    return model


def compile_measured(model: keras.Model, loss, optimizer) -> None:
    """Compile a model from pictures to logits, with metrics for all losses.

    They are "plain_loss", cross-entropy whatever the loss, and "accuracy",
    both without sample weights.
    """
    model.compile(
        optimizer=optimizer,
        loss=loss,
        metrics=[
            keras.metrics.SparseCategoricalCrossentropy(
                from_logits=True, name="plain_loss"
            ),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ],
    )


class _Batches(keras.utils.PyDataset):
    """Batches of a run's training part, in an order its seed fixes."""

    def __init__(self, images, labels, run, batch_size):
        super().__init__()
        self.images, self.labels, self.run = images, labels, run
        self.batch_size = batch_size
        self.generator = np.random.default_rng(run.seed)
        self.on_epoch_end()

    def __len__(self):
        return -(-len(self.run.train) // self.batch_size)

    def __getitem__(self, index):
        start = index * self.batch_size
        rows = self.order[start : start + self.batch_size]
        return self.images[rows].astype("float32"), self.labels[rows]

    def on_epoch_end(self):
        self.order = self.generator.permutation(self.run.train)


class _KeepBest(keras.callbacks.Callback):
    """Scores validation after each epoch and keeps the best epoch."""

    def __init__(self, images, labels, run, method):
        super().__init__()
        self.images, self.labels = images[run.val], labels[run.val]
        self.run, self.method = run, method
        self.history, self.best_score = [], -1.0
        self.best_epoch, self.best_weights = 0, None

    def on_epoch_end(self, epoch, logs=None):
        logits = self.model.predict(self.images, verbose=0)
        scores = validation_scores(self.labels, logits)
        training = {"loss": logs["plain_loss"], "accuracy": logs["accuracy"]}
        for part, values in (("train", training), ("val", scores)):
            self.history += history_rows(
                self.run, self.method, epoch, part, values
            )
        if scores["macro_f1"] > self.best_score:
            self.best_score = scores["macro_f1"]
            self.best_epoch = epoch + 1
            self.best_weights = self.model.get_weights()
