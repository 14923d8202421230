"""Grid LSTMs that are no recurrent layers: one of depth alone, and one that sweeps images."""

from typing import Any

import keras
from keras import ops

from keras_lstm_variants import engine
from keras_lstm_variants.cells.grid import GridFamilyCell
from keras_lstm_variants.core import call_checks, checks, configured, functions
from keras_lstm_variants.core.state import SideInput, State, States
from keras_lstm_variants.core.weight_checks import CheckedWeights
from keras_lstm_variants.layers.registration import register


class _DepthCell(GridFamilyCell):
    """The grid of one dimension: no time, and so no step."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.build_transforms(input_shape[-1], ("depth",))

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h = z["h"]
        m = z.get("m", ops.zeros_like(h))
        for level in range(self.depth):
            h, m = self.transform(level, "depth", [h], m, {})
        return h, (h, m)


class _SweepCell(GridFamilyCell):
    """One diagonal of an image at a time: its positions do not depend on each other.

    The states are the h and m that each row of the image handed on last: downwards and to
    the right, at every level. Side inputs say which positions are part of the image, and
    which of these are not masked.
    """

    side_inputs = tuple(
        SideInput(name, size=lambda cell: (cell.rows, 1), dtype=None, required=True)
        for name in ("inside", "seen")
    )

    def __init__(self, *args: Any, rows: int, priority: str | None = "depth", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.rows = rows
        self.priority = priority
        levels = range(1, self.depth + 1)
        parts = [f"{s}_{d}" for d in ("vertical", "horizontal") for s in ("h", "m")]
        size = (rows, self.units)
        self.states = tuple(State(f"{part}_{level}", size) for level in levels for part in parts)

    @property
    def output_size(self) -> tuple[int, ...]:
        return self.rows, self.units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.build_transforms(input_shape[-1], ("vertical", "horizontal", "depth"))

    def project_inputs(self, inputs: Any, training: bool = False, *, inside: Any, seen: Any) -> Any:
        return super().project_inputs(inputs, training) | {"inside": inside, "seen": seen}

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h_d = z["h"]
        m_d = z.get("m", ops.zeros_like(h_d))
        inside, seen = z["inside"] > 0, z["seen"] > 0
        nothing = ops.zeros_like(h_d)
        new: list[Any] = []
        for level in range(self.depth):
            h_v, m_v, h_h, m_h = states[4 * level : 4 * level + 4]
            # What comes from above was handed on by the row above, one diagonal before.
            h_v, m_v = _one_row_down(h_v), _one_row_down(m_v)
            old = [h_v, h_h, h_d]
            new_v = self.transform(level, "vertical", old, m_v, {})
            new_h = self.transform(level, "horizontal", old, m_h, {})
            if self.priority == "depth":
                old = [new_v[0], new_h[0], h_d]
            h_d, m_d = self.transform(level, "depth", old, m_d, {})
            # A masked position hands on what it received; outside of the image is nothing.
            for one, before in zip((*new_v, *new_h), (h_v, m_v, h_h, m_h), strict=True):
                new.append(ops.where(inside, ops.where(seen, one, before), nothing))
        return ops.where(ops.logical_and(inside, seen), h_d, nothing), tuple(new)


def _one_row_down(values: Any) -> Any:
    """(batch, rows, n): what row r has goes to row r + 1, and zeros into the first."""
    return ops.concatenate([ops.zeros_like(values[:, :1]), values[:, :-1]], axis=1)


def _diagonals(values: Any) -> Any:
    """(batch, rows, columns, n) as (batch, diagonals, rows, n): row r starts r steps later."""
    batch, rows, columns, _ = ops.shape(values)
    n = values.shape[-1]
    skewed = ops.pad(values, [[0, 0], [0, 0], [0, rows], [0, 0]])
    skewed = ops.reshape(skewed, (batch, rows * (columns + rows), n))[:, :-rows]
    skewed = ops.reshape(skewed, (batch, rows, columns + rows - 1, n))
    return ops.transpose(skewed, (0, 2, 1, 3))


class _GridLayer(CheckedWeights, configured.Configured, keras.layers.Layer):
    """A layer around a cell of the grid family, with the cell's arguments."""

    def __init__(
        self,
        units: int,
        depth: int = 2,
        *,
        tied: bool = False,
        output_form: str = "o_tanh",
        input_memory: bool = False,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        output_activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        forget_bias: Any = None,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        options = {k: v for k, v in locals().items() if k not in ("self", "kwargs", "__class__")}
        functions.check_dtype(kwargs.get("dtype"))
        if "activity_regularizer" in kwargs:
            kwargs["activity_regularizer"] = functions.regularizer(
                "activity_regularizer", kwargs["activity_regularizer"]
            )
        super().__init__(**kwargs)
        # Checks them, and reads what is a name or a configuration.
        cell = _DepthCell(**options)
        for name in options:
            setattr(self, name, getattr(cell, name))
        self.supports_masking = True

    def cell_options(self) -> dict[str, Any]:
        names = configured.parameters(_GridLayer)
        return {n: getattr(self, n) for n in names} | {"dtype": self.dtype_policy, "name": "cell"}


@register
class GridLSTMBlock(_GridLayer):
    r"""The grid LSTM of one dimension, depth: a deep network with gates, without time.

    $$h_0 = x P + b, \quad m_0 = 0 \qquad (h_l, m_l) = \text{LSTM}_l(h_{l-1}, m_{l-1})$$

    The output is the last $h_l$. Put it where a stack of dense layers would stand.
    Deviations: see `GridLSTMCell`.

    Reference: Kalchbrenner, Danihelka & Graves 2015, Grid long short-term memory,
    arXiv 1507.01526.

    Args:
        units: positive integer, the size of the output.
        depth: number of levels, a positive integer.
        tied, output_form, input_memory: see `GridFamilyCell`.
        activation, recurrent_activation, ...: as in `GridLSTM`. No dropout, no constraints;
            `forget_bias` is a number or an initializer.
        **kwargs: `name`, `dtype`, `trainable`.

    Input: (batch, ..., features). Output: (batch, ..., units).

    Raises:
        ValueError: an argument is out of its range, or the number of features is unknown.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> klv.GridLSTMBlock(4, depth=6, tied=True)(keras.ops.ones((2, 3))).shape
        TensorShape([2, 4])
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        features = checks.features(self.name, input_shape)
        self.cell = _DepthCell(**self.cell_options())
        self.cell.build(input_shape)
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: features})

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.cell.step(self.cell.project_inputs(inputs), (), training)[0]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)


@register
class GridLSTM2D(_GridLayer):
    r"""The grid LSTM of three dimensions: two of an image, from its top left, and depth.

    At a level, with $h_v, m_v$ from the position above, $h_h, m_h$ from that on the left and
    $h_d, m_d$ from the level below, $H = [h_v, h_h, h_d]$ and

    $$(h_v, m_v) \leftarrow \text{LSTM}_v(H, m_v) \quad (h_h, m_h) \leftarrow
      \text{LSTM}_h(H, m_h) \quad (h_d, m_d) \leftarrow \text{LSTM}_d(H', m_d)$$

    where $H'$ has the new $h_v, h_h$ with `priority="depth"`, and is H with None. Beyond the
    borders all are zero; below the first level $h_d$ is the projected input. The positions
    of a diagonal are computed together, so that an image of r rows and c columns takes
    r + c - 1 steps.

    Every position sees what is above and on the left of it. For the other directions flip
    the image, and join what several layers find. Deviations: see `GridLSTMCell`.

    Reference: Kalchbrenner, Danihelka & Graves 2015, Grid long short-term memory,
    arXiv 1507.01526.

    Args:
        units: positive integer, the size of the output.
        depth: number of levels, a positive integer.
        priority: `"depth"` or None.
        return_sequences: True (the default): the output of every position; False: that of
            the last one, bottom right, which has seen all.
        tied, output_form, input_memory: see `GridFamilyCell`.
        activation, recurrent_activation, ...: as in `GridLSTM`. No dropout, no constraints;
            `forget_bias` is a number or an initializer.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        images: (batch, rows, columns, features); the number of rows must be known.
        mask: bool (batch, rows, columns): a position that is False has the output zero, and
            hands on what it received as it is. Not with `return_sequences=False`.

    Raises:
        ValueError: an argument is out of its range, or a shape does not fit.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> klv.GridLSTM2D(4, depth=1)(keras.ops.ones((2, 8, 6, 3))).shape
        TensorShape([2, 8, 6, 4])
    """

    may_change = ("return_sequences",)

    def __init__(
        self,
        *args: Any,
        priority: str | None = "depth",
        return_sequences: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.priority = checks.one_of("priority", priority, ("depth", None))
        self.return_sequences = checks.flag("return_sequences", return_sequences)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        _, rows, _, features = input_shape
        if rows is None or features is None:
            raise ValueError(
                f"{self.name} needs to know the number of rows and of features. "
                f"Received: input shape {tuple(input_shape)}"
            )
        self.cell = _SweepCell(**self.cell_options(), rows=rows, priority=self.priority)
        self.cell.build((None, rows, features))
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={1: rows, 3: features})

    def call(self, images: Any, mask: Any = None, training: bool = False) -> Any:
        call_checks.check_training(training)
        mask = call_checks.as_mask("mask", mask)
        if mask is not None:
            self.check_mask(mask, images)
        sizes = (None, self.input_spec.axes[1], None, self.input_spec.axes[3])
        rule = f"The input of {self.name} must have the shape {sizes}"
        images = engine.fitted(rule, images, sizes)
        batch, rows, columns, _ = ops.shape(images)
        inside = ops.ones((batch, rows, columns, 1), dtype=images.dtype)
        seen = inside
        if mask is not None:
            rule = f"`mask` of {self.name} must have the shape (batch, rows, columns)"
            mask = engine.fitted(rule, mask, (batch, rows, columns))
            # No NaN there is to reach a gradient.
            images = ops.where(mask[..., None], images, ops.zeros_like(images))
            seen = ops.cast(mask, images.dtype)[..., None]
        result = engine.run(
            self.cell,
            _diagonals(images),
            self.cell.get_initial_state(batch),
            engine.LoopOptions(training=training),
            output_dtype=self.compute_dtype,
            side={"inside": _diagonals(inside), "seen": _diagonals(seen)},
        )
        steps = columns + rows - 1
        outputs = ops.transpose(result.outputs, (0, 2, 1, 3))
        outputs = ops.reshape(outputs, (batch, rows * steps, self.units))
        outputs = ops.pad(outputs, [[0, 0], [0, rows], [0, 0]])
        outputs = ops.reshape(outputs, (batch, rows, steps + 1, self.units))[:, :, :columns]
        return outputs if self.return_sequences else outputs[:, -1, -1]

    def check_mask(self, mask: Any, images: Any) -> None:
        if not self.return_sequences:
            raise ValueError(
                f"{self.name} has `return_sequences=False`, the output of the last position, "
                "which a mask may hide: it takes no `mask`."
            )
        pairs = zip(mask.shape, images.shape[:3], strict=False)
        if len(mask.shape) != 3 or any(None not in p and p[0] != p[1] for p in pairs):
            raise ValueError(
                "`mask` must have the shape (batch, rows, columns), here "
                f"{tuple(images.shape[:3])}. Received: {tuple(mask.shape)}"
            )

    def compute_mask(self, images: Any, previous: Any = None) -> Any:
        return previous if self.return_sequences else None

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if self.return_sequences:
            return (*input_shape[:-1], self.units)
        return (input_shape[0], self.units)
