"""The number of a model's output that `attribution` explains."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


def chooser(target: Any) -> Callable[[Any], Any]:
    """A function from the output (batch, ...) to the number (batch,) that is explained."""
    if isinstance(target, list) or (np.ndim(target) == 1 and not isinstance(target, tuple)):
        return _each_its_own(np.asarray(target))
    if target is not None and not callable(target):
        index = target if isinstance(target, tuple) else (target,)
        for part in index:
            if isinstance(part, bool) or not isinstance(part, int | np.integer):
                raise ValueError(
                    "`target` must be None, an index, a tuple of indices, an array (batch,) of "
                    f"indices or a function. Received: target={target!r}"
                )

    def chosen(output: Any) -> Any:
        if keras.tree.is_nested(output) and not callable(target):
            raise ValueError(
                "The model has several outputs: `target` must be a function that makes (batch,) of "
                f"them. Received: target={target!r}"
            )
        value = target(output) if callable(target) else _picked(output, target)
        value = ops.convert_to_tensor(value)
        rows = keras.tree.flatten(output)[0].shape[0]
        if len(value.shape) != 1 or (rows and value.shape[0] not in (None, rows)):
            raise ValueError(
                "`target` must choose one number for each row, (batch,). Received: "
                f"target={target!r}, which gives the shape {tuple(value.shape)}"
            )
        return value

    return chosen


def _each_its_own(target: np.ndarray) -> Callable[[Any], Any]:
    """`chooser` of an index for each row."""

    def chosen(output: Any) -> Any:
        shape = () if keras.tree.is_nested(output) else tuple(output.shape)
        whole = np.issubdtype(target.dtype, np.integer)
        rows = len(shape) == 2 and shape[0] in (None, len(target))
        if not whole or not rows or target.min() < 0 or target.max() >= shape[1]:
            raise ValueError(
                "`target` must be an index for each row of an output (batch, K), from 0 to K - 1. "
                f"Received: target of the type {target.dtype} and shape {target.shape}, with an "
                f"output of the shape {shape}"
            )
        return ops.take_along_axis(output, target[:, None], axis=1)[:, 0]

    return chosen


def _picked(output: Any, target: Any) -> Any:
    if target is None:
        if any(size != 1 for size in output.shape[1:]):
            raise ValueError(
                "`target` must say which number of the output is meant: `target=0` is the first of "
                "the last axis, `target=(-1, 0)` has an index for every axis. Received: "
                f"target=None, with an output of the shape {tuple(output.shape)}"
            )
        return ops.reshape(output, (-1,))
    axes = output.shape[1:]
    if isinstance(target, tuple):
        index = target
    else:
        index = (target,)
        axes = axes[-1:]
    fits = len(index) == len(axes) and all(
        size is None or -size <= i < size for i, size in zip(index, axes, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`target` must be an index into {tuple(axes)}, the output without the batch. "
            f"Received: target={target!r}, with an output of the shape {tuple(output.shape)}"
        )
    return output[(slice(None), *index)] if isinstance(target, tuple) else output[..., target]
