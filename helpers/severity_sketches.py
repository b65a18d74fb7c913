"""The note's three sketches: heads on the maps of frozen backbones.

Example 1: VGG16, frozen, average pooling, Dense 128 (ReLU), four logits,
Adam at 1e-4.  Example 2: the same behind a spatial gate.  Example 3:
EfficientNetB0 and Adam at its 1e-3.  50 epochs.  Since a frozen base never
changes, its maps are computed once.  None of the three calls
``preprocess_input``: hence the rows with other scalings.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from helpers.attention import head_on_maps
from helpers.backbones import SCALINGS, backbone, trainable
from helpers.evaluation import accuracy_from, balanced_accuracy_from
from helpers.models import weights_identity
from helpers.ordinal import mean_grade_error_from, quadratic_kappa_from
from helpers.severity_studies import Job, Program, Scored
from helpers.splits import Split

RATES = (1e-4, 1e-3)


def weights_for(name: str, weights: str) -> str:
    """Weights of a backbone, where ``weights`` are those of EfficientNetB1.

    Its file is no other network's: the others take ImageNet's where it does,
    and are random where it has a file.
    """
    if name == "EfficientNetB1" or weights == "imagenet":
        return weights
    return "random"


def frozen_rows(
    names: list[str],
    weights: str,
    images: np.ndarray,
    labels: np.ndarray,
    run: Split,
    seeds: list[int],
    units: np.ndarray | None,
    epochs: int = 50,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Train the sketches' heads on each backbone, and score them on test.

    With the scaling that the weights expect: average and gate, at both of
    `RATES`.  With the others: average, at the larger rate.  Maps are
    standardised, each feature by the training part, without which those of
    an untrained network are too small to train on.

    Parameters
    ----------
    names : of `helpers.backbones.BACKBONES`
    weights : EfficientNetB1's, see `weights_for`
    images, labels : uint8 (N, side, side, 3), int (N,)
    run : whose parts count; ``seeds`` draw initial weights and batches
    units : (T,), whom each test picture shows, or None
    epochs : of each head

    Returns
    -------
    A row a trained head (means over seeds, κ with its interval, seconds of
    all seeds); and each backbone's grades of the test part, int (S, T), with
    its own scaling, average pooling and the larger rate.
    """
    rows, graded = [], {}
    for name in names:
        own = weights_for(name, weights)
        # EfficientNet scales inside: without any is its own scaling.
        inside = name.startswith("EfficientNet")
        for scaling in [s for s in SCALINGS if not (inside and s == "none")]:
            network = backbone(
                name, own, images.shape[1], scaling, pooled=False
            )
            maps = _standardised(
                network.predict(images, batch_size=25, verbose=0), run.train
            )
            usual = scaling == "own"
            for pooling in ("average", "attention")[: 1 + usual]:
                program = Program(partial(_head, labels, maps, pooling))
                for rate in RATES[0 if usual else 1 :]:
                    jobs = [Job(replace(run, seed=s), rate) for s in seeds]
                    fitted = program.train(
                        maps, labels, jobs, epochs, flips=False
                    )
                    said = fitted.logits[:, run.test].argmax(-1)
                    if (usual, pooling, rate) == (True, "average", RATES[1]):
                        graded[name] = said
                    rows.append(
                        _about(name, own, scaling, pooling, rate, epochs)
                        | _scores(said, labels[run.test], units)
                        | {"seconds": fitted.seconds}
                    )
    return pd.DataFrame(rows), graded


def tuned_rows(
    names: list[str],
    weights: str,
    images: np.ndarray,
    labels: np.ndarray,
    run: Split,
    seeds: list[int],
    units: np.ndarray | None,
    epochs: int = 20,
) -> pd.DataFrame:
    """Train whole backbones at both of `RATES`; as `frozen_rows` has it."""
    rows = []
    for name in names:
        own = weights_for(name, weights)
        n_classes, shape = int(labels.max()) + 1, images.shape[1:]
        program = Program(partial(trainable(name, own), n_classes, shape))
        for rate in RATES:
            jobs = [Job(replace(run, seed=seed), rate) for seed in seeds]
            fitted = program.train(images, labels, jobs, epochs)
            said = fitted.logits[:, run.test].argmax(-1)
            rows.append(
                _about(name, own, "own", "average, all trained", rate, epochs)
                | _scores(said, labels[run.test], units)
                | {"seconds": fitted.seconds}
            )
    return pd.DataFrame(rows)


def _head(labels, maps, pooling, seed):
    return head_on_maps(int(labels.max()) + 1, maps.shape[1:], seed, pooling)


def _standardised(maps, rows):
    known = maps[rows]
    mean = known.mean(axis=(0, 1, 2))
    # A feature that is the same everywhere has no spread to divide by.
    spread = known.std(axis=(0, 1, 2))
    return (maps - mean) / np.where(spread > 0, spread, 1)


def _about(name, weights, scaling, pooling, rate, epochs):
    return {
        "network": name,
        "weights": weights_identity(weights),
        "scaling": scaling,
        "pooling": pooling,
        "rate": rate,
        "epochs": epochs,
    }


def _scores(said, truth, units):
    scored = Scored(truth, units)
    kappa = scored.score(said, quadratic_kappa_from)
    return {
        "seeds": len(said),
        "kappa": kappa.value,
        "low": kappa.low,
        "high": kappa.high,
        "accuracy": scored.score(said, accuracy_from).value,
        "mean recall": scored.score(said, balanced_accuracy_from).value,
        "mean grade error": scored.score(said, mean_grade_error_from).value,
    }
