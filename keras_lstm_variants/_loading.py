"""The command `klv` answers what it can before TensorFlow is imported.

A start as `klv` or `python -m keras_lstm_variants` leaves the package's classes out until
`load` is called; every other import brings, and registers, them all at once.
"""

import importlib
import sys

from keras_lstm_variants.core import names
from keras_lstm_variants.core.startup import is_our_command

_waiting = False


def puts_off() -> bool:
    """Whether the classes are left out for now; the package asks once, at its import."""
    global _waiting
    # With Keras there already, it is a program of somebody's that has our name.
    _waiting = is_our_command() and "keras" not in sys.modules
    return _waiting


def is_waiting() -> bool:
    """Whether the classes are left out still."""
    return _waiting


def load() -> None:
    """Import and register everything that was left out, and give the package its names."""
    global _waiting
    if not _waiting:
        return
    _waiting = False
    public = importlib.import_module(f"{__package__}._public")
    names = {name: getattr(public, name) for name in public.__all__}
    vars(sys.modules[__package__]).update(names, __all__=public.__all__)


def variants() -> dict[str, str]:
    """Names and references of all variants, without importing what is not there yet."""
    if _waiting:
        return names.VARIANTS
    from keras_lstm_variants.core import registry

    return {
        name: registry.get_variant(name).cell_class.reference for name in registry.list_variants()
    }


def find_variant(text: str) -> str:
    """As `registry.find_variant`, without importing what is not there yet.

    Raises:
        ValueError: no such variant.
    """
    if _waiting:
        return names.find(text)
    from keras_lstm_variants.core import registry

    return registry.find_variant(text)
