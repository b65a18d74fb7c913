"""The severity note's three sketches, and what stands beside them.

Example 1: VGG16, frozen, average pooling, Dense 128 (ReLU), four logits,
Adam at 1e-4.  Example 2: the same behind a spatial gate.  Example 3:
EfficientNetB0 and Adam at its 1e-3.  50 epochs.  None of the three calls
``preprocess_input``: hence the rows with other preprocessing.
"""

import time
from dataclasses import dataclass, replace
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
from helpers.imbalance import Split
from helpers.imbalance.splits import folds
from helpers.paths import kept
from helpers.session import device
from helpers.training.recipe import Recipe
from helpers.training.sequential import (
    VERSION,
    Program,
    WholeNetwork,
    predicted_logits,
)

Network = tuple[str, str]  # a backbone, and the weights it starts from

RATES = (1e-4, 1e-3)
WHOLE = "average, all trained"
VGG, STAND_INS = "VGG16", ("EfficientNetB0", "EfficientNet-Lite0")
"""The note's two networks, the second with what can stand in for it."""

# Claim ("" for none), what is trained on another network, and on VGG16.
_TO_VGG = (
    ("better", "average, 0.001", "average, 0.001"),
    ("", "average, 0.0001", "average, 0.0001"),
    ("as written", "average, 0.001", "average, 0.0001"),
    ("", "attention, 0.001", "attention, 0.001"),
    ("better, whole", f"{WHOLE}, 0.0001", f"{WHOLE}, 0.0001"),
    ("", f"{WHOLE}, 0.001", f"{WHOLE}, 0.001"),
)
# The same, twice on one network; the claims are about VGG16.
_TO_ITSELF = (
    ("rate, VGG16's head", "average, 0.0001", "average, 0.001"),
    ("gate, VGG16", "attention, 0.0001", "average, 0.0001"),
    ("", "attention, 0.001", "average, 0.001"),
    ("scaling, VGG16", "average, 0.001", "average, 0.001, none"),
    ("", "average, 0.001", "average, 0.001, divide_by_255"),
    ("rate, whole VGG16", f"{WHOLE}, 0.0001", f"{WHOLE}, 0.001"),
)

# Of a probe: the weight of half the squared norm of its coefficients beside
# the mean loss; validation chooses.
_PENALTIES = (1.0, 0.1, 0.01)

_kappa = evaluation.quadratic_kappa_from
_SCORES = {
    "accuracy": evaluation.accuracy_from,
    "mean recall": evaluation.balanced_accuracy_from,
    "mean grade error": evaluation.mean_grade_error_from,
}
_TRAINED = ["network", "weights", "preprocessing", "pooling", "rate", "epochs"]
_TRAINED += [
    "image_size",
    "seeds",
    "kappa",
    "low",
    "high",
    *_SCORES,
    "seconds",
]
_PROBED = ["network", "weights", "features", "score", "value", "low", "high"]
_PROBED += ["minus first", "minus first low", "minus first high"]
_PROBED += ["reshuffles", "images", "image_size", "dataset"]
_COMPARED = ["claim", "after", "before", "number", "low", "high", "seeds"]


def networks(
    names: list[str], untrained: list[str], backbone: str, weights: str
) -> list[Network]:
    """Networks with the weights of a run, then some with random ones.

    A weights file is that of ``backbone``: the others take ImageNet's.
    """
    others = weights if weights in ("imagenet", "random") else "imagenet"
    made = [(name, weights if name == backbone else others) for name in names]
    return list(dict.fromkeys(made + [(name, "random") for name in untrained]))


@dataclass
class Sketches:
    """Networks that grade the same images.

    images : uint8 (N, side, side, 3)
    labels : int (N,)
    split : its test set is that of ``scored``
    """

    images: np.ndarray
    labels: np.ndarray
    split: Split
    scored: evaluation.TestSet

    def frozen(
        self,
        chosen: list[Network],
        seeds: list[int],
        epochs: int,
        poolings: list[str],
        preprocessing: list[str],
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        """Train heads on the maps of frozen backbones, computed once.

        With the preprocessing that the weights expect, "keras": each pooling
        at both of `RATES`.  With any other: average, at the larger one.

        Returns
        -------
        A row a head (means over seeds, κ with its interval over persons and
        seeds, seconds of all seeds); and each one's grades of the test set,
        int (S, T), by name, such as "VGG16, average, 0.001".
        """
        outcomes, n_classes = {}, int(self.labels.max()) + 1
        for network in chosen:
            maps = self._maps(network, preprocessing)
            for pooling in poolings:
                program = None
                for fed, x in maps.items():
                    if pooling == "average":  # of one place: a cheap head
                        x = x.mean(axis=(1, 2), keepdims=True)
                    elif fed != "keras":
                        continue
                    job = models.head_on_maps, n_classes, x.shape[1:]
                    program = program or Program(
                        partial(*job, pooling=pooling)
                    )
                    for rate in RATES if fed == "keras" else RATES[1:]:
                        outcomes[*network, fed, pooling, rate] = [
                            self._train(program, x, rate, seed, epochs, False)
                            for seed in seeds
                        ]
        return self._rows(outcomes, epochs)

    def whole(
        self,
        chosen: list[Network],
        seeds: list[int],
        epochs: int,
        keep_dir: Path | None = None,
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        """Train whole networks at both of `RATES`, else as `frozen`.

        The head is example 1's; images are flipped both ways at random.
        BatchNorm keeps what pre-training gave it; in an untrained network it
        trains.  keep_dir : see `helpers.training.train_one_by_one`
        """
        n_classes, shape = int(self.labels.max()) + 1, self.images.shape[1:]

        @lru_cache(maxsize=1)
        def program(network):
            momentum = 0.9 if network[1] == "random" else None
            recipe = Recipe(dropout=0.0, batch_norm_momentum=momentum)
            build = WholeNetwork(*network, recipe)
            return Program(partial(build, n_classes, shape))

        def train(network, rate, seed):
            job = program(network), self.images, rate, seed, epochs, True
            return self._train(*job) | {"device": device()}

        jobs, outcomes = list(product(chosen, RATES, seeds)), {}
        for number, (network, rate, seed) in enumerate(jobs, 1):
            made_of = {"version": VERSION, "rows": self.split.train}
            made_of |= {"arrays": [self.images, self.labels], "seed": seed}
            made_of |= {"rate": rate, "epochs": epochs}
            made_of["network"] = models.weights_identity(*network, seed)
            make = partial(train, network, rate, seed)
            one, was_kept = kept(keep_dir, made_of, make)
            key = (*network, "keras", WHOLE, rate)
            outcomes.setdefault(key, []).append(one)
            print(
                f"{number} of {len(jobs)}: {models.title(*network)}, "
                f"{rate:g}, seed {seed}{', kept' * was_kept}",
                flush=True,
            )
        return self._rows(outcomes, epochs)

    def compared(self, graded: dict[str, np.ndarray]) -> pd.DataFrame:
        """The differences of κ that the claims on ImageNet weights are about.

        Networks with ImageNet weights only: each other one against VGG16 (the
        first of `STAND_INS` decides claims), and each against itself.

        graded : predicted grades, int (S, T), by name, see `frozen`

        Returns a row a difference: claim ("" where it decides none), after,
        before, number, low, high (over persons and seeds), seeds.
        """
        names = dict.fromkeys(key.partition(",")[0] for key in graded)
        names = [name for name in names if "(" not in name]
        stand_in = next((name for name in STAND_INS if name in names), None)
        asked = [(n, VGG, _TO_VGG, stand_in) for n in names if n != VGG]
        asked += [(n, n, _TO_ITSELF, VGG) for n in names]
        rows = []
        for name, other, table, decides in asked:
            for claim, after, before in table:
                pair = f"{name}, {after}", f"{other}, {before}"
                if set(pair) <= set(graded):
                    after, before = (graded[key] for key in pair)
                    gain = self.scored.gain(before, after, _kappa)
                    claim = claim if name == decides else ""
                    rows.append((claim, *pair, *gain[:3], len(after)))
        return pd.DataFrame(rows, columns=_COMPARED)

    def _maps(self, network, preprocessing):
        """Maps by preprocessing, each feature standardised by training rows.

        Without that those of an untrained network are too small to train on.
        """
        side, maps = self.images.shape[1], {}
        base = models.backbone(*network, side, "none", pooled=False)
        for fed in preprocessing:
            if fed == "none" and models.BACKBONES[network[0]].mode is None:
                continue  # it is what "keras" is
            x = models.preprocessed(
                self.images.astype("float32"), *network, fed
            )
            x = predicted_logits(base, ops.convert_to_numpy(x))
            training = x[self.split.train]
            std = training.std(axis=(0, 1, 2))
            # A feature may be the same everywhere.
            std = np.where(std > 0, std, 1)
            maps[fed] = (x - training.mean(axis=(0, 1, 2))) / std
        return maps

    def _train(self, program, inputs, rate, seed, epochs, flips):
        begun = time.perf_counter()
        recipe = Recipe(learning_rate=rate, epochs=epochs)
        run = replace(self.split, seed=seed)
        logits, _ = program.train(
            inputs, self.labels, run, recipe, flips=flips
        )
        return {"logits": logits, "seconds": time.perf_counter() - begun}

    def _rows(self, outcomes, epochs):
        """Rows and grades, from the trainings of each variant."""
        rows, graded, y_true = [], {}, self.scored.y_true
        for (name, weights, fed, pooling, rate), each in outcomes.items():
            logits = np.stack([one["logits"] for one in each])
            grades = logits[:, self.split.test].argmax(-1)
            wrong = "" if fed == "keras" else f", {fed}"
            text = f"{_name(name, weights)}, {pooling}, {rate:g}{wrong}"
            graded[text] = grades
            kappa = self.scored.score(grades, _kappa)[:3]
            table = evaluation.confusion_matrix(
                y_true, grades, y_true.max() + 1
            )
            scores = [metric(table).mean() for metric in _SCORES.values()]
            weights = models.weights_identity(name, weights)
            row = [name, weights, fed, pooling, rate, epochs]
            row += [self.images.shape[1], len(grades), *kappa, *scores]
            row.append(sum(float(one["seconds"]) for one in each))
            row = dict(zip(_TRAINED, row, strict=True))
            if "device" in each[0]:
                devices = {str(one["device"]) for one in each}
                row["device"] = "; ".join(sorted(devices))
            rows.append(row)
        return pd.DataFrame(rows), graded


def probe_rows(
    chosen: list[Network],
    dataset: str,
    images: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None,
    seeds: list[int],
    ordered: bool,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Logistic regression on frozen features, in five folds by group.

    Features are those of the ends of the last four stages, averaged over
    space and standardised.  Seeds are reshuffles of the folds, whose
    predictions are pooled.  The score is κ where classes are ``ordered``
    grades, else macro-F1.

    Returns
    -------
    A row a network: network, weights, score, value with its interval, and
    its difference to the first network ("minus first"), with its own.  And
    these differences in the form of `Sketches.compared`, where the first
    network is VGG16 with ImageNet weights.
    """
    metric = _kappa if ordered else evaluation.macro_f1_from
    runs = [
        replace(run, seed=seed)
        for seed in seeds
        for run in folds(labels, groups, 5, seed)
    ]
    scored = evaluation.TestSet(labels, groups)
    names = [_name(*network) for network in chosen]
    best = next((name for name in STAND_INS if name in names), None)
    rows, pairs, first = [], [], None
    for name, network in zip(names, chosen, strict=True):
        features = models.frozen_features(images, *network)[0]
        predicted = _probed(features, labels, runs, metric)
        first = predicted if first is None else first
        minus = scored.gain(first, predicted, metric)[:3]
        weights = models.weights_identity(*network)
        row = [network[0], weights, features.shape[1]]
        row += ["kappa" if ordered else "macro-F1"]
        row += [*scored.score(predicted, metric)[:3], *minus, len(seeds)]
        rows.append([*row, len(labels), images.shape[1], dataset])
        claim = "better, lesions" if name == best and not ordered else ""
        pair = [f"{k}, probe, {dataset}" for k in (name, names[0])]
        pairs.append((claim, *pair, *minus, len(seeds)))
    pairs = pairs[1:] if chosen[0] == (VGG, "imagenet") else []
    table = pd.DataFrame(rows, columns=_PROBED)
    return table, pd.DataFrame(pairs, columns=_COMPARED)


def _name(name, weights):
    """A network in a result, one with other than ImageNet's weights so."""
    suffix = {"imagenet": "", "random": " (random)"}
    return name + suffix.get(weights, " (file)")


def _probed(features, labels, runs, metric) -> np.ndarray:
    """Predicted classes of all images, int (S, N), a row a reshuffle."""
    # An untrained network's features are of the order of 1e-6.
    features, n_classes = features.astype(np.float64), labels.max() + 1
    pooled = {run.seed: np.empty(len(labels), np.int64) for run in runs}
    for run in runs:
        fitted, scores = [], []
        for penalty in _PENALTIES:
            probe = LogisticRegression(
                C=1 / (penalty * len(run.train)), max_iter=1000, tol=1e-3
            )
            probe = make_pipeline(StandardScaler(), probe)
            fitted.append(probe.fit(features[run.train], labels[run.train]))
            predicted = probe.predict(features[run.val])
            table = evaluation.confusion_matrix(
                labels[run.val], predicted, n_classes
            )
            scores.append(metric(table))
        best = fitted[int(np.argmax(scores))]
        pooled[run.seed][run.test] = best.predict(features[run.test])
    return np.stack([*pooled.values()])
