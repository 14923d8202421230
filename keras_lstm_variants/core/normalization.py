"""Layer normalisation inside a cell."""

from typing import Any

import keras
from keras import ops


class LayerNorm:
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta`, over the last axis.

    Args:
        cell: whose weights `{name}_norm_gamma` and, with its biases, `{name}_norm_beta` become.
        name: what is normalised.
        size: of the last axis.
        epsilon: positive number.
        gates: to which the entries belong, in the order of their blocks.
    """

    def __init__(
        self, cell: Any, name: str, size: int, epsilon: float, gates: tuple[str, ...] = ()
    ) -> None:
        self.epsilon = epsilon
        self.beta = None
        self.gamma = cell.add_cell_weight(
            f"{name}_norm_gamma", (size,), "ones", kind="norm", gates=gates
        )
        if cell.use_bias:
            self.beta = cell.add_cell_weight(
                f"{name}_norm_beta", (size,), "zeros", kind="bias", gates=gates
            )

    def __call__(self, x: Any) -> Any:
        dtype = keras.backend.standardize_dtype(x.dtype)
        # Squares of half precision overflow early.
        wide = ops.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
        centred = wide - ops.mean(wide, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        x = ops.cast(centred * ops.rsqrt(variance + self.epsilon), dtype) * self.gamma
        return x if self.beta is None else x + self.beta
