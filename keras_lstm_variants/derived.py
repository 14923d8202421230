"""What a cell computes once for all steps of a loop, or is given for all of them."""

import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

_running = threading.local()


class DerivedWeight:
    """What a cell computes from its weights, once for all steps of a loop. See `Cell.derive`."""

    def __init__(
        self, compute: Callable[[], Any], by_row: bool = False, constant: str | None = None
    ) -> None:
        self.compute = compute
        self.by_row = by_row
        self.constant = constant  # its name, if it is given instead of computed

    @property
    def value(self) -> Any:
        """The one that the loop has computed; outside of loops it is computed now."""
        given = getattr(_running, "derived", {}).get(id(self))
        return self.compute() if given is None else given

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)


@contextmanager
def derived_as(values: dict[int, Any]):
    """While active, derived weights, by their ids, have these values."""
    before = getattr(_running, "derived", {})
    _running.derived = {**before, **values}
    try:
        yield
    finally:
        _running.derived = before
