"""The note's three sketches: heads on the maps of frozen backbones.

Example 1: VGG16, frozen, average pooling, Dense 128 (ReLU), four logits,
Adam at 1e-4.  Example 2: the same behind a spatial gate.  Example 3:
EfficientNetB0 and Adam at its 1e-3.  50 epochs.  Since a frozen base never
changes, its maps are computed once.  None of the three calls
``preprocess_input``: hence the rows with other preprocessing.

Beside them, the whole networks trained at both learning rates, and linear
probes of frozen features, which need no learning rate.
"""

import hashlib
import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from helpers.evaluation.metrics import (
    Metric,
    accuracy_from,
    balanced_accuracy_from,
    confusion,
    macro_f1_from,
    mean_grade_error_from,
    quadratic_kappa_from,
)
from helpers.imbalance import splits
from helpers.imbalance.splits import Split
from helpers.models.attention import head_on_maps
from helpers.models.backbones import (
    BACKBONES,
    PREPROCESSING,
    backbone,
    base_network,
    preprocessed,
    title,
    weights_identity,
)
from helpers.models.features import frozen_features
from helpers.models.layers import (
    freeze_batch_normalization,
    head_layers,
    set_batch_normalization_momentum,
)
from helpers.paths import atomic_write
from helpers.session import device
from helpers.training.sequential import (
    Job,
    Program,
    predicted_logits,
    two_at_a_time,
)
from helpers.training.severity_studies import Scored

RATES = (1e-4, 1e-3)
WHOLE = "average, all trained"
PENALTIES = (1.0, 0.1, 0.01)
"""Of a probe: the weight of half the squared norm of its coefficients beside
the mean loss; validation chooses."""

VERSION = 1
"""Of what `tuned_rows` does; a higher one makes kept trainings stale."""


class Network(NamedTuple):
    """A backbone by name, and the weights it starts from."""

    name: str
    weights: str


class Trained(NamedTuple):
    """What was trained on a network: the key of its grades."""

    network: Network
    preprocessing: str
    pooling: str
    rate: float


def networks(
    names: list[str],
    untrained: list[str],
    backbone_name: str,
    weights: str,
) -> list[Network]:
    """Networks with the weights of a run, then some with random ones.

    names, untrained : of `helpers.models.BACKBONES`
    backbone_name, weights : those of the run; a weights file is that
        backbone's own, and the other networks take ImageNet's instead
    """
    own = []
    for name in names:
        file = weights not in ("imagenet", "random") and name != backbone_name
        own.append(Network(name, "imagenet" if file else weights))
    return own + [
        Network(name, "random")
        for name in untrained
        if Network(name, "random") not in own
    ]


def frozen_rows(
    chosen: list[Network],
    images: np.ndarray,
    labels: np.ndarray,
    run: Split,
    seeds: list[int],
    units: np.ndarray | None,
    epochs: int = 50,
    poolings: tuple[str, ...] = ("average", "attention"),
    preprocessing: tuple[str, ...] = PREPROCESSING,
) -> tuple[pd.DataFrame, dict[Trained, np.ndarray]]:
    """Train the sketches' heads on each backbone, and score them on test.

    With the preprocessing that the weights expect: each pooling, at both of
    `RATES`.  With any other: average, at the larger rate.  Maps are
    standardised, each feature by the training set, without which those of
    an untrained network are too small to train on.

    Parameters
    ----------
    chosen : see `networks`
    images, labels : uint8 (N, side, side, 3), int (N,)
    run : whose sets count; ``seeds`` draw initial weights and batches
    units : (T,), whom each test image shows, or None
    epochs : of each head
    poolings : of `helpers.models.POOLINGS`
    preprocessing : of `helpers.models.PREPROCESSING`, "keras" among them

    Returns
    -------
    A row a trained head (means over seeds, κ with its interval, seconds of
    all seeds); and the grades of the test set of each, int (S, T).
    """
    jobs = {
        rate: [Job(replace(run, seed=seed), rate) for seed in seeds]
        for rate in RATES
    }

    def trained(network):
        """What was trained on a network, each with its outcome."""
        made, maps = {}, all_maps.pop(network)
        for pooling in poolings:
            usual = maps["keras"]
            usual = _pooled(usual) if pooling == "average" else usual
            program = Program(partial(_head, labels, usual, pooling))
            for rate, own in jobs.items():
                key = Trained(network, "keras", pooling, rate)
                made[key] = program.train(
                    usual, labels, own, epochs, 32, False
                )
            if pooling != "average":
                continue
            for other in [name for name in maps if name != "keras"]:
                key = Trained(network, other, pooling, RATES[1])
                wrong, own = _pooled(maps[other]), jobs[RATES[1]]
                made[key] = program.train(
                    wrong, labels, own, epochs, 32, False
                )
        return made

    # One after another, as random weights come from Keras' global seed.
    all_maps = {
        network: _maps(network, images, run, preprocessing)
        for network in chosen
    }
    rows, graded = [], {}
    for made in two_at_a_time(trained, chosen):
        for key, fitted in made.items():
            graded[key] = fitted.logits[:, run.test].argmax(-1)
            rows.append(
                _about(key, epochs, images)
                | _scores(graded[key], labels[run.test], units)
                | {"seconds": fitted.seconds}
            )
    return pd.DataFrame(rows), graded


def tuned_rows(
    chosen: list[Network],
    images: np.ndarray,
    labels: np.ndarray,
    run: Split,
    seeds: list[int],
    units: np.ndarray | None,
    epochs: int = 20,
    keep_dir: Path | None = None,
) -> tuple[pd.DataFrame, dict[Trained, np.ndarray]]:
    """Train whole networks at both of `RATES`; as `frozen_rows` has it.

    The head is example 1's; images are flipped both ways at random; the last
    epoch counts.  BatchNorm keeps what pre-training gave it; in an untrained
    network it trains.

    keep_dir : where each finished training is kept under a hash of all that
        it follows from, so that a study that was stopped goes on there, on
        another machine too; None keeps nothing
    """
    rows, graded = [], {}
    jobs = [
        (Trained(network, "keras", WHOLE, rate), replace(run, seed=seed))
        for network in chosen
        for rate in RATES
        for seed in seeds
    ]
    programs, each = {}, {}
    for number, (key, own) in enumerate(jobs, 1):
        path = None
        if keep_dir is not None:
            name = _key(key, images, labels, own, epochs)
            path = Path(keep_dir) / f"{name}.npz"
        kept = path is not None and path.is_file()
        if kept:
            with np.load(path, allow_pickle=False) as file:
                one = dict(file)
        else:
            if key.network not in programs:
                programs.clear()  # one network at a time in memory
                whole = partial(_whole, key.network, images, labels)
                programs[key.network] = Program(whole)
            program = programs[key.network]
            fitted = program.train(
                images, labels, [Job(own, key.rate)], epochs
            )
            one = {"logits": fitted.logits[0], "seconds": fitted.seconds}
            one["device"] = device()
            if path is not None:
                buffer = io.BytesIO()
                np.savez(buffer, **one)
                atomic_write(path, buffer.getvalue())
        each.setdefault(key, []).append(one)
        print(
            f"{number} of {len(jobs)}: {title(*key.network)}, "
            f"{key.rate:g}, seed {own.seed}{', kept' if kept else ''}",
            flush=True,
        )
    for key, found in each.items():
        logits = np.stack([one["logits"] for one in found])
        graded[key] = logits[:, run.test].argmax(-1)
        rows.append(
            _about(key, epochs, images)
            | _scores(graded[key], labels[run.test], units)
            | {"seconds": sum(float(one["seconds"]) for one in found)}
            | {"device": "; ".join(sorted({str(f["device"]) for f in found}))}
        )
    return pd.DataFrame(rows), graded


COMPARED = ["claim", "after", "before", "number", "low", "high", "seeds"]

VGG, STAND_INS = "VGG16", ("EfficientNetB0", "EfficientNet-Lite0")
"""The note's two networks, the second with what can stand in for it."""


def compared(
    graded: dict[Trained, np.ndarray], scored: Scored
) -> pd.DataFrame:
    """The differences of κ that the claims on ImageNet weights are about.

    Networks with ImageNet weights only.  Each EfficientNet against VGG16 and
    each network against itself; see `helpers.papers.CLAIMS` for the
    claims that are decided.

    Returns
    -------
    A row a difference: claim ("" where it decides none), after, before,
    number, low, high (over persons and seeds), seeds.  No row where nothing
    can be compared.
    """
    names = dict.fromkeys(
        key.network.name for key in graded if key.network.weights == "imagenet"
    )
    stand_in = next((name for name in STAND_INS if name in names), None)
    rows = []

    def add(claim, after, before):
        if after in graded and before in graded:
            number = scored.gain(
                graded[before], graded[after], quadratic_kappa_from
            )
            rows.append(
                {
                    "claim": claim,
                    "after": _named(after),
                    "before": _named(before),
                    "number": number.value,
                    "low": number.low,
                    "high": number.high,
                    "seeds": len(graded[after]),
                }
            )

    def at(name, pooling, rate, preprocessing="keras"):
        return Trained(Network(name, "imagenet"), preprocessing, pooling, rate)

    small, large = RATES
    for name in names:
        if name != VGG:
            best = name == stand_in
            for claim, pooling, rate, before in (
                ("better", "average", large, large),
                ("", "average", small, small),
                ("as written", "average", large, small),
                ("", "attention", large, large),
                ("better, whole", WHOLE, small, small),
                ("", WHOLE, large, large),
            ):
                add(
                    claim if best else "",
                    at(name, pooling, rate),
                    at(VGG, pooling, before),
                )
    for name in names:
        vgg = name == VGG
        add(
            "rate, VGG16's head" if vgg else "",
            at(name, "average", small),
            at(name, "average", large),
        )
        add(
            "gate, VGG16" if vgg else "",
            at(name, "attention", small),
            at(name, "average", small),
        )
        add("", at(name, "attention", large), at(name, "average", large))
        for wrong in ("none", "divide_by_255"):
            add(
                "scaling, VGG16" if vgg and wrong == "none" else "",
                at(name, "average", large),
                at(name, "average", large, wrong),
            )
        add(
            "rate, whole VGG16" if vgg else "",
            at(name, WHOLE, small),
            at(name, WHOLE, large),
        )
    return pd.DataFrame(rows, columns=COMPARED)


def against_vgg(pairs: pd.DataFrame) -> pd.DataFrame:
    """What of `compared` sets another network against VGG16.

    Networks with random weights are left out, and intervals that are wider
    than the score's own range, as of a training that fails for some seeds.

    Returns label, delta, low and high, as `helpers.figures.interval_plot`
    takes them; a label names VGG16's learning rate where it is another.
    """
    rivals = pairs[
        pairs["before"].str.startswith(VGG)
        & ~pairs["after"].str.startswith(VGG)
        & ~pairs["after"].str.contains("(random)", regex=False)
        & (pairs["high"] - pairs["low"] <= 1)
    ]
    labels = []
    for after, before in zip(rivals["after"], rivals["before"], strict=True):
        network = after.split(",")[0]
        same = after == before.replace(VGG, network, 1)
        rate = before.rsplit(", ", 1)[1]
        labels.append(after + ("" if same else f" ({VGG}: {rate})"))
    return pd.DataFrame(
        {
            "label": labels,
            "delta": rivals["number"].to_numpy(float),
            "low": rivals["low"].to_numpy(float),
            "high": rivals["high"].to_numpy(float),
        }
    )


def probe_rows(
    chosen: list[Network],
    images: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray | None,
    seeds: list[int],
    ordered: bool,
    n_folds: int = 5,
) -> pd.DataFrame:
    """Logistic regression on frozen features, in folds by unit.

    Features are those of the ends of the last four stages, averaged over
    space and standardised; validation chooses one of `PENALTIES`.  Seeds are
    reshuffles of the folds, whose predictions are pooled.

    Parameters
    ----------
    chosen : see `networks`
    images, labels : uint8 (N, side, side, 3), int (N,)
    units : (N,), whom or what each image shows, or None: each its own
    seeds : of the folds
    ordered : the score is κ where classes are grades, else macro-F1

    Returns
    -------
    A row a network: network, weights, score, value with its interval, and
    its difference to the first network ("minus first"), with its own.
    """
    name, metric = "macro-F1", macro_f1_from
    if ordered:
        name, metric = "kappa", quadratic_kappa_from
    scored, rows, first = Scored(labels, units), [], None
    runs = [run for s in seeds for run in _folds(labels, units, n_folds, s)]
    for network in chosen:
        features = frozen_features(images, *network)[0]
        said = _probed(features, labels, runs, seeds, metric)
        first = said if first is None else first
        value, low, high, _ = scored.score(said, metric)
        less, less_low, less_high, _ = scored.gain(first, said, metric)
        rows.append(
            {
                "network": network.name,
                "weights": weights_identity(*network),
                "features": features.shape[1],
                "score": name,
                "value": value,
                "low": low,
                "high": high,
                "minus first": less,
                "minus first low": less_low,
                "minus first high": less_high,
                "reshuffles": len(seeds),
                "images": len(labels),
                "image_size": images.shape[1],
            }
        )
    return pd.DataFrame(rows)


def compared_probes(table: pd.DataFrame) -> pd.DataFrame:
    """Differences of probes to VGG16's, in the form of `compared`.

    table : `probe_rows` of data sets, with the column dataset; one whose
        first network is not VGG16 with ImageNet weights has no row
    """
    rows = []
    for dataset, own in table.groupby("dataset", sort=False):
        known = own.assign(random=own.weights.str.contains(", random"))
        trained = set(known.network[~known.random])
        if known.network.iloc[0] != VGG or known.random.iloc[0]:
            continue
        best = next((name for name in STAND_INS if name in trained), None)
        for row in known[1:].to_dict("records"):
            decides = row["network"] == best and not row["random"]
            decides &= row["score"] == "macro-F1"
            random = " (random)" * row["random"]
            rows.append(
                {
                    "claim": "better, lesions" if decides else "",
                    "after": f"{row['network']}{random}, probe, {dataset}",
                    "before": f"{VGG}, probe, {dataset}",
                    "number": row["minus first"],
                    "low": row["minus first low"],
                    "high": row["minus first high"],
                    "seeds": row["reshuffles"],
                }
            )
    return pd.DataFrame(rows, columns=COMPARED)


def _folds(labels, units, n_folds, seed):
    return [
        replace(run, seed=seed)
        for run in splits.folds(labels, units, n_folds, seed)
    ]


def _probed(features, labels, runs, seeds, metric: Metric) -> np.ndarray:
    """Predicted classes of all images, int (S, N), a row a reshuffle."""
    # An untrained network's features are of the order of 1e-6.
    features, n_classes = features.astype(np.float64), labels.max() + 1
    said = np.empty((len(seeds), len(labels)), np.int64)

    def predicted(run):
        best, found = -np.inf, None
        for penalty in PENALTIES:
            model = make_pipeline(
                StandardScaler(),
                LogisticRegression(
                    C=1 / (penalty * len(run.train)), max_iter=1000, tol=1e-3
                ),
            ).fit(features[run.train], labels[run.train])
            own = model.predict(features[run.val])
            score = metric(confusion(labels[run.val], own, n_classes))
            if score > best:
                best, found = score, model.predict(features[run.test])
        return found

    # More threads than cores would wait for each other most of the time.
    with threadpool_limits(1):
        each = two_at_a_time(predicted, runs)
    for run, found in zip(runs, each, strict=True):
        said[seeds.index(run.seed), run.test] = found
    return said


def _maps(network, images, run, preprocessing):
    """Standardised maps by preprocessing; one network for all of them."""
    base = base_network(*network, images.shape[1:])
    unpooled = keras.Model(base.input, base.layers[-1].input)
    pixels, maps = images.astype("float32"), {}
    # EfficientNet scales inside: "none" is what it expects.
    inside = BACKBONES[network.name].mode is None
    for name in preprocessing:
        if name == "none" and inside:
            continue
        fed = preprocessed(pixels, *network, name)
        found = predicted_logits(unpooled, keras.ops.convert_to_numpy(fed))
        maps[name] = _standardised(found, run.train)
    return maps


def _pooled(maps):
    """The average as maps of one place, on which a head costs little."""
    return maps.mean(axis=(1, 2), keepdims=True)


def _head(labels, maps, pooling, seed):
    return head_on_maps(int(labels.max()) + 1, maps.shape[1:], seed, pooling)


def _whole(network, images, labels, seed):
    """Backbone and the head of example 1, all of it trained."""
    base = backbone(*network, images.shape[1], seed=seed)
    base.trainable = True
    if network.weights == "random":
        set_batch_normalization_momentum(base, 0.9)
    else:
        freeze_batch_normalization(base)
    head = head_layers(int(labels.max()) + 1, 128, 0.0, seed)
    return keras.Sequential([keras.Input(images.shape[1:]), base, *head])


def _key(key, images, labels, run, epochs):
    """Hash of all that a training follows from, but for the machine."""
    arrays = [images, labels, run.train]
    made_of = {
        "version": VERSION,
        "arrays": [
            [array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
            for array in arrays
        ],
        "network": weights_identity(*key.network, run.seed),
        "rate": key.rate,
        "seed": run.seed,
        "epochs": epochs,
    }
    text = json.dumps(made_of, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _standardised(maps, rows):
    known = maps[rows]
    mean = known.mean(axis=(0, 1, 2))
    # A feature that is the same everywhere has no spread to divide by.
    std = known.std(axis=(0, 1, 2))
    return (maps - mean) / np.where(std > 0, std, 1)


def _named(key):
    wrong = "" if key.preprocessing == "keras" else f", {key.preprocessing}"
    return f"{key.network.name}, {key.pooling}, {key.rate:g}{wrong}"


def _about(key, epochs, images):
    return {
        "network": key.network.name,
        "weights": weights_identity(*key.network),
        "preprocessing": key.preprocessing,
        "pooling": key.pooling,
        "rate": key.rate,
        "epochs": epochs,
        "image_size": images.shape[1],
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
