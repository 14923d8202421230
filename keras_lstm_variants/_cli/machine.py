"""The machine and the packages that a result is from."""

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from keras_lstm_variants._version import __version__


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """The bytes of memory of this machine; 1 TB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 10**12


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
