"""One run of a comparison: the model, the batches, the training and the scores."""

import inspect
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_lstm_variants.compare.settings import Run, Settings
from keras_lstm_variants.core.initializers import PerGate
from keras_lstm_variants.core.registry import get_variant
from keras_lstm_variants.tasks import Task
from keras_lstm_variants.tasks.task import scored_arrays

# Between two reports from within an epoch; and steps before the first one.
_REPORT_SECONDS, _WARM_UP = 1.0, 5


def make_layer(variant: str, settings: Settings, task: Task, **kwargs: Any) -> Any:
    """A layer of this variant, with each gate's weights drawn alike in every variant."""
    layer_class = get_variant(variant)
    known = inspect.signature(layer_class).parameters
    draws = {"kernel_initializer": "glorot_uniform", "recurrent_initializer": "orthogonal"}
    for name, draw in draws.items():
        if name in known:
            kwargs[name] = PerGate(draw, settings.units)
    if settings.forget_bias is not None and layer_class.cell_class.forget_gate:
        kwargs["forget_bias"] = settings.forget_bias
        if settings.forget_bias == "chrono":
            kwargs["max_timesteps"] = settings.length(task)
    return layer_class(settings.units, **kwargs)


def make_model(variant: str, settings: Settings, task: Task) -> keras.Model:
    """Embedding (text only), recurrent layers, one dense layer."""
    text = task.kind == "next_symbol"
    if text:
        x = inputs = keras.Input((None,), dtype="int32", name="symbols")
        x = keras.layers.Embedding(len(task.symbols), settings.embedding, name="embedding")(x)
    else:
        x = inputs = keras.Input(task.train[0].shape[1:], name="sequence")
    for k in range(settings.layers):
        last = k == settings.layers - 1
        layer = make_layer(
            variant, settings, task, return_sequences=text or not last, name=f"recurrent_{k}"
        )
        x = layer(x)
    if settings.dropout:
        x = keras.layers.Dropout(settings.dropout)(x)
    width = {"next_symbol": len(task.symbols), "regression": 1}.get(task.kind, task.classes)
    return keras.Model(inputs, keras.layers.Dense(width, name="output")(x))


class Batches(keras.utils.PyDataset):
    """Batches of one fixed shape, so that XLA compiles once; drawn anew in every epoch."""

    def __init__(self, task: Task, settings: Settings, seed: int) -> None:
        super().__init__()
        self.task, self.settings = task, settings
        self.random = np.random.default_rng(seed)
        self.sequences = settings.sequences(task)
        self.on_epoch_end()

    def __len__(self) -> int:
        return self.sequences // self.settings.batch

    def on_epoch_end(self) -> None:
        """Shuffle; a text is also cut at other places, so that no boundary is special."""
        order = self.random.permutation(self.sequences)
        if self.task.kind == "next_symbol":
            steps = self.settings.steps
            starts = self.random.integers(steps) + order * steps
            at = starts[:, None] + np.arange(steps)
            self.x, self.y = self.task.train[at], self.task.train[at + 1]
        else:
            self.x, self.y = (split[order] for split in self.task.train)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(index * self.settings.batch, (index + 1) * self.settings.batch)
        return self.x[rows], self.y[rows]


def score(scorer: keras.Model, task: Task, split: str) -> float:
    """The task's metric on one split, by a model of `make_scorer`; lower is better."""
    x, y, batch = scored_arrays(task, split)
    value = scorer.evaluate(x, y, batch_size=batch, verbose=0, return_dict=True)
    if task.kind == "next_symbol":
        return value["loss"] / math.log(2)
    return value["loss"] if task.kind == "regression" else 100 * (1 - value["accuracy"])


def loss_and_metrics(task: Task) -> tuple[Any, list[str]]:
    if task.kind == "regression":
        return "mean_squared_error", []
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return loss, ["accuracy"] if task.kind == "classification" else []


def compile_model(model: keras.Model, task: Task, settings: Settings, updates: int) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, updates - updates // 20),
        warmup_target=settings.learning_rate,
        warmup_steps=updates // 20,
    )
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    loss, metrics = loss_and_metrics(task)
    model.compile(optimizer, loss, metrics=metrics, jit_compile=settings.jit)


def make_scorer(model: keras.Model, task: Task) -> keras.Model:
    """The same model, never compiled by XLA: each split would cost a compilation of its own."""
    scorer = keras.Model(model.inputs, model.outputs)
    loss, metrics = loss_and_metrics(task)
    scorer.compile(loss=loss, metrics=metrics, jit_compile=False)
    return scorer


class Diverged(RuntimeError):
    """The loss is no longer a number."""


class _Epochs(keras.callbacks.Callback):
    """Scores validation after every epoch, keeps the best weights, reports progress."""

    def __init__(
        self, scorer: keras.Model, task: Task, batches: int, report: Callable[[dict], None]
    ) -> None:
        super().__init__()
        self.scorer, self.task, self.batches, self.report = scorer, task, batches, report
        self.reported = 0.0
        self.score_seconds = math.inf
        self.curve: list[dict[str, float]] = []
        self.best_weights: list[np.ndarray] = []
        self.best = math.inf
        self.step_seconds: list[float] = []

    def epoch_seconds(self) -> float:
        """What an epoch takes, without compilation, which is in the first step."""
        scoring = self.score_seconds if self.curve else 0.0
        return float(np.median(self.step_seconds[1:])) * self.batches + scoring

    def on_train_begin(self, logs: Any = None) -> None:
        how = "with XLA" if self.model.jit_compile else "without XLA"
        self.report({"stage": f"compiling the training step, {how}"})

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        self.step_seconds.append(now - self.started)
        if len(self.step_seconds) > _WARM_UP and now - self.reported > _REPORT_SECONDS:
            self.reported = now
            part = self.epoch + (batch + 1) / self.batches
            self.report({"epochs": part, "epoch_seconds": self.epoch_seconds()})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.curve:
            self.report({"stage": "compiling the scoring"})
        started = time.perf_counter()
        valid = score(self.scorer, self.task, "valid")
        self.score_seconds = min(self.score_seconds, time.perf_counter() - started)
        train = logs["loss"] / (math.log(2) if self.task.kind == "next_symbol" else 1)
        if not math.isfinite(valid) or not math.isfinite(train):
            raise Diverged(f"the loss is no longer a number in epoch {epoch + 1}")
        self.curve.append({"epoch": epoch + 1, "train_loss": train, "valid": valid})
        if valid < self.best:
            self.best, self.best_weights = valid, self.model.get_weights()
        scores = {"epoch": epoch + 1, "valid": valid, "best": self.best}
        self.report({"epochs": epoch + 1, "epoch_seconds": self.epoch_seconds(), **scores})


def train(
    run: Run,
    settings: Settings,
    task: Task,
    report: Callable[[dict[str, Any]], None] = lambda progress: None,
) -> tuple[keras.Model, dict[str, Any]]:
    """Train one run and score it: test only once, at the epoch that validation chose.

    Args:
        run: the variant and its seed.
        settings: what all runs of the comparison share.
        task: the data.
        report: called with a `stage` in words, as compilation begins; with `epochs`, a number
            that grows by 1 in each epoch, and `epoch_seconds`, about every second; after every
            epoch with `epoch`, `valid` and `best` as well.

    Returns:
        The model at its best epoch and the run's record.

    Raises:
        Diverged: the loss became NaN or infinite.
    """
    started = time.perf_counter()
    keras.utils.set_random_seed(run.seed)
    batches = Batches(task, settings, run.seed)
    model = make_model(run.variant, settings, task)
    compile_model(model, task, settings, updates=len(batches) * settings.epochs)
    scorer = make_scorer(model, task)
    epochs = _Epochs(scorer, task, len(batches), report)
    model.fit(batches, epochs=settings.epochs, shuffle=False, verbose=0, callbacks=[epochs])
    model.set_weights(epochs.best_weights)
    report({"stage": "scoring the test split"})
    test = score(scorer, task, "test")
    record = {
        "variant": run.variant,
        "seed": run.seed,
        "parameters": model.count_params(),
        "valid": epochs.best,
        "test": test,
        "best_epoch": min(epochs.curve, key=lambda row: row["valid"])["epoch"],
        "epochs": settings.epochs,
        "ms_per_step": 1000 * float(np.median(epochs.step_seconds)),
        "seconds": time.perf_counter() - started,
        "curve": epochs.curve,
    }
    return model, record
