"""Cells that need no loop, and cells whose rows see each other."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import BATCH, FEATURES, MASK, TIME, UNITS, assert_close, make, sequences
from graphs import JIT, gradients
from keras import ops

import keras_lstm_variants as klv


class SumsCell(klv.GatedCell):
    """A cell that brings its own form: c is the sum of what the gate lets in, h shows it."""

    gates = ("i", "g")
    recurrent_gates = ()
    states = (klv.State("c"), klv.State("steps", size=1, dtype="float32", kind="counter"))

    def entering(self, z):
        i, g = self.split(z)
        return self.gate(i) * self.activation(g)

    def step(self, z, states, training=False):
        c, steps = states
        c = c + self.entering(z)
        steps = steps + 1
        return ops.tanh(c), (c, steps)

    def parallel(self, z, states, mask):
        first, steps = states
        new = self.entering(z)
        on = ops.ones_like(new[..., :1]) if mask is None else ops.cast(mask, new.dtype)[..., None]
        c = first[:, None] + ops.cumsum(on * new, axis=1)
        return ops.tanh(c), [c, steps[:, None] + ops.cumsum(ops.cast(on, steps.dtype), axis=1)]


class WrongCell(SumsCell):
    def parallel(self, z, states, mask):
        outputs, states = super().parallel(z, states, None)
        return outputs, states


class CentredCell(klv.AffineCell):
    """Statistics over the batch and all steps in the projection, over the batch in the step."""

    gates = ("g",)
    mixes_rows = True

    def project_inputs(self, inputs, training=False):
        z = super().project_inputs(inputs, training)
        return z - ops.mean(z, axis=0, keepdims=True)

    def step(self, z, states, training=False):
        (h,) = states
        a = self.recurrent_matmul(h, training=training)
        h = self.activation(z + a - ops.mean(a, axis=0, keepdims=True))
        return h, (h,)


def layers(cell, **options):
    """One with the parallel form, one that loops step by step."""
    return [klv.RecurrentLayer(cell, **options, engine=engine) for engine in ("auto", "plain")]


def sums(kind=SumsCell):
    cell = kind(UNITS)
    cell.build((None, FEATURES))
    random = np.random.default_rng(0)
    for weight in cell.weights:
        weight.assign(random.normal(size=weight.shape))
    return cell


def starts(layer):
    """Random states to start from."""
    random = np.random.default_rng(2)
    states = keras.tree.flatten(layer.get_initial_state(BATCH))
    return [random.normal(size=s.shape).astype("float32") for s in states]


CELLS = {"scan": lambda: make("MinGRU").cell, "parallel": sums}
EACH = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


@EACH
@pytest.mark.parametrize(
    ("mask", "backwards", "jit"),
    [
        pytest.param(None, False, False, id="all"),
        pytest.param(MASK, False, False, id="masked"),
        pytest.param(MASK, True, False, id="backwards"),
        pytest.param(MASK, False, True, id="xla", marks=pytest.mark.slow),
    ],
)
def test_the_same_as_step_by_step(cell, mask, backwards, jit, fast):
    options = {"zero_output_for_mask": backwards, "go_backwards": backwards}
    quick, slow = layers(cell(), **options, return_sequences=True, return_all_states=True)
    x, states = sequences(), starts(quick)
    found = gradients(quick, x, states, mask, jit=jit)
    assert_close(found, gradients(slow, x, states, mask), 1e-5)
    assert_close(
        quick(x, initial_state=states, mask=mask), slow(x, initial_state=states, mask=mask)
    )
    assert not fast


@EACH
def test_sizes_that_only_run_time_knows(cell):
    quick, slow = layers(cell(), return_sequences=True, return_state=True)
    specs = [tf.TensorSpec((None, None, FEATURES)), tf.TensorSpec((None, None), tf.bool)]

    def call(layer, x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            results = layer(x, mask=mask, training=True)
            loss = tf.add_n([tf.reduce_sum(tf.sin(r)) for r in results])
        return *results, tape.gradient(loss, x)

    graph = tf.function(lambda *v: call(quick, *v), input_signature=specs, autograph=False)
    for steps in (TIME, 1, 3):
        x, mask = sequences()[:, :steps], MASK[:, :steps]
        assert_close(graph(x, mask), call(slow, tf.constant(x), mask), 1e-5)
    nothing = graph(sequences()[:, :0], MASK[:, :0])
    assert nothing[0].shape == (BATCH, 0, UNITS) and not np.any(nothing[1])


@EACH
@pytest.mark.slow
def test_derivatives(cell):
    """Jacobians, vectorised and in a graph, second derivatives, and forward mode."""
    quick, slow = layers(cell())
    x = tf.constant(sequences())

    def jacobians(layer, x, **options):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x) ** 2)
            d = tf.reduce_sum(tape.gradient(loss, x) ** 2)
        weight = layer.trainable_weights[0].value
        with tf.GradientTape(persistent=True) as tape:
            y = layer(x)
        by_weight = tape.jacobian(y, weight, **options)
        return outer.gradient(d, x), by_weight

    expected = jacobians(slow, x, experimental_use_pfor=False)
    assert_close(jacobians(quick, x), expected, 1e-5)
    graph = tf.function(lambda x: jacobians(quick, x), autograph=False)
    assert_close(graph(x), expected, 1e-5)
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as forward:
        y = quick(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = slow(x)
    assert_close(forward.jvp(y), tf.reduce_sum(tape.batch_jacobian(z, x), [2, 3]), 1e-5)


@EACH
def test_parts_of_a_sequence(cell):
    whole, _ = layers(cell(), return_sequences=True)
    kept, _ = layers(whole.cell, return_sequences=True, stateful=True)
    x = sequences()
    parts = [kept(x[:, :1], mask=MASK[:, :1]), kept(x[:, 1:], mask=MASK[:, 1:])]
    # At masked steps a call repeats an output of its own.
    assert_close(tf.concat(parts, 1)[MASK], whole(x, mask=MASK)[MASK])


def test_explained():
    layer = make("MinGRU")
    sizes = (None, TIME, FEATURES)
    assert layer.explain_engine(sizes) == "MinGRUCell: its parallel form"
    unknown = layer.explain_engine()
    assert unknown.startswith("MinGRUCell: the fast loop (")
    assert unknown.endswith(", because the number of steps is not known, or zero")
    for option, value in (("recompute", True), ("stop_gradient_every", 2), ("unroll", True)):
        other = klv.MinGRU(UNITS, **{option: value})
        assert "its parallel form" not in other.explain_engine(sizes)
    assert "plain loop" in klv.MinGRU(UNITS, engine="plain").explain_engine(sizes)


@pytest.mark.parametrize("option", ["stop_gradient_every", "clip_state_gradients", "recompute"])
def test_what_the_form_cannot_do_is_left_to_a_loop(option, fast):
    value = {"stop_gradient_every": 2, "clip_state_gradients": 0.1, "recompute": True}[option]
    layer = make("MinGRU", **{option: value})
    slow = klv.RecurrentLayer(
        layer.cell, engine="plain", **({} if option == "recompute" else {option: value})
    )
    x = sequences()
    assert_close(gradients(layer, x), gradients(slow, x), 1e-5)
    assert fast


def test_a_child_with_a_step_of_its_own_does_not_inherit_the_form():
    class TwiceCell(klv.MinGRUCell):
        def step(self, z, states, training=False):
            h, states = super().step(z, states, training)
            return 2 * h, states

    x, sizes = sequences(), (None, TIME, FEATURES)
    twice = klv.RecurrentLayer(TwiceCell(UNITS))
    assert "has a `step` of its own" in twice.explain_engine(sizes)
    once = klv.MinGRU(UNITS)
    once.build(x.shape)
    once.set_weights(twice.get_weights())
    assert_close(twice(x), 2 * once(x))


def test_a_wrong_form_is_found_by_check_cell():
    for kind, right in ((SumsCell, True), (WrongCell, False)):
        skip = {name: "other" for name in klv.testing.list_checks() if name != "loops"}
        if right:
            klv.testing.check_cell(kind, [{"units": 3}], skip=skip)
        else:
            with pytest.raises(AssertionError, match="loops"):
                klv.testing.check_cell(kind, [{"units": 3}], skip=skip)


@JIT
@pytest.mark.parametrize("unroll", [False, True])
def test_rows_that_see_each_other(jit, unroll):
    """The projection is of all steps at once, in every loop; its gradient as well."""
    cell = CentredCell(UNITS, bias_initializer="ones")
    layer = klv.RecurrentLayer(cell, return_sequences=True, unroll=unroll)
    x = sequences()
    layer.build(x.shape)
    w, u = (ops.convert_to_numpy(v).astype("float64") for v in cell.weights[:2])
    z = x.astype("float64") @ w
    z, h, expected = z - z.mean((0, 1)), np.zeros((BATCH, UNITS)), []
    for t in range(TIME):
        a = h @ u
        h = np.tanh(z[:, t] + a - a.mean(0))
        expected.append(h)
    outputs, found = gradients(layer, x, jit=jit)
    assert_close(outputs, [np.stack(expected, 1)], 1e-5)
    # A constant that is added to every row and step changes nothing.
    assert np.max(np.abs(found[2])) < 1e-5 < np.max(np.abs(found[0]))
    stack = klv.RecurrentLayer([cell, klv.LSTMCell(2)], return_sequences=True)
    assert_close(
        stack(x), klv.RecurrentLayer(stack.cell.cells[1], return_sequences=True)(outputs[0])
    )
    if not unroll:
        assert "see each other" in layer.explain_engine()
        with pytest.raises(ValueError, match="cannot be recorded.*see each other"):
            klv.gate_history(stack, x)


def test_half_precision_and_dropout():
    layer = klv.MinGRU(UNITS, dropout=0.5, seed=1, dtype="mixed_float16", return_sequences=True)
    x = sequences()
    layer.build(x.shape)
    slow = klv.MinGRU.from_config({**layer.get_config(), "engine": "plain"})
    slow.build(x.shape)
    slow.set_weights(layer.get_weights())
    found, expected = layer(x, training=True), slow(x, training=True)
    assert found.dtype == "float16"
    assert np.max(np.abs(np.asarray(found, "float32") - np.asarray(expected, "float32"))) < 1e-2
    assert np.max(np.abs(np.asarray(found - layer(x), "float32"))) > 0.1
    assert keras.backend.standardize_dtype(layer(x).dtype) == "float16"


class DecaysCell(klv.Cell):
    """h = d h + x, where d is one number a unit; the output is another one."""

    def build(self, input_shape):
        self.d = self.add_weight((self.units,), "ones")

    def scan(self, z):
        return ops.sigmoid(self.d), z

    def step(self, z, states, training=False):
        (h,) = states
        h = ops.sigmoid(self.d) * self.drop_state(h, training) + z
        return 2 * h, (h,)


def test_what_scan_returns():
    x = sequences()
    quick, slow = layers(DecaysCell(FEATURES), return_sequences=True)
    assert_close(quick(x), slow(x))
    assert quick(x[:0]).shape == (0, TIME, FEATURES)
    dropped = klv.RecurrentLayer(DecaysCell(FEATURES, recurrent_dropout=0.5, seed=1))
    assert "recurrent_dropout" in dropped.explain_engine((None, TIME, FEATURES))
    dropped(x, training=True)

    class NothingCell(DecaysCell):
        def scan(self, z):
            return z

        step = DecaysCell.step

    with pytest.raises(ValueError, match="NothingCell.scan must return a and b"):
        klv.RecurrentLayer(NothingCell(FEATURES))(x)


def test_a_projection_with_nothing_in_it():
    class EmptyCell(klv.Cell):
        mixes_rows = True

        def project_inputs(self, inputs, training=False):
            return {"x": inputs, "y": None}

        def step(self, z, states, training=False):
            (h,) = states
            h = h / 2 + z["x"]
            return h, (h,)

    assert klv.RecurrentLayer(EmptyCell(FEATURES))(sequences()).shape == (BATCH, FEATURES)


def test_positional_arguments_without_those_that_are_refused():
    given = (4, None, "sigmoid", True, "glorot_uniform", "ones")
    for layer in (klv.MinGRUCell(*given), klv.MinGRU(*given)):
        assert isinstance(layer.bias_initializer, keras.initializers.Ones)
