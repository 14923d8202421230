"""The models that score a text without a memory."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from keras_lstm_variants.tasks import text as text_module
from keras_lstm_variants.tasks.baselines import WittenBell, character_baselines


def slow_witten_bell(train, symbols, order):
    """P(symbol | context) by the recursive formula on strings, with no shared code."""
    after = defaultdict(Counter)
    for i, symbol in enumerate(train):
        for k in range(min(i, order) + 1):
            after[train[i - k : i]][symbol] += 1

    def p(symbol, context):
        shorter = p(symbol, context[1:]) if context else 1 / len(symbols)
        if context not in after:
            return shorter
        n, t = sum(after[context].values()), len(after[context])
        return (after[context][symbol] + t * shorter) / (n + t)

    return p


TINY = "abracadabra abra cadabra abrac"


@pytest.mark.parametrize("order", [0, 1, 2, 4])
def test_witten_bell_matches_the_formula_on_a_tiny_text(order):
    symbols = "".join(sorted(set(TINY))) + "z"
    p = slow_witten_bell(TINY, symbols, order)
    ids = text_module.to_ids(TINY, symbols)
    read = "bracadabra zcab"
    expected = [p(c, read[max(i - order, 0) : i]) for i, c in enumerate(read)]
    model = WittenBell(ids, len(symbols), order)
    read_ids = text_module.to_ids(read, symbols)
    np.testing.assert_allclose(model.probabilities(read_ids), expected, rtol=1e-12)
    bits = -sum(math.log2(e) for e in expected[1:]) / (len(read) - 1)
    assert model.bits(read_ids) == pytest.approx(bits, rel=1e-12)


def test_witten_bell_by_hand():
    # Train "aab" over {a, b, c}: two kinds among three symbols, so P(a) = (2 + 2/3) / (3 + 2);
    # after "a" come a and b, once each, so P(c | a) = (0 + 2 P(c)) / (2 + 2).
    model = WittenBell(np.array([0, 0, 1]), 3, 1)
    p = model.probabilities(np.array([0, 2]))
    assert p[0] == pytest.approx((2 + 2 / 3) / 5)
    assert p[1] == pytest.approx(2 * (2 / 3 / 5) / 4)


@pytest.mark.parametrize("context", ["abra", "cada", "a ca", "zzzz", "zabr", "bc", ""])
def test_order_4_probabilities_sum_to_one(context):
    symbols = "".join(sorted(set(TINY))) + "z"
    model = WittenBell(text_module.to_ids(TINY, symbols), len(symbols), 4)
    after = [model.probabilities(text_module.to_ids(context + c, symbols))[-1] for c in symbols]
    assert min(after) > 0
    assert sum(after) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("lag", "helped"), [(3, True), (4, True), (5, False)])
def test_the_order_4_model_sees_exactly_four_characters_back(lag, helped):
    # Each symbol is mostly the one `lag` steps before it, and tied to nothing in between.
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 4, 20_000)
    for i in np.flatnonzero(rng.random(len(ids)) < 0.9):
        if i >= lag:
            ids[i] = ids[i - lag]
    bits = character_baselines(ids[:15_000], ids[15_000:], ids[15_000:], 4)
    gain = bits["memoryless"]["test"] - bits["order-4"]["test"]
    assert gain > 1 if helped else gain < 0


def test_character_baselines_score_each_split_on_its_own():
    train = np.arange(400) % 4
    bits = character_baselines(train, train[:40], np.random.default_rng(0).integers(0, 4, 40), 5)
    assert bits["order-4"]["valid"] < 0.1 < 3 < bits["order-4"]["test"]
    assert bits["memoryless"]["valid"] == pytest.approx(2, abs=0.05)
