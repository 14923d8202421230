"""The command `klv` answers what it can before TensorFlow is imported.

A start as `klv` or `python -m keras_lstm_variants` leaves the package's classes out until
`load` is called; every other import brings, and registers, them all at once.
"""

import importlib
import multiprocessing
import sys

from keras_lstm_variants import _names

_waiting = False


def is_our_command() -> bool:
    """Whether this process is `klv` or `python -m keras_lstm_variants`, and no child of it."""
    # The second is how a child is started, which does not know its parent when it imports this.
    if multiprocessing.parent_process() or "--multiprocessing-fork" in sys.orig_argv:
        return False
    name = sys.argv[0].replace("\\", "/").rsplit("/", 1)[-1] if sys.argv else ""
    # `python [options] -m keras_lstm_variants ...`: only the interpreter's own -m counts.
    arguments = iter(sys.orig_argv[1:])
    for argument in arguments:
        if argument == "-m":
            return next(arguments, "") == __package__
        if argument in ("-W", "-X"):
            next(arguments, "")
        elif not argument.startswith("-") or argument.startswith("-c"):
            break
    return name in ("klv", "klv.exe")


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
        return _names.VARIANTS
    from keras_lstm_variants import registry

    return {
        name: registry.get_variant(name).cell_class.reference for name in registry.list_variants()
    }


def find_variant(text: str) -> str:
    """As `registry.find_variant`, without importing what is not there yet.

    Raises:
        ValueError: no such variant.
    """
    if _waiting:
        return _names.find(text)
    from keras_lstm_variants import registry

    return registry.find_variant(text)
