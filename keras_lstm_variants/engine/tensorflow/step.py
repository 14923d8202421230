"""One step of a cell on plain tensors, forwards and backwards."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_lstm_variants.backend.graphs import followed
from keras_lstm_variants.core import keras_private
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.context import DerivedWeight, derived_as, within
from keras_lstm_variants.engine.tensorflow.buffers import sizes


class Product(NamedTuple):
    """A product that a step makes: `value = state @ kernel[:, columns]`, plus `add_to` if given."""

    state: Any
    weight: int  # which of the step's weights the kernel is
    columns: slice | None
    add_to: Any
    value: Any


class StepGradient(NamedTuple):
    """Gradients of one step; None where there is none."""

    inputs: list[Any]  # of the projected inputs
    states: list[Any]
    weights: list[Any]  # without what reaches them through products
    values: list[Any]  # of the products' values
    products: list[Product]


class Step:
    """A cell's step as a function of inputs, states and weights alone.

    The dropout masks are those that the cell holds when this object is made.
    """

    def __init__(
        self, cell: Cell, training: bool, output_dtype: Any, side_names: tuple[str, ...] = ()
    ) -> None:
        self.cell = cell
        self.side_names = side_names  # of the inputs after the first
        self.training = training
        self.output_dtype = tf.as_dtype(output_dtype)
        self.variables = [v for v in cell.weights if tf.as_dtype(v.dtype).is_floating]
        self.derived = list(cell.derived_weights)
        self.index = {id(v): i for i, v in enumerate([*self.variables, *self.derived])}
        # Which of the weights have a value for each row of the batch.
        self.by_row = [False] * len(self.variables) + [d.by_row for d in self.derived]
        self.masks = keras_private.dropout_masks(cell)
        self.side_effects: list[Any] = []  # updates and losses that a run tried to leave behind

    def weights(self) -> list[Any]:
        """What the step is a function of besides inputs and states, as tensors."""
        return [tf.convert_to_tensor(v.value) for v in (*self.variables, *self.derived)]

    def with_masks(self, masks: tuple[Any, Any]) -> "Step":
        """The same step with other dropout masks."""
        other = copy.copy(self)
        other.masks = masks
        return other

    @contextmanager
    def running(self, weights: list[Any], products: Callable | None = None) -> Iterator[None]:
        """While active, the cell computes with these weights, masks and products."""
        with ExitStack() as stack:
            own, derived = weights[: len(self.variables)], weights[len(self.variables) :]
            stack.enter_context(WeightsAs(self.variables, own, self.side_effects.append))
            ids = map(id, self.derived)
            stack.enter_context(derived_as(dict(zip(ids, derived, strict=True))))
            stack.enter_context(keras_private.dropout_masks_as(self.cell, self.masks))
            stack.enter_context(keras_private.AutocastScope(self.cell.compute_dtype))
            if products is not None:
                stack.enter_context(within(products=products))
            yield

    def project(self, inputs: list[Any], weights: list[Any]) -> Any:
        """The projection of inputs (steps, batch, ...): a structure of (rows, ...)."""
        x, *side = inputs
        with self.running(weights):
            x, *side = map(rows_of, (self.cell.drop_inputs(x, self.training), *side))
            side = dict(zip(self.side_names, side, strict=True))
            z = self.cell.project_inputs(x, training=self.training, **side)
        return keras.tree.map_structure(tf.convert_to_tensor, z)

    def advance(
        self, z: Any, states: list[Any], weights: list[Any], products: Callable
    ) -> tuple[Any, list[Any]]:
        """Output and new states of one step."""
        with self.running(weights, products):
            output, new = self.cell.advance(z, tuple(states), self.training)
        new = [tf.cast(n, s.dtype) for n, s in zip(new, states, strict=True)]
        return tf.cast(output, self.output_dtype), new

    def whole(self, inputs: list[Any], states: list[Any], weights: list[Any]) -> Any:
        """Output and new states of one step, from its inputs (batch, ...)."""
        x, *side = inputs
        with self.running(weights), with_side_inputs(self.side_names, side):
            return self.cell(x, states, training=self.training)

    def computing(self, kernels: list[Any], made: list[Product], add: Callable) -> Callable:
        """A handler that computes products with `kernels`, and notes them in `made`.

        `add(product, add_to)` adds what the product is to be added to, or None.
        """

        def handler(state: Any, kernel: Any, columns: slice | None, add_to: Any) -> Any:
            weight = self._taken_over(state, kernel, columns)
            if weight is None:
                return _left_alone(state, kernel, columns, add_to)
            value = add(times(state, kernels[len(made)]), add_to)
            made.append(Product(state, weight, columns, add_to, value))
            return value

        return handler

    def reading(self, values: list[Any], made: list[Product]) -> Callable:
        """A handler that reads the values of products instead, in the order they were made."""

        def handler(state: Any, kernel: Any, columns: slice | None, add_to: Any) -> Any:
            weight = self._taken_over(state, kernel, columns)
            if weight is None:
                return _left_alone(state, kernel, columns, add_to)
            value = values[len(made)]
            made.append(Product(state, weight, columns, add_to, value))
            return value

        return handler

    def _taken_over(self, state: Any, kernel: Any, columns: slice | None) -> int | None:
        """Which weight `kernel` is; None for a product that is left to the step itself."""
        plain = len(state.shape) >= 2 and (columns is None or columns.step in (None, 1))
        return self.index.get(id(kernel)) if plain else None

    def gradient(
        self,
        z: Any,
        states: list[Any],
        values: list[Any],
        weights: list[Any],
        transposed: list[Any],
        d_output: Any,
        d_states: list[Any],
    ) -> StepGradient:
        """The gradients of a step whose products had these values.

        Args:
            z, states, weights: what the step had.
            values: of its products.
            transposed: the transposed kernels of the products.
            d_output, d_states: the gradients of its output (None: it has none of its own)
                and new states.
        """
        leaves = keras.tree.flatten(z)
        n, m = len(leaves), len(leaves) + len(states)
        first_value = m + len(weights)
        made: list[Product] = []

        def advance(sources: list[Any]) -> tuple[Any, list[Any]]:
            handler = self.reading(sources[first_value:], made)
            projected = keras.tree.pack_sequence_as(z, sources[:n])
            return self.advance(projected, sources[n:m], sources[m:first_value], handler)

        (output, new), sources, slopes = followed(advance, [*leaves, *states, *weights, *values])
        targets, gradients = [*new], [*d_states]
        if d_output is not None:
            targets.append(output)
            gradients.append(d_output)
        total = list(slopes(targets, gradients))
        place = {id(source): i for i, source in enumerate(sources)}

        def add(tensor: Any, gradient: Any) -> None:
            """The gradient of a tensor that the step computed goes on to what it came from."""
            if id(tensor) in place:
                found = {place[id(tensor)]: gradient}
            else:
                found = dict(enumerate(slopes([tensor], [gradient])))
            for i, g in found.items():
                if g is not None:
                    total[i] = g if total[i] is None else total[i] + g

        # Last to first: by then, all that was computed from a product has been added.
        for i in reversed(range(len(made))):
            d_value = total[first_value + i]
            if d_value is not None:
                add(made[i].state, times(d_value, transposed[i]))
                if made[i].add_to is not None:
                    add(made[i].add_to, d_value)
        return StepGradient(total[:n], total[n:m], total[m:first_value], total[first_value:], made)


def with_side_inputs(names: tuple[str, ...], values: list[Any]) -> AbstractContextManager[None]:
    """While active, the steps of cells have these side inputs."""
    return within(side=dict(zip(names, values, strict=True)))


def rows_of(values: Any) -> Any:
    """(steps, batch, ...) as (steps x batch, ...)."""
    return tf.reshape(values, [-1, *values.shape[2:]])


def times(values: Any, kernel: Any) -> Any:
    """Values (batch, ..., rows) times a matrix (rows, columns)."""
    if values.shape.rank == 2:
        return tf.matmul(values, kernel)
    product = tf.matmul(tf.reshape(values, [-1, kernel.shape[0]]), kernel)
    return tf.reshape(product, [*sizes(values)[:-1], kernel.shape[1]])


class WeightsAs(keras.StatelessScope):
    """While active, the variables read as the given tensors, whatever their types.

    `report` is given the updates and losses that a step tries to leave behind.
    """

    def __init__(
        self, variables: list[Any], tensors: list[Any], report: Callable[[Any], None]
    ) -> None:
        super().__init__(collect_losses=True)
        self.tensors = {id(v): t for v, t in zip(variables, tensors, strict=True)}
        self.report = report

    def get_current_value(self, variable: Any) -> Any:
        return self.tensors.get(id(variable))

    def add_update(self, update: Any) -> None:
        self.report(update)

    def add_loss(self, loss: Any) -> None:
        self.report(loss)


def _left_alone(state: Any, kernel: Any, columns: slice | None, add_to: Any) -> Any:
    kernel = kernel.value if isinstance(kernel, DerivedWeight) else kernel
    product = keras.ops.matmul(state, kernel if columns is None else kernel[:, columns])
    return product if add_to is None else add_to + product
