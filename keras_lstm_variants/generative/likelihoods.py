"""What a model says of an observation: the distributions p(x | parameters), feature by feature.

`parameters` is what the last layer of a model returns, (..., columns x features).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.generative import gaussian


class Likelihood:
    """What is common to them."""

    # Of x, the ends included.
    limits = (0.0, 1.0)
    # What a number must do.
    allowed = ""

    def requirement(self, name: str) -> str:
        return f"Of `{name}` every number must {self.allowed}."

    def check(self, name: str, x: np.ndarray) -> None:
        """A `ValueError` unless all of x is inside of the limits."""
        low, high = self.limits
        # Not so of NaN.
        if x.size and not (x.min() >= low and x.max() <= high):
            least, most = np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)
            raise ValueError(
                f"{self.requirement(name)} Received: numbers from {least} to {most}"
                f"{' and NaN' if np.isnan(x).any() else ''}"
            )


class Bernoulli(Likelihood):
    """Parameters: logits. For x in [0, 1]: between 0 and 1 it is the usual cross-entropy."""

    allowed = "lie in [0, 1], for its likelihood is Bernoulli's"
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


class Gaussian(Likelihood):
    """Parameters: [mean, raw scale], scale = softplus(raw scale) + 1e-4."""

    limits = (-float(np.finfo("float32").max), float(np.finfo("float32").max))
    allowed = "be finite"
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


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": Gaussian}
