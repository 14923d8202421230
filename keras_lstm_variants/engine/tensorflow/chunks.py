"""Time in chunks of equal length.

A chunk has enough rows (steps x batch) to make an efficient product of matrices, and is
small enough to stay in the processor's cache. XLA wants all chunks of one length: the last
is then filled up with zeros, and not run to its end. Otherwise the last one is shorter.
"""

from typing import Any

import tensorflow as tf

from keras_lstm_variants.engine.tensorflow.buffers import empty_list, sizes, stacked, steps_of
from keras_lstm_variants.engine.tensorflow.plain import time_first

_ROWS = 1024
_BYTES = 2**22
_SHORTEST, _LONGEST = 8, 2048


class Chunks:
    """`steps` time steps in chunks.

    Args:
        steps: how many, a number or a tensor.
        batch: rows a step, or None.
        columns: values kept for a row.
        xla: whether the loop will be compiled.
    """

    def __init__(self, steps: Any, batch: int | None, columns: int, xla: bool) -> None:
        self.steps, self.xla = steps, xla
        self.length = _length(steps, batch or 32, columns)
        # Not -(-steps // length): ONNX divides negative numbers another way.
        self.count = (steps + self.length - 1) // self.length
        if xla and not isinstance(steps, int):
            # XLA wants a chunk to compile, were it one without steps.
            self.count = tf.maximum(self.count, 1)
        self.even = isinstance(steps, int) and steps % self.length == 0

    def start(self, chunk: Any) -> Any:
        return chunk * self.length

    def length_of(self, chunk: Any) -> Any:
        """Steps to run."""
        if self.even:
            return self.length
        return tf.minimum(self.length, self.steps - self.start(chunk))

    def space_of(self, chunk: Any) -> Any:
        """Steps that there is space for."""
        return self.length if self.xla else self.length_of(chunk)

    @property
    def space(self) -> Any:
        """Steps of all chunks that there is space for."""
        return self.count * self.length if self.xla else self.steps

    def ready(self, values: Any) -> Any:
        """(batch, time, ...) as `part` takes it: for XLA time first, and filled up.

        A sequence turned round takes as much memory again, so that otherwise only a part is
        turned at a time. XLA is slower then, and saves nothing.
        """
        if not self.xla:
            return values
        values = time_first(values)
        if self.even:
            return values
        more = self.space - self.steps
        return tf.pad(values, [[0, more]] + [[0, 0]] * (values.shape.rank - 1))

    def part(self, values: Any, chunk: Any) -> Any:
        """The steps of a chunk, (steps, batch, ...)."""
        start, space = self.start(chunk), self.space_of(chunk)
        if self.xla:
            return steps_of(values, start, space)
        return time_first(steps_of(values, start, space, axis=1))

    def by_step(self, rows: Any, chunk: Any) -> Any:
        """(steps x batch, ...) of a chunk as (steps, batch, ...)."""
        return tf.reshape(rows, [self.space_of(chunk), -1, *rows.shape[1:]])

    def filled(self, values: Any) -> Any:
        """The values (steps, batch, ...) of a chunk, filled up to the length of all chunks."""
        if self.even or self.xla:
            return values
        more = self.length - tf.shape(values)[0]
        values = tf.pad(values, [[0, more]] + [[0, 0]] * (values.shape.rank - 1))
        values.set_shape([self.length, *values.shape[1:]])
        return values

    def end_to_end(self, chunks: Any) -> Any:
        """(chunks, steps, batch, ...), filled up, as (batch, time, ...)."""
        # The batch goes first before the shape changes: to ONNX, 0 rows elsewhere in the new
        # shape would mean as many as the old shape has there.
        chunks = tf.transpose(chunks, [2, 0, 1, *range(3, chunks.shape.rank)])
        batch, _, _, *rest = sizes(chunks)
        joined = tf.reshape(chunks, [batch, self.count * self.length, *rest])
        return joined if self.even else joined[:, : self.steps]

    def parts(self, like: Any) -> tf.TensorArray:
        """A place for each chunk's (steps, batch, ...), for joined ones like `like`."""
        return empty_list(self.count, self._part_shape(like), like.dtype)

    def join(self, parts: tf.TensorArray, like: Any) -> Any:
        """(batch, time, ...) of all chunks, without what was filled up."""
        return self.end_to_end(stacked(parts, self._part_shape(like)))

    def _part_shape(self, like: Any) -> list[Any]:
        batch, _, *rest = sizes(like)
        return [self.length, batch, *rest]


def _length(steps: Any, batch: int, columns: int) -> int:
    rows = max(_ROWS, _BYTES // (4 * max(columns, 1)))
    length = min(max(rows // batch, _SHORTEST), _LONGEST)
    if not isinstance(steps, int):
        return length
    if steps <= length:
        return max(steps, 1)
    # A divisor where one is near: nothing is filled up then.
    return next((k for k in range(length, length // 2, -1) if steps % k == 0), length)
