"""The baselines of `attribution`: inputs to compare with."""

from typing import Any

import numpy as np
from keras import ops

from keras_lstm_variants.analysis.explained_output import ExplainedOutput


def one_baseline(baseline: Any, explained: ExplainedOutput) -> Any:
    """The baseline in the shape of what is explained, or a `ValueError`."""
    x, leaves = explained.x, explained.leaves
    if baseline is None:
        return ops.zeros_like(x)
    if explained.embedding is not None and np.ndim(baseline) and _is_whole(baseline):
        place = _tokens(leaves)
        tokens = _broadcast(baseline, leaves[place].shape, "whole numbers")
        return explained.embedded({place: ops.convert_to_tensor(tokens, leaves[place].dtype)})
    return ops.convert_to_tensor(_broadcast(baseline, x.shape, "finite numbers"), x.dtype)


def _broadcast(baseline: Any, shape: Any, what: str) -> np.ndarray:
    try:
        array = np.asarray(baseline, float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    sizes = zip(array.shape[::-1], shape[::-1], strict=False)
    fits = array.ndim <= len(shape) and all(size in (1, wanted) for size, wanted in sizes)
    if not fits or not np.isfinite(array).all():
        raise ValueError(
            f"`baseline` must be {what} of the shape {tuple(shape)}, or of one that broadcasts "
            f"to it. Received: {_short(baseline)}"
        )
    return np.broadcast_to(array, tuple(shape))


def rows_of_baselines(baseline: Any, explained: ExplainedOutput) -> Any:
    """Real inputs (n, ...) as baselines, or a `ValueError`."""
    x, leaves, tokens = explained.x, explained.leaves, explained.embedding is not None
    place = _tokens(leaves) if tokens else None
    shape = tuple((leaves[place] if tokens else x).shape[1:])
    try:
        rows = np.asarray(baseline)
    except (TypeError, ValueError):
        rows = np.array(None)
    numbers = rows.dtype.kind in ("iu" if tokens else "fiub")
    if not numbers or rows.shape[1:] != shape or not rows.size or not np.isfinite(rows).all():
        kind = "tokens" if tokens else "finite numbers"
        raise ValueError(
            "With method='expected_gradients' `baseline` must be rows of real inputs, "
            f"{kind} of the shape {(None, *shape)}. Received: {_short(baseline)}"
        )
    if not tokens:
        return ops.convert_to_tensor(rows, x.dtype)
    # As many rows at once as x has, for which the model may be made.
    batch, embedded = x.shape[0], []
    for first in range(0, len(rows), batch):
        some = np.take(rows, range(first, first + batch), axis=0, mode="wrap")
        some = ops.convert_to_tensor(some, leaves[place].dtype)
        embedded.append(explained.embedded({place: some}))
    return ops.concatenate(embedded)[: len(rows)]


def _tokens(leaves: list[Any]) -> int:
    """Which of the inputs has the tokens, or a `ValueError`."""
    places = [k for k, leaf in enumerate(leaves) if "int" in str(leaf.dtype)]
    if len(places) != 1:
        raise ValueError(
            "Tokens as `baseline` need one input of integers in `x`. "
            f"Received: {len(places)} inputs of integers"
        )
    return places[0]


def _is_whole(baseline: Any) -> bool:
    return np.issubdtype(getattr(baseline, "dtype", np.asarray(baseline).dtype), np.integer)


def _short(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {np.shape(value)}"
