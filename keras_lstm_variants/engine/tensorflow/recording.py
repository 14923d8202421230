"""The plain loop, with what its cells name in each step (`Cell.sow`)."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import tensorflow as tf

from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.engine.options import LoopOptions, Result
from keras_lstm_variants.engine.tensorflow import plain

# Which of the cells, and the name that it gave.
Heard = dict[tuple[int, str], Any]
# Is given the gates and the states of a call, (batch, time, ...) each, in the order of processing.
Recorder = Callable[[Heard, list[Any]], None]

_running = threading.local()


@contextmanager
def recorded(find: Callable[[Any, Any], tuple[list[Any], Recorder] | None]):
    """While active, in this thread, calls of layers are recorded.

    Args:
        find: from a layer and the mask of its call to the cells that are wanted and what is
            called after it; or to None.
    """
    before = getattr(_running, "find", None)
    _running.find = find
    try:
        yield
    finally:
        _running.find = before


def recording_of(layer: Any, mask: Any) -> tuple[list[Any], Recorder] | None:
    """What `recorded` has found for this call of the layer."""
    find = getattr(_running, "find", None)
    return find and find(layer, mask)


def run(
    step: plain.Step,
    inputs: list[Any],
    states: Any,
    options: LoopOptions,
    *args: Any,
    recorder: tuple[list[Any], Recorder],
    **kwargs: Any,
) -> Result:
    """`plain.run`, which also records all gates and states of all steps.

    Args:
        step, inputs, states, options, args, kwargs: as for `plain.run`.
        recorder: whose gates are wanted, and who is given them.
    """
    cells, record = recorder

    def heard_step(now: list[Any], states: Any) -> tuple[Any, Any, Heard]:
        heard: Heard = {}

        def listener(k: int) -> Callable[[dict[str, Any]], None]:
            return lambda values: heard.update({(k, n): v for n, v in values.items()})

        with ExitStack() as stack:
            for k, cell in enumerate(cells):
                if isinstance(cell, Cell):
                    stack.enter_context(cell.captured_by(listener(k)))
            output, new = step(now, states)
        return output, new, {key: tf.convert_to_tensor(value) for key, value in heard.items()}

    # A step for the names and shapes. Nobody uses its values, so that a graph drops them.
    first = [tf.zeros([tf.shape(v)[0], *v.shape[2:]], v.dtype) for v in inputs]
    for zeros, values in zip(first, inputs, strict=True):
        zeros.set_shape([values.shape[0], *values.shape[2:]])
    *_, found = heard_step(first, states)
    keys, nothing = list(found), [tf.zeros_like(value) for value in found.values()]

    def listening_step(now: list[Any], both: Any) -> tuple[Any, Any]:
        output, new, heard = heard_step(now, both[0])
        return output, (new, [heard[key] for key in keys])

    every = options.but(keep_states=True)
    result = plain.run(listening_step, inputs, (states, nothing), every, *args, **kwargs)
    state_sequences, heard = result.state_sequences
    record(dict(zip(keys, heard, strict=True)), keras.tree.flatten(state_sequences))
    return Result(
        result.last_output,
        result.outputs,
        result.states[0],
        state_sequences if options.keep_states else None,
    )
