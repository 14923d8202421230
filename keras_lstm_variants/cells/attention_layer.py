from typing import Any, ClassVar

import keras
from keras import ops

from keras_lstm_variants import engine
from keras_lstm_variants.cells.attention import EXPECTED, GREEDY, AttentionLSTMCell
from keras_lstm_variants.core import call_checks, checks
from keras_lstm_variants.core.keras_private import get_keras_mask
from keras_lstm_variants.layers.cell_layer import CellLayer
from keras_lstm_variants.layers.registration import register


@register
class AttentionLSTM(CellLayer):
    r"""An LSTM that looks into a memory at every step: `layer(sequences, memory=annotations)`.

    See `AttentionLSTMCell` for the equations and `CellLayer` for the arguments that all
    layers share.

    Args:
        units, attention_units, scoring, use_beta, hard, ...: see `AttentionLSTMCell`.
        initial_state: besides `"zeros"` and `"learned"`, `"memory"`: tanh of a dense layer of
            the mean annotation, one for h and one for c, as in the paper.
        return_context: also return the context, (batch, time, features of an annotation).
        return_attention: also return alpha, (batch, time, places): the map one can look at.
            Both come right after the output: `(output[, context][, attention], *states)`. With
            `return_sequences` they are zero at masked steps; without, they are those of the
            last step that is not masked, (batch, ...).
        coverage_penalty: lambda of the doubly stochastic penalty
            $\lambda \sum_l (1 - \sum_t \alpha_{t,l})^2$, the mean over the batch: every place
            is to be looked at, once in sum. Masked steps, masked places and rows without a
            step do not count. 1 in the paper; 0 is none. (The authors' code sums over the batch
            and averages over places.)
        hard: draw one place a step in training. A `klv.HardAttentionModel` has the gradient for
            it; in another model the draws are made, and nothing learns which were good.
        expected_share: with `hard=True`, the part of the rows of a batch, at random, that take
            the expectation in training instead of drawing places. Default 0.5, as in the paper.
        hard_inference: with `hard=True`, what replaces the draw outside of training:
            `"expected"` (the default), `"greedy"` (the likeliest place) or `"sample"`.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        sequences: (batch, time, features).
        memory: (batch, places, features), the annotations. Needed. Any size may be None but
            the last.
        memory_mask: bool (batch, places); False for places that are not there. By default the
            mask that the memory carries, if any.
        initial_state, mask, training: see `RecurrentLayer`.

    Raises:
        ValueError: an argument or an input is not of the form above.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = klv.AttentionLSTM(4, return_sequences=True, return_attention=True)
        >>> output, attention = layer(keras.ops.ones((2, 5, 3)), memory=keras.ops.ones((2, 7, 6)))
        >>> output.shape, attention.shape
        (TensorShape([2, 5, 4]), TensorShape([2, 5, 7]))
    """

    cell_class = AttentionLSTMCell
    needs_memory = True
    initial_states: ClassVar[tuple[str, ...]] = ("zeros", "learned", "memory")

    def __init__(
        self,
        *args: Any,
        return_context: bool = False,
        return_attention: bool = False,
        coverage_penalty: float = 0.0,
        expected_share: float = 0.5,
        hard_inference: str = "expected",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.return_context = checks.flag("return_context", return_context)
        self.return_attention = checks.flag("return_attention", return_attention)
        self.coverage_penalty = checks.not_negative("coverage_penalty", coverage_penalty)
        self.expected_share = checks.share("expected_share", expected_share)
        self.hard_inference = checks.one_of(
            "hard_inference", hard_inference, ("expected", "greedy", "sample")
        )
        if not self.hard and (expected_share != 0.5 or hard_inference != "expected"):
            raise ValueError(
                "`expected_share` and `hard_inference` belong to `hard=True`. Received: "
                f"expected_share={expected_share!r}, hard_inference={hard_inference!r}, hard=False"
            )
        if self.initial_state == "memory" and self.stateful:
            raise ValueError(
                '`initial_state="memory"` starts every call anew, `stateful=True` does not: '
                "give one of them."
            )
        sums = ("log_probability", "entropy") if self.hard else ()
        shown = {
            "context": self.return_context,
            "attention": self.return_attention,
            "coverage": self.coverage_penalty > 0,
        }
        self.cell.show((*(name for name, wanted in shown.items() if wanted), *sums))
        # Where `HardAttentionModel` collects what its calls have drawn: of each call the sums
        # over the steps of a row, (batch,).
        self.draws: list[dict[str, Any]] | None = None

    def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(sequences, list | tuple) or isinstance(kwargs.get("memory"), list | tuple):
            raise ValueError(
                f"{self.name} takes two tensors, called as `layer(sequences, memory=annotations)`. "
                "Received: a list or tuple"
            )
        if engine.is_ragged(kwargs.get("memory")):
            raise ValueError(
                f"{self.name} takes no ragged memory. Make it dense and mask the padding: "
                "`memory.to_tensor()` and `memory_mask=tf.sequence_mask(memory.row_lengths())`."
            )
        return super().__call__(sequences, *args, **kwargs)

    def build(
        self, sequences_shape: Any, initial_state_shape: Any = None, memory_shape: Any = None
    ) -> None:
        features = self.cell.features_of_memory(memory_shape)
        if not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]), (None, None, features))
            self.cell.built = True
        super().build(sequences_shape, initial_state_shape)
        self.first = []
        if self.initial_state == "memory":
            for name in ("h", "c"):
                dense = keras.layers.Dense(
                    self.units, "tanh", name=f"initial_{name}", dtype=self.dtype_policy
                )
                dense.build((None, features))
                self.first.append(dense)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        memory: Any = None,
        memory_mask: Any = None,
    ) -> Any:
        memory_mask = call_checks.as_mask("memory_mask", memory_mask)
        self._check_memory(sequences, memory, memory_mask)
        if memory_mask is None:
            memory_mask = get_keras_mask(memory)
        rule = f"`memory` of {self.name} must have as many rows as the sequences"
        memory = engine.fitted(rule, memory, ops.shape(sequences)[:1])
        sequences, memory = engine.of_one_batch(rule, sequences, memory)
        with self.cell.attending(memory, memory_mask):
            if initial_state is None and self.first:
                initial_state = [dense(self._mean_annotation()) for dense in self.first]
            sequences, mask, states = self._start(sequences, initial_state, mask)
            batch, steps = ops.shape(sequences)[:2]
            states = [*states, *self.cell.nothing_shown(batch)]
            side = {"draw": self._draws(batch, steps, training)} if self.hard else None
            every = self.return_all_states or (
                self.return_sequences and (self.return_context or self.return_attention)
            )
            result = self._loop(sequences, states, mask, training, every, side)
            sums = dict(zip(self.cell.shown, result.states[2:], strict=True))
            if self.coverage_penalty:
                self.add_loss(self._penalty(sums["coverage"], mask))
        if self.draws is not None:
            names = ("log_probability", "entropy")
            self.draws.append({name: sums[name][:, 0] for name in names})
        histories = result.state_sequences
        returned = self._returned(
            result._replace(states=result.states[:2], state_sequences=histories and histories[:2])
        )
        shown = self._shown(histories if self.return_sequences else None, sums, mask)
        if not shown:
            return returned
        returned = returned if isinstance(returned, tuple) else (returned,)
        return returned[0], *shown, *returned[1:]

    def _check_memory(self, sequences: Any, memory: Any, memory_mask: Any) -> None:
        if memory is None:
            raise ValueError(
                f"{self.name} looks into a memory: call it as `layer(sequences, memory=...)`, with "
                "annotations of the shape (batch, places, features)."
            )
        if not hasattr(memory, "shape"):
            raise ValueError(
                f"`memory` must be a tensor (batch, places, features). Received: memory={memory!r}"
            )
        self.cell.features_of_memory(tuple(memory.shape))
        if self.built and memory.shape[-1] != self.cell.context_kernel.shape[0]:
            raise ValueError(
                f"{self.name} was built for a memory with {self.cell.context_kernel.shape[0]} "
                f"features. Received: memory of the shape {tuple(memory.shape)}"
            )
        batch = (sequences.shape[0], memory.shape[0])
        if None not in batch and batch[0] != batch[1]:
            raise ValueError(
                f"`memory` must have as many rows as the sequences, here {batch[0]}. "
                f"Received: memory of the shape {tuple(memory.shape)}"
            )
        if memory_mask is None:
            return
        pairs = zip(memory_mask.shape, memory.shape[:2], strict=False)
        if len(memory_mask.shape) != 2 or any(None not in p and p[0] != p[1] for p in pairs):
            raise ValueError(
                "`memory_mask` must have the shape (batch, places), here "
                f"{tuple(memory.shape[:2])}. Received: {tuple(memory_mask.shape)}"
            )

    def _mean_annotation(self) -> Any:
        memory, seen = self.cell.memory.value, self.cell.seen.value[..., None]
        if self.compute_dtype != "float64":  # of many places, a sum in half precision overflows
            memory, seen = ops.cast(memory, "float32"), ops.cast(seen, "float32")
        mean = ops.sum(memory * seen, axis=1) / ops.maximum(ops.sum(seen, axis=1), 1)
        return ops.cast(mean, self.compute_dtype)

    def _draws(self, batch: Any, steps: Any, training: bool) -> Any:
        """What each step is to draw with: a uniform number, or what else to do."""
        instead = {"expected": EXPECTED, "greedy": GREEDY}.get(self.hard_inference)
        if not training and instead is not None:
            return ops.full((batch, steps, 1), instead, dtype=self.cell.wide_dtype)
        seed = self.cell.seed_generator
        draws = keras.random.uniform((batch, steps, 1), 0, 1, "float32", seed=seed)
        if training and self.expected_share:
            row = keras.random.uniform((batch, 1, 1), 0, 1, "float32", seed=seed)
            draws = ops.where(row < self.expected_share, EXPECTED, draws)
        return ops.cast(draws, self.cell.wide_dtype)

    def _penalty(self, coverage: Any, mask: Any) -> Any:
        seen = ops.cast(self.cell.seen.value, coverage.dtype)
        missed = ops.sum(seen * ops.square(1 - coverage), axis=-1)
        rows = ops.ones_like(missed)
        if mask is not None:
            rows = ops.cast(ops.any(mask, axis=1), missed.dtype)
        mean = ops.sum(missed * rows) / ops.maximum(ops.sum(rows), 1)
        return self.coverage_penalty * mean

    def _shown(self, histories: Any, last: dict[str, Any], mask: Any) -> list[Any]:
        """Context and attention, as far as wanted, in the order of processing."""
        names = [name for name in ("context", "attention") if name in self.cell.shown]
        if histories is None:
            return [ops.cast(last[name], self.compute_dtype) for name in names]
        found = []
        for name in names:
            values = ops.cast(histories[2 + self.cell.shown.index(name)], self.compute_dtype)
            if mask is not None:
                on = engine.in_processing_order(mask, self._loop_options())
                values = values * ops.cast(on, values.dtype)[..., None]
            found.append(values)
        return found

    def compute_output_spec(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        memory: Any = None,
        memory_mask: Any = None,
    ) -> Any:
        # Keras does not run `call` on symbolic inputs: without this, errors would wait for `fit`.
        self._check_call(sequences, initial_state, mask)
        memory_mask = call_checks.as_mask("memory_mask", memory_mask)
        self._check_memory(sequences, memory, memory_mask)
        shapes = self.compute_output_shape(sequences.shape, memory_shape=memory.shape)
        if not isinstance(shapes, list):
            return keras.KerasTensor(shapes, dtype=self.compute_dtype)
        return tuple(keras.KerasTensor(s, dtype=self.compute_dtype) for s in shapes)

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None, memory_shape: Any = None
    ) -> Any:
        if self.return_context or self.return_attention:
            self.cell.features_of_memory(memory_shape)
        batch, steps = sequences_shape[:2]
        time = (steps,) if self.return_sequences else ()
        shapes = [(batch, *time, self.units)]
        if self.return_context:
            shapes.append((batch, *time, memory_shape[-1]))
        if self.return_attention:
            shapes.append((batch, *time, memory_shape[1]))
        if self.return_state:
            shapes += [(batch, self.units)] * 2
        if self.return_all_states:
            shapes += [(batch, steps, self.units)] * 2
        return shapes if len(shapes) > 1 else shapes[0]

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        output_mask = mask if self.return_sequences else None
        masks = [output_mask] * (1 + self.return_context + self.return_attention)
        masks += [None] * 2 * self.return_state + [mask] * 2 * self.return_all_states
        return masks if len(masks) > 1 else masks[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "return_context": self.return_context,
            "return_attention": self.return_attention,
            "coverage_penalty": self.coverage_penalty,
            "expected_share": self.expected_share,
            "hard_inference": self.hard_inference,
        }
