"""Banks of heads and of networks: against plain Keras, and what is shared."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from helpers.data.catalog import load_digits
from helpers.imbalance.counts import subsample
from helpers.imbalance.splits import Split
from helpers.methods.losses import COSINE_SCALE
from helpers.methods.post_hoc import prior_offsets, tuned_offsets
from helpers.methods.registry import METHODS
from helpers.models import head_layers
from helpers.models.resnet import residual_network
from helpers.training.comparison import epoch_batches
from helpers.training.recipe import RECIPES, Recipe
from helpers.training.vectorized import train_grid, train_heads

METHOD_NAMES = ["cross_entropy", "weighted_cross_entropy"]
HEAD = Recipe(dense=16, dropout=0.0, epochs=3)
LATE = 2  # four fifths of three epochs
# Few and small steps: float32 sums of another order soon tell in training.
SMALL = replace(
    RECIPES["digits"],
    epochs=3,
    batch_size=16,
    learning_rate=0.1,
    drops=(1,),
    l2=1e-2,
)
GRID_NAMES = ["cefl2_g5", "balanced_softmax", "cross_entropy_drw", "ldam"]
SAMPLED = ["cross_entropy", "over_sampling"]


@pytest.fixture(scope="module")
def study():
    """Five overlapping classes, the last one rare; two views."""
    generator = np.random.default_rng(0)
    labels = generator.choice(5, 400, p=[0.4, 0.2, 0.2, 0.15, 0.05])
    centres = generator.normal(size=(5, 40))
    plain = centres[labels] + generator.normal(0, 2, (400, 40))
    noisy = plain + generator.normal(0, 0.5, plain.shape)
    return np.stack([plain, noisy]).astype("float32"), labels


def run(seed, first=0):
    rows = np.random.default_rng(first).permutation(400)
    return Split("random", rows[:256], rows[256:320], rows[320:], seed)


def network(n_classes, shape, seed):
    return residual_network(n_classes, shape, seed, stages=((6, 1, 2),))


@pytest.fixture(scope="module")
def digits():
    data = load_digits(8)
    return data.images, data.labels


def tail(labels, seed, largest=14):
    """A long tail of 3 to ``largest``; the test set is the same for all."""
    rest, test = np.arange(100, len(labels)), np.arange(100)
    counts = np.linspace(3, largest, 10).astype(int)
    train = rest[subsample(labels[rest], counts, seed)]
    return Split(f"largest {largest}", train, test[:0], test, seed)


class Cosine(keras.layers.Layer):
    """A cosine classifier, as a reader would write it."""

    def __init__(self, kernel):
        super().__init__()
        self.kernel = self.add_weight(kernel.shape, "zeros")
        self.kernel.assign(kernel)

    def call(self, x):
        length = keras.ops.norm(x, axis=-1, keepdims=True)
        size = keras.ops.norm(self.kernel, axis=0)
        return COSINE_SCALE * (x @ self.kernel) / (length * size)


def plain_keras(model, x, labels, run, name, recipe, epochs, late):
    """Logits of all rows after ``epochs`` of one plain model, same batches."""
    method = METHODS[name]
    if method.cosine:
        last = Cosine(model.layers[-1].get_weights()[0])
        model = keras.Model(model.inputs, last(model.layers[-2].output))
    counts = np.bincount(labels[run.train], minlength=labels.max() + 1)
    rows = epoch_batches(
        labels, [run], recipe.epochs, recipe.batch_size, sampler=method.sampler
    )[:, 0]
    steps = len(rows) // recipe.epochs
    model.compile(recipe.new_optimizer(steps), method.loss(counts))
    for step, batch in enumerate(rows[: epochs * steps]):
        weights = np.ones(len(batch))
        if method.late_weights and step >= late * steps:
            weights = method.late_weights(counts)[labels[batch]]
        model.train_on_batch(x[batch], labels[batch], weights)
    return model.predict(x, verbose=0)


def plain_head(features, labels, run, name, recipe, epochs):
    part = features[0, run.train]
    x = (features[0] - part.mean(axis=0)) / part.std(axis=0)
    head = head_layers(5, recipe.dense, 0.0, run.seed)
    model = keras.Sequential([keras.Input(x.shape[1:]), *head])
    return plain_keras(model, x, labels, run, name, recipe, epochs, LATE)


def plain_network(images, labels, run, name):
    model = network(10, images.shape[1:], run.seed)
    job = (images.astype("float32"), labels, run, name, SMALL)
    return plain_keras(model, *job, SMALL.epochs, SMALL.drops[0])


def test_heads_agree_with_plain_keras(study):
    features, labels = study
    runs = [run(0), run(1, first=1)]
    bank = train_heads(features[:1], labels, runs, METHOD_NAMES, HEAD)
    for m, method in enumerate(METHOD_NAMES):
        for r, one in enumerate(runs):
            job = (features, labels, one, method, HEAD)
            expected = plain_head(*job, bank.best_epoch[m, r])
            np.testing.assert_allclose(
                bank.logits[m, r], expected, atol=1e-3, rtol=0
            )
    assert np.abs(bank.logits).max() > 0.5


def test_every_method_trains_as_it_would_alone(study):
    """All of the registry in one program; some of it against plain Keras."""
    features, labels = study
    one = run(0)
    bank = train_heads(features[:1], labels, [one], list(METHODS), HEAD)
    logits = dict(zip(METHODS, bank.logits[:, 0], strict=True))
    counts = np.bincount(labels[one.train], minlength=5)
    assert np.isfinite(bank.logits).all()
    names = ["focal_a1_g2", "cefl_g5", "ldam", "ldam_drw", "cross_entropy_drw"]
    for name in [*names, "over_sampling", "under_sampling"]:
        epochs = bank.best_epoch[list(METHODS).index(name), 0]
        expected = plain_head(features, labels, one, name, HEAD, epochs)
        np.testing.assert_allclose(logits[name], expected, atol=2e-3, rtol=0)
    assert np.abs(logits["ldam"]).max() < COSINE_SCALE
    plain = logits["cross_entropy"]
    for name, offsets in {
        "logit_adjusted_post_hoc_t1": prior_offsets(counts),
        "threshold_moving": tuned_offsets(plain[one.val], labels[one.val]),
    }.items():
        np.testing.assert_allclose(logits[name], plain + offsets, atol=1e-4)
    for name, own in logits.items():
        assert name == "cross_entropy" or np.abs(own - plain).max() > 1e-3
    late = list(METHODS).index("cross_entropy_drw")
    assert bank.best_epoch[late, 0] == LATE + 1


@pytest.fixture(scope="module")
def bank(study):
    return train_heads(*study, [run(0)], METHOD_NAMES, HEAD)


@pytest.fixture(scope="module")
def dropout(study):
    """The same with dropout, and with one more seed."""
    runs = [run(0), run(1)]
    return train_heads(*study, runs, METHOD_NAMES, replace(HEAD, dropout=0.3))


def test_a_seed_does_not_depend_on_its_company(study, bank, dropout):
    recipe = replace(HEAD, dropout=0.3)
    alone = train_heads(*study, [run(1)], ["cross_entropy"], recipe)
    both = alone.logits[0, 0], dropout.logits[0, 1]
    np.testing.assert_allclose(*both, atol=1e-4)
    assert np.abs(bank.logits[0, 0] - dropout.logits[0, 0]).max() > 0.01


def test_methods_that_are_equal_give_equal_heads(study, dropout):
    """Same weights, batches and dropout: only the loss may differ."""
    recipe = replace(HEAD, dropout=0.3)
    twins = train_heads(*study, [run(0)], ["cross_entropy"] * 2, recipe)
    np.testing.assert_array_equal(twins.logits[0], twins.logits[1])
    assert np.abs(np.subtract(*dropout.logits[:, 0])).max() > 0.01


def test_the_epoch_that_counts(study, bank):
    """The best on validation, whose weights return; or the last."""
    job, best = (*study, [run(0)], METHOD_NAMES), bank
    history = best.history.query("part == 'val' and metric == 'macro_f1'")
    for m, method in enumerate(METHOD_NAMES):
        curve = history[history.method == method].set_index("epoch").value
        assert best.best_epoch[m, 0] == curve.idxmax()
    assert set(best.history.part) == {"train", "val"}
    last = train_heads(*job, replace(HEAD, keep="last"))
    assert (last.best_epoch == HEAD.epochs).all()
    assert set(last.history.part) == {"train"}
    same = (last.logits == best.logits).all(axis=(2, 3))
    np.testing.assert_array_equal(same, best.best_epoch == HEAD.epochs)


def test_test_rows_never_train(study):
    features, labels = study
    one = run(0)
    names = [*METHOD_NAMES, "under_sampling", "threshold_moving"]
    scrambled = labels.copy()
    scrambled[one.test] = 0
    spoilt = features.copy()
    spoilt[:, one.test] = 1e3
    honest = train_heads(features, labels, [one], names, HEAD)
    other = train_heads(spoilt, scrambled, [one], names, HEAD)
    np.testing.assert_array_equal(
        honest.logits[:, :, one.val], other.logits[:, :, one.val]
    )


@pytest.fixture(scope="module")
def grid(digits):
    """Runs of two sizes, that is, two programs."""
    labels = digits[1]
    runs = [tail(labels, 0), tail(labels, 1), tail(labels, 0, largest=9)]
    return train_grid(*digits, runs, GRID_NAMES, SMALL, network)


@pytest.fixture(scope="module")
def sampled(digits):
    return train_grid(*digits, [tail(digits[1], 3)], SAMPLED, SMALL, network)


@pytest.mark.parametrize(
    ("fixture", "name", "r"),
    [
        *(("grid", name, r) for r, name in enumerate(GRID_NAMES[:3])),
        ("grid", "ldam", 0),
        *(("sampled", name, 0) for name in SAMPLED),
    ],
)
def test_grid_agrees_with_plain_keras(digits, request, fixture, name, r):
    """Where a test row or another cell took part, it would not."""
    trained = request.getfixturevalue(fixture)
    logits = trained.logits[trained.methods.index(name), r]
    expected = plain_network(*digits, trained.runs[r], name)
    # Sums in another order grow apart while training goes on.
    np.testing.assert_allclose(
        logits, expected, atol=0.01 * expected.std(), rtol=0
    )


def test_outcome_of_the_grid_reads_as_that_of_the_heads(grid):
    assert grid.logits.shape == (4, 3, 1797, 10)
    assert (grid.best_epoch == SMALL.epochs).all()
    rows, tested = grid.tested("ldam", "largest 14")
    np.testing.assert_array_equal(
        tested, grid.logits[3, :2, rows].swapaxes(0, 1)
    )
    history = grid.history
    assert set(history.part) == {"train"}
    assert set(history.split) == {"largest 14", "largest 9"}
    assert len(history) == 12 * SMALL.epochs * 2
    losses = history.query("metric == 'loss'").groupby("epoch").value.mean()
    assert losses[3] < losses[1]


def test_test_scores_of_every_epoch_are_noted_where_asked_for(digits):
    labels = digits[1]
    methods = ["cross_entropy", "over_sampling"]
    runs = [tail(labels, 0), tail(labels, 1)]
    job = (*digits, runs, methods, SMALL, network)
    noted = train_grid(*job, test_curves=True)
    assert len(noted.history.query("part == 'test'")) == 2 * 2 * 3 * 3
    last = noted.history.query(
        "part == 'test' and metric == 'accuracy' and epoch == 3"
    ).set_index(["method", "seed"])["value"]
    for m, name in enumerate(methods):
        for r, own in enumerate(runs):
            hits = noted.logits[m, r, own.test].argmax(-1) == labels[own.test]
            assert last[name, own.seed] == pytest.approx(hits.mean())


def test_a_network_of_the_grid_can_be_that_of_its_best_epoch(digits):
    images, labels = digits
    one = replace(tail(labels, 0), val=np.arange(100, 160))
    job = (images, labels, [one, replace(one, seed=1)], GRID_NAMES)
    trained = train_grid(*job, replace(SMALL, keep="best"), network)
    keys = ["metric", "method", "seed", "epoch"]
    history = trained.history.query("part == 'val'")
    scores = history.set_index(keys).value.sort_index()
    for m, name in enumerate(GRID_NAMES):
        for r, own in enumerate(trained.runs):
            epoch = trained.best_epoch[m, r]
            z = trained.logits[m, r, own.val]
            hits = (z.argmax(-1) == labels[own.val]).mean()
            noted = scores["accuracy", name, own.seed, epoch]
            assert noted == pytest.approx(hits)
            if name != "cross_entropy_drw":  # whose first epoch has no weights
                curve = scores["macro_f1", name, own.seed]
                assert curve.idxmax() == epoch


def test_bad_input_is_named(study, digits):
    def heads(x, y, names=METHOD_NAMES):
        train_heads(x, y, [run(0)], names, HEAD)

    def networks(x, y, names=METHOD_NAMES, recipe=SMALL):
        train_grid(x, y, [tail(digits[1], 0)], names, recipe)

    (features, labels), (images, y) = study, digits
    for message, call, *arguments in [
        ("focus", heads, features, labels, ["focus"]),
        ("features", heads, features[0], labels),
        ("labels", heads, features, labels - 1),
        ("labels", heads, features, labels + 0.5),
        ("labels", heads, features, np.eye(3)[labels % 3]),
        ("images: uint8", networks, images / 255, y),
        ("images: uint8", networks, images[1:], y),
        ("labels", networks, images, y - 1),
        ("augment", networks, images, y, METHOD_NAMES, RECIPES["cifar"]),
        ("threshold.*validation", networks, images, y, ["threshold_moving"]),
        ("no validation", networks, images, y, METHOD_NAMES, HEAD),
    ]:
        with pytest.raises(ValueError, match=message):
            call(*arguments)
