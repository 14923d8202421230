"""What a search trains on: a task of `klv compare`, or arrays of the user's own."""

import dataclasses
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from keras_lstm_variants import tasks
from keras_lstm_variants.layers.standardize import statistics_of
from keras_lstm_variants.tasks.task import digest, scored_arrays
from keras_lstm_variants.tuning import baselines
from keras_lstm_variants.tuning.arrays import DataError, read_arrays
from keras_lstm_variants.tuning.baselines import SQUARE, Baselines
from keras_lstm_variants.tuning.hypermodel import HEADS

SPLITS = ("train", "valid", "test")
# Beyond it the squares of errors leave float32.
LARGEST = 1e18
MOST_SYMBOLS = 10_000_000
# Of rows without a split of their own.
SHARES = (0.70, 0.15, 0.15)


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Some of the sequences: x, y and, where there is one, the mask (False: skip the step)."""

    x: np.ndarray
    y: np.ndarray
    mask: np.ndarray | None = None

    @property
    def inputs(self) -> Any:
        """What the model is called with."""
        return self.x if self.mask is None else {"sequence": self.x, "mask": self.mask}


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Three splits and what a model must know of them.

    Attributes:
        name, about: for people.
        head: as in `RecurrentHyperModel`.
        outputs, symbols, input_shape: for it, too.
        max_timesteps: the longest dependency that may be learned.
        train, valid, test: the splits.
        sha256: of all arrays.
        baselines: what needs no memory.
        metric: what the test split is scored in; lower is better.
    """

    name: str
    about: str
    head: str
    outputs: int | None
    symbols: int | None
    input_shape: tuple[int | None, ...]
    max_timesteps: int | None
    train: Split = dataclasses.field(repr=False)
    valid: Split = dataclasses.field(repr=False)
    test: Split = dataclasses.field(repr=False)
    sha256: str
    baselines: Baselines
    metric: str

    @property
    def masked(self) -> bool:
        return self.train.mask is not None

    def score(self, scores: dict[str, float]) -> float:
        """The score in the unit of `metric`, from what `evaluate` returned."""
        if self.metric == "bits/char":
            return scores["loss"] / math.log(2)
        if self.metric == "error %":
            return 100 * (1 - scores["accuracy"])
        # Of a model that standardises, the loss is not in the data's own units.
        return scores.get(SQUARE, scores["loss"])

    def statistics(self) -> dict[str, Any]:
        """What `RecurrentHyperModel` standardises with, from the real steps to train on."""
        train, statistics = self.train, {}
        if self.symbols is None:
            statistics["input_statistics"] = statistics_of(train.x, train.mask)
        if self.head in ("regression", "values"):
            mask = train.mask if self.head == "values" else None
            statistics["target_statistics"] = statistics_of(train.y, mask)
        return statistics


def from_task(name: str, *, text: str | None, length: int | None, steps: int) -> Data:
    """A task of `klv compare`; a text is cut into sequences of `steps`."""
    task = tasks.load(name, text_file=text, length=length)
    symbols = None
    if task.kind == "next_symbol":
        symbols = len(task.symbols)
        count = (len(task.train) - 1) // steps
        at = np.arange(count)[:, None] * steps + np.arange(steps)
        train = Split(task.train[at], task.train[at + 1])
        valid, test = (Split(*scored_arrays(task, name)[:2]) for name in SPLITS[1:])
        shape: tuple[int | None, ...] = (None,)
    else:
        train, valid, test = (Split(*getattr(task, name)) for name in SPLITS)
        shape, steps = train.x.shape[1:], train.x.shape[1]
    heads = {"next_symbol": "next_step", "regression": "regression"}
    return Data(
        name=task.name,
        about=task.about,
        head=heads.get(task.kind, "classification"),
        outputs=task.classes or None,
        symbols=symbols,
        input_shape=shape,
        max_timesteps=steps,
        train=train,
        valid=valid,
        test=test,
        sha256=task.sha256,
        baselines=baselines.of_task(task),
        metric=task.metric,
    )


def from_file(path: str, *, head: str | None, seed: int) -> Data:
    """Arrays of a `.npz` file: x, y, and perhaps mask and split.

    Raises:
        DataError: the file cannot be read, or an array has a wrong shape, type or value.
    """
    try:
        return _Reader(path, head, seed).data()
    except DataError as error:
        raise DataError(f"--data {path!r}: {error}") from None


class _Reader:
    def __init__(self, path: str, head: str | None, seed: int) -> None:
        self.path, self.seed = path, seed
        self.arrays = self._read()
        self.x = self._sequences()
        self.mask = self._mask()
        self.head, self.y = self._targets(head)

    def _read(self) -> dict[str, np.ndarray]:
        try:
            arrays = read_arrays(self.path)
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror or 'no .npz file'})") from None
        except DataError:
            raise
        except MemoryError:
            raise DataError("takes more memory than there is") from None
        except (ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
            raise DataError(f"is no .npz file of plain arrays ({error})") from None
        if "x" not in arrays:
            raise DataError("has no array x")
        return arrays

    def _sequences(self) -> np.ndarray:
        x = self.arrays["x"]
        whole = np.issubdtype(x.dtype, np.integer)
        if not (x.ndim == 2 and whole) and not (x.ndim == 3 and _real(x)):
            raise DataError(
                "x must be numbers (N, T, F), with F = 1 for one number a step (`x[..., None]`), "
                f"or integers (N, T). Received: {x.dtype} {x.shape}"
            )
        if 0 in x.shape:
            raise DataError(f"x is empty: {x.shape}")
        mask = self.arrays.get("mask")
        if mask is not None and mask.dtype == bool and mask.shape == x.shape[:2]:
            # What stands at skipped steps means nothing, and may be NaN or -1.
            x = _where(mask, x)
        if x.ndim == 3:
            return _finite("x", x)
        return _counting("x", x, "symbols")

    def _mask(self) -> np.ndarray | None:
        mask = self.arrays.get("mask")
        if mask is None:
            return None
        if mask.dtype != bool or mask.shape != self.x.shape[:2]:
            raise DataError(
                f"mask must be bool {self.x.shape[:2]}, as x. Received: {mask.dtype} {mask.shape}"
            )
        return mask

    def _targets(self, head: str | None) -> tuple[str, np.ndarray]:
        if head not in (None, *HEADS):
            raise DataError(f"--head must be one of {', '.join(HEADS)}. Received: {head!r}")
        if head == "next_step":
            return head, self._next_step()
        y = self.arrays.get("y")
        if y is None:
            raise DataError("has no array y, which only --head next_step does without")
        rows, steps = self.x.shape[:2]
        whole = np.issubdtype(y.dtype, np.integer)
        if y.ndim and len(y) != rows:
            raise DataError(f"x and y must have as many rows. Received: {rows} and {len(y)}")
        wanted = (
            f"y must be integers ({rows},) to classify or ({rows}, {steps}) to label, or numbers "
            f"({rows},) or ({rows}, K) to regress or ({rows}, {steps}, K) for values of every "
            f"step. Received: {y.dtype} {y.shape}"
        )
        if y.ndim not in (1, 2, 3) or not _real(y) or 0 in y.shape:
            raise DataError(wanted)
        if whole and y.shape == (rows, 1) and steps > 1 and head in (None, "classification"):
            raise DataError(f"{wanted}; to classify, leave out the last axis: `y[:, 0]`")
        if head is None:
            if not whole:
                head = "values" if y.ndim == 3 else "regression"
            else:
                head = "classification" if y.ndim == 1 else "labels"
        if head == "regression" and y.ndim < 3:
            return head, _finite("y", y.reshape(rows, -1))
        if head == "values" and y.shape[:2] == (rows, steps):
            y = y.reshape(rows, steps, -1)
            return head, _finite("y", y if self.mask is None else _where(self.mask, y))
        if not whole or y.shape != ((rows,) if head == "classification" else (rows, steps)):
            raise DataError(f"--head {head}: {wanted}")
        if head == "labels" and self.mask is not None:
            y = _where(self.mask, y)
        y = _counting("y", y, "classes")
        if len(np.unique(y if head == "classification" or self.mask is None else y[self.mask])) < 2:
            raise DataError("y has one class only")
        return head, y

    def _hint(self) -> str:
        """What may be meant otherwise than it is read."""
        hints = ""
        if self.head in ("classification", "labels"):
            seen = self.y if self.mask is None or self.y.ndim == 1 else self.y[self.mask]
            if seen.min():
                hints += f" No label is 0: if yours begin with {seen.min()}, subtract it, or one "
                hints += "class stays empty."
        if self.head == "regression" and (self.y == self.y.round()).all():
            hints += " y holds whole numbers only: to classify, give integers (`y.astype(int)`, or "
            hints += "`y.argmax(-1)` of one-hot rows)."
        if self.head == "regression" and 1 < self.y.shape[1] == self.x.shape[1]:
            hints += f" The {self.y.shape[1]} numbers of y are outputs of the whole sequence: if "
            hints += "they are one for each step, give `y[..., None]`."
        if "split" not in self.arrays and _overlap(self.x):
            hints += " The rows are windows that overlap, and are divided at random: give `split`, "
            hints += "earlier rows 0, later ones 1 and 2, or the test rows are known from training."
        for name, array in (("x", self.arrays["x"]), ("y", self.arrays.get("y"))):
            if array is not None and _loses(array, self.x if name == "x" else self.y):
                hints += f" float32 keeps less than 1 % of the differences in {name}: subtract "
                hints += "what is common to its numbers, or give them in other units."
        if self.mask is None and self.x.ndim == 2 and self.head != "next_step":
            ends = (self.x[:, -1] == 0).mean()
            # Padding is at the ends, and there more often than elsewhere.
            if ends > 0.2 and ends > 2 * (self.x[:, 0] == 0).mean():
                hints += " Many rows of x end in 0, a symbol like any other: if it pads, give a "
                hints += "`mask` (N, T), False there."
        return hints

    def _next_step(self) -> np.ndarray:
        if "y" in self.arrays:
            raise DataError("--head next_step takes its targets from x: leave y out")
        if self.x.shape[1] < 2:
            raise DataError("--head next_step needs sequences of two steps or more")
        y = self.x[:, 1:]
        self.x = self.x[:, :-1]
        if self.mask is not None:
            # A step counts where the next one is there, too.
            self.mask = self.mask[:, :-1] & self.mask[:, 1:]
        return y

    def _split(self) -> list[np.ndarray]:
        rows = len(self.x)
        split = self.arrays.get("split")
        if split is None:
            order = np.random.default_rng(self.seed).permutation(rows)
            ends = [round(rows * SHARES[0]), round(rows * (SHARES[0] + SHARES[1]))]
            parts = np.split(order, ends)
        else:
            whole = np.issubdtype(split.dtype, np.integer)
            if not whole or split.shape != (rows,) or not np.isin(split, (0, 1, 2)).all():
                raise DataError(
                    f"split must be integers ({rows},): 0 train, 1 validation, 2 test. "
                    f"Received: {split.dtype} {split.shape}"
                )
            parts = [np.flatnonzero(split == k) for k in range(3)]
        for name, part in zip(SPLITS, parts, strict=True):
            if not len(part):
                raise DataError(f"no sequence is left for the {name} split ({rows} in all)")
            if self.mask is not None and not self.mask[part].any():
                raise DataError(f"the mask leaves no step in the {name} split")
        return parts

    def data(self) -> Data:
        train, valid, test = (
            Split(self.x[rows], self.y[rows], None if self.mask is None else self.mask[rows])
            for rows in self._split()
        )
        symbols = int(self.x.max()) + 1 if self.x.ndim == 2 else None
        if self.head == "next_step" and symbols is not None:
            symbols = max(symbols, int(self.y.max()) + 1)
        classes = self.head in ("classification", "labels")
        outputs = int(self.y.max()) + 1 if classes else self.y.shape[-1]
        arrays = [a for s in (train, valid, test) for a in (s.x, s.y, s.mask) if a is not None]
        metric = "error %" if classes else "mean squared error"
        if self.head == "next_step" and symbols:
            metric = "cross-entropy"
        return Data(
            name=Path(self.path).name,
            about=(
                f"{self.head} of sequences {self.x.shape[1:]}: {len(train.x):,} to train on, "
                f"{len(valid.x):,} valid, {len(test.x):,} test.{self._hint()}"
            ),
            head=self.head,
            outputs=None if self.head == "next_step" else outputs,
            symbols=symbols,
            # Other lengths can be given to the finished model.
            input_shape=(None, *self.x.shape[2:]),
            max_timesteps=self.x.shape[1] if self.x.shape[1] > 2 else None,
            train=train,
            valid=valid,
            test=test,
            sha256=digest(arrays),
            baselines=baselines.of_arrays(self.head, symbols, train, valid, test),
            metric=metric,
        )


def _real(array: np.ndarray) -> bool:
    return np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    """As float32, or an error that says where a value is none."""
    with np.errstate(over="ignore"):
        array = array.astype("float32")
    bad = np.argwhere(~(np.abs(array) <= LARGEST))
    if len(bad):
        place = ", ".join(map(str, bad[0]))
        raise DataError(
            f"{name}[{place}] is {array[tuple(bad[0])]}, one of {len(bad):,} values of {name} "
            f"that are no numbers up to {LARGEST:g}"
        )
    return array


def _where(mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    mask = mask.reshape(*mask.shape, *[1] * (array.ndim - mask.ndim))
    return np.where(mask, array, np.zeros((), array.dtype))


def _counting(name: str, array: np.ndarray, what: str) -> np.ndarray:
    """As int32, or an error unless its integers are symbols or classes 0, 1, ..."""
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise DataError(f"{name} has the negative integer {low}: {what} are 0, 1, ...")
    if high >= MOST_SYMBOLS:
        # A vector of 32 numbers and Adam's two of the same size.
        raise DataError(
            f"{name} has the integer {high}: {high + 1:,} {what}, of which there may be "
            f"{MOST_SYMBOLS:,}; their vectors of 32 numbers alone would take "
            f"{(high + 1) * 32 * 4 * 3:,} bytes in training. Number those that occur: "
            f"`np.unique({name}, return_inverse=True)`"
        )
    return array.astype("int32")


def _overlap(x: np.ndarray) -> bool:
    """Whether each row is the one before it, moved by a step."""
    if len(x) < 3 or x.shape[1] < 3 or (x == x[:1]).all():
        return False
    return bool((x[1:, :-1] == x[:-1, 1:]).all())


def _loses(given: np.ndarray, kept: np.ndarray) -> bool:
    """Whether most of what differs among numbers is lost in float32."""
    if kept.dtype != np.float32 or given.dtype.itemsize <= 4:
        return False
    numbers = given[np.isfinite(given)]
    spread = float(numbers.std(dtype="float64"))
    return 0 < spread < 100 * float(np.abs(numbers.astype("float32") - numbers).max())
