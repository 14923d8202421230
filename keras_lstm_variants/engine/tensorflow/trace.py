"""One step of a cell, tried out in a graph of its own, before the loops are built."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lstm_variants.core import keras_private
from keras_lstm_variants.engine.tensorflow.buffers import sizes
from keras_lstm_variants.engine.tensorflow.kept import facts_of, loops_of, specs_of
from keras_lstm_variants.engine.tensorflow.step import Product, Step


class StepTrace(NamedTuple):
    """What a trace tells of a step. Tensors in it only tell types and shapes."""

    inputs: list[Any]  # the projected inputs, flat
    structure: Any  # the projected inputs, as the step wants them
    inputs_needed: list[bool]  # whether the gradient needs them again
    products: list[Product]
    # Where the step gradient's parts are found: the product whose value has the same
    # gradient as a projected input, and the state that is a product's `state`.
    same_as_product: list[int | None]
    same_as_state: list[int | None]
    inputs_used: list[bool]  # whether they have a gradient at all
    values_used: list[bool]
    output_state: int | None  # the new state that the output is, if it is one


def trace_step(
    given: Step, inputs: list[Any], states: list[Any], weights: list[Any]
) -> StepTrace | str:
    """Try a step out, once. Why not, if the fast loop cannot run it, which the plain loop can.

    The fast loop runs a step twice and gives gradients to inputs, states and weights. So a
    step must draw no random numbers, update no variable, and use no values that are neither
    its inputs nor weights of the cell. That it treats each row alone cannot be seen here.
    """
    facts = facts_of(given.cell)
    key = (
        given.training,
        given.output_dtype,
        given.side_names,
        specs_of(inputs, 2),
        specs_of(states, 1),
        specs_of(weights),
        specs_of(given.masks, 1),
        facts,
    )
    known = loops_of(given.cell).traces if facts is not None else {}
    if key not in known:
        found = _tried(given, inputs, states, weights)
        if isinstance(found, str):
            return found
        known[key] = found
    return known[key]


def _tried(
    given: Step, inputs: list[Any], states: list[Any], weights: list[Any]
) -> StepTrace | str:
    traces: list[StepTrace | str] = []
    name = type(given.cell).__name__

    def trial(inputs: list[Any], states: list[Any], weights: list[Any], masks: Any) -> Any:
        step = given.with_masks(masks)
        z = step.project(inputs, weights)
        if any(leaf.shape.rank is None or leaf.shape[0] is not None for leaf in _flat(z)):
            traces.append(f"{name}.project_inputs returns what has not one row for each input's")
            return inputs
        z = keras.tree.map_structure(tf.identity, z)
        products: list[Product] = []

        def note(state: Any, kernel: Any, columns: slice | None, add_to: Any) -> Any:
            width = len(range(kernel.shape[-1])[columns or slice(None)])
            values = [p.value for p in products]
            values.append(tf.zeros([*sizes(state)[:-1], width], state.dtype))
            return step.reading(values, products)(state, kernel, columns, add_to)

        with step.running(weights, note):
            output, new = step.cell.advance(z, tuple(states), step.training)
        operations = tf.compat.v1.get_default_graph().get_operations()
        stateful = {op.type for op in operations if op.op_def.is_stateful}
        if stateful == {"ReadVariableOp"} and not step.side_effects:
            traces.append(f"{name}.step reads a variable that is no weight of the cell")
            return inputs
        if step.side_effects or stateful:
            traces.append(f"{name}.step draws random numbers, updates a variable or adds a loss")
            return inputs
        # What is only added to a product is not needed, for the sum is kept.
        operands = {id(p.state) for p in products}
        needed = [
            id(leaf) in operands or any(c.type != "Shape" for c in leaf.consumers())
            for leaf in _flat(z)
        ]
        values = [p.value for p in products]
        transposed = [
            tf.zeros([p.value.shape[-1], p.state.shape[-1]], p.value.dtype) for p in products
        ]
        found = step.gradient(
            z, states, values, weights, transposed, tf.cast(output, step.output_dtype), list(states)
        )
        traces.append(
            StepTrace(
                _flat(z),
                z,
                needed,
                products,
                [_index(d, found.values) for d in found.inputs],
                [_index(p.state, states) for p in found.products],
                [d is not None for d in found.inputs],
                [d is not None for d in found.values],
                _index(output, new),
            )
        )
        return inputs

    def spec(tensor: Any) -> Any:
        return None if tensor is None else tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)

    attributes = [(vars(layer), dict(vars(layer))) for layer in keras_private.layers_of(given.cell)]
    try:
        traced = tf.function(trial, autograph=False).get_concrete_function(
            [tf.TensorSpec([1, None, *v.shape[2:]], v.dtype) for v in inputs],
            list(map(spec, states)),
            [tf.TensorSpec(w.shape, w.dtype) for w in weights],
            tuple(map(spec, given.masks)),
        )
    except Exception as error:  # If it is the step's own error, the plain loop meets it, too.
        line = next(iter(str(error).strip().splitlines()), "")
        return f"{name}.step cannot be run apart from its layer: {type(error).__name__}: {line}"
    finally:
        for now, before in attributes:
            # A tensor that a step has left there, as a dropout mask, is of the trial's graph.
            left = [k for k, v in now.items() if _is_tensor(v) and v is not before.get(k)]
            for name in left:
                now[name] = before.get(name)
    foreign = any(t.dtype.is_floating for t in traced.captured_inputs)
    if foreign:
        return f"{name}.step uses a tensor that is neither an argument nor made of weights"
    return traces[0]


def _flat(structure: Any) -> list[Any]:
    return [leaf for leaf in keras.tree.flatten(structure) if leaf is not None]


def _is_tensor(value: Any) -> bool:
    return any(isinstance(v, tf.Tensor) for v in tf.nest.flatten(value))


def _index(tensor: Any, tensors: list[Any]) -> int | None:
    return next((i for i, t in enumerate(tensors) if t is tensor and t is not None), None)
