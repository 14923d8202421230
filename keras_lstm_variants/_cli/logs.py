"""Keeps the log messages of TensorFlow's C++ out of what the command prints."""

import logging
import os
import sys

_moved = False


def send_notes_to(path: str | os.PathLike[str]) -> None:
    """Send what libraries write to descriptor 2 to `path`; our own lines stay where they are.

    Child processes inherit it: all that they write to standard error goes there too.
    """
    global _moved
    if not _moved:
        # Our lines keep the terminal by a descriptor of their own.
        sys.stderr.flush()
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
        _moved = True
    target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(target, 2)
    os.close(target)


def send_logs_to(path: str | os.PathLike[str]) -> None:
    """As `send_notes_to`, and Python's warnings and TensorFlow's log, too."""
    send_notes_to(path)
    logging.captureWarnings(True)
    for name in ("tensorflow", "py.warnings"):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.addHandler(logging.FileHandler(path))
        logger.propagate = False


def redirected() -> bool:
    """Whether `send_notes_to` was called in this process."""
    return _moved
