"""The note's three sketches: heads on the maps of frozen backbones.

Example 1: VGG16, frozen, average pooling, Dense 128 (ReLU), four logits,
Adam at 1e-4.  Example 2: the same behind a spatial gate.  Example 3:
EfficientNetB0 and Adam at its 1e-3.  50 epochs.  Since a frozen base never
changes, its maps are computed once.  None of the three calls
``preprocess_input``: hence the rows with other preprocessing.

Beside them, the whole networks trained at both learning rates, and linear
probes of frozen features, which need no learning rate.
"""

from dataclasses import replace
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import evaluation, models
from helpers.imbalance import splits
from helpers.imbalance.splits import Split
from helpers.paths import kept
from helpers.session import device
from helpers.training.sequential import (
    Job,
    Program,
    predicted_logits,
)

Network = tuple[str, str]
"""A backbone by name, and the weights it starts from."""

RATES = (1e-4, 1e-3)
WHOLE = "average, all trained"
VGG, STAND_INS = "VGG16", ("EfficientNetB0", "EfficientNet-Lite0")
"""The note's two networks, the second with what can stand in for it."""

TO_VGG = (
    ("better", "average, 0.001", "average, 0.001"),
    ("", "average, 0.0001", "average, 0.0001"),
    ("as written", "average, 0.001", "average, 0.0001"),
    ("", "attention, 0.001", "attention, 0.001"),
    ("better, whole", f"{WHOLE}, 0.0001", f"{WHOLE}, 0.0001"),
    ("", f"{WHOLE}, 0.001", f"{WHOLE}, 0.001"),
)
"""Claim ("" for none), what is trained on another network, and on VGG16."""
TO_ITSELF = (
    ("rate, VGG16's head", "average, 0.0001", "average, 0.001"),
    ("gate, VGG16", "attention, 0.0001", "average, 0.0001"),
    ("", "attention, 0.001", "average, 0.001"),
    ("scaling, VGG16", "average, 0.001", "average, 0.001, none"),
    ("", "average, 0.001", "average, 0.001, divide_by_255"),
    ("rate, whole VGG16", f"{WHOLE}, 0.0001", f"{WHOLE}, 0.001"),
)
"""The same, twice on one network; the claims are about VGG16."""

PENALTIES = (1.0, 0.1, 0.01)
"""Of a probe: the weight of half the squared norm of its coefficients beside
the mean loss; validation chooses."""

VERSION = 2
"""Of what `tuned_rows` does; a higher one makes kept trainings stale."""

COMPARED = ["claim", "after", "before", "number", "low", "high", "seeds"]
_RENAMED = {"method": "after", "reference": "before", "delta": "number"}
# Intervals are over persons, who belong to no grade, and over seeds.
_OVER_BOTH = {"within_classes": False, "over_seeds": True}
_KAPPA = {"metric": evaluation.quadratic_kappa_from, **_OVER_BOTH}


def networks(
    names: list[str], untrained: list[str], backbone: str, weights: str
) -> list[Network]:
    """Networks with the weights of a run, then some with random ones.

    names, untrained : of `helpers.models.BACKBONES`
    backbone, weights : those of the run; a weights file is that backbone's
        own, and the other networks take ImageNet's instead
    """
    others = weights if weights in ("imagenet", "random") else "imagenet"
    own = [(name, weights if name == backbone else others) for name in names]
    return list(dict.fromkeys(own + [(name, "random") for name in untrained]))


def frozen_rows(
    chosen: list[Network],
    images: np.ndarray,
    labels: np.ndarray,
    split: Split,
    seeds: list[int],
    groups: np.ndarray | None,
    epochs: int = 50,
    poolings: tuple[str, ...] = ("average", "attention"),
    preprocessing: tuple[str, ...] = models.PREPROCESSING,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Train the sketches' heads on each backbone, and score them on test.

    With the preprocessing that the weights expect: each pooling, at both of
    `RATES`.  With any other: average, at the larger rate.  Maps are
    standardised, each feature by the training set, without which those of
    an untrained network are too small to train on.

    Parameters
    ----------
    chosen : see `networks`
    images, labels : uint8 (N, side, side, 3), int (N,)
    split : whose sets count; ``seeds`` draw initial weights and batches
    groups : (T,), whom each test image shows, or None
    epochs : of each head
    poolings : of `helpers.models.POOLINGS`
    preprocessing : of `helpers.models.PREPROCESSING`, "keras" among them

    Returns
    -------
    A row a trained head (means over seeds, κ with its interval, seconds of
    all seeds); and the grades of the test set of each, int (S, T), by name,
    such as "VGG16, average, 0.001".
    """
    n_classes, outcomes = int(labels.max()) + 1, {}
    for network in chosen:
        maps = _maps(network, images, split.train, preprocessing)
        for pooling in poolings:
            given = {"keras": maps["keras"]}
            if pooling == "average":  # of one place, on which a head is cheap
                given = {
                    name: x.mean(axis=(1, 2), keepdims=True)
                    for name, x in maps.items()
                }
            shape = given["keras"].shape[1:]
            program = Program(
                partial(models.head_on_maps, n_classes, shape, pooling=pooling)
            )
            for name, x in given.items():
                for rate in RATES if name == "keras" else RATES[1:]:
                    jobs = [Job(replace(split, seed=s), rate) for s in seeds]
                    fitted = program.train(
                        x, labels, jobs, epochs, flips=False
                    )
                    facts = {"seconds": fitted.seconds}
                    key = (*network, name, pooling, rate)
                    outcomes[key] = fitted.logits, facts
    return _rows(outcomes, images, labels, split, groups, epochs)


def tuned_rows(
    chosen: list[Network],
    images: np.ndarray,
    labels: np.ndarray,
    split: Split,
    seeds: list[int],
    groups: np.ndarray | None,
    epochs: int = 20,
    keep_dir: Path | None = None,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Train whole networks at both of `RATES`; as `frozen_rows` has it.

    The head is example 1's; images are flipped both ways at random; the last
    epoch counts.  BatchNorm keeps what pre-training gave it; in an untrained
    network it trains.

    keep_dir : where each finished training is kept under a hash of all that
        it follows from, so that a study that was stopped goes on there, on
        another machine too; None keeps nothing
    """

    @lru_cache(maxsize=1)
    def program(network):
        return Program(partial(_whole, network, images, labels))

    def train(network, job):
        fitted = program(network).train(images, labels, [job], epochs)
        facts = {"seconds": fitted.seconds, "device": device()}
        return {"logits": fitted.logits[0], **facts}

    jobs, found = list(product(chosen, RATES, seeds)), {}
    for number, (network, rate, seed) in enumerate(jobs, 1):
        job = Job(replace(split, seed=seed), rate)
        made_of = {"version": VERSION, "arrays": [images, labels]}
        made_of |= {"rows": split.train, "seed": seed, "rate": rate}
        made_of["network"] = models.weights_identity(*network, seed)
        made_of["epochs"] = epochs
        one, known = kept(keep_dir, made_of, partial(train, network, job))
        found.setdefault((*network, "keras", WHOLE, rate), []).append(one)
        print(
            f"{number} of {len(jobs)}: {models.title(*network)}, {rate:g}, "
            f"seed {seed}{', kept' * known}",
            flush=True,
        )
    outcomes = {}
    for key, own in found.items():
        facts = {"seconds": sum(float(one["seconds"]) for one in own)}
        devices = sorted({str(one["device"]) for one in own})
        facts["device"] = "; ".join(devices)
        outcomes[key] = np.stack([one["logits"] for one in own]), facts
    return _rows(outcomes, images, labels, split, groups, epochs)


def compared(
    graded: dict[str, np.ndarray],
    y_true: np.ndarray,
    groups: np.ndarray | None,
) -> pd.DataFrame:
    """The differences of κ that the claims on ImageNet weights are about.

    Networks with ImageNet weights only: each other one against VGG16
    (`TO_VGG`; the first of `STAND_INS` decides claims), and each against
    itself (`TO_ITSELF`).

    Parameters
    ----------
    graded : predicted grades, int (S, T), by name, see `frozen_rows`
    y_true, groups : (T,), true grades, and whom each image shows, or None

    Returns
    -------
    A row a difference: claim ("" where it decides none), after, before,
    number, low, high (over groups and over seeds), seeds.  No row where
    nothing can be compared.
    """
    names = dict.fromkeys(key.partition(",")[0] for key in graded)
    stand_in = next((name for name in STAND_INS if name in names), None)
    asked = [(n, VGG, TO_VGG, n == stand_in) for n in names if n != VGG]
    asked += [(n, n, TO_ITSELF, n == VGG) for n in names]
    pairs = {
        (f"{name}, {after}", f"{other}, {before}"): claim if decides else ""
        for name, other, table, decides in asked
        for claim, after, before in table
        if "(" not in name
    }
    pairs = {pair: pairs[pair] for pair in pairs if set(pair) <= set(graded)}
    if not pairs:
        return pd.DataFrame(columns=COMPARED)
    table = evaluation.differences(
        y_true, graded, groups=groups, pairs=[*pairs], **_KAPPA
    ).rename(columns=_RENAMED)
    seeds = [len(graded[name]) for name in table["after"]]
    return table.assign(claim=pairs.values(), seeds=seeds)[COMPARED]


def probe_rows(
    chosen: list[Network],
    dataset: str,
    images: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None,
    seeds: list[int],
    ordered: bool,
    n_folds: int = 5,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Logistic regression on frozen features, in folds by group.

    Features are those of the ends of the last four stages, averaged over
    space and standardised; validation chooses one of `PENALTIES`.  Seeds are
    reshuffles of the folds, whose predictions are pooled.

    Parameters
    ----------
    chosen : see `networks`
    dataset : its name
    images, labels : uint8 (N, side, side, 3), int (N,)
    groups : (N,), whom or what each image shows, or None: each its own
    seeds : of the folds
    ordered : the score is κ where classes are grades, else macro-F1

    Returns
    -------
    A row a network: network, weights, score, value with its interval, and
    its difference to the first network ("minus first"), with its own.  And
    these differences in the form of `compared`, where the first network is
    VGG16 with ImageNet weights.
    """
    metric = evaluation.macro_f1_from
    if ordered:
        metric = evaluation.quadratic_kappa_from
    runs = [
        replace(run, seed=seed)
        for seed in seeds
        for run in splits.folds(labels, groups, n_folds, seed)
    ]
    predicted, facts = {}, []
    for network in chosen:
        features = models.frozen_features(images, *network)[0]
        name = f"{_name(*network)}, probe, {dataset}"
        predicted[name] = _probed(features, labels, runs, metric)
        facts.append(
            (network[0], models.weights_identity(*network), features.shape[1])
        )
    how = {"groups": groups, "metric": metric, **_OVER_BOTH}
    pairs = [(name, next(iter(predicted))) for name in predicted]
    value = evaluation.bootstrap(labels, predicted, **how)
    minus = evaluation.differences(labels, predicted, pairs=pairs, **how)
    table = pd.DataFrame(facts, columns=["network", "weights", "features"])
    table["score"] = "kappa" if ordered else "macro-F1"
    table[["value", "low", "high"]] = value[["mean", "low", "high"]]
    of_first = ["minus first", "minus first low", "minus first high"]
    table[of_first] = minus[["delta", "low", "high"]]
    table["reshuffles"], table["images"] = len(seeds), len(labels)
    table["image_size"], table["dataset"] = images.shape[1], dataset
    names = {name for name, weights in chosen if weights != "random"}
    best = next((name for name in STAND_INS if name in names), None)
    decides = (minus["method"] == f"{best}, probe, {dataset}") & (not ordered)
    claims = np.where(decides, "better, lesions", "")
    pairs = minus.rename(columns=_RENAMED)
    pairs = pairs.assign(claim=claims, seeds=len(seeds))[COMPARED]
    return table, pairs[1:] if chosen[0] == (VGG, "imagenet") else pairs[:0]


def _name(name, weights):
    """A network in a result, one with other than ImageNet's weights so."""
    known = {"imagenet": "", "random": " (random)"}
    return name + known.get(weights, " (file)")


def _probed(features, labels, runs, metric) -> np.ndarray:
    """Predicted classes of all images, int (S, N), a row a reshuffle."""
    # An untrained network's features are of the order of 1e-6.
    features, n_classes = features.astype(np.float64), labels.max() + 1
    pooled = {run.seed: np.empty(len(labels), np.int64) for run in runs}
    for run in runs:
        best = -np.inf
        for penalty in PENALTIES:
            strength = 1 / (penalty * len(run.train))
            model = make_pipeline(
                StandardScaler(),
                LogisticRegression(C=strength, max_iter=1000, tol=1e-3),
            ).fit(features[run.train], labels[run.train])
            chosen = model.predict(features[run.val])
            score = metric(
                evaluation.confusion_matrix(labels[run.val], chosen, n_classes)
            )
            if score > best:
                best = score
                pooled[run.seed][run.test] = model.predict(features[run.test])
    return np.stack([*pooled.values()])


def _maps(network, images, training_rows, preprocessing):
    """Maps by preprocessing, each feature standardised by training rows."""
    base = models.backbone(*network, images.shape[1], "none", pooled=False)
    maps = {}
    for name in preprocessing:
        if name == "none" and models.BACKBONES[network[0]].mode is None:
            continue  # it is what "keras" is
        fed = models.preprocessed(images.astype("float32"), *network, name)
        own = predicted_logits(base, ops.convert_to_numpy(fed))
        known = own[training_rows]
        mean, std = known.mean(axis=(0, 1, 2)), known.std(axis=(0, 1, 2))
        # A feature may be the same everywhere.
        maps[name] = (own - mean) / np.where(std > 0, std, 1)
    return maps


def _whole(network, images, labels, seed):
    """Backbone and the head of example 1, all of it trained."""
    base = models.backbone(*network, images.shape[1], seed=seed)
    base.trainable = True
    if network[1] == "random":
        models.set_batch_normalization_momentum(base, 0.9)
    else:
        models.freeze_batch_normalization(base)
    return models.build_classifier(base, int(labels.max()) + 1, 128, 0.0, seed)


def _rows(outcomes, images, labels, split, groups, epochs):
    """Rows and grades of logits (S, N, C) and facts, by what was trained."""
    if not outcomes:
        return pd.DataFrame(), {}
    graded = {}
    for key, (logits, _) in outcomes.items():
        name, weights, preprocessing, pooling, rate = key
        wrong = "" if preprocessing == "keras" else f", {preprocessing}"
        text = f"{_name(name, weights)}, {pooling}, {rate:g}{wrong}"
        graded[text] = logits[:, split.test].argmax(-1)
    y_true = labels[split.test]
    kappas = evaluation.bootstrap(y_true, graded, groups, **_KAPPA)
    columns = ["network", "weights", "preprocessing", "pooling", "rate"]
    table = pd.DataFrame([*outcomes], columns=columns)
    table["weights"] = [models.weights_identity(*key[:2]) for key in outcomes]
    table["epochs"], table["image_size"] = epochs, images.shape[1]
    table["seeds"] = kappas["n_seeds"]
    table[["kappa", "low", "high"]] = kappas[["mean", "low", "high"]]
    for name, metric in (
        ("accuracy", evaluation.accuracy_from),
        ("mean recall", evaluation.balanced_accuracy_from),
        ("mean grade error", evaluation.mean_grade_error_from),
    ):
        tables = (
            evaluation.confusion_matrix(y_true, own, y_true.max() + 1)
            for own in graded.values()
        )
        table[name] = [metric(own).mean() for own in tables]
    facts = pd.DataFrame([facts for _, facts in outcomes.values()])
    return table.join(facts), graded
