"""The values of a parameter of a search: one, several, or a range."""

import dataclasses
import math
import numbers
from typing import Any

WORDS = {int: "whole numbers", float: "numbers", bool: "True and False"}


@dataclasses.dataclass(frozen=True)
class Space:
    """The values of one parameter: `choices`, or all from `low` to `high`.

    Attributes:
        kind: int, float or bool.
        choices: the values, one for a parameter that is fixed; None for a range.
        low, high: ends of the range, both included.
        step: distance of two values in the range; None for any.
        log: whether the range is searched by order of magnitude.
    """

    kind: type
    choices: tuple[Any, ...] | None = None
    low: Any = None
    high: Any = None
    step: Any = None
    log: bool = False

    @property
    def largest(self) -> Any:
        return self.high if self.choices is None else max(self.choices)

    @property
    def smallest(self) -> Any:
        return self.low if self.choices is None else min(self.choices)

    @property
    def fixed(self) -> bool:
        return self.choices is not None and len(self.choices) == 1

    def declare(self, hp: Any, name: str) -> Any:
        """The value in this trial; None where a condition around it does not hold."""
        if self.fixed:
            return hp.Fixed(name, self.choices[0])
        if self.kind is bool:
            return hp.Boolean(name)
        if self.choices is not None:
            return hp.Choice(name, list(self.choices))
        sampling = "log" if self.log and self.step is None else "linear"
        if self.kind is int:
            # Without a step Keras Tuner takes 1, which a logarithmic range does not allow.
            step = None if sampling == "log" else self.step or 1
            return hp.Int(name, self.low, self.high, step=step, sampling=sampling)
        return hp.Float(name, self.low, self.high, step=self.step, sampling=sampling)


def space_of(
    name: str,
    given: Any,
    kind: type,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    log: bool = False,
) -> Space:
    """The space that an argument describes.

    Args:
        name: the argument, for messages.
        given: a value (fixed), a list of values, or a tuple `(low, high)` or
            `(low, high, step)`, both ends included.
        kind: int, float or bool.
        least, most, below: what values may be: from `least` to `most`, and under `below`.
        log: search a range by order of magnitude.

    Raises:
        ValueError: a value of another kind or out of bounds, an empty list or range.
    """
    if isinstance(given, Space):
        return given

    def fail(why: str) -> ValueError:
        return ValueError(
            f"`{name}` must be a value, a list of values or a range (low, high) or "
            f"(low, high, step) of {_allowed(kind, least, most, below)}: {why}. "
            f"Received: {name}={given!r}"
        )

    def one(value: Any) -> Any:
        if kind is bool:
            if not isinstance(value, bool):
                raise fail(f"{value!r} is neither")
            return value
        wanted = numbers.Integral if kind is int else numbers.Real
        if isinstance(value, bool) or not isinstance(value, wanted) or not math.isfinite(value):
            raise fail(f"{value!r} is none")
        if not least <= value <= most or not value < below:
            raise fail(f"{value!r} is out of bounds")
        return kind(value)

    if isinstance(given, list):
        if not given:
            raise fail("the list is empty")
        return Space(kind, tuple(dict.fromkeys(map(one, given))))
    if not isinstance(given, tuple):
        return Space(kind, (one(given),))
    if kind is bool or len(given) not in (2, 3):
        raise fail("no such range")
    low, high = map(one, given[:2])
    if low > high:
        raise fail("the range is empty")
    if low == high:
        return Space(kind, (low,))
    step = None
    if len(given) == 3:
        real = isinstance(given[2], numbers.Real) and not isinstance(given[2], bool)
        if not real or not 0 < given[2] < math.inf or (kind is int and given[2] != int(given[2])):
            raise fail("the step is no positive number of its kind")
        step = kind(given[2])
        if step > high - low:
            raise fail("the step is longer than the range")
    return Space(kind, None, low, high, step, log and low > 0)


def _allowed(kind: type, least: float, most: float, below: float) -> str:
    text = WORDS[kind]
    if least > -math.inf:
        text += f" from {least:g}"
    if most < math.inf:
        text += f" to {most:g}"
    return text + (f" below {below:g}" if below < math.inf else "")


def parse(option: str, text: str, kind: type) -> Any:
    """What `space_of` takes, from the command line: `64`, `16,32,64`, `16:128` or `16:128:16`.

    Raises:
        ValueError: a part is no number, or no `yes`, `no` or `both` for bool.
    """
    if kind is bool:
        words = {"yes": True, "no": False, "both": [False, True]}
        if text not in words:
            raise ValueError(f"{option} must be yes, no or both. Received: {text!r}")
        return words[text]

    def number(part: str) -> Any:
        try:
            return kind(part)
        except ValueError:
            raise ValueError(
                f"{option} must be {WORDS[kind]}: one, a list as 1,2,4 or a range as 1:4 or "
                f"1:4:1. Received: {text!r}"
            ) from None

    if ":" in text:
        return tuple(number(part) for part in text.split(":"))
    return [number(part) for part in text.split(",")] if "," in text else number(text)
