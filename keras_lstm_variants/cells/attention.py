from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_lstm_variants import engine
from keras_lstm_variants.core import call_checks, checks, functions
from keras_lstm_variants.core.bases import LSTMFamilyCell
from keras_lstm_variants.core.context import derived_as
from keras_lstm_variants.core.state import SideInput, State, States
from keras_lstm_variants.layers.registration import register

# The score of a place that is masked: its exponential is zero in every precision.
_HIDDEN = -3e4
# What a step of hard attention does instead of drawing, where these stand in place of a uniform
# number in [0, 1).
EXPECTED, GREEDY = -1.0, 2.0


# States beside h and c, which no step reads but to add up.
_FURTHER = {
    state.name: state
    for state in (
        State("context", size=lambda cell: cell.context_kernel.shape[0]),
        State("attention", size="places"),
        State("coverage", size="places", dtype="float32", kind="sum"),
        State("log_probability", size=1, dtype="float32", kind="sum"),
        State("entropy", size=1, dtype="float32", kind="sum"),
    )
}


@register(layer=False)
class AttentionLSTMCell(LSTMFamilyCell):
    r"""An LSTM that looks into a memory, a set of annotations $a_1 \dots a_L$, at every step.

    $$e_l = v^\top \tanh(a_l W_a + h_{t-1} W_q + b_a) \qquad
      \alpha = \text{softmax}(e) \qquad
      \beta = \sigma(h_{t-1} w_\beta + b_\beta)$$
    $$z = \beta \sum_l \alpha_l a_l \qquad A_k = x_t W_k + h_{t-1} U_k + z Z_k + b_k$$
    $$i = \sigma(A_i) \quad f = \sigma(A_f) \quad g = \tanh(A_g) \quad o = \sigma(A_o)$$
    $$c_t = f \odot c_{t-1} + i \odot g \qquad h_t = o \odot \tanh(c_t)$$

    With `scoring="multiplicative"`, $e_l = (a_l W_a) \cdot (h_{t-1} W_q) / \sqrt{k}$. With
    `hard=True` one place is drawn from $\alpha$ while training, $z = \beta a_l$; elsewhere z is
    its expectation, the equation above.

    Deviations: the paper adds a constant to every score, which changes nothing in a softmax;
    and the score's width k is that of an annotation there, `units` by default here.

    Reference: Xu et al. 2015, Show, attend and tell, arXiv 1502.03044. The multiplicative
    score: Luong, Pham & Manning 2015, arXiv 1508.04025, in the scaled form of Vaswani et al.
    2017, arXiv 1706.03762.

    Args:
        units: positive integer, the size of the states and of the output.
        activation, recurrent_activation, ...: see `LSTMFamilyCell`.
        attention_units: positive integer k, the width of the score. None: `units`.
        scoring: `"additive"` or `"multiplicative"`.
        use_beta: whether there is the gate beta; without it, beta is 1.
        memory_features: features of an annotation. None: seen at the first call.
        hard: whether training draws one place a step. Use `klv.AttentionLSTM` then, which
            draws the random numbers, in a `klv.HardAttentionModel`, which has the gradient.
        attention_initializer: for `memory_kernel` (features of an annotation, k),
            `query_kernel` (units, k), `score_kernel` (k, 1), `context_kernel` (features of an
            annotation, 4 units) and `beta_kernel` (units, 1). Of these `score_kernel` belongs
            to the additive score. `attention_bias` (k), additive, too, and `beta_bias` (1)
            start as zeros and exist with `use_bias`.
        attention_regularizer, attention_constraint: penalty and constraint of these kernels.
        **kwargs: what `LSTMFamilyCell` takes.

    Weights: `4 n (m + n + d + 1) + d k + n k + 2 k + n + 1` for m inputs, n units and d features
    of an annotation.

    A call needs annotations: `with cell.attending(memory): ...`; `klv.AttentionLSTM` does it.

    Raises:
        ValueError: an argument is out of its range, or there is no memory.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> cell = klv.AttentionLSTMCell(4)
        >>> layer = keras.layers.RNN(cell)
        >>> with cell.attending(keras.ops.ones((2, 7, 6))):
        ...     layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    candidates = ("g", "context", "alpha")
    reference = "Xu et al. 2015, Show, attend and tell"

    def __init__(
        self,
        *args: Any,
        attention_units: int | None = None,
        memory_features: int | None = None,
        scoring: str = "additive",
        use_beta: bool = True,
        hard: bool = False,
        attention_initializer: Any = "glorot_uniform",
        attention_regularizer: Any = None,
        attention_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        for name, size in (
            ("attention_units", attention_units),
            ("memory_features", memory_features),
        ):
            setattr(self, name, None if size is None else checks.positive_integer(name, size))
        self.scoring = checks.one_of("scoring", scoring, ("additive", "multiplicative"))
        self.use_beta = checks.flag("use_beta", use_beta)
        self.hard = checks.flag("hard", hard)
        if self.hard:
            self.side_inputs = (SideInput("draw"),)
        self.attention_initializer = functions.initializer(
            "attention_initializer", attention_initializer
        )
        self.attention_regularizer = functions.regularizer(
            "attention_regularizer", attention_regularizer
        )
        self.attention_constraint = functions.constraint(
            "attention_constraint", attention_constraint
        )
        self.show(())
        self._attended: tuple[int | None, ...] | None = None
        # Places that differ: with equal ones no score would matter.
        self.memory = self.constant(
            "memory",
            lambda: keras.random.normal((2, 3, self.context_kernel.shape[0]), seed=1),
        )
        self.seen = self.constant("memory_mask", lambda: ops.ones((2, 3)))
        self.keys = self.derived(self.projected_memory, by_row=True)

    def build(
        self,
        input_shape: tuple[int | None, ...],
        memory_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        super().build(input_shape)
        features = self.features_of_memory(memory_shape or self._attended)
        n, k = self.units, self.attention_units or self.units

        def kernel(name: str, shape: tuple[int, int]) -> Any:
            return self.add_cell_weight(
                name, shape, self.attention_initializer, kind="attention", block=shape[1]
            )

        def bias(name: str, size: int) -> Any:
            return self.add_cell_weight(name, (size,), "zeros", kind="bias")

        self.context_kernel = self.add_gate_weight(
            "context_kernel", features, self.attention_initializer, kind="attention"
        )
        self.memory_kernel = kernel("memory_kernel", (features, k))
        self.query_kernel = kernel("query_kernel", (n, k))
        additive = self.scoring == "additive"
        # Added to all products with the query, it would change nothing in a softmax.
        self.attention_bias = bias("attention_bias", k) if self.use_bias and additive else None
        self.score_kernel = kernel("score_kernel", (k, 1)) if additive else None
        self.beta_kernel = kernel("beta_kernel", (n, 1)) if self.use_beta else None
        self.beta_bias = bias("beta_bias", 1) if self.use_beta and self.use_bias else None

    def features_of_memory(self, shape: tuple[int | None, ...] | None) -> int:
        """The number of features of an annotation, or a `ValueError`."""
        if shape is None:
            if self.memory_features is not None:
                return self.memory_features
            raise ValueError(
                f"{type(self).__name__} looks into a memory: call the layer with `memory=...`, or "
                "the cell `with cell.attending(memory):`, or say `memory_features=...`."
            )
        found = shape[-1] if len(shape) == 3 else None
        if found is None or self.memory_features not in (None, found):
            wanted = self.memory_features or "features, a known number"
            raise ValueError(
                f"`memory` of {type(self).__name__} must have the shape (batch, places, {wanted}). "
                f"Received: {tuple(shape)}"
            )
        return found

    @contextmanager
    def attending(self, memory: Any, memory_mask: Any = None) -> Iterator[None]:
        """While active, the cell looks into this memory.

        Args:
            memory: (batch, places, features), one set of annotations a row.
            memory_mask: None, or bool (batch, places), False for places that are not there. A
                row without any place has the context zero.
        """
        memory = ops.cast(ops.convert_to_tensor(memory), self.compute_dtype)
        seen = ops.ones_like(memory[..., 0])
        memory_mask = call_checks.as_mask("memory_mask", memory_mask)
        if memory_mask is not None:
            rule = f"`memory_mask` of {self.name} must have the shape (batch, places)"
            memory_mask = engine.fitted(rule, memory_mask, ops.shape(memory)[:2])
            seen = seen * ops.cast(memory_mask, self.compute_dtype)
            # Whatever stands in a masked place, NaN too, is not seen.
            memory = ops.where(seen[..., None] > 0, memory, ops.zeros_like(memory))
        before, self._attended = self._attended, tuple(memory.shape)
        try:
            with derived_as({id(self.memory): memory, id(self.seen): seen}):
                yield
        finally:
            self._attended = before

    def projected_memory(self) -> Any:
        keys = ops.matmul(self.memory.value, ops.cast(self.memory_kernel, self.compute_dtype))
        if self.attention_bias is None:
            return keys
        return keys + ops.cast(self.attention_bias, self.compute_dtype)

    def show(self, names: tuple[str, ...]) -> None:
        """Have these of each step as further states, which no step reads but to add up.

        Names: `"context"`, `"attention"` (alpha), `"coverage"` (the sum of alpha so far), and
        in hard attention `"log_probability"` and `"entropy"` (sums, too).
        """
        self.shown = tuple(names)
        self.further = tuple(_FURTHER[name] for name in self.shown)
        self.states = (*type(self).states, *self.further)

    @property
    def state_size(self) -> list[int]:
        return [self.units, self.units]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """h and c. A layer that wants further states adds `nothing_shown`."""
        shape = (batch_size, self.units)
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in range(2)]

    @property
    def wide_dtype(self) -> str:
        """For shares and sums of them: in half precision these stop growing early."""
        return _FURTHER["coverage"].dtype_in(self)

    def nothing_shown(self, batch_size: Any) -> list[Any]:
        """The further states before the first step, which follow h and c."""
        # The number of places is known to the call alone.
        seen = self.seen.value
        return [
            ops.zeros_like(seen, dtype=state.dtype_in(self))
            if state.size == "places"
            else ops.zeros((batch_size, state.size_in(self)), dtype=state.dtype_in(self))
            for state in self.further
        ]

    def project_inputs(self, inputs: Any, training: bool = False, draw: Any = None) -> Any:
        z = {"a": super().project_inputs(inputs, training)}
        return z if draw is None else {**z, "draw": draw}

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c, *shown = states
        log_alpha, alpha = self.attend(h)
        chosen = self.choose(alpha, z["draw"]) if "draw" in z else alpha
        beta = self.beta(h)
        context = ops.cast(chosen, self.compute_dtype)[..., None] * self.memory.value
        context = beta * ops.sum(context, axis=1)
        a = self.recurrent_matmul(h, add_to=z["a"], training=training)
        a = self.matmul(context, self.context_kernel, add_to=a)
        i, f, g, o = self.split(a)
        i, f, o = self.gate(i), self.gate(f), self.gate(o)
        g = self.activation(g)
        c = f * c + i * g
        h = o * self.output_activation(c)
        self.sow(i=i, f=f, g=g, o=o, alpha=alpha, beta=beta, context=context)
        new = {"context": context, "attention": alpha}
        old = dict(zip(self.shown, shown, strict=True))
        if "coverage" in old:
            # Where Keras hands out the states, in its plain loop, it casts them.
            new["coverage"] = old["coverage"] + ops.cast(alpha, old["coverage"].dtype)
        if "entropy" in old:
            new |= self.of_the_draw(old, log_alpha, alpha, chosen, z["draw"])
        return h, (h, c, *(new[name] for name in self.shown))

    def attend(self, h: Any) -> tuple[Any, Any]:
        """Logarithm and value of each place's share; both zero where there is no place."""
        query = self.matmul(h, self.query_kernel)[:, None]
        keys, seen = self.keys.value, self.seen.value
        if self.scoring == "additive":
            e = ops.matmul(ops.tanh(keys + query), ops.convert_to_tensor(self.score_kernel))[..., 0]
        else:
            e = ops.sum(keys * query, axis=-1) / keys.shape[-1] ** 0.5
        e, seen = ops.cast(e, self.wide_dtype), ops.cast(seen, self.wide_dtype)
        log_alpha = ops.log_softmax(ops.where(seen > 0, e, _HIDDEN)) * seen
        return log_alpha, ops.exp(log_alpha) * seen

    def beta(self, h: Any) -> Any:
        if self.beta_kernel is None:
            return 1.0
        add_to = None if self.beta_bias is None else ops.convert_to_tensor(self.beta_bias)
        return self.gate(self.matmul(h, self.beta_kernel, add_to=add_to))

    def choose(self, alpha: Any, draw: Any) -> Any:
        """One place, with the probabilities alpha; or what else `draw` says."""
        draw = ops.cast(draw, self.wide_dtype)
        share = ops.stop_gradient(alpha)
        up_to = ops.cumsum(share, axis=-1)
        # Of the whole sum, which is 1 but for rounding.
        drawn = draw * up_to[:, -1:]
        best = share == ops.max(share, axis=-1, keepdims=True)
        likeliest = ops.logical_and(best, share > 0)
        one = _first(ops.where(draw == GREEDY, likeliest, up_to > drawn))
        return ops.where(draw == EXPECTED, alpha, ops.cast(one, alpha.dtype))

    def of_the_draw(
        self, old: dict[str, Any], log_alpha: Any, alpha: Any, chosen: Any, draw: Any
    ) -> dict[str, Any]:
        """Sums over the steps so far: log probability of what was drawn, entropy of alpha."""
        drawn = ops.logical_and(draw >= 0, draw < 1)
        log_p = ops.sum(ops.stop_gradient(chosen) * log_alpha, axis=-1, keepdims=True)
        entropy = -ops.sum(alpha * log_alpha, axis=-1, keepdims=True)
        new = {"log_probability": ops.where(drawn, log_p, 0.0), "entropy": entropy}
        return {name: old[name] + ops.cast(value, old[name].dtype) for name, value in new.items()}


def _first(found: Any) -> Any:
    """The first place of each row for which `found` (batch, places) is true."""
    return ops.logical_and(found, ops.cumsum(ops.cast(found, "int32"), axis=-1) == 1)
