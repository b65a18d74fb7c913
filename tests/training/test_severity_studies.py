"""One program, many runs; intervals of persons and seeds."""

import threading

import keras
import numpy as np
import pytest
from scipy import stats

from helpers.evaluation.metrics import accuracy_from
from helpers.imbalance.splits import Split
from helpers.training.severity_studies import (
    Job,
    Program,
    Scored,
    half_width,
    mean_of,
    movement,
    two_at_a_time,
)

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
# A channel a class, brighter in one quarter: a flip moves it, no more.
MAPS = RNG.normal(0, 0.3, (60, 4, 4, 3)).astype("float32")
MAPS[np.arange(60), 0, 1, LABELS] += 6
NONE = np.array([], int)


def run(seed=0):
    return Split("random", np.arange(40), NONE, np.arange(40, 60), seed)


def network(seed):
    keras.utils.set_random_seed(seed)
    frozen = keras.layers.Conv2D(8, 1, activation="relu", name="base")
    frozen.trainable = False
    return keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            frozen,
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(3),
        ]
    )


def hit(logits):
    return (logits.argmax(-1) == LABELS)[40:].mean()


def test_it_learns_and_a_rate_of_nought_does_not():
    fitted = Program(network).train(
        MAPS, LABELS, [Job(run(), 0.03), Job(run(), 0.0)], 30
    )
    assert hit(fitted.logits[0]) > 0.9
    assert movement(fitted.starts[1], fitted.weights[1]) == 0
    assert fitted.logits.shape == (2, 60, 3)


def test_a_job_knows_nothing_of_the_one_before():
    alone = Program(network).train(MAPS, LABELS, [Job(run(1), 0.01)], 3)
    after = Program(network).train(
        MAPS, LABELS, [Job(run(0), 0.1), Job(run(1), 0.01)], 3
    )
    for a, b in zip(alone.weights[0], after.weights[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        alone.logits[0], after.logits[1], rtol=1e-4, atol=1e-5
    )


def test_a_start_is_taken_and_a_frozen_layer_stays():
    start = [0.5 * w for w in network(7).get_weights()]
    fitted = Program(network).train(MAPS, LABELS, [Job(run(), 0.1, start)], 2)
    assert movement(fitted.starts[0], start) == 0
    kernel, bias = fitted.weights[0][-2:]
    assert np.abs(kernel - start[-2]).max() > 0
    for before, after in zip(start[:-2], fitted.weights[0][:-2], strict=True):
        np.testing.assert_array_equal(before, after)


def test_inputs_stay_as_they_are():
    before = MAPS.copy()
    Program(network).train(MAPS, LABELS, [Job(run(), 0.1)], 2)
    np.testing.assert_array_equal(MAPS, before)


def test_blocks_do_not_change_what_is_learnt(monkeypatch):
    jobs = [Job(run(), 0.01)]
    whole = Program(network).train(MAPS, LABELS, jobs, 3, flips=False)
    monkeypatch.setattr(
        "helpers.training.severity_studies._BLOCK", 32 * MAPS[:1].nbytes
    )
    parts = Program(network).train(MAPS, LABELS, jobs, 3, flips=False)
    np.testing.assert_allclose(whole.logits, parts.logits, atol=1e-4)


def test_two_at_a_time_is_two_and_in_order():
    both = threading.Barrier(2, timeout=20)  # breaks where one waits alone
    assert two_at_a_time(lambda k: (both.wait() >= 0, k)[1], "abcd") == [
        *"abcd"
    ]
    with pytest.raises(ZeroDivisionError):
        two_at_a_time(lambda k: 1 / k, [1, 0, 2])


def test_programs_side_by_side_learn_what_they_learn_alone():
    def seeded(seed):
        draw = keras.initializers.GlorotUniform(seed)
        dense = keras.layers.Dense(3, kernel_initializer=draw)
        pool = keras.layers.GlobalMaxPooling2D()
        return keras.Sequential([keras.Input((4, 4, 3)), pool, dense])

    def logits(rate):
        jobs = [Job(run(seed), rate) for seed in (0, 1)]
        return Program(seeded).train(MAPS, LABELS, jobs, 3).logits

    rates = (0.01, 0.03, 0.1)
    for alone, beside in zip(
        map(logits, rates), two_at_a_time(logits, rates), strict=True
    ):
        np.testing.assert_allclose(alone, beside, rtol=1e-4, atol=1e-5)


def test_movement_is_a_share():
    before = [np.array([3.0]), np.array([[4.0]])]
    after = [np.array([3.0]), np.array([[5.0]])]
    assert movement(before, after) == pytest.approx(0.2)


TRUTH = np.repeat([0, 1], 50)
A = np.where(RNG.random((3, 100)) < 0.7, TRUTH, 1 - TRUTH)
B = np.where(RNG.random((3, 100)) < 0.9, TRUTH, 1 - TRUTH)


def test_gain_holds_persons_and_seeds():
    found = Scored(TRUTH, None).gain(A, B, accuracy_from)
    each = (B == TRUTH).mean(axis=1) - (A == TRUTH).mean(axis=1)
    assert found.value == pytest.approx(each.mean())
    t = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert found.luck == pytest.approx(t.high - each.mean())
    # Accuracy is a mean over pictures, whose interval is well known.
    pictures = ((B == TRUTH) * 1.0 - (A == TRUTH)).mean(axis=0)
    persons = 1.96 * pictures.std() / np.sqrt(len(pictures))
    half = np.hypot(persons, found.luck)
    assert found.high - found.value == pytest.approx(half, rel=0.08)
    assert found.value - found.low == pytest.approx(half, rel=0.08)


def test_a_score_is_a_gain_over_nothing_right():
    scored = Scored(TRUTH, None)
    score = scored.score(A, accuracy_from)
    gain = scored.gain(np.broadcast_to(1 - TRUTH, A.shape), A, accuracy_from)
    assert score == pytest.approx(gain)


def test_pictures_of_one_person_are_one_unit():
    fives = np.arange(100) // 5
    said = np.where(fives % 2 == 0, TRUTH, 1 - TRUTH)
    alone = Scored(TRUTH, None).score(said, accuracy_from)
    by_person = Scored(TRUTH, fives).score(said, accuracy_from)
    widths = [e.high - e.low for e in (alone, by_person)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(5), rel=0.15)


def test_mean_of_counts_each_person_once():
    values = np.array([[1.0, 1, 1, 4, np.nan], [1.0, 1, 1, 4, np.nan]])
    found = mean_of(values, np.array(["a", "a", "a", "b", "c"]))
    assert found.value == pytest.approx(2.5)
    assert found.luck == 0
    half = stats.t.ppf(0.975, 1) * 3 / 2
    assert found.high == pytest.approx(2.5 + half)


def test_logits_of_other_inputs():
    fitted = Program(network).train(
        MAPS, LABELS, [Job(run(s), 0.1) for s in (0, 1)], 2
    )
    again = Program(network).logits(fitted.weights, MAPS[10:25])
    np.testing.assert_allclose(again, fitted.logits[:, 10:25], atol=1e-4)


def test_one_seed_leaves_the_persons():
    found = Scored(TRUTH, None).gain(A[0], B[0], accuracy_from)
    assert np.isnan(found.luck)
    assert found.low < found.value < found.high
    assert np.isnan(half_width([1.0]))


def test_unpaired_seeds_are_refused():
    with pytest.raises(ValueError, match="not paired"):
        Scored(TRUTH, None).gain(A, B[:2], accuracy_from)
