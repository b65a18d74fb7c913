"""Fine-tuning the whole network, one run after another, for every method.

The outcome has the same shape as that of `training.heads`, so a notebook
reads both regimes with the same code.
"""

import hashlib
import io
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.special import log_softmax

from helpers.evaluation.metrics import confusion, macro_f1_from
from helpers.imbalance.splits import Split
from helpers.methods.losses import (
    CrossEntropy,
    WeightedCrossEntropy,
    check_labels,
)
from helpers.methods.registry import METHODS
from helpers.models import backbones
from helpers.models.backbones import weights_identity
from helpers.models.features import AUGMENTATION, augmentation_layers
from helpers.models.layers import (
    freeze_batch_normalization,
    head_layers,
    set_batch_normalization_momentum,
)
from helpers.paths import atomic_write
from helpers.session import device

VERSION = 1
"""Of what `fine_tune` does; a higher one makes kept trainings stale."""


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
    devices : where each network was trained, as a result names it
    """

    methods: tuple[str, ...]
    runs: tuple[Split, ...]
    logits: np.ndarray
    best_epoch: np.ndarray
    history: pd.DataFrame
    seconds: float
    devices: tuple[str, ...] = ()

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
    backbone: str,
    weights: str,
    settings: FineTuning,
    preprocessing: str = "keras",
    keep_dir: Path | None = None,
) -> Trained:
    """Train a network and its head end to end.

    For each run all methods start from the same weights and see the same
    batches; only the loss differs.  Adam; the epoch with the best validation
    macro-F1 is kept.  An epoch is ``ceil(n / batch_size)`` batches of one
    size from an endless shuffled stream: every image once before any twice.

    Parameters
    ----------
    images : uint8 (N, size, size, 3)
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run; its ``seed`` draws the head, the batches, the
        augmentation and the dropout
    methods : names in `helpers.methods.METHODS`
    backbone, weights, preprocessing : see `helpers.models.backbone`
    keep_dir : where each finished training is kept under a hash of all that
        it follows from, so that a study that was stopped goes on there, on
        another machine too; None keeps nothing

    Raises
    ------
    ValueError
        Where a method is unknown, or is more than a loss: samplers, late
        weights and decision rules are known to `training.heads` alone.
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
    what = (backbone, weights, settings, preprocessing)
    programs, trained = {}, []
    # Run by run, so that a study that is stopped has whole comparisons.
    jobs = [(method, run) for run in runs for method in methods]
    for number, (method, run) in enumerate(jobs, 1):
        path = None
        if keep_dir is not None:
            key = _key(images, labels, run, method, *what)
            path = Path(keep_dir) / f"{key}.npz"
        kept = path is not None and path.is_file()
        if kept:
            one = _read(path)
        else:
            one = _train(images, labels, run, method, *what, programs)
            if path is not None:
                _write(path, one)
        trained.append(one)
        print(
            f"{number} of {len(jobs)}: {method}, {run.name}, seed {run.seed}, "
            f"best epoch {one['best_epoch']}{', kept' if kept else ''}",
            flush=True,
        )
    shape = (len(runs), len(methods))
    logits = np.stack([one["logits"] for one in trained])
    logits = logits.reshape(*shape, len(labels), -1).swapaxes(0, 1)
    best_epochs = np.reshape([one["best_epoch"] for one in trained], shape)
    history = [
        {**row, "split": run.name}  # which a kept one may not know
        for (_, run), one in zip(jobs, trained, strict=True)
        for row in one["history"]
    ]
    return Trained(
        methods=tuple(methods),
        runs=tuple(runs),
        logits=np.ascontiguousarray(logits),
        best_epoch=best_epochs.T,
        history=pd.DataFrame(history),
        seconds=time.perf_counter() - start,
        devices=tuple(sorted({one["device"] for one in trained})),
    )


def _train(
    images,
    labels,
    run,
    method,
    backbone,
    weights,
    settings,
    preprocessing,
    programs,
):
    """One training: its logits, best epoch, history, seconds and device."""
    start = time.perf_counter()
    n_classes = int(labels.max()) + 1
    counts = np.bincount(labels[run.train], minlength=n_classes)
    loss, class_weights = METHODS[method].loss(counts), np.ones(n_classes)
    if type(loss) is WeightedCrossEntropy:
        # As weights of samples they are no part of the compiled program,
        # which then serves every run of both scenarios.
        loss, class_weights = CrossEntropy(), loss.class_weights
    arguments = (images.shape[1:], n_classes, run.seed)
    arguments += (backbone, weights, settings, preprocessing)
    model = _network(*arguments)
    key = json.dumps(loss.get_config(), sort_keys=True)
    if key not in programs:
        compile_measured(
            model, loss, keras.optimizers.Adam(settings.learning_rate)
        )
        model.optimizer.build(model.trainable_variables)
        programs[key] = (
            model,
            [keras.ops.convert_to_numpy(v) for v in _state(model)],
        )
    else:
        compiled, fresh_optimizer = programs[key]
        for old, new in zip(
            _network_state(compiled), _network_state(model), strict=True
        ):
            old.assign(new)
        for old, new in zip(_state(compiled), fresh_optimizer, strict=True):
            old.assign(new)
        model = compiled
    batches = _Batches(images, labels, run, settings, class_weights)
    keeper = _KeepBest(images, labels, run, method, batches)
    model.fit(
        batches,
        epochs=settings.epochs,
        shuffle=False,
        callbacks=[keeper],
        verbose=0,
    )
    model.set_weights(keeper.best_weights)
    return {
        "logits": predicted_logits(model, images),
        "best_epoch": keeper.best_epoch,
        "history": keeper.history,
        "seconds": time.perf_counter() - start,
        "device": device(),
    }


def _state(model):
    return model.optimizer.variables


def _network_state(model):
    """Weights, and the seeds of dropout and augmentation, in one order."""
    return [v for layer in model.layers for v in layer.variables]


def predicted_logits(
    model: keras.Model, images: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """Logits of images, uint8 (N, H, W, 3), in batches of one size, float32.

    A shorter last batch would cost a second tracing of the network.
    """
    batches = -(-len(images) // batch_size)
    rows = np.resize(np.arange(len(images)), (batches, batch_size))
    logits = [
        np.asarray(model.predict_on_batch(images[batch].astype("float32")))
        for batch in rows
    ]
    return np.concatenate(logits)[: len(images)]


def _key(images, labels, run, method, backbone, weights, settings, scaling):
    """Hash of all that a training follows from, but for the machine."""
    arrays = [images, labels, *run.sets().values()]
    n_classes = int(labels.max()) + 1
    counts = np.bincount(labels[run.train], minlength=n_classes)
    made_of = {
        "version": VERSION,
        "arrays": [
            [array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
            for array in arrays
        ],
        "seed": run.seed,
        "loss": METHODS[method].loss(counts).get_config(),
        "network": weights_identity(backbone, weights, run.seed),
        "settings": asdict(settings),
        "preprocessing": scaling,
        "augmentation": AUGMENTATION,
    }
    text = json.dumps(made_of, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _write(path, one):
    buffer = io.BytesIO()
    text = json.dumps({k: v for k, v in one.items() if k != "logits"})
    np.savez_compressed(buffer, logits=one["logits"], about=np.array(text))
    atomic_write(path, buffer.getvalue())


def _read(path):
    with np.load(path, allow_pickle=False) as file:
        return {"logits": file["logits"], **json.loads(str(file["about"]))}


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


def _network(
    image_shape, n_classes, seed, backbone, weights, settings, preprocessing
):
    """Augmentation, backbone and head, not compiled."""
    # Dropout inside EfficientNet takes its seeds from the global one.
    keras.utils.set_random_seed(seed)
    base = backbones.backbone(
        backbone, weights, image_shape[0], preprocessing, seed=seed
    )
    base.trainable = True
    if settings.batch_norm_momentum is None:
        freeze_batch_normalization(base)
    else:
        set_batch_normalization_momentum(base, settings.batch_norm_momentum)
    head = head_layers(n_classes, settings.dense, settings.dropout, seed)
    return keras.Sequential(
        [
            keras.Input(image_shape),
            *augmentation_layers(seed),
            base,
            *head,
        ]
    )


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
    """Batches of a run's training set, in an order its seed fixes."""

    def __init__(self, images, labels, run, settings, class_weights):
        super().__init__()
        self.images, self.labels = images, labels
        self.weights = class_weights.astype("float32")
        size, pool = settings.batch_size, run.train
        steps = -(-len(pool) // size)
        generator = np.random.default_rng(run.seed)
        passes = -(-settings.epochs * steps * size // len(pool))
        stream = np.concatenate(
            [generator.permutation(pool) for _ in range(passes)]
        )[: settings.epochs * steps * size]
        self.rows = stream.reshape(settings.epochs, steps, size)
        self.epoch = 0

    def __len__(self):
        return self.rows.shape[1]

    def __getitem__(self, index):
        rows = self.rows[self.epoch, index]
        labels = self.labels[rows]
        return (
            self.images[rows].astype("float32"),
            labels,
            self.weights[labels],
        )


class _KeepBest(keras.callbacks.Callback):
    """Scores validation after each epoch and keeps the best epoch."""

    def __init__(self, images, labels, run, method, batches):
        super().__init__()
        self.images, self.labels = images[run.val], labels[run.val]
        self.run, self.method, self.batches = run, method, batches
        self.history, self.best_score = [], -1.0
        self.best_epoch, self.best_weights = 0, None

    def on_epoch_begin(self, epoch, logs=None):
        # The hooks of PyDataset also run when a model is built.
        self.batches.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        logits = predicted_logits(self.model, self.images)
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
