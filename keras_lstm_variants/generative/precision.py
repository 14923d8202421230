"""What half precision is not enough for: sums of many nats, and exponents of distances."""

from typing import Any

import keras
from keras import ops


def at_least_float32(values: Any) -> Any:
    """The values, in float32 if they are in half precision."""
    half = keras.backend.standardize_dtype(values.dtype) in ("float16", "bfloat16")
    return ops.cast(values, "float32") if half else values
