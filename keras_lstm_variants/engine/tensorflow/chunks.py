"""Time in chunks of equal length, of which the last may be shorter.

A chunk has enough rows (steps x batch) to make an efficient product of matrices, and is
small enough to stay in the processor's cache. XLA wants to know how many steps each runs: a
shorter one is then written out behind the loop over the others, and a length is chosen that
needs none if there is one near.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_lstm_variants.backend.xla import before, compiled_by_xla
from keras_lstm_variants.engine.tensorflow.buffers import empty_list, sizes, stacked, steps_of
from keras_lstm_variants.engine.tensorflow.plain import batch_first, time_first

_ROWS = 1024
_BYTES = 2**22
_SHORTEST, _LONGEST = 8, 2048


class Chunk(NamedTuple):
    """Some steps in a row."""

    place: Any  # among the chunks
    start: Any
    length: Any
    space: Any  # steps that it has values for: its length, but at least one where XLA compiles

    fewer: bool = False  # whether its length may be less, and is known when it is run alone

    def repeat(self, body: Callable, values: tuple, backwards: bool = False) -> tuple:
        """`values = body(k, *values)` for each step k, forwards or backwards."""
        last = (self.space if self.fewer else self.length) - 1
        step = (lambda i, *values: body(last - i, *values)) if backwards else body
        if not self.fewer:
            return repeat(self.length, step, values)
        # XLA compiles anew for each value of a tensor by which a place is told. So it is told by
        # the loop alone, which begins later, backwards, where fewer steps are run.
        first = self.space - self.length if backwards else 0
        return repeat(self.length, step, values, first, at_most=self.space)


class Chunks:
    """`steps` time steps in chunks.

    Args:
        steps: how many, a number or a tensor.
        batch: rows a step, or None.
        columns: values kept for a row.
        xla: whether the loop will be compiled.
        length: of a chunk, if it is not to be the one that is usual.
    """

    def __init__(
        self, steps: Any, batch: int | None, columns: int, xla: bool, length: Any = None
    ) -> None:
        self.steps, self.xla = steps, xla
        self.length = _length(steps, batch, columns) if length is None else length
        # Not -(-steps // length): ONNX divides negative numbers another way.
        self.count = (steps + self.length - 1) // self.length
        self.space = steps  # of all chunks
        if xla and not isinstance(steps, int):
            # Known when XLA compiles. It wants a chunk and a step, were it one that is not run, and
            # no chunk that is longer than the sequence.
            self.space, self.count = tf.maximum(steps, 1), tf.maximum(self.count, 1)
            self.length = tf.minimum(self.space, self.length)
        self.even = isinstance(steps, int) and steps % self.length == 0

    def repeat(self, body: Callable, values: tuple, backwards: bool = False) -> tuple:
        """`values = body(chunk, *values)` for each chunk, forwards or backwards."""
        apart = self.xla and not self.even
        looped = self.count - 1 if apart else self.count
        first = looped * self.length
        last = Chunk(looped, first, self.steps - first, self.space - first)

        def one(i: Any, *values: Any) -> tuple:
            return body(self.at(looped - 1 - i if backwards else i), *values)

        if apart and backwards:
            values = tuple(body(last, *values))
        values = repeat(looped, one, values)
        return tuple(body(last, *values)) if apart and not backwards else values

    def at(self, place: Any) -> Chunk:
        """A chunk in a loop over them."""
        start, length = place * self.length, self.length
        if not self.even and not self.xla:
            length = tf.minimum(length, self.steps - start)
        return Chunk(place, start, length, length)

    def ready(self, values: Any) -> Any:
        """(batch, time, ...) as `part` takes it: for XLA time first.

        A sequence turned round takes as much memory again, so that otherwise only a part is
        turned at a time. XLA is slower then, and saves nothing.
        """
        if not self.xla:
            return values
        values = time_first(values)
        if self.space is self.steps:
            return values
        return tf.pad(values, [[0, self.space - self.steps]] + [[0, 0]] * (values.shape.rank - 1))

    def part(self, values: Any, chunk: Chunk) -> Any:
        """The steps of a chunk, (steps, batch, ...)."""
        if self.xla:
            return steps_of(values, chunk.start, chunk.space)
        return time_first(steps_of(values, chunk.start, chunk.space, axis=1))

    def filled(self, values: Any) -> Any:
        """The values (steps, batch, ...) of a chunk, filled up to the length of all chunks."""
        if self.even or values.shape[0] == self.length:
            return values
        more = self.length - tf.shape(values)[0]
        values = tf.pad(values, [[0, more]] + [[0, 0]] * (values.shape.rank - 1))
        if isinstance(self.length, int):
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


class OneChunk(Chunks):
    """One chunk, of which only the first steps are run; for XLA.

    Args:
        steps: of the sequences.
        ran: how many are run, a tensor.
    """

    def __init__(self, steps: Any, ran: Any) -> None:
        self.steps = self.length = self.space = steps
        self.ran, self.count, self.xla, self.even = ran, 1, True, True

    def repeat(self, body: Callable, values: tuple, backwards: bool = False) -> tuple:
        return tuple(body(Chunk(0, 0, self.ran, self.steps, True), *values))

    def filled(self, values: Any) -> Any:
        return values

    def parts(self, like: Any) -> Any:
        return _Only()

    def join(self, parts: Any, like: Any) -> Any:
        return batch_first(parts.value)


class _Only(NamedTuple):
    """A list of one chunk, which needs no list: vectorised, one that is never read is refused."""

    value: Any = None

    def write(self, _: Any, value: Any) -> "_Only":
        return _Only(value)


def usual_length(batch: int | None, columns: int) -> int:
    """Steps of a chunk with so many rows a step, and so many values in a row."""
    rows = max(_ROWS, _BYTES // (4 * max(columns, 1)))
    return min(max(rows // (batch or 32), _SHORTEST), _LONGEST)


def _length(steps: Any, batch: int | None, columns: int) -> int:
    usual = usual_length(batch, columns)
    if not isinstance(steps, int):
        return usual
    if steps <= 2 * usual:
        return max(steps, 1)
    # The divisor next to it where one is near: no chunk is shorter then.
    near = sorted(range(usual // 2 + 1, 2 * usual), key=lambda k: abs(k - usual))
    return next((k for k in near if steps % k == 0), usual)


def by_step(rows: Any, chunk: Chunk) -> Any:
    """(steps x batch, ...) of a chunk as (steps, batch, ...)."""
    return tf.reshape(rows, [chunk.space, -1, *rows.shape[1:]])


def repeat(count: Any, body: Callable, values: tuple, first: Any = 0, at_most: Any = None) -> tuple:
    """`values = body(i, *values)` for so many i = first, first + 1, ...

    Args:
        count, body, values, first: how often, what, of what, from where on.
        at_most: what XLA is to know of how often, if not `count`.
    """
    if isinstance(count, int) and count <= 1:
        return tuple(body(first, *values)) if count else values
    known = at_most is None
    end = first + count
    return tf.while_loop(
        before(count) if known else lambda i, *_: i < end,
        lambda i, *values: (i + 1, *body(i, *values)),
        (tf.convert_to_tensor(first), *values),
        # Else TensorFlow prepares up to ten chunks ahead, and keeps memory for them.
        parallel_iterations=1,
        # XLA must know it where a persistent tape follows the loop, though in vain.
        maximum_iterations=(count if compiled_by_xla() else None) if known else at_most,
    )[1:]


def scan(
    count: Any, body: Callable, values: tuple, like: list[tuple[list[Any], Any]]
) -> tuple[tuple, list[Any]]:
    """`repeat`, whose body also returns tensors; and these, stacked in the order of the steps.

    Each list of tensors is made right before its loop, and written once in each repetition.
    So tf2onnx can make of it what an ONNX Loop has, one value more in each repetition.

    Args:
        count, values: as for `repeat`.
        body: `values, tensors = body(i, *values)`.
        like: shape and type of each tensor.
    """
    if isinstance(count, int) and count == 1:
        values, found = body(0, *values)
        return values, [tensor[tf.newaxis] for tensor in found]
    lists = [empty_list(count, shape, dtype) for shape, dtype in like]

    def more(i: Any, values: tuple, lists: list[Any]) -> tuple[tuple, list[Any]]:
        values, found = body(i, *values)
        return values, [ta.write(i, tensor) for ta, tensor in zip(lists, found, strict=True)]

    values, lists = repeat(count, more, (values, lists))
    return values, [stacked(ta, shape) for ta, (shape, _) in zip(lists, like, strict=True)]
