"""A search space of recurrent models for Keras Tuner."""

import math
import numbers
import random
import re
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_lstm_variants.core import checks
from keras_lstm_variants.layers.standardize import Standardize, StandardizedError, check_statistics
from keras_lstm_variants.tuning.options import BOUNDS, HEADS
from keras_lstm_variants.tuning.parameters import (
    check_variants,
    hp_recurrent_stack,
    hp_variant,
    split_forget_bias,
    stack_spaces,
)
from keras_lstm_variants.tuning.ranges import Space, space_of

# Bytes of the largest model that a search may ask for: a larger one is a slip.
MOST_BYTES = 2**34


class StopAtNaN(keras.callbacks.Callback):
    """Fails the trial in the first epoch after which a score is no longer a number."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        bad = [name for name, value in (logs or {}).items() if not math.isfinite(value)]
        if bad:
            raise keras_tuner.errors.FailedTrialError(
                f"diverged: {', '.join(bad)} is no longer a number in epoch {epoch + 1}"
            )


class RecurrentHyperModel(keras_tuner.HyperModel):
    """Recurrent models of many kinds, for a search with Keras Tuner.

    Embedding (of integers), recurrent layers, one dense layer; Adam. Every argument that is
    a parameter of the search takes a value (fixed), a list of values, or a range
    `(low, high)` or `(low, high, step)`. A parameter exists only in trials where it means
    something: no forget bias for a cell without a gate that keeps memory, no units of a
    layer that is not there.

    Args:
        input_shape: `(time, features)` of a sequence of vectors, or `(time,)` of a sequence
            of integers; time may be None.
        head: what is predicted. `"classification"`: one class of a sequence; targets are
            integers (batch,). `"regression"`: numbers of a sequence, (batch,) or
            (batch, outputs). `"labels"`: a class of every step, (batch, time). `"values"`:
            numbers of every step, (batch, time, outputs).
            `"next_step"`: what comes next at every step, the sequence moved by one:
            integers (batch, time) or vectors (batch, time, features).
        outputs: number of classes or of numbers. Default: 1 for regression and values, for
            the next step the number of symbols or features; the others need it.
        symbols: number of different integers in the input; None for vectors.
        masked: the model has a second input, the mask, bool (batch, time); its data is
            `{"sequence": x, "mask": mask}`. Masked steps count in neither loss nor metric.
        input_statistics: mean and standard deviation of each feature, `(means, deviations)`,
            as `klv.tuning.statistics_of(x_train)` gives them. The model then standardises its
            input itself, and with `"next_step"` its output: it takes and gives raw numbers.
            None: nothing is standardised.
        target_statistics: likewise of `"regression"` and `"values"`. The loss is then the
            mean squared error of standardised numbers; both metrics are of raw ones.
        variants: names of variants; None for all. Default: LSTM, PeepholeLSTM,
            CoupledLSTM, GRU.
        layers, units, units_per_layer, bidirectional, forget_bias, max_timesteps, dropout,
            recurrent_dropout: see `hp_recurrent_stack`. `max_timesteps` is the time of
            `input_shape` by default. No `bidirectional` with `"next_step"`: it would see
            what it should predict.
        embedding: size of the symbols' vectors, 32 by default; None for vectors.
        learning_rate: of Adam, a range is searched by order of magnitude.
            Default 1e-4 to 1e-2.
        clipnorm: longest gradient of a weight; 0 for no limit. Default 1.
        batch_size: sequences in a batch, 32 by default; None if the data comes in batches.
        jit_compile: as in `compile`: `"auto"` (Keras's choice: not on a CPU), True or False.
        name: name of the hypermodel.
        **kwargs: for every recurrent layer.

    Raises:
        ValueError: an argument is not as above.

    Example:
        >>> import keras_tuner, keras_lstm_variants as klv
        >>> hypermodel = klv.tuning.RecurrentHyperModel(
        ...     (50, 2), "regression", variants=["LSTM", "Elman"], forget_bias=[0.0, 1.0, "chrono"]
        ... )
        >>> hp = keras_tuner.HyperParameters()
        >>> hypermodel.build(hp).output_shape
        (None, 1)
        >>> hp["variant"], hp["forget_bias_rule"], hp["forget_bias"]
        ('LSTM', 'number', 0.0)
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        head: str,
        outputs: int | None = None,
        *,
        symbols: int | None = None,
        masked: bool = False,
        input_statistics: Any = None,
        target_statistics: Any = None,
        variants: Sequence[str] | None = ("LSTM", "PeepholeLSTM", "CoupledLSTM", "GRU"),
        layers: Any = (1, 2),
        units: Any = (16, 128),
        units_per_layer: bool = False,
        bidirectional: Any = False,
        forget_bias: Any = None,
        max_timesteps: float | None = None,
        dropout: Any = 0.0,
        recurrent_dropout: Any = 0.0,
        embedding: Any = None,
        learning_rate: Any = (1e-4, 1e-2),
        clipnorm: Any = 1.0,
        batch_size: Any = 32,
        jit_compile: bool | str = "auto",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name)
        self.head = checks.one_of("head", head, HEADS)
        self.symbols = None if symbols is None else checks.positive_integer("symbols", symbols)
        self.input_shape = self._check_input_shape(input_shape)
        self.outputs = self._check_outputs(outputs)
        self.masked = checks.flag("masked", masked)
        self._check_statistics(input_statistics, target_statistics)
        self.variants = check_variants("variants", variants)
        self.units_per_layer = checks.flag("units_per_layer", units_per_layer)
        self.spaces = stack_spaces(layers, units, bidirectional, dropout, recurrent_dropout)
        self._check_directions(bidirectional)
        steps = self.input_shape[0]
        if max_timesteps is None and steps is not None and steps > 2:
            max_timesteps = steps
        self.forget_bias, self.max_timesteps = forget_bias, max_timesteps
        split_forget_bias(forget_bias, max_timesteps)
        self.embedding = self._embedding_of(embedding)
        self.learning_rate = space_of(
            "learning_rate", learning_rate, float, **BOUNDS["learning_rate"], log=True
        )
        self.clipnorm = space_of("clipnorm", clipnorm, float, **BOUNDS["clipnorm"])
        self.batch_size = (
            None
            if batch_size is None
            else space_of("batch_size", batch_size, int, **BOUNDS["batch_size"])
        )
        self.jit_compile = checks.one_of("jit_compile", jit_compile, ["auto", True, False])
        if "return_sequences" in kwargs:
            raise ValueError(
                "`return_sequences` follows from `head` and cannot be given. Received: "
                f"return_sequences={kwargs['return_sequences']!r}"
            )
        self.layer_arguments = kwargs
        if kwargs:  # layers start TensorFlow, which a command has to set up first
            self._check_layers()
        self._check_sizes()

    def _check_directions(self, bidirectional: Any) -> None:
        if self.head == "next_step" and True in self.spaces["bidirectional"].choices:
            raise ValueError(
                "`bidirectional` must be False with `head='next_step'`: a layer that goes "
                f"backwards sees what it should predict. Received: bidirectional={bidirectional!r}"
            )

    def _embedding_of(self, embedding: Any) -> Space:
        if embedding is not None and self.symbols is None:
            raise ValueError(
                "`embedding` must be None without `symbols`: vectors are not embedded. "
                f"Received: embedding={embedding!r}"
            )
        embedding = 32 if embedding is None else embedding
        return space_of("embedding", embedding, int, **BOUNDS["embedding"])

    def _check_input_shape(self, shape: Sequence[int | None]) -> tuple[int | None, ...]:
        shape = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
        wanted = 2 if self.symbols is None else 1
        good = len(shape) == wanted and all(
            n is None or (isinstance(n, numbers.Integral) and not isinstance(n, bool) and n > 0)
            for n in shape
        )
        if not good or (wanted == 2 and shape[1] is None):
            form = "(time, features)" if wanted == 2 else "(time,), as `symbols` is given"
            raise ValueError(
                f"`input_shape` must be {form}, positive integers; time may be None. "
                f"Received: input_shape={shape!r}"
            )
        return shape

    def _check_statistics(self, inputs: Any, targets: Any) -> None:
        for name, given, wanted in (
            ("input_statistics", inputs, self.symbols is None),
            ("target_statistics", targets, self.head in ("regression", "values")),
        ):
            if given is not None and not wanted:
                raise ValueError(
                    f"`{name}` must be None with head={self.head!r}, symbols={self.symbols}: "
                    f"there are no such numbers. Received: {name}={given!r}"
                )
        self.input_statistics = self.target_statistics = None
        if inputs is not None:
            self.input_statistics = check_statistics(
                "input_statistics", inputs, self.input_shape[1]
            )
        if targets is not None:
            self.target_statistics = check_statistics("target_statistics", targets, self.outputs)
        elif self.head == "next_step":
            self.target_statistics = self.input_statistics

    def _check_layers(self) -> None:
        """An error for wrong arguments of layers now, not in every trial."""
        state = random.getstate()  # layers draw seeds
        try:
            for variant in self.variants:
                self._stack(keras_tuner.HyperParameters(), variant)
        finally:
            random.setstate(state)

    def _check_sizes(self) -> None:
        """A `ValueError` for more weights than any machine has memory for."""
        units = self.spaces["units"].largest
        weights = {
            "units": (units, 4 * units**2),
            "outputs": (self.outputs, self.outputs * units),
        }
        if self.symbols is not None:
            size = self.embedding.largest
            weights["symbols"] = (self.symbols, self.symbols * size)
        for name, (value, count) in weights.items():
            # Each with its gradient's two averages in Adam.
            if 12 * count > MOST_BYTES:
                raise ValueError(
                    f"`{name}`={value:,} would take {12 * count:,} bytes in training, of which "
                    f"there may be {MOST_BYTES:,}"
                )

    def check_data(self, x: Any, y: Any) -> None:
        """A `ValueError` for arrays with symbols or classes that the model does not have."""
        sequence = x.get("sequence") if isinstance(x, dict) else x
        classes = self.outputs if self.classifies else None
        for name, what, array, count in (
            ("x", "symbols", sequence, self.symbols),
            ("y", "classes", y, classes),
        ):
            if count is None or not isinstance(array, np.ndarray) or not array.size:
                continue
            low, high = array.min(), array.max()
            if low < 0 or high >= count:
                raise ValueError(
                    f"`{name}` must hold {what} from 0 to {count - 1}, as `"
                    f"{'symbols' if name == 'x' else 'outputs'}` is {count}. Received: {low} "
                    f"to {high}"
                )

    def _stack(self, hp: keras_tuner.HyperParameters, variant: Any) -> list[keras.layers.Layer]:
        return hp_recurrent_stack(
            hp,
            variant,
            **self.spaces,
            units_per_layer=self.units_per_layer,
            forget_bias=self.forget_bias,
            max_timesteps=self.max_timesteps,
            return_sequences=self.every_step,
            **self.layer_arguments,
        )

    def _check_outputs(self, outputs: int | None) -> int:
        if self.head == "next_step":
            usual = self.symbols or self.input_shape[1]
            if outputs not in (None, usual):
                raise ValueError(
                    f"`outputs` must be None or {usual}, what the input has, with "
                    f"`head='next_step'`. Received: outputs={outputs!r}"
                )
            return usual
        if outputs is None and self.head in ("regression", "values"):
            return 1
        outputs = checks.positive_integer("outputs", outputs)
        if self.head in ("classification", "labels") and outputs < 2:
            raise ValueError(
                f"`outputs` must be at least 2 classes with `head={self.head!r}`. "
                f"Received: outputs={outputs}"
            )
        return outputs

    @property
    def every_step(self) -> bool:
        """Whether the model predicts at every step."""
        return self.head in ("labels", "next_step", "values")

    @property
    def classifies(self) -> bool:
        """Whether the model predicts classes rather than numbers."""
        return self.head in ("classification", "labels") or (
            self.head == "next_step" and self.symbols is not None
        )

    @property
    def metric(self) -> str:
        """The first that the model reports beside its loss."""
        return self.metrics[0]

    @property
    def metrics(self) -> list[str]:
        """What the model reports beside its loss, in the units of the data."""
        if self.classifies:
            return ["accuracy"]
        # Without statistics the loss is the second one.
        return ["mean_absolute_error", *(["mean_squared_error"] if self.target_statistics else [])]

    @property
    def objectives(self) -> dict[str, str]:
        """Scores that the model reports, each with its direction, `"min"` or `"max"`."""
        way = "max" if self.classifies else "min"
        names = {"loss": "min", **dict.fromkeys(self.metrics, way)}
        return {f"{part}{name}": way for part in ("val_", "") for name, way in names.items()}

    def reported(self, objective: str) -> str:
        """The score in the units of the data that belongs to an objective."""
        if self.target_statistics is None:
            return objective
        return re.sub(r"^(val_)?loss$", r"\1mean_squared_error", objective)

    def objective(self, name: str = "val_loss") -> keras_tuner.Objective:
        """The objective of this name, with its direction.

        Raises:
            ValueError: the model does not report it.
        """
        checks.one_of("objective", name, self.objectives)
        return keras_tuner.Objective(name, self.objectives[name])

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model of one trial."""
        variant = hp_variant(hp, self.variants)
        text = self.symbols is not None
        dtype = "int32" if text else None
        x = sequence = keras.Input(self.input_shape, dtype=dtype, name="sequence")
        inputs: Any = sequence
        mask = None
        if self.masked:
            mask = keras.Input(self.input_shape[:1], dtype="bool", name="mask")
            inputs = {"sequence": sequence, "mask": mask}
        if self.input_statistics is not None:
            x = Standardize(*self.input_statistics, name="standardize")(x)
        if text:
            size = self.embedding.declare(hp, "embedding")
            x = keras.layers.Embedding(self.symbols, size, name="embedding")(x)
        for layer in self._stack(hp, variant):
            x = layer(x, mask=mask) if self.masked else layer(x)
        x = keras.layers.Dense(self.outputs, name="output")(x)
        if self.target_statistics is not None:
            x = Standardize(*self.target_statistics, invert=True, name="raw_output")(x)
        model = keras.Model(inputs, x)
        rate = self.learning_rate.declare(hp, "learning_rate")
        clip = self.clipnorm.declare(hp, "clipnorm")
        if self.batch_size is not None:
            self.batch_size.declare(hp, "batch_size")
        loss: Any = "mean_squared_error"
        if self.classifies:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        elif self.target_statistics is not None:
            loss = StandardizedError(self.target_statistics[1])
        model.compile(
            keras.optimizers.Adam(rate, clipnorm=clip or None),
            loss,
            metrics=self.metrics,
            jit_compile=self.jit_compile,
        )
        return model

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> Any:
        """Train the model of one trial; a trial whose score is no number has failed.

        Raises:
            keras_tuner.errors.FailedTrialError: the loss or a metric is NaN or infinite.
            ValueError: `batch_size` is given here and to the hypermodel.
        """
        if self.batch_size is not None:
            if "batch_size" in kwargs:
                raise ValueError(
                    "`batch_size` is a parameter of the search: give it to the hypermodel, or "
                    "make it None there."
                )
            kwargs["batch_size"] = hp.get("batch_size")
        callbacks = [*kwargs.pop("callbacks", []), StopAtNaN()]
        return model.fit(*args, callbacks=callbacks, **kwargs)
