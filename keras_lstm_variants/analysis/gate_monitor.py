"""The callback `GateMonitor`: what the gates do while a model is trained."""

import os
import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.analysis import gate_statistics as statistics
from keras_lstm_variants.analysis.gate_history import Histories, Recorder
from keras_lstm_variants.analysis.heat_image import heat_image
from keras_lstm_variants.backend import graphs, tensorboard
from keras_lstm_variants.core import checks
from keras_lstm_variants.core.state import states_of
from keras_lstm_variants.layers.paths import walk
from keras_lstm_variants.layers.stateful import unchanged

# A histogram is made of at most so many values, evenly chosen.
_VALUES = 5_000


class GateMonitor(keras.callbacks.Callback):
    """Watches the gates of all recurrent layers of this package while a model is trained.

    At each measurement the model, as it is then, reads the same small sample. The numbers go
    into the `History` that `fit` returns, once the epoch's line is printed, and to TensorBoard;
    with `logs=True` also to the callbacks behind this one. With `lstm` for the path of a layer,
    as in `klv.gate_history`:

    - `lstm/f/saturated_low` and `lstm/f/saturated_high`, for each gate: the share of its values,
      over rows, steps and units, below `low` and above `high`.
    - `lstm/f/half_life`, for the gate that keeps the memory or overwrites it: the steps until
      half of the memory is left, median over units (see `klv.plots.time_constants`).
    - `lstm/c/norm`, for each state: its mean norm, over rows and steps.
    - `lstm/gradient_norm`, with `y`: the norm of the loss's gradient by the layer's weights.

    TensorBoard also gets histograms, `lstm/f/values` and `lstm/f/half_lives`, and heat maps of the
    sample's first row, units down and steps across: `lstm/f/map`. Grey is masked.

    Training is not affected: kept states, statistics, metrics and the random numbers of the
    model's layers stay as they are. Masked steps do not count.

    Args:
        x: the sample, as the model is called with it: an array (rows, ...), or a structure of
            arrays. One measurement costs about three training steps on the sample; 16 rows are
            usually enough. A stateful model needs its batch size.
        y: the targets of the sample, for the gradient norms.
        log_dir: the folder for TensorBoard. None: nothing is written.
        every: measure at the end of each epoch, `"epoch"`; or a number n: then, for TensorBoard,
            also after every n batches, or the next time that Keras reports
            (`steps_per_execution`). TensorBoard's steps are epochs from 0; or batches, as the
            optimizer counts them.
        low: a gate counts as closed below it, in [0, 1].
        high: a gate counts as open above it, in [low, 1].
        images: whether to write heat maps.
        history: whether the numbers go into the `History`; those of the last epoch do so at the
            end of the training.
        logs: whether they also go into the logs of the epoch: for callbacks behind this one, as a
            `CSVLogger` or an `EarlyStopping`. Then the line that `fit` prints for the epoch shows
            all of them.

    Raises:
        ValueError: an argument is out of its range; and at the start of `fit`, before the first
            batch: the model has no layer of this package, or x or y do not fit it.

    Example:
        >>> import keras, numpy as np, keras_lstm_variants as klv
        >>> model = keras.Sequential([keras.Input((5, 3)), klv.LSTM(4, name="lstm")])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 5, 3)), np.zeros((8, 4))
        >>> monitor = klv.callbacks.GateMonitor(x[:4], y[:4])
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[monitor]).history
        >>> len(history["lstm/f/half_life"]), "lstm/gradient_norm" in history
        (2, True)
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        log_dir: str | os.PathLike[str] | None = None,
        every: str | int = "epoch",
        low: float = 0.1,
        high: float = 0.9,
        images: bool = True,
        history: bool = True,
        logs: bool = False,
    ) -> None:
        super().__init__()
        if not (isinstance(every, str) and every == "epoch"):
            try:
                every = checks.positive_integer("every", every)
            except ValueError as error:
                raise ValueError(
                    f'`every` must be "epoch" or a positive integer. Received: every={every!r}'
                ) from error
        if log_dir is not None:
            _check_folder("log_dir", log_dir)
        _check_sample("x", x)
        if y is not None:
            _check_sample("y", y)
        self.x, self.y = x, y
        self.log_dir = log_dir
        self.every = every
        self.low, self.high = checks.limits(low, high)
        self.images = checks.flag("images", images)
        self.history = checks.flag("history", history)
        self.logs = checks.flag("logs", logs)
        if logs and not history:
            raise ValueError(
                "`history` must be True with `logs=True`: Keras puts what is in the logs into the "
                "`History`. Received: logs=True, history=False"
            )
        # Keras need not wait for each batch where nothing is done after it.
        self.async_safe = every == "epoch"
        self.batches = 0
        self._before = 0  # batches before this epoch
        self._recorder: Recorder | None = None
        self._compiled: tuple[Any, Any] | None = None
        # The gates of each layer, as found at first, so that no list of the History begins later
        # than the others.
        self._gates: dict[str, list[str]] = {}
        self._writer: tensorboard.Writer | None = None
        self._latest: dict[str, float] = {}
        self._measured = -1
        self._waiting: dict[str, float] = {}  # for the History

    def on_train_begin(self, logs: Any = None) -> None:
        self._waiting = {}  # of a training that was interrupted
        # Compiled again, the model may have other layers, another loss, and train other weights.
        if self._compiled != (self.model, self.model.train_function):
            if not self.model.built:
                self._build()
            self._recorder = Recorder(self.model)
            self._gradients = self._traced_gradients
            if not self.model.run_eagerly:
                self._gradients = graphs.compiled(self._traced_gradients)
            self._compiled, self._gates = (self.model, self.model.train_function), {}
        # Builds the graphs, too.
        shape = getattr(self.model, "input_shape", None)
        self._try("x", self.x, self._histories, f"the model's input, {shape}")
        if self.y is not None:
            self._try("y", self.y, self._gradient_norms, "the model's output and loss")
        # A run that goes on from a file goes on with its steps, too.
        done = getattr(getattr(self.model, "optimizer", None), "iterations", 0)
        self.batches = max(self.batches, int(done))
        if self.log_dir is not None and self._writer is None:
            self._writer = tensorboard.Writer(os.fspath(self.log_dir))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._before = self.batches
        self._into_history()

    def on_train_end(self, logs: Any = None) -> None:
        self._into_history()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # `batch` is the last one of those that Keras ran at once.
        last, self.batches = self.batches, self._before + batch + 1
        if self.every == "epoch" or self._writer is None:
            return
        if self.batches // self.every > last // self.every:
            self._measure(self.batches)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        step = epoch if self.every == "epoch" else self.batches
        if self.every == "epoch" or self._measured != step:
            self._measure(step)
        if self.logs and logs is not None:
            logs.update(self._latest)
        elif self.history:
            self._waiting = self._latest

    def _into_history(self) -> None:
        """Add the numbers of the last epoch: in its logs the progress bar would show them all."""
        waiting, self._waiting = self._waiting, {}
        if waiting and isinstance(getattr(self.model, "history", None), keras.callbacks.History):
            for name, value in waiting.items():
                self.model.history.history.setdefault(name, []).append(value)

    def _build(self) -> None:
        """Build a model whose first batch would do so, without computing anything."""
        fixed = any(getattr(layer, "stateful", False) for _, layer in walk(self.model))

        def symbol(value: Any, any_time: bool) -> Any:
            value = ops.convert_to_tensor(value)
            batch, *sizes = value.shape
            if any_time and sizes:
                sizes[0] = None
            dtype = keras.backend.standardize_dtype(value.dtype)
            return keras.KerasTensor((batch if fixed else None, *sizes), dtype)

        def build(model: Any, any_time: bool) -> None:
            model(keras.tree.map_structure(lambda v: symbol(v, any_time), self.x))

        # A Sequential keeps the length with which it is built, and `fit` may get others. Where a
        # length must be known, it is that of the sample.
        any_time = isinstance(self.model, keras.Sequential)
        if any_time:
            drawn = random.getstate()  # from which Keras takes its seeds
            try:
                build(keras.models.clone_model(self.model), True)
            except Exception:
                any_time = False
            random.setstate(drawn)
        self._try("x", self.x, lambda: build(self.model, any_time), "the model's input")

    def _try(self, name: str, value: Any, run: Callable[[], Any], wanted: str) -> None:
        try:
            run()
        except Exception as error:
            shapes = keras.tree.map_structure(np.shape, value)
            raise ValueError(
                f"`{name}` of GateMonitor must fit {wanted}. Received: {name} of the shape "
                f"{shapes}. It failed with: {error}"
            ) from error

    def _measure(self, step: int) -> dict[str, float]:
        """The numbers as they are now; TensorBoard gets them, too, if it has a folder."""
        histories = self._histories()
        numbers, lives = self._numbers(histories)
        if self.y is not None:
            numbers |= self._gradient_norms()
        if self._writer is not None:
            values = {
                f"{path}/{name}/values": _some(v)
                for path, history in histories.items()
                for name, v in history.items()
            }
            self._writer.write(step, numbers, values | lives, self._maps(histories))
        self._latest, self._measured = numbers, step
        return numbers

    def _numbers(self, histories: Histories) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        numbers: dict[str, float] = {}
        lives: dict[str, np.ndarray] = {}
        for path, history in histories.items():
            cell, mask = history.cell, history.mask
            gates = self._gates.setdefault(path, statistics.gates_of(history))
            for gate in gates:
                closed, opened = statistics.saturated(history[gate], self.low, self.high)
                numbers[f"{path}/{gate}/saturated_low"] = float(np.mean(closed))
                numbers[f"{path}/{gate}/saturated_high"] = float(np.mean(opened))
            if getattr(cell, "forget_gate", None):
                kept = statistics.kept_shares(history, *cell.forget_gate)
                for gate, values in kept.items():
                    of_units = statistics.half_lives(values)
                    numbers[f"{path}/{gate}/half_life"] = float(np.median(of_units))
                    lives[f"{path}/{gate}/half_lives"] = of_units[np.isfinite(of_units)]
            counters = [state.name for state in states_of(cell) if state.kind == "counter"]
            for name in history.states:
                if name not in (*gates, *counters):
                    values = history[name]
                    on = np.ones(values.shape[:2], bool) if mask is None else mask
                    norms = statistics.norms(values, on)
                    numbers[f"{path}/{name}/norm"] = float(norms.mean()) if norms.size else np.nan
        return numbers, lives

    def _maps(self, histories: Histories) -> dict[str, np.ndarray]:
        if not self.images:
            return {}
        return {
            f"{path}/{name}/map": heat_image(v[0], one_sided=name in gates)
            for path, history in histories.items()
            for gates in [statistics.gates_of(history)]
            for name, v in history.items()
        }

    def _histories(self) -> Histories:
        return self._recorder(self.x)

    def _gradient_norms(self) -> dict[str, float]:
        sample = keras.tree.map_structure(ops.convert_to_tensor, (self.x, self.y))
        with unchanged(self.model):
            norms = self._gradients(*sample)
        return {name: float(value) for name, value in norms.items()}

    def _traced_gradients(self, x: Any, y: Any) -> dict[str, Any]:
        layers = {p: la for la, p in self._recorder.paths.items() if la.trainable_weights}

        def loss() -> Any:
            y_pred = self.model(x, training=False)
            return self.model.compute_loss(x=x, y=y, y_pred=y_pred, training=False)

        weights = [w for layer in layers.values() for w in layer.trainable_weights]
        slopes = iter(graphs.weight_gradients(loss, weights))
        return {
            f"{path}/gradient_norm": _norm([next(slopes) for _ in layer.trainable_weights])
            for path, layer in layers.items()
        }


def _check_folder(name: str, path: Any) -> None:
    """A `ValueError` unless it may be the path of a folder, which need not exist."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    if not text or "\0" in text:
        raise ValueError(
            f"`{name}` must be None or the path of a folder. Received: {name}={path!r}"
        )
    if os.path.exists(text) and not os.path.isdir(text):
        raise ValueError(f"`{name}` must be a folder, and is a file. Received: {name}={path!r}")


def _check_sample(name: str, value: Any) -> None:
    """A `ValueError` unless it is an array (rows, ...), or a structure of arrays."""
    leaves = keras.tree.flatten(value)
    symbolic = any(isinstance(leaf, keras.KerasTensor) for leaf in leaves)
    if not leaves or symbolic or not all(len(getattr(leaf, "shape", ())) for leaf in leaves):
        raise ValueError(
            f"`{name}` must be an array (rows, ...), or a structure of arrays, as the model is "
            f"called with them. Received: {name}={value!r}"
        )


def _norm(tensors: list[Any]) -> Any:
    return ops.sqrt(sum(ops.sum(ops.square(ops.cast(t, "float32"))) for t in tensors))


def _some(values: np.ndarray) -> np.ndarray:
    """Some of the values, without NaN."""
    values = values.ravel()
    # An odd stride visits all units, whose number is often a power of two.
    chosen = values[:: -(-values.size // _VALUES) | 1]
    return chosen[np.isfinite(chosen)]
