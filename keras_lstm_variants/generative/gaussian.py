"""Diagonal Gaussians, each by its mean and the logarithm of its scale (standard deviation)."""

import math
from typing import Any

from keras import ops

# Below it no scale that a softplus makes can fall.
SCALE_FLOOR = 1e-4


def softplus_scale(raw: Any) -> Any:
    """The scale that a head's raw value stands for."""
    return ops.softplus(raw) + SCALE_FLOOR


def of_softplus_heads(heads: Any) -> tuple[Any, Any]:
    """Mean and logarithm of the scale, of the heads `[mean, raw scale]`."""
    mean, raw = ops.split(heads, 2, axis=-1)
    return mean, ops.log(softplus_scale(raw))


def softplus_heads_bias(shape: tuple[int, ...], dtype: Any = None) -> Any:
    """Initial bias of the heads `[mean, raw scale]`: 0, and 0.6 for a scale near 1."""
    size = shape[0] // 2
    return ops.concatenate([ops.zeros((size,), dtype), ops.full((size,), 0.6, dtype)])


def log_density(x: Any, mean: Any, log_scale: Any) -> Any:
    """log N(x; mean, scale^2) of each number, in nats."""
    error = (x - mean) * ops.exp(-log_scale)
    return -0.5 * error * error - log_scale - 0.5 * math.log(2 * math.pi)


def kl(mean: Any, log_scale: Any, prior_mean: Any, prior_log_scale: Any) -> Any:
    """KL(N(mean, scale^2) || N(prior mean, prior scale^2)) of each number, in nats."""
    log_ratio = log_scale - prior_log_scale
    error = (mean - prior_mean) * ops.exp(-prior_log_scale)
    return 0.5 * (ops.exp(2 * log_ratio) + error * error - 1) - log_ratio
