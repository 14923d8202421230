"""What `fit` and its like are given: looked at before it is worked with."""

import functools
import inspect
import itertools
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.backend import datasets
from keras_lstm_variants.core import checks

# Around what a look at a batch has to say.
_MARK = "<klv>"


def checked(name: str) -> Callable[..., Any]:
    """The method of `keras.Model`, which looks at its data first.

    Arrays are looked at before any work, and of data sets and generators each batch when it is
    made, outside of the compiled step, where an assertion would be dropped.
    """
    own = getattr(keras.Model, name)
    signature = inspect.signature(own)

    @functools.wraps(own)
    def method(model: Any, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(model, *args, **kwargs)
        given = bound.arguments
        for argument in ("y", "sample_weight", "class_weight"):
            _refuse(model, argument, given.get(argument))
        # Of the validation inside `fit` the data are made, and looked at, already.
        if "_use_cached_eval_dataset" not in given.get("kwargs", {}):
            given["x"] = _looked_at(model, "x", given.get("x"))
            if name in ("fit", "train_on_batch"):
                _build_optimizer(model)
        if given.get("validation_data") is not None:
            x, *others = keras.utils.unpack_x_y_sample_weight(given["validation_data"])
            for argument, value in zip(("y", "sample_weight"), others, strict=True):
                _refuse(model, argument, value)
            given["validation_data"] = (_looked_at(model, "validation_data", x),)
        try:
            return own(*bound.args, **bound.kwargs)
        except Exception as error:
            # What a look at a batch said comes as an error of TensorFlow's.
            said = re.search(f"{_MARK}(.*?){_MARK}", str(error), re.DOTALL)
            if said is None:
                raise
            raise ValueError(said[1].replace("\\'", "'")) from error

    return method


def parts(model: Any, x: Any, mask: Any = None) -> tuple[Any, Any]:
    """x and its mask, or None, of what the model is called with, or a `ValueError`."""
    if isinstance(x, dict):
        keys = {"x", "mask"} if model.takes_mask else {"x"}
        if not {"x"} <= set(x) <= keys:
            may = ' and may have "mask"' if model.takes_mask else " alone"
            raise ValueError(
                f'A dict for `x` must have the key "x"{may}. Received: the keys {sorted(x)}'
            )
        x, mask = x["x"], mask_of(x, mask)
    elif isinstance(mask, dict):
        mask = mask["x"]
    if mask is not None and not model.takes_mask:
        raise ValueError(f"{model.name} takes no `mask`. Received: mask={mask!r}")
    return x, mask


def mask_of(x: Any, mask: Any) -> Any:
    """The mask in the dict x, if there is one, or `mask`, of which Keras makes a dict then."""
    if not isinstance(x, dict):
        return mask
    return x.get("mask", mask["x"] if isinstance(mask, dict) else mask)


def arrays(model: Any, x: Any, mask: Any = None, name: str = "x") -> dict[str, np.ndarray]:
    """x, and the mask if there is one, as arrays, after all checks."""
    x, mask = parts(model, x, mask)
    x = _array(name, x)
    if x.dtype.kind not in "fiub" and x.dtype.name != "bfloat16":
        raise ValueError(f"`{name}` must be real numbers. Received: {name} of the type {x.dtype}")
    checks.shape(name, x.shape, model.shape_of_x)
    if not x.size:
        raise ValueError(f"`{name}` must not be empty. Received: {name} of shape {x.shape}")
    if mask is not None:
        mask = _array("mask", mask)
        checks.shape("mask", mask.shape, x.shape[:2])
        if mask.dtype != bool:
            raise ValueError(f"`mask` must be of the type bool. Received: {mask.dtype}")
    model.observation.check(name, x if mask is None else x[mask])
    return {"x": x} if mask is None else {"x": x, "mask": mask}


def _array(name: str, value: Any) -> np.ndarray:
    try:
        found = value if isinstance(value, np.ndarray) else ops.convert_to_numpy(value)
    except (TypeError, ValueError):
        found = np.array(None)
    if not isinstance(found, np.ndarray) or found.dtype == object:
        raise ValueError(f"`{name}` must be an array of numbers. Received: {type(value).__name__}")
    return found


def _looked_at(model: Any, name: str, x: Any) -> Any:
    """The data, or what gives them batch by batch after a look at each."""
    if datasets.is_distributed(x):
        return x  # divided already: nothing can be put between
    if datasets.is_dataset(x):
        return _dataset(model, x)
    if isinstance(x, keras.utils.PyDataset):
        if not model.built:
            _build(model, _batch(model, x[0]).shape)
        return _Batches(model, x)
    if inspect.isgenerator(x):
        first = list(itertools.islice(x, 1))
        for batch in first:
            _build(model, _batch(model, batch).shape)
        return (_passed(model, batch) for batch in itertools.chain(first, x))
    if _is_loader(x):
        _build(model, _batch(model, next(iter(x))).shape)
        return x
    found = arrays(model, x, name=name)
    _build(model, found["x"].shape)
    return found if isinstance(x, dict) else found["x"]


def _build(model: Any, shape: Any) -> None:
    """Make the weights now: those that a graph makes are lost if it fails while it is made."""
    if not model.built:
        with model.distribute_strategy.scope():
            model.build((None, *shape[1:]))


def _build_optimizer(model: Any) -> None:
    optimizer = getattr(model, "optimizer", None)
    if model.built and optimizer is not None and not optimizer.built:
        with model.distribute_strategy.scope():
            optimizer.build(model.trainable_variables)


def _is_loader(x: Any) -> bool:
    """Whether it is a `DataLoader` of torch, of which Keras makes batches itself."""
    return type(x).__module__.split(".")[0] == "torch" and hasattr(x, "dataset")


def _batch(model: Any, batch: Any) -> np.ndarray:
    """x of a batch, after a look at it."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    _refuse(model, "y", y)
    _refuse(model, "sample_weight", sample_weight)
    return arrays(model, x)["x"]


def _passed(model: Any, batch: Any) -> Any:
    """The batch, after a look at it inside of what TensorFlow runs."""
    try:
        _batch(model, batch)
    except ValueError as error:
        raise ValueError(f"{_MARK}{error}{_MARK}") from error
    return batch


class _Batches(keras.utils.PyDataset):
    """Those of another one, each after a look at it."""

    def __init__(self, model: Any, batches: keras.utils.PyDataset) -> None:
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self.model, self.batches = model, batches

    @property
    def num_batches(self) -> int | None:
        return self.batches.num_batches

    def __getitem__(self, index: int) -> Any:
        return _passed(self.model, self.batches[index])

    def on_epoch_begin(self) -> None:
        self.batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()


def _dataset(model: Any, dataset: Any) -> Any:
    """The data set, whose shapes are known and whose batches are looked at as they are made."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(dataset.element_spec)
    _refuse(model, "y", y)
    _refuse(model, "sample_weight", sample_weight)
    x, mask = parts(model, x)
    if x.shape.rank is not None:
        checks.shape("x", x.shape, model.shape_of_x)
        _build(model, x.shape)
    if mask is not None and mask.dtype != "bool":
        raise ValueError(f"`mask` must be of the type bool. Received: {mask.dtype.name}")

    def looked_at(*batch: Any) -> Any:
        given = keras.utils.unpack_x_y_sample_weight(batch if len(batch) > 1 else batch[0])[0]
        x, mask = parts(model, given)
        x = datasets.of_shape(x, model.shape_of_x)
        real = x
        if mask is not None:
            mask = datasets.of_shape(mask, (None, None))
            # Not broadcast: a mask of another size is an error.
            on = ops.reshape(mask, ops.shape(x)[:2])
            real = ops.where(on[..., None], x, ops.zeros_like(x))
        low, high = model.observation.limits
        fits = ops.all((real >= ops.cast(low, x.dtype)) & (real <= ops.cast(high, x.dtype)))
        said = model.observation.requirement("x")
        said = f"{_MARK}{said} Received: numbers from {{}} to {{}}{_MARK}"
        x = datasets.required(x, fits, said, ops.min(real), ops.max(real))
        return {**given, "x": x} if isinstance(given, dict) else x

    return dataset.map(looked_at)


def _refuse(model: Any, name: str, value: Any) -> None:
    if value is not None:
        raise ValueError(
            f"{model.name} learns to model x alone: `{name}` must be None. "
            f"Received: {name}={_short(value)}"
        )


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"{type(value).__name__} of shape {tuple(shape)}"
