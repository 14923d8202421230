"""What surrounds a step while it runs: who computes its products, and who listens.

One record for each thread; `within` changes it for a while.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class StepContext(threading.local):
    """What surrounds the steps of this thread."""

    # Computes `Cell.matmul`: a function of state, kernel, columns and add_to.
    products: Callable[..., Any] | None = None
    # Whether inputs and states of cells are known to have equal rows.
    equal_rows: bool = False

    def __init__(self) -> None:
        self.listeners: dict[int, Callable[[dict[str, Any]], None]] = {}
        self.derived: dict[int, Any] = {}
        # The side inputs of the step, by name.
        self.side: dict[str, Any] = {}
        # The cell or layer that is called, and what it was given, by argument.
        self.exact: tuple[Any, dict[str, Any]] = (None, {})


context = StepContext()


@contextmanager
def within(**values: Any) -> Iterator[None]:
    """While active, in this thread, the context has these values."""
    before = {name: getattr(context, name) for name in values}
    vars(context).update(values)
    try:
        yield
    finally:
        vars(context).update(before)


class DerivedWeight:
    """What a cell computes from its weights, or is given, once for all steps of a loop.

    See `Cell.derived` and `Cell.constant`.
    """

    def __init__(
        self,
        compute: Callable[[], Any],
        by_row: bool = False,
        constant: str | None = None,
        example: Callable[[], Any] | None = None,
    ) -> None:
        self.compute = compute
        self.by_row = by_row
        self.constant = constant  # its name, if it is given instead of computed
        self.example = example

    @property
    def value(self) -> Any:
        """The one that the loop has computed; outside of loops it is computed now."""
        given = context.derived.get(id(self))
        return self.compute() if given is None else given

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)


def exact(owner: Any, argument: str, value: Any) -> Any:
    """What the call of `owner` was given as `argument`, before Keras cast it to `value`."""
    called, given = context.exact
    return given.get(argument, value) if called is owner else value


def derived_as(values: dict[int, Any]) -> Any:
    """While active, derived weights, by their ids, have these values."""
    return within(derived={**context.derived, **values})


def captured(cell: Any, listener: Callable[[dict[str, Any]], None]) -> Any:
    """While active, in this thread, `listener` receives a dict of the gates of each step."""
    return within(listeners={**context.listeners, id(cell): listener})
