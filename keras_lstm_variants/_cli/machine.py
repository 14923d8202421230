"""The machine and the packages that a result is from."""

import contextlib
import platform
from importlib.metadata import PackageNotFoundError, version

from keras_lstm_variants._version import __version__

# What is installed in a package's place where its development version is.
_NIGHTLY = {"keras": ("keras-nightly",), "tensorflow": ("tf-nightly",)}


def versions(*also: str) -> dict[str, str]:
    """Of Python and of the packages that decide a result; `also` names more, if installed."""
    installed = {"python": platform.python_version(), "keras_lstm_variants": __version__}
    for name in ("keras", "tensorflow", "tensorflow-cpu", *also, "numpy"):
        for distribution in (name, *_NIGHTLY.get(name, ())):
            with contextlib.suppress(PackageNotFoundError):
                installed.setdefault(name, version(distribution))
    return installed


def origin() -> dict[str, str]:
    """What a file of results says of where it is from."""
    return {**versions(), "machine": platform.machine()}
