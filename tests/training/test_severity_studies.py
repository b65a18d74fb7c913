"""One program, many runs; intervals of persons and seeds."""

import threading

import keras
import numpy as np
import pytest

from helpers.evaluation import accuracy_from, bootstrap, differences
from helpers.imbalance.splits import Split
from helpers.training.severity_studies import (
    Job,
    Program,
    Scored,
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


def test_scored_is_the_bootstrap_over_persons_and_seeds():
    fives = np.arange(100) // 5
    scored = Scored(TRUTH, fives)
    how = {"metric": accuracy_from, "groups": fives}
    how |= {"within_classes": False, "over_seeds": True}
    row = bootstrap(TRUTH, {"a": A}, **how).loc[0]
    expected = [row[k] for k in ("mean", "low", "high", "half_width")]
    assert list(scored.score(A, accuracy_from)) == expected
    row = differences(TRUTH, {"a": A, "b": B}, "a", **how).loc[0]
    expected = [row[k] for k in ("delta", "low", "high", "half_width")]
    assert list(scored.gain(A, B, accuracy_from)) == expected


def test_logits_of_other_inputs():
    fitted = Program(network).train(
        MAPS, LABELS, [Job(run(s), 0.1) for s in (0, 1)], 2
    )
    again = Program(network).logits(fitted.weights, MAPS[10:25])
    np.testing.assert_allclose(again, fitted.logits[:, 10:25], atol=1e-4)
