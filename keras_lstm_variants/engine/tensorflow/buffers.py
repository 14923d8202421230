"""What one loop writes step by step and another reads.

XLA keeps a sequence in one piece of memory. Columns of several gates then go into separate
sequences: reading a gate out of the middle of a row costs more than computing with it.
Without XLA a sequence is a list of tensors, written and read without a copy, unless it is
to be `dense`.
"""

from typing import Any

import tensorflow as tf

Buffer = list[Any]  # TensorArrays while it is written, arrays or tensors when it is closed


class Layout:
    """How a tensor (batch, ...) is kept at each step.

    Args:
        shape, dtype: of the tensor; the batch size may be None.
        dense: whether a closed history is one tensor, as XLA needs it.
        width: of the blocks of columns that a dense history keeps apart. None: none.
    """

    def __init__(self, shape: Any, dtype: Any, dense: bool, width: int | None = None) -> None:
        self.dtype = dtype
        self.dense = dense
        self.shape = tf.TensorShape(shape)
        columns = self.shape[-1] if self.shape.rank == 2 else None
        apart = dense and width and columns and columns % width == 0
        self.pieces = columns // width if apart else 1
        self.piece_shape = tf.TensorShape(
            [*self.shape[:-1], width] if self.pieces > 1 else self.shape
        )

    def empty(self, length: Any) -> Buffer:
        """A history to write into, one step at a time."""
        return [
            tf.TensorArray(self.dtype, length, element_shape=self.piece_shape)
            for _ in range(self.pieces)
        ]

    def write(self, history: Buffer, time: Any, value: Any) -> Buffer:
        return [h.write(time, v) for h, v in zip(history, self.cut(value), strict=True)]

    def close(self, history: Buffer) -> Buffer:
        """What has been written, in a form that may leave a compiled function."""
        return [h.stack() for h in history] if self.dense else history

    def filled(self, values: Any) -> Buffer:
        """A closed history of the values (time, batch, ...)."""
        pieces = self.cut(values)
        if self.dense:
            return pieces
        arrays = self.empty(tf.shape(values)[0])
        return [a.unstack(p) for a, p in zip(arrays, pieces, strict=True)]

    def read(self, history: Buffer, time: Any) -> Any:
        """One step of a closed history."""
        return self.joined([h[time] if self.dense else h.read(time) for h in history])

    def chunk(self, history: Buffer, start: Any, length: Any) -> Any:
        """Some steps of a closed history: (length, batch, ...)."""
        if self.dense:
            return self.joined([steps_of(h, start, length) for h in history])
        return self.joined([self._gathered(h, start, length) for h in history])

    def _gathered(self, array: tf.TensorArray, start: Any, length: Any) -> Any:
        """Some elements of an array, read one by one.

        TensorFlow's vectorisation swaps the axes of what `TensorArray.gather` returns.
        """
        part = tf.TensorArray(self.dtype, length, element_shape=self.piece_shape)
        *_, part = tf.while_loop(
            lambda k, _: k < length,
            lambda k, part: (k + 1, part.write(k, array.read(start + k))),
            (tf.constant(0), part),
            parallel_iterations=1,
        )
        return part.stack()

    def whole(self, history: Buffer) -> Any:
        """All steps of a closed history."""
        return self.joined([h if self.dense else h.stack() for h in history])

    def cut(self, values: Any) -> list[Any]:
        """Values of one or many steps in the pieces in which they are kept."""
        return tf.split(values, self.pieces, axis=-1) if self.pieces > 1 else [values]

    def at(self, pieces: list[Any], time: Any) -> Any:
        """One step of many that have been cut."""
        return self.joined([piece[time] for piece in pieces])

    def joined(self, pieces: list[Any]) -> Any:
        """The value whose pieces these are."""
        return tf.concat(pieces, axis=-1) if self.pieces > 1 else pieces[0]


def steps_of(values: Any, start: Any, length: Any, axis: int = 0) -> Any:
    """Steps start ... start + length - 1 of values whose time is `axis`."""
    # Sizes are named: for a size of -1, XLA copies the whole sequence.
    starts, lengths, shape = [0] * values.shape.rank, sizes(values), values.shape.as_list()
    starts[axis], lengths[axis] = start, length
    shape[axis] = length if isinstance(length, int) else None
    part = tf.slice(values, starts, lengths)
    part.set_shape(shape)
    return part


def empty_list(length: Any, shape: list[Any], dtype: Any) -> tf.TensorArray:
    """A list for tensors of this shape, whose sizes may be tensors."""
    known = [size if isinstance(size, int) else None for size in shape]
    return tf.TensorArray(dtype, length, element_shape=known)


def stacked(array: tf.TensorArray, shape: list[Any]) -> Any:
    """The tensors of a list, which may be empty, in one; `shape` is that of each."""
    if array.element_shape.is_fully_defined():
        return array.stack()
    # TensorArray.stack would not know what an empty list is to become.
    whole = tf.raw_ops.TensorListStack(
        input_handle=array.flow, element_shape=tf.stack(shape), element_dtype=array.dtype
    )
    whole.set_shape([None, *array.element_shape])
    return whole


def sizes(values: Any) -> list[Any]:
    """The dimensions, numbers as far as they are known."""
    known = values.shape.as_list()
    if None not in known:
        return known
    found = tf.unstack(tf.shape(values))
    return [now if size is None else size for size, now in zip(known, found, strict=True)]


# The same for several values, some of which may have no place to be kept.


def write(layouts: list[Layout], histories: list[Buffer], time: Any, values: list[Any]) -> Any:
    return [
        la.write(h, time, v) if h else h
        for la, h, v in zip(layouts, histories, values, strict=True)
    ]


def close(layouts: list[Layout], histories: list[Buffer]) -> list[Buffer]:
    return [la.close(h) for la, h in zip(layouts, histories, strict=True)]
