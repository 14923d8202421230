"""The configuration of a cell or layer *is* the signature of its constructor."""

import inspect
import types
from typing import Any, Self

import keras
import numpy as np

Parameter = inspect.Parameter


def parameters(cls: type) -> dict[str, Parameter]:
    """Constructor parameters of `cls`, its parents' included, up to Keras's own classes.

    A constructor with `**kwargs` hands these on to the next class of the method
    resolution order, so that class's parameters belong to it too. With `*args` the
    parent's positional parameters come first.
    """
    own: dict[str, Parameter] = {}
    for klass in cls.__mro__:
        if klass.__module__.split(".")[0] == "keras":
            break
        if "__init__" not in vars(klass):
            continue
        found = list(inspect.signature(klass.__init__).parameters.values())[1:]
        kinds = {p.kind for p in found}
        named = {
            p.name: p
            for p in found
            if p.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        }
        own = {**own, **{n: p for n, p in named.items() if n not in own}}
        if Parameter.VAR_KEYWORD not in kinds:
            break
    left_out = getattr(cls, "not_taken", ())
    return {name: p for name, p in own.items() if name not in left_out}


def in_order(found: dict[str, Parameter]) -> inspect.Signature:
    """A signature of these parameters, positional ones first, and Keras's own `**kwargs`."""
    order = [p for p in found.values() if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
    order.sort(key=lambda p: p.default is not Parameter.empty)  # required ones first
    order += [p for p in found.values() if p.kind is Parameter.KEYWORD_ONLY]
    return inspect.Signature([*order, Parameter("kwargs", Parameter.VAR_KEYWORD)])


def serialize(value: Any) -> Any:
    """`value` as plain data that JSON can hold and Keras's `get` functions understand."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [serialize(v) for v in value]
    if isinstance(value, types.MethodType):
        raise TypeError(f"{value!r} is a method, which no file can name.")
    is_lambda = isinstance(value, types.FunctionType) and value.__name__ == "<lambda>"
    if callable(value) and not hasattr(value, "get_config") and not is_lambda:
        return keras.activations.serialize(value)
    return keras.saving.serialize_keras_object(value)


_PLAIN = (bool, int, float, str, tuple)


class Configured:
    """Mixin: `get_config` reads each constructor argument from the attribute of its name."""

    not_stored: tuple[str, ...] = ()
    # Constructor arguments of the parents that mean nothing here, and are refused.
    not_taken: tuple[str, ...] = ()
    # Constructor arguments that may change at any time, for they are read when they are used.
    may_change: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # For help() and editors: constructors that hand on `**kwargs` hide their arguments.
        cls.__signature__ = in_order(parameters(cls))

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        for name in cls.not_taken:
            if name in kwargs:
                raise ValueError(
                    f"{cls.__name__} has no use for `{name}`. Received: {name}={kwargs[name]!r}"
                )
        return super().__new__(cls, *args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        # What is built would not follow, and the configuration that is saved would not fit it. Of
        # classes of others we do not know.
        ours = type(self).__module__.startswith(__package__.split(".")[0] + ".")
        if ours and vars(self).get("built") and name in type(self).__signature__.parameters:
            before = getattr(self, name, value)
            same = value is before or (isinstance(value, _PLAIN) and value == before)
            if not same and not callable(value) and name not in self.may_change:
                raise ValueError(
                    f"`{name}` of {self.name} cannot change once it is built: make a new one. "
                    f"Received: {name}={value!r}, and it is {before!r}"
                )
        super().__setattr__(name, value)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in parameters(type(self)):
            if name in self.not_stored:
                continue
            if not hasattr(self, name):
                raise TypeError(
                    f"{type(self).__name__} must keep its constructor argument `{name}` in an "
                    "attribute of the same name: its configuration is read from there."
                )
            try:
                config[name] = serialize(getattr(self, name))
            except (AttributeError, OSError, TypeError, ValueError) as error:
                raise ValueError(
                    f"`{name}` of {self.name} cannot be saved. Give a function or class registered "
                    "with `@keras.saving.register_keras_serializable(...)`. Received: "
                    f"{name}={getattr(self, name)!r}, of which Keras says: {error}"
                ) from error
        return config
