"""Arrays of a `.npz` file, looked at before they are read."""

import math
import zipfile
from typing import Any

import numpy as np


class DataError(ValueError):
    """The data cannot be used; the message is one line for the user."""


KNOWN = ("x", "y", "mask", "split")
# Of a header.
_VERSIONS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays x, y, mask and split, those that there are.

    Raises:
        DataError: it is a single array, or has another one.
        OSError: the file cannot be opened.
        ValueError, zipfile.BadZipFile, EOFError: it holds something else, or less than it says.
        MemoryError: it holds more than fits.
    """
    with open(path, "rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise DataError("is a single array: give a .npz with x and y")
    with zipfile.ZipFile(path) as file:
        members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
        unknown = sorted(set(members) - set(KNOWN))
        if unknown:
            raise DataError(f"array {unknown[0]!r} is unknown: there may be {', '.join(KNOWN)}")
        for name, info in members.items():
            with file.open(info) as member:
                _check(name, member, info.file_size)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _check(name: str, member: Any, size: int) -> None:
    """A `ValueError` unless the header of an array claims what is there."""
    version = np.lib.format.read_magic(member)
    if version not in _VERSIONS:
        return
    shape, _, dtype = _VERSIONS[version](member)
    claimed = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and claimed != size - member.tell():
        raise ValueError(
            f"{name} of {dtype} {shape} would be {claimed:,} bytes, and there are "
            f"{size - member.tell():,}"
        )
