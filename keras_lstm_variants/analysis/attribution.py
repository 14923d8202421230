"""Which inputs moved an output of a model."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_lstm_variants.analysis.attribution_baselines import one_baseline, rows_of_baselines
from keras_lstm_variants.analysis.attribution_methods import (
    allowed_gap,
    expected,
    integrated,
    occluded,
)
from keras_lstm_variants.analysis.explained_output import ExplainedOutput
from keras_lstm_variants.analysis.model_calls import as_array, check_arguments
from keras_lstm_variants.core import call_checks, checks

# The arguments of each method, beside those of all.
_TAKES = {
    "integrated_gradients": ("baseline", "steps", "max_steps", "tolerance"),
    "expected_gradients": ("baseline", "steps", "max_steps", "tolerance", "seed"),
    "occlusion": ("baseline",),
    "gradient_x_input": (),
}


class Attribution(NamedTuple):
    """What `attribution` returns.

    Attributes:
        values: what each input number contributed, of the shape of the input; with `embedding`
            what each token contributed, the sum over its vector.
        output: the output that is explained, (batch,).
        baseline_output: the same output for the baseline, (batch,), or its mean over baselines;
            None where the method has none.
        gap: how far the sum of `values` is from the difference of the two, (batch,), or None.

    Example: see `attribution`.
    """

    values: np.ndarray
    output: np.ndarray
    baseline_output: np.ndarray | None
    gap: np.ndarray | None


def attribution(
    model: keras.layers.Layer,
    x: Any,
    target: int | tuple[int, ...] | Callable[[Any], Any] | None = None,
    *,
    method: str = "integrated_gradients",
    baseline: Any = None,
    steps: int | None = None,
    max_steps: int | None = None,
    tolerance: float | None = None,
    seed: int | None = None,
    embedding: keras.layers.Layer | None = None,
    jit_compile: bool = False,
    **call_arguments: Any,
) -> Attribution:
    r"""Which steps and features of the input moved the output.

    $$\text{integrated gradients:}\quad
      a = (x - b) \odot \int_0^1 \nabla F(b + s (x - b))\, ds \qquad
      \text{expected gradients:}\quad \text{their mean over baselines } b$$
    $$\text{occlusion:}\quad a_k = F(x) - F(x \text{ with } b_k \text{ for } x_k) \qquad
      \text{gradient x input:}\quad a = x \odot \nabla F(x)$$

    Integrated and expected gradients are complete: they sum to $F(x) - F(b)$. The integral is
    approximated by a sum, and `gap` is its error. Where the gap exceeds `tolerance`, more
    gradients are taken, where the sum is worst; if it still does, a warning says by how much.

    When to trust which: *integrated gradients* with a small gap, and a baseline that the model
    knows (a mean, a quiet day). Between x and a baseline that it has never seen, as the vector
    zero for letters, the output may do anything, and the sum says little about x even if the gap
    is small. *Expected gradients* start from real inputs instead, and say what moved the output
    away from those; they are a sample, so their gap never vanishes. *Occlusion* is always what it
    is, the effect of hiding one place; it misses places that only act together or can replace
    each other. *Gradient x input* is the effect of a small change near x, and sums to nothing in
    particular. What two of the methods agree on is safe to say.

    Reference: Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks,
    arXiv 1703.01365; Erion et al. 2021, Improving performance of deep learning models with
    axiomatic attribution priors and expected gradients, arXiv 1906.10670; Zeiler & Fergus 2014,
    arXiv 1311.2901; Shrikumar et al. 2016, arXiv 1605.01713.

    Args:
        model: a built model or layer. The first axis of its inputs and its output is the batch.
            It is called without dropout.
        x: the input (batch, ...), or several as the model takes them. Exactly one of them is
            floating, and that one is explained. A mask that it carries is used. Integers have no
            gradient: for tokens give `embedding`.
        target: which number of the output is F. An index of its last axis, or a tuple of
            indices of its axes behind the batch; an array (batch,) with an index of the last
            axis for each row, as the labels; a function of the output (batch, ...) that returns
            (batch,); None for an output with one number a row.
        method: `"integrated_gradients"`, `"expected_gradients"`, `"occlusion"` or
            `"gradient_x_input"`.
        baseline: b, of the shape of x or one that broadcasts to it. Default: zeros. With
            `embedding`, numbers of the shape of its output, or an array of integers: tokens. For
            expected gradients (which have no default) rows of real inputs, (n, ...) like x.
        steps: how many gradients are taken at first, for each row. Default: 64.
        max_steps: how many at most, where these are not enough. Default: 16 times `steps`; equal
            to `steps`: no more are taken.
        tolerance: the gap that is small enough, as a share of F(x) - F(b). Default: 0.05.
        seed: of the draws of expected gradients; None: new ones at every call.
        embedding: the layer of the model that turns tokens into numbers, as an `Embedding`. Then
            its output is explained, and summed for each token: `values` has the shape of x.
        jit_compile: whether to compile with XLA.
        **call_arguments: further arguments of the call, as `mask`.

    Returns:
        `Attribution(values, output, baseline_output, gap)`: `values` of the shape of x, the others
        (batch,); for occlusion and gradient x input the last two are None.

    The states of stateful layers are used, the same for every gradient, and left as they were.
    Occlusion calls the model once for each number of a row (with `embedding`, each token), the
    others once or twice for each step.

    Raises:
        ValueError: an argument is out of its range, does not fit the output, or belongs to another
            method; or the output has no gradient by what is to be explained.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> model = keras.Sequential([keras.Input((5, 3)), klv.LSTM(4), keras.layers.Dense(1)])
        >>> found = klv.attribution(model, keras.ops.ones((2, 5, 3)))
        >>> found.values.shape, bool(abs(found.gap).max() < 1e-3)
        ((2, 5, 3), True)
    """
    call_checks.check_model(model)
    checks.one_of("method", method, _TAKES)
    checks.flag("jit_compile", jit_compile)
    given = {"steps": steps, "max_steps": max_steps, "tolerance": tolerance, "seed": seed}
    for name, value in {"baseline": baseline, **given}.items():
        if value is not None and name not in _TAKES[method]:
            raise ValueError(f"`{name}` does not belong to method={method!r}.")
    steps = 64 if steps is None else checks.positive_integer("steps", steps)
    most = 16 * steps if max_steps is None else checks.positive_integer("max_steps", max_steps)
    if most < steps:
        raise ValueError(f"`max_steps` must be at least steps={steps}. Received: max_steps={most}")
    tolerance = 0.05 if tolerance is None else checks.positive_number("tolerance", tolerance)
    seed = checks.seed("seed", seed)
    if checks.flag("training", call_arguments.pop("training", False)):
        raise ValueError(
            "An output with dropout is another one at every call, and cannot be explained. "
            "Received: training=True"
        )
    check_arguments(model, call_arguments)

    explained = ExplainedOutput(model, x, target, embedding, jit_compile, call_arguments)
    tokens = embedding is not None
    if method == "gradient_x_input":
        output, slope = explained.gradient(explained.x)
        return _result(explained.x * slope, output, tokens=tokens)
    if method == "occlusion":
        values = occluded(
            explained.value,
            one_baseline(baseline, explained),
            explained.x,
            len(explained.x.shape) - 1 - tokens,
        )
        return Attribution(values, as_array(explained.value(explained.x)), None, None)
    if method == "expected_gradients":
        start = rows_of_baselines(baseline, explained)
        random = np.random.default_rng(seed)
        values, first = expected(
            explained.gradient, explained.value, start, explained.x, steps, most, tolerance, random
        )
        advice = "They are a sample: give more baselines, or method='occlusion'"
    else:
        start = one_baseline(baseline, explained)
        values, first = integrated(explained.gradient, start, explained.x, steps, most, tolerance)
        advice = (
            "Give a baseline that the model knows, or method='expected_gradients' or 'occlusion'"
        )
    result = _result(values, explained.value(explained.x), first, tokens=tokens)
    _warn_of_gaps(result, tolerance, most, advice)
    return result


def _result(values: Any, output: Any, first: Any = None, *, tokens: bool) -> Attribution:
    values, output = (v if isinstance(v, np.ndarray) else as_array(v) for v in (values, output))
    values = values.sum(axis=-1) if tokens else values
    if first is None:
        return Attribution(values, output, None, None)
    first = first.astype(output.dtype)
    # In NumPy, for x may be of another precision than the output.
    gap = values.sum(axis=tuple(range(1, values.ndim))) - (output - first)
    return Attribution(values, output, first, gap)


def _warn_of_gaps(result: Attribution, tolerance: float, most: int, advice: str) -> None:
    """A warning if the contributions of some row do not add up."""
    far = np.abs(result.gap) > allowed_gap(result.output, result.baseline_output, tolerance)
    if not far.any():
        return
    difference = np.abs(result.output - result.baseline_output)
    shares = np.abs(result.gap) / np.maximum(difference, np.finfo("float32").tiny)
    worst = int(np.argmax(shares))
    warnings.warn(
        f"The contributions miss F(x) - F(baseline) by more than {100 * tolerance:g} % in "
        f"{far.sum()} of {len(far)} rows, in row {worst} by {100 * shares[worst]:.3g} % (median "
        f"{100 * np.median(shares):.3g} %), with up to {most} steps. They do not say what moved "
        "the output, which rises and falls between the baseline and x. "
        f"{advice}, or a larger `max_steps`; `gap` has the numbers.",
        stacklevel=3,
    )
