"""A lock that belongs to one process and is free again when that process ends, however it ends."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt


class Held(OSError):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the file `path`, which is made and stays, while the block lasts.

    Raises:
        Held: another process has it.
        OSError: the file cannot be made, or its file system knows no locks.
    """
    # Not inherited by child processes, which may outlive this one.
    with open(path, "ab") as file:
        try:
            _take(file)
        except (BlockingIOError, PermissionError) as error:
            raise Held(f"another process holds {os.fspath(path)!r}") from error
        try:
            yield
        finally:
            # Not the file: another process may have opened it already.
            _release(file)


def _take(file: IO[bytes]) -> None:
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


def _release(file: IO[bytes]) -> None:
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_UN)
    else:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
