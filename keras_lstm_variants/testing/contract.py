"""The contract of a cell: one function for each check."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.backend.graphs import compiled
from keras_lstm_variants.core.registry import get_variant, list_variants
from keras_lstm_variants.core.state import side_inputs_of
from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer
from keras_lstm_variants.testing.subject import (
    ALL,
    BATCH,
    MASK,
    Subject,
    arrays,
    assert_close,
    by_hand,
    is_ours,
    moved,
    named,
    names_of_gradients,
    one_step,
    with_gradients,
)

CHECKS: dict[str, Callable[[Subject], None]] = {}


def check(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
    CHECKS[function.__name__] = function
    return function


def known_to_keras(s: Subject) -> AbstractContextManager[Any]:
    """While active, Keras can load a cell that is not registered."""
    if keras.saving.get_registered_name(s.cell_class) != s.cell_class.__name__:
        return nullcontext()
    return keras.saving.custom_object_scope({s.cell_class.__name__: s.cell_class})


def _first_weights(s: Subject, cell: Any) -> list[np.ndarray]:
    return arrays(s.layer(cell).cell.weights)


@check
def configuration(s: Subject) -> None:
    """`get_config` is JSON and holds every argument; `from_config` makes the same cell of it."""
    cell = s.new()
    with known_to_keras(s):
        config = json.loads(json.dumps(cell.get_config()))
        missing = sorted(set(s.arguments) - set(config))
        assert not missing, f"get_config() has no {missing}"
        again = s.cell_class.from_config(config)
        found = json.loads(json.dumps(again.get_config()))
    assert found == config, f"the configuration becomes another one: {found}, not {config}"
    first, second, third = (_first_weights(s, c) for c in (cell, s.new(), again))
    shapes, wanted = ([v.shape for v in weights] for weights in (third, first))
    assert shapes == wanted, f"weights have the shapes {shapes}, not {wanted}"
    for weight, one, two, other in zip(cell.weights, first, second, third, strict=True):
        # Drawn by no chance; an orthogonal matrix of one entry is 1 or -1, twice the same at times.
        if one.size > 1 and np.array_equal(one, two):
            assert np.array_equal(other, one), f"{weight.name} starts with other values"
    moved(cell)
    again.set_weights(cell.get_weights())
    x, states = s.both(cell)
    results = [one_step(c, x[:, 0], states) for c in (again, cell)]
    assert_close(*results, ["the output", *named("state", states)])


@check
def named_layer(s: Subject) -> None:
    """The layer that `register` knows for the cell keeps every argument, and computes the same."""
    for layer_class in map(get_variant, list_variants()):
        if layer_class.cell_class is s.cell_class:
            layer = layer_class(
                **s.arguments, **ALL, go_backwards=True, initial_state="learned", name="given"
            )
            config = json.loads(json.dumps(layer.get_config()))
            again = layer_class.from_config(config)
            found = json.loads(json.dumps(again.get_config()))
            assert found == config, f"the configuration becomes another one: {found}, not {config}"
            x = ops.convert_to_tensor(s.sequences())
            for each in (layer, again):
                each.build(x.shape)
            moved(layer)
            again.set_weights(layer.get_weights())
            results = layer(x)
            assert_close(again(x), results, named("result", results))


@check
def step_shapes(s: Subject) -> None:
    """The output has `output_size`, and states keep the shapes and dtypes that they start with."""
    cell = s.cell()
    x, states = s.both(cell)
    start = keras.tree.flatten(RecurrentLayer(cell).get_initial_state(BATCH))
    output, new = one_step(cell, x[:, 0], start)
    size = getattr(cell, "output_size", None)
    if size is None:
        size = keras.tree.flatten(cell.state_size)[0]
    wanted = (BATCH, *(size if isinstance(size, list | tuple) else [size]))
    assert tuple(output.shape) == wanted, f"the output has the shape {output.shape}, not {wanted}"
    assert len(new) == len(start), f"{len(new)} states come of {len(start)}"
    for k, (before, after) in enumerate(zip(start, new, strict=True)):
        assert before.shape[0] == BATCH, f"state {k} has {before.shape[0]} rows, not {BATCH}"
        for what in ("shape", "dtype"):
            was, now = getattr(before, what), getattr(after, what)
            assert was == now, f"the {what} of state {k} was {was} and becomes {now}"
    for value in arrays([output, *new, *one_step(cell, x[:, 1], states)[1]]):
        assert np.all(np.isfinite(value)), "a result is not finite"


@check
def pure_step(s: Subject) -> None:
    """A step gives the same once more, and changes no variable, seeds included."""
    cell = s.cell()
    x, states = s.both(cell)
    before = arrays(cell.variables)
    names = ["the output", *named("state", states)]
    first, second = (one_step(cell, x[:, 0], states) for _ in range(2))
    assert_close(second, first, [f"called again, {n}" for n in names], 0)
    assert_close(cell.variables, before, [f"after a step, {v.path}" for v in cell.variables], 0)


@check
def rows_alone(s: Subject) -> None:
    """Each row of the batch is computed alone."""
    cell = s.cell()
    if getattr(cell, "mixes_rows", False):
        return
    x, states = s.both(cell)
    whole = arrays(one_step(cell, x[:, 0], states))
    for row in range(BATCH):
        part = slice(row, row + 1)
        alone = one_step(cell, x[part, 0], [v[part] for v in states])
        names = [f"of row {row} alone, {n}" for n in ("the output", *named("state", states))]
        assert_close(alone, [v[part] for v in whole], names)


@check
def loops(s: Subject) -> None:
    """The layer computes what a loop by hand does: masked, backwards, unrolled, in Keras's RNN."""
    cell = s.cell()
    x, states = s.both(cell)
    names = ["the output", *named("the last state", states), *named("all of state", states)]
    for backwards in (False, True):
        options = {"go_backwards": backwards, "zero_output_for_mask": backwards}
        outputs, last, after = by_hand(
            cell, x, states, MASK, backwards=backwards, zero_output=backwards
        )
        for unroll in (False, True):
            layer = s.layer(
                cell, **options, return_sequences=True, return_all_states=True, unroll=unroll
            )
            found = layer(x, initial_state=states, mask=MASK)
            assert_close(found, [outputs, last, after], [f"{n} ({options})" for n in names])
        if not backwards:
            found = keras.layers.RNN(cell, **ALL)(x, initial_state=states, mask=MASK)
            assert_close(found, [outputs, last], names[: 1 + len(states)])


@check
def masked_steps(s: Subject) -> None:
    """A masked step is as if it were not there, whatever the pattern."""
    cell = s.cell()
    if getattr(cell, "mixes_rows", False):
        return
    layer = s.layer(cell, return_state=True)
    x, states = s.sequences(), s.states(cell)
    padded = arrays(layer(x, initial_state=states, mask=MASK))
    for row in range(BATCH):
        real, start = x[row : row + 1, MASK[row]], [v[row : row + 1] for v in states]
        if real.shape[1]:
            expected = arrays(layer(real, initial_state=start))
        else:
            expected = [np.zeros_like(padded[0][:1]), *arrays(start)]
        names = [f"of row {row}, {n}" for n in ("the output", *named("state", states))]
        assert_close([p[row : row + 1] for p in padded], expected, names)


@check
def parts_of_a_sequence(s: Subject) -> None:
    """Two halves one after the other are the whole, with kept states and with passed ones."""
    cell = s.cell()
    x, _ = s.both(cell)
    whole, *last = s.layer(cell, **ALL)(x)
    layer = s.layer(cell, **ALL)
    first, *states = layer(x[:, :2])
    second, *found = layer(x[:, 2:], initial_state=states)
    names = ["the output", *named("state", states)]
    passed = [ops.concatenate([first, second], axis=1), *found]
    assert_close(passed, [whole, *last], [f"with passed states, {n}" for n in names])
    stateful = s.layer(cell, return_sequences=True, stateful=True)
    for _ in range(2):
        kept = ops.concatenate([stateful(x[:, :2]), stateful(x[:, 2:])], axis=1)
        assert_close(kept, whole, ["with kept states, the output"])
        stateful.reset_state()


@check
def stacked(s: Subject) -> None:
    """Cells in a list are layers one after the other."""
    one = s.cell()
    x, states = s.both(one)
    outputs, _, _ = by_hand(one, x, states, MASK)
    if len(outputs.shape) != 3:
        return
    two = s.cell(outputs.shape[-1])
    more = keras.tree.flatten(RecurrentLayer(two).get_initial_state(BATCH))
    expected, _, _ = by_hand(two, outputs, more, MASK)
    layer = s.layer([one, two], return_sequences=True)
    given = keras.tree.pack_sequence_as(layer.get_initial_state(BATCH), [*states, *more])
    found = layer(x, initial_state=given, mask=MASK)
    assert_close(found, expected, ["the output of two cells"])


@check
def gates(s: Subject) -> None:
    """A step shows a finite value for each of the declared `gates`."""
    cell = s.cell()
    if not is_ours(cell):
        return
    x, states = s.both(cell)
    heard: dict[str, Any] = {}
    with cell.captured_by(heard.update):
        one_step(cell, x[:, 0], states)
    missing = set(cell.gates) - {name.split("_")[0] for name in heard} - set(heard)
    assert not missing, f"step shows no {sorted(missing)}"
    for name, value in zip(heard, arrays(list(heard.values())), strict=True):
        assert value.shape[0] == BATCH, f"gate {name} has the shape {value.shape}"
        assert np.all(np.isfinite(value)), f"gate {name} is not finite"


@check
def weights_learn(s: Subject) -> None:
    """Every trainable weight has a gradient within two steps of training from where it starts."""
    cell = s.layer(s.new()).cell
    x, states = s.both(cell)
    learning = set()

    def train(x: Any, states: list[Any]) -> list[Any]:
        return [by_hand(cell, x, states, training=True)[0]]

    for _ in range(2):
        _, slopes = with_gradients(cell, train, x, states)
        for weight, slope in zip(cell.trainable_weights, slopes, strict=False):
            weight.assign(weight - 0.1 * ops.cast(slope, weight.dtype))
            learning |= {weight.path} if np.any(arrays(slope)[0]) else set()
    for weight in cell.trainable_weights:
        assert weight.path in learning, f"{weight.name} has no gradient"
        assert np.all(np.isfinite(arrays(weight)[0])), f"{weight.name} is not finite"


@check
def dropout(s: Subject) -> None:
    """Dropout acts in training alone, with one mask for all steps, and a seed repeats it."""
    if not is_ours(s.new()):
        return
    refused = s.cell_class.not_taken
    none = {n: 0 for n in ("dropout", "recurrent_dropout") if n not in refused}
    rates = {**dict.fromkeys(none, 0.4), "seed": 1}
    whole, first, second = s.cell(**none), s.cell(**rates), s.cell(**rates)
    for cell in (first, second):
        cell.set_weights(whole.get_weights())
    x, states = s.both(whole)
    seed = arrays(first.seed_generator.state)[0]
    layer = s.layer(first, **ALL)
    exact = by_hand(whole, x, states)[0]
    assert_close(layer(x, initial_state=states)[0], exact, ["the output without training"])
    assert_close(first.seed_generator.state, seed, ["the seed, without training,"], 0)

    found = layer(x, initial_state=states, training=True)
    outputs, last, _ = by_hand(second, x, states, training=True)
    second.reset_dropout_mask()
    second.reset_recurrent_dropout_mask()
    names = ["the output", *named("state", states)]
    assert_close(found, [outputs, last], [f"in training, {n}" for n in names])
    again = layer(x, initial_state=states, training=True)
    for other, where in ((exact, "as without training"), (outputs, "in the next call")):
        same = np.allclose(*arrays([again[0], other]))
        assert not same, f"with dropout, the output is the same {where}"
    for rate in none:
        cell = s.cell(**{**none, "seed": 1, rate: 0.4})
        cell.set_weights(whole.get_weights())
        dropped = s.layer(cell, **ALL)(x, initial_state=states, training=True)[0]
        assert not np.allclose(*arrays([dropped, exact])), f"{rate} alone drops nothing"


@check
def precision(s: Subject) -> None:
    """Half and double precision, pure and mixed, with dtypes as the policy says."""
    exact = s.cell()
    if not is_ours(exact):
        return
    x, states = s.both(exact)
    expected = arrays(list(by_hand(exact, x, states, MASK)[:2]))
    for policy, tolerance in (
        ("float64", 1e-5),
        ("float16", 1e-2),
        ("bfloat16", 1e-1),
        ("mixed_float16", 1e-2),
        ("mixed_bfloat16", 1e-1),
    ):
        cell = s.new(dtype=policy)
        layer = s.layer(cell, **ALL, dtype=policy)
        assert all(np.all(np.isfinite(w.astype("float32"))) for w in layer.get_weights()), policy
        cell.set_weights(exact.get_weights())
        stored = "float32" if policy.startswith("mixed") else policy
        found = {w.dtype for w in cell.weights if w.name not in cell.fixed_weights}
        assert found <= {stored}, f"weights under {policy} are {sorted(found)}, not {stored}"
        output, *last = layer(ops.cast(x, cell.compute_dtype), initial_state=states, mask=MASK)
        dtype = keras.backend.standardize_dtype(output.dtype)
        wanted = policy.removeprefix("mixed_")
        assert dtype == wanted, f"the output under {policy} is {dtype}, not {wanted}"
        results = [ops.cast(v, "float32") for v in (output, *last)]
        names = [f"under {policy}, {n}" for n in ("the output", *named("state", states))]
        for value, right, name in zip(arrays(results), expected, names, strict=True):
            # By the largest value of usual size, 1.
            error = np.max(np.abs(value - right), initial=0)
            size = max(1.0, np.max(np.abs(right)))
            assert error <= tolerance * size, f"{name} differs by {error:.2g}"


def _as_by_hand(s: Subject, jit: bool, backwards: bool) -> None:
    cell = s.cell()
    x, states = s.both(cell)
    layer = s.layer(cell, **ALL, go_backwards=backwards)
    side = s.side(cell)
    # As the layer takes numbers, and as it hands out times: backwards from the latest real step.
    given, handed_out = {}, {}
    for name, declared in side_inputs_of(cell).items():
        given[name] = side[name][..., 0] if declared.size == () else side[name]
        handed_out[name] = side[name]
        if declared.kind == "time" and backwards:
            latest = ops.max(ops.where(MASK[..., None], side[name], 0), axis=1, keepdims=True)
            handed_out[name] = latest - side[name]

    def slowly(x: Any, states: list[Any]) -> list[Any]:
        outputs, last, _ = by_hand(
            cell, x, states, MASK, backwards=backwards, training=True, side=handed_out
        )
        return [outputs, *last]

    def call(x: Any, states: list[Any]) -> list[Any]:
        return list(layer(x, initial_state=states, mask=MASK, training=True, **given))

    found = compiled(lambda x, states: with_gradients(cell, call, x, states), jit)(x, states)
    expected = with_gradients(cell, slowly, x, states)
    names = ["the output", *named("state", states), *names_of_gradients(cell, states)]
    assert_close(found, expected, names)


@check
def in_a_graph(s: Subject) -> None:
    """Results and all gradients in a graph, with side inputs, are those of a loop by hand."""
    _as_by_hand(s, jit=False, backwards=False)


@check
def compiled_by_xla(s: Subject) -> None:
    """Results and all gradients compiled by XLA, backwards, are those of a loop by hand."""
    _as_by_hand(s, jit=True, backwards=True)
