"""Contenders that run on TensorFlow."""

import logging
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_lstm_variants.backend.threads import limit_threads
from keras_lstm_variants.backend.timing import inference, product_floor, training_step
from keras_lstm_variants.core.registry import get_variant
from keras_lstm_variants.engine import compile_at_once

_DROPOUT = {"dropout": 0.2, "recurrent_dropout": 0.2}


def start(threads: int) -> None:
    limit_threads(threads)
    # Timed is what runs in the end, not the calls after which the default engine compiles.
    compile_at_once()
    # TensorFlow warns of many functions with one name, which is what a benchmark has.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def clear() -> None:
    keras.backend.clear_session()


def make(contender: dict[str, Any]) -> Callable[[], Any] | None:
    """A function that runs the contender once; None if it does not exist."""
    batch, time, features, units = contender["shape"]
    training = contender["kind"] == "step"
    if contender["side"] == "floor":
        columns = columns_of(get_variant(contender["variant"]), features, units)
        if columns[1] < units:
            return None
        return product_floor(
            batch, time, features, units, *columns, contender["jit"], training=training
        )
    random = np.random.default_rng(0)
    x = random.standard_normal((batch, time, features), "float32")
    mask = None
    if contender["option"] == "mask":
        mask = random.random((batch, time)) < 0.5
        mask[np.arange(batch), random.integers(time, size=batch)] = True
    layer = make_layer(contender)
    layer.build(x.shape)
    return (training_step if training else inference)(layer, x, contender["jit"], mask=mask)


def make_layer(contender: dict[str, Any]) -> keras.layers.Layer:
    """The layer of a contender; it returns sequences."""
    options = dict(_DROPOUT) if contender["option"] == "dropout" else {}
    variant, units = get_variant(contender["variant"]), contender["shape"][-1]
    if contender["side"] in ("klv", "klv_xla", "rnn"):
        options = {k: v for k, v in options.items() if k not in variant.cell_class.not_taken}
    like = contender["yardstick"]
    if contender["side"] == "klv":
        return variant(units, return_sequences=True, **options)
    if contender["side"] == "klv_xla":
        return variant(units, return_sequences=True, engine="xla", **options)
    if contender["side"] == "keras":
        return getattr(keras.layers, like)(units, return_sequences=True, **options)
    if contender["side"] == "rnn":
        cell = variant.cell_class(units, **options)
    else:
        cell = getattr(keras.layers, f"{like}Cell")(units, **options)
    return keras.layers.RNN(cell, return_sequences=True)


# Weights that the input is multiplied with, at the bottom of a stack.
_OF_INPUT = ("kernel", "input_projection", "projection_kernel", "depth_kernel", "trunk_kernel")


def columns_of(variant: type, features: int, units: int) -> tuple[int, int]:
    """Columns of the weights that the input, and that a state, is multiplied with.

    A state may be wider than `units`; the columns then are as many as make the same work.

    Example:
        >>> import keras_lstm_variants as klv
        >>> columns_of(klv.PeepholeLSTM, features=5, units=3)
        (12, 12)
    """
    layer = variant(units)
    layer.build((1, 1, features))
    of_input = of_state = 0
    for weight in layer.trainable_weights:
        name = re.sub(r"_\d+$", "", weight.name)
        record = layer.cell.gate_weights.get(weight.name)
        sees_input = name in _OF_INPUT or (record is not None and record.kind == "kernel")
        if len(weight.shape) != 2:
            continue
        if sees_input and weight.shape[0] == features:
            of_input += weight.shape[1]
        elif "kernel" in name and "peephole" not in name:
            of_state += weight.shape[0] * weight.shape[1] // units
    derived = layer.cell.derived_weights
    if derived:  # which are multiplied in place of what they are made of
        of_state = sum(w.shape[0] * w.shape[1] // units for w in derived)
    return of_input, of_state
