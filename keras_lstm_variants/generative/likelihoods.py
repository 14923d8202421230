"""What a model says of an observation: the distributions p(x | parameters), feature by feature.

`parameters` is what the last layer of a model returns, (..., columns x features).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.generative import gaussian


class Bernoulli:
    """Parameters: logits. For x in [0, 1]: between 0 and 1 it is the usual cross-entropy."""

    columns = 1
    initial_bias = "zeros"
    noise = staticmethod(keras.random.uniform)

    def log_density(self, x: Any, logits: Any) -> Any:
        return x * logits - ops.softplus(logits)

    def mean(self, logits: Any) -> Any:
        return ops.sigmoid(logits)

    def draw(self, logits: Any, noise: Any) -> Any:
        """A draw, given noise uniform in [0, 1)."""
        return ops.cast(noise < ops.sigmoid(logits), logits.dtype)

    def check(self, x: Any) -> None:
        if x.size and not (np.nanmin(x) >= 0 and np.nanmax(x) <= 1):
            raise ValueError(
                'With `likelihood="bernoulli"` every number in `x` must lie in [0, 1]. '
                f"Received: numbers from {np.nanmin(x)} to {np.nanmax(x)}"
            )


class Gaussian:
    """Parameters: [mean, raw scale], scale = softplus(raw scale) + 1e-4."""

    columns = 2
    initial_bias = staticmethod(gaussian.softplus_heads_bias)
    noise = staticmethod(keras.random.normal)

    def log_density(self, x: Any, parameters: Any) -> Any:
        return gaussian.log_density(x, *gaussian.of_softplus_heads(parameters))

    def mean(self, parameters: Any) -> Any:
        return ops.split(parameters, 2, axis=-1)[0]

    def draw(self, parameters: Any, noise: Any) -> Any:
        """A draw, given standard normal noise."""
        mean, raw = ops.split(parameters, 2, axis=-1)
        return mean + gaussian.softplus_scale(raw) * noise

    def check(self, x: Any) -> None:
        """Every number has a density."""


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": Gaussian}
