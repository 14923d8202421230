"""DRAW's attention: an N x N grid of Gaussian filters over an image."""

from typing import Any

from keras import ops

# Of a filter that lies outside of the image the sum over pixels is below it.
_SMALLEST_SUM = 1e-8


def filterbank(parameters: Any, height: int, width: int, size: int) -> tuple[tuple[Any, Any], Any]:
    r"""The filters $(F_Y, F_X)$ of a grid of size x size, and its intensity $\gamma$.

    With $(\tilde g_X, \tilde g_Y, \log \sigma^2, \log \tilde\delta, \log \gamma)$ in the
    columns of `parameters`, in an image of A columns and B rows, pixels counted from 0,

    $$g_X = \tfrac{A+1}{2} (\tilde g_X + 1) - 1, \quad
      \delta = \frac{\max(A, B) - 1}{N - 1} \tilde\delta, \quad
      \mu_i = g_X + (i - \tfrac{N-1}{2}) \delta, \quad i = 0 \ldots N-1$$
    $$F_X[i, a] = \exp(-(a - \mu_i)^2 / 2 \sigma^2) / Z_i$$

    where $Z_i$ makes the sum over pixels 1, and likewise for the rows. With N = 1 there is no
    $\delta$.

    Args:
        parameters: (batch, 5).
        height, width: of the image, B and A.
        size: N.

    Returns:
        ((batch, N, height), (batch, N, width)), and (batch, 1, 1).
    """
    g_x, g_y, log_variance, log_delta, log_gamma = ops.split(parameters, 5, axis=-1)
    stride = (max(height, width) - 1) / max(size - 1, 1) * ops.exp(log_delta)
    offsets = stride * (ops.arange(size, dtype=parameters.dtype) - (size - 1) / 2)
    precision = 0.5 * ops.exp(-log_variance)[..., None]

    def filters(center: Any, pixels: int) -> Any:
        mu = (pixels + 1) / 2 * (center + 1) - 1 + offsets
        distance = ops.arange(pixels, dtype=parameters.dtype) - mu[..., None]
        values = ops.exp(-distance * distance * precision)
        return values / ops.maximum(ops.sum(values, axis=-1, keepdims=True), _SMALLEST_SUM)

    return (filters(g_y, height), filters(g_x, width)), ops.exp(log_gamma)[..., None]


def read(image: Any, filters: tuple[Any, Any]) -> Any:
    """The patch F_Y x F_X^T (batch, N, N) of an image (batch, height, width)."""
    vertical, horizontal = filters
    return ops.matmul(ops.matmul(vertical, image), ops.swapaxes(horizontal, -1, -2))


def write(patch: Any, filters: tuple[Any, Any]) -> Any:
    """The image F_Y^T w F_X (batch, height, width) of a patch w (batch, N, N)."""
    vertical, horizontal = filters
    return ops.matmul(ops.matmul(ops.swapaxes(vertical, -1, -2), patch), horizontal)
