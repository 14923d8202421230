"""Clocks are exact, and only the blocks that exist are weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import BATCH, FEATURES, arrays, assert_close, randomize, sequences, state_names

import keras_lstm_variants as klv

KINDS = pytest.mark.parametrize("kind", [klv.ClockworkRNN, klv.ClockworkLSTM])


def changes(layer, x, mask=None):
    """Which units change at which step, (batch, time, units), when all weights are random."""
    _, *states = layer(x, mask=mask)
    count = len(state_names(layer.cell))
    h = arrays(states[count])[0].astype("float64")
    return np.diff(np.concatenate([np.zeros_like(h[:, :1]), h], axis=1), axis=1) != 0


def clockwork(kind, units, periods, **kwargs):
    layer = kind(units, periods=periods, return_all_states=True, **kwargs)
    layer.build((BATCH, None, FEATURES))
    return randomize(layer)


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("periods", "steps"), [((1, 2, 3, 7), 50), ((1, 255, 256), 520), ((3, 257, 600), 1300)]
)
@KINDS
def test_every_group_runs_at_its_steps_alone(kind, periods, steps, dtype):
    layer = clockwork(kind, len(periods), periods, dtype=dtype)
    run = tf.function(lambda x: changes_in_graph(layer, x))
    found = np.asarray(run(sequences(time=steps).astype(layer.compute_dtype)))
    for unit, period in enumerate(periods):
        ran = np.any(found[:, :, unit], axis=0)
        # A half-precision state may fail to change; it must never change between its steps.
        due = np.arange(steps) % period == 0
        assert not np.any(ran & ~due)
        assert np.all(ran[due]) or "16" in dtype
        assert ran[due].mean() > 0.9


def changes_in_graph(layer, x):
    _, *states = layer(x)
    h = states[len(state_names(layer.cell))]
    return h != tf.concat([tf.zeros_like(h[:, :1]), h[:, :-1]], axis=1)


def test_any_iterable_of_groups():
    layer = klv.ClockworkRNN(6, periods=(2**k for k in range(2)), group_units=iter((1, 5)))
    assert layer.cell.sizes == (1, 5) and layer.periods == (1, 2)


@KINDS
def test_offset(kind):
    layer = clockwork(kind, 2, (2, 3), offset=2)
    ran = np.any(changes(layer, sequences(time=7)), axis=0)
    np.testing.assert_array_equal(ran[:, 0], (np.arange(7) + 2) % 2 == 0)
    np.testing.assert_array_equal(ran[:, 1], (np.arange(7) + 2) % 3 == 0)


@KINDS
def test_masked_steps_do_not_count(kind):
    layer = clockwork(kind, 4, (1, 2, 4, 300))
    x, mask = sequences(time=12), np.random.default_rng(0).random((BATCH, 12)) < 0.6
    _, *states = layer(x, mask=mask)
    finals = arrays(states[: len(state_names(layer.cell))])
    for row in range(BATCH):
        _, *alone = layer(x[row : row + 1, mask[row]])
        for found, expected in zip(finals, arrays(alone[: len(finals)]), strict=True):
            np.testing.assert_allclose(found[row : row + 1], expected, atol=1e-6)


@KINDS
def test_stateful_goes_on_where_it_stopped(kind):
    whole = clockwork(kind, 4, (1, 2, 3, 5))
    parts = clockwork(kind, 4, (1, 2, 3, 5), stateful=True)
    x = sequences(time=11)
    expected = arrays(whole(x))[0]
    parts(x[:, :3])
    parts(x[:, 3:4])
    assert_close(parts(x[:, 4:])[0], expected, 1e-6)
    parts.reset_state()
    assert_close(parts(x)[0], expected, 1e-6)


def dense(layer):
    """The same as one masked matrix."""
    cell = layer.cell
    full = np.zeros((cell.units, cell.units))
    start = 0
    for size, sees_from, kernel in zip(cell.sizes, cell.sees_from, cell.group_kernels, strict=True):
        full[sees_from:, start : start + size] = kernel.numpy()
        start += size
    return full


def test_slow_groups_feed_fast_ones_and_not_the_other_way():
    layer = clockwork(klv.ClockworkRNN, 7, (1, 2, 2, 8), group_units=(2, 1, 3, 1))
    full = dense(layer)
    period = np.repeat([1, 2, 2, 8], [2, 1, 3, 1])
    np.testing.assert_array_equal(full != 0, period[:, None] >= period[None, :])
    assert layer.count_params() == 7 * FEATURES + 7 + np.count_nonzero(full)
    h = np.zeros((BATCH, 7))
    w, b = layer.cell.kernel.numpy(), layer.cell.bias.numpy()
    x = sequences(time=9)
    for t in range(9):
        new = np.tanh(x[:, t] @ w + h @ full + b)
        h = np.where(t % period == 0, new, h)
    assert_close(layer(x)[0], h.astype("float32"), 1e-5)


def test_one_group_that_always_runs_is_the_network_itself():
    for kind, like in ((klv.ClockworkRNN, klv.Elman), (klv.ClockworkLSTM, klv.LSTM)):
        ours, theirs = clockwork(kind, 5, (1,)), like(5)
        theirs.build((None, None, FEATURES))
        kernel, bias, recurrent = ours.get_weights()
        theirs.set_weights([kernel, recurrent, bias])
        assert_close(ours(sequences())[0], theirs(sequences()), 1e-6)


def test_counts_of_the_literature():
    layer = klv.ClockworkRNN(64, periods=tuple(2**k for k in range(8)))
    layer.build((None, None, 1))
    assert layer.count_params() == 2432


@KINDS
def test_learned_first_states_leave_the_clock_alone(kind):
    layer = kind(4, initial_state="learned")
    layer.build((None, None, FEATURES))
    trainable = {w.name for w in layer.trainable_weights}
    assert "initial_h" in trainable and "initial_phase" not in trainable
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    model.compile("adam", "mse")
    model.fit(sequences(), np.ones((BATCH, 4)), verbose=0)
    assert not np.any(layer.learned_states[-1].numpy())

    stack = klv.RecurrentLayer([layer.cell, klv.LSTMCell(3)], initial_state="learned")
    stack.build((None, None, FEATURES))
    assert len(stack.learned_states) - sum(w.trainable for w in stack.learned_states) == 1


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", [klv.ClockworkRNNCell, klv.ClockworkLSTMCell])
def test_a_cell_with_a_precision_of_its_own(kind, dtype):
    for own, around in ((dtype, "float32"), ("float32", dtype)):
        layer = klv.RecurrentLayer(kind(4, dtype=own), dtype=around)
        layer.build((None, None, FEATURES))
        assert np.all(np.isfinite(arrays(keras.ops.cast(layer(sequences()), "float32"))[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"periods": ()}, "`periods` must be a tuple of positive integers"),
        ({"periods": 4}, "`periods` must be a tuple of positive integers"),
        ({"periods": (1, 0)}, "`periods` must be a positive integer.*periods=0"),
        ({"periods": (2, 1)}, r"`periods` must ascend.*\(2, 1\)"),
        ({"periods": (1, 70000)}, "`periods` must be at most 65536"),
        ({"periods": (1, 2, 3, 4, 5, 6)}, "`units` must be at least the number of `periods`"),
        ({"periods": (1, 2), "group_units": (2, 2)}, "their sum must be `units`.*units=5"),
        ({"periods": (1, 2), "group_units": (5,)}, "a number for each of `periods`"),
        ({"offset": -1}, "`offset` must be a whole number from 0.*offset=-1"),
    ],
)
@KINDS
def test_wrong_values_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(5, **options)
