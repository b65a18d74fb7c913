"""What all methods of a comparison share: batches, counts, decision rules."""

import numpy as np

from helpers.imbalance import Split, class_counts, resample
from helpers.methods import METHODS, Method, check_labels
from helpers.training.recipe import Recipe


def epoch_batches(
    labels: np.ndarray,
    runs: list[Split],
    epochs: int,
    batch_size: int,
    *,
    n_views: int = 1,
    sampler: str | None = None,
) -> np.ndarray:
    """Rows of every step, int32 (epochs * steps, R, batch): view * N + row.

    An epoch is ``ceil(n / batch_size)`` batches, n the largest training set
    of the runs, from each run's own endless shuffled stream: every row once
    before any row twice.  At each visit a row's view is drawn anew.

    Parameters
    ----------
    labels : int (N,)
    runs : one `Split` a run; its ``seed`` draws order and views
    n_views : of each row
    sampler : None, or what `helpers.imbalance.resample` calls it; asked once
        a run which rows make up the stream
    """
    n = max(len(run.train) for run in runs)
    steps = -(-n // batch_size) * epochs
    streams = []
    for run in runs:
        pool = run.train
        if sampler:
            pool = pool[resample(labels[pool], sampler, run.seed)]
        generator = np.random.default_rng(run.seed)
        passes = -(-steps * batch_size // len(pool))
        stream = np.concatenate(
            [generator.permutation(pool) for _ in range(passes)]
        )[: steps * batch_size]
        views = generator.integers(n_views, size=len(stream))
        stream = views * len(labels) + stream
        streams.append(stream.reshape(steps, batch_size))
    return np.stack(streams, axis=1).astype("int32")


def training_counts(
    labels: np.ndarray, runs: list[Split], n_classes: int
) -> np.ndarray:
    """Samples a class in each run's training set, int (R, C)."""
    return np.stack(
        [class_counts(labels[run.train], n_classes) for run in runs]
    )


def chosen_methods(
    names: list[str],
    labels: np.ndarray,
    runs: list[Split],
    recipe: Recipe,
    cosine: bool = True,
) -> list[Method]:
    """Methods by name, late weights timed by the recipe.

    Raises ValueError, before training rather than after, where a name is
    unknown or (unless ``cosine``) needs a cosine classifier, where labels
    are no class indices, and where a run lacks the validation that the
    recipe or a decision rule needs.
    """
    known = [name for name, m in METHODS.items() if cosine or not m.cosine]
    unfit = [name for name in names if name not in known]
    if unfit:
        raise ValueError(f"methods: {unfit} not in {sorted(known)}")
    check_labels(labels)
    n_classes = int(labels.max()) + 1
    counts = training_counts(labels, runs, n_classes)
    for run, own in zip(runs, counts, strict=True):
        if recipe.keep == "best" and not len(run.val):
            raise ValueError(
                f"run {run.name!r} has no validation to choose an epoch by"
            )
        for name in names if not len(run.val) else ():
            try:
                decision = METHODS[name].decision
                decision and decision(np.zeros((0, n_classes)), run.val, own)
            except ValueError as error:
                raise ValueError(
                    f"methods: {name!r} decides by validation, and "
                    f"run {run.name!r} has none"
                ) from error
    return [recipe.timed(METHODS[name]) for name in names]


def decide(
    logits: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[Method],
) -> None:
    """Add each decision rule's offsets to its method's logits, in place."""
    counts = training_counts(labels, runs, logits.shape[-1])
    for own, method in zip(logits, methods, strict=True):
        if method.decision:
            for z, run, count in zip(own, runs, counts, strict=True):
                z += method.decision(z[run.val], labels[run.val], count)
