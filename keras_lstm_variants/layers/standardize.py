"""Models that take and give raw numbers, and train on numbers of mean 0 and deviation 1."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.core.registry import PACKAGE

# What a number in float32 is known to, as a share of it.
_RESOLUTION = float(np.finfo("float32").eps)

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


def statistics_of(values: np.ndarray, mask: np.ndarray | None = None) -> Statistics:
    """Mean and standard deviation of each feature, the last axis.

    Args:
        values: numbers (..., features).
        mask: bool, the shape of `values` without its last axis; what is False is left out.

    Returns:
        Two tuples, means and deviations. The deviation of a feature that is constant is 1.

    Raises:
        ValueError: they are no numbers, or the mask has another shape or leaves nothing.

    Example:
        >>> import numpy as np, keras_lstm_variants as klv
        >>> klv.tuning.statistics_of(np.array([[1.0, 7.0], [3.0, 7.0]]))
        ((2.0, 7.0), (1.0, 1.0))
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iuf" or not values.ndim:
        raise ValueError(
            f"`values` must be numbers (..., features). Received: {values.dtype} {values.shape}"
        )
    if mask is not None and np.shape(mask) != values.shape[:-1]:
        raise ValueError(
            f"`mask` must have the shape {values.shape[:-1]}. Received: {np.shape(mask)}"
        )
    rows = values.reshape(-1, values.shape[-1]) if mask is None else values[np.asarray(mask, bool)]
    if not len(rows):
        raise ValueError(f"`values` of shape {values.shape} hold nothing that counts")
    if not np.isfinite(rows).all():
        raise ValueError("`values` must be finite where they count: some are NaN or infinite")
    mean, deviation = rows.mean(0, dtype="float64"), rows.std(0, dtype="float64")
    # A constant has a deviation, too, by rounding.
    constant = deviation <= _RESOLUTION * np.abs(rows).max(0)
    deviation = np.where(constant, 1.0, deviation)
    return tuple(map(float, mean)), tuple(map(float, deviation))


def check_statistics(name: str, given: Any, size: int) -> Statistics:
    """Means and deviations of `size` features, or a `ValueError`."""
    try:
        mean, deviation = (tuple(map(float, np.reshape(part, -1))) for part in given)
        good = np.shape(mean) == np.shape(deviation) == (size,) and min(deviation) > 0
    except (TypeError, ValueError):
        good = False
    if not good or not np.isfinite([mean, deviation]).all():
        raise ValueError(
            f"`{name}` must be (means, deviations), {size} finite numbers each, the deviations "
            f"above 0. Received: {name}={given!r}"
        )
    return mean, deviation


@keras.saving.register_keras_serializable(package=PACKAGE)
class Standardize(keras.layers.Layer):
    """`(x - mean) / deviation` of each feature, or with `invert` the way back.

    In contrast to `keras.layers.Normalization` it hands on masks, takes deviations of any
    order of magnitude, and computes in float32 under every dtype policy unless told otherwise.
    """

    def __init__(
        self,
        mean: Sequence[float],
        deviation: Sequence[float],
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.mean, self.deviation, self.invert = tuple(mean), tuple(deviation), invert
        self.supports_masking = True
        self.built = True

    def call(self, x: Any) -> Any:
        mean = ops.convert_to_tensor(self.mean, dtype=x.dtype)
        deviation = ops.convert_to_tensor(self.deviation, dtype=x.dtype)
        return x * deviation + mean if self.invert else (x - mean) / deviation

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        own = {"mean": list(self.mean), "deviation": list(self.deviation), "invert": self.invert}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package=PACKAGE)
class StandardizedError(keras.losses.Loss):
    """Mean squared error in units of the deviations, of raw targets and predictions."""

    def __init__(
        self, deviation: Sequence[float], name: str = "standardized_error", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.deviation = tuple(deviation)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        deviation = ops.convert_to_tensor(self.deviation, dtype=y_pred.dtype)
        return ops.mean(ops.square((y_true - y_pred) / deviation), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "deviation": list(self.deviation)}
