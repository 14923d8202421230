"""An output folder that holds one piece of work and refuses any other."""

import contextlib
import errno
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from keras_lstm_variants._cli import lock

LOG, LOCK, PARTIAL = "tensorflow.log", ".lock", ".partial-"


class StoreError(ValueError):
    """The output folder cannot be used; the message is one line for the user."""


class StoreFailure(RuntimeError):
    """The output folder failed during the work; the message is one line for the user."""


def path_of(option: str, text: str | os.PathLike[str]) -> Path:
    """`text` as a path, or a `StoreError` that names the option if it can be none."""
    shown = os.fspath(text)
    if not shown:
        raise StoreError(f"{option} must be a path. Received: {shown!r}")
    try:
        encoded = os.fsencode(shown)
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise StoreError(f"{option} must be a path, which holds no such character: {shown!r}")
    return Path(shown)


def write_atomically(path: Path, data: bytes) -> None:
    """Write all of it or nothing: a reader never sees half a file."""
    partial = path.with_name(f"{PARTIAL}{path.name}.{secrets.token_hex(4)}")
    try:
        # As any new file, it is for those whom the umask allows.
        with open(partial, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON, all of it or nothing; NaN and infinity are refused."""
    data = json.dumps(value, indent=1, allow_nan=False)
    write_atomically(path, (data + "\n").encode())


class WorkFolder:
    """A folder whose main file identifies the work in it, so that other work is refused."""

    # The option that names the folder, and what the folder holds, for messages.
    option: ClassVar[str] = "--output"
    holds: ClassVar[str] = "work"
    # The file with the identity, and what may lie there before this file does.
    main: ClassVar[str]
    early: ClassVar[tuple[str, ...]] = (LOG, LOCK)
    # Folders inside that are written to.
    parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = path_of(self.option, folder)

    @property
    def shown(self) -> str:
        """The option and the folder, for messages."""
        return f"{self.option} {str(self.folder)!r}"

    @contextlib.contextmanager
    def held(self, identity: dict[str, Any]) -> Iterator[None]:
        """The folder, made or checked, for this process alone while the block lasts.

        Raises:
            StoreError: it holds other work, another process holds it, or it cannot be written to.
        """
        self.open(identity)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock.lock(self.folder / LOCK))
            except lock.Held:
                raise StoreError(
                    f"another process works in {self.shown} now: wait for its end, or give "
                    "another folder"
                ) from None
            except OSError as error:  # some network file systems know no locks
                print(
                    f"{self.shown} cannot be locked ({error.strerror or error}): nothing keeps a "
                    "second command out of it.",
                    file=sys.stderr,
                )
            # Another process may have begun, and ended, between the look and the lock.
            self.check_same(identity)
            self.clear()
            yield

    def look(self, identity: dict[str, Any]) -> None:
        """Check that the folder can be made, or holds work with this identity; change nothing.

        Of `identity`, a part is enough: what is not known yet may be left out.

        Raises:
            StoreError: with one line for the user.
        """
        try:
            place = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
            if not place.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not os.access(place, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            names = {p.name for p in self.folder.iterdir()} if self.folder.exists() else set()
        except OSError as error:
            raise StoreError(self._cannot_write(error)) from error
        foreign = {n for n in names - {*self.parts, *self.early} if not n.startswith(PARTIAL)}
        if foreign and self.main not in names:
            raise StoreError(
                f"{self.shown} is not empty and holds no {self.holds}: give another folder"
            )
        self.check_same(identity, known=identity)

    def open(self, identity: dict[str, Any]) -> None:
        """Make the folder, or check that it holds work with this identity.

        Looks first: a folder that is refused stays as it was.
        """
        self.look(identity)
        self.check_same(identity)
        try:
            for folder in self._folders():
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            with open(self.folder / LOG, "ab"):
                pass
        except OSError as error:
            raise StoreError(self._cannot_write(error)) from error

    def _folders(self) -> list[Path]:
        return [self.folder, *(self.folder / part for part in self.parts)]

    def _cannot_write(self, error: OSError) -> str:
        return f"cannot write to {self.shown}: {error.strerror or error}"

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A `StoreFailure` for what fails in the block, as on a full disk."""
        try:
            yield
        except OSError as error:
            raise StoreFailure(self._cannot_write(error)) from error

    def clear(self) -> None:
        """Remove what a process that was stopped left half written."""
        for folder in self._folders():
            for path in folder.glob(f"{PARTIAL}*"):
                path.unlink(missing_ok=True)

    def spare_identity(self) -> dict[str, Any] | None:
        """The identity from elsewhere in the folder, where the main file is cut."""
        return None

    def check_same(self, identity: dict[str, Any], known: Iterable[str] = ()) -> None:
        """Raise a `StoreError` if the folder holds work with another identity.

        Only the keys in `known` count, where it is given.
        """
        path = self.folder / self.main
        if not path.exists():
            return
        try:
            before = json.loads(path.read_text("utf-8"))["identity"]
            before = dict(before)
        except (ValueError, KeyError, TypeError, OSError) as error:
            before = self.spare_identity()
            if before is None:
                raise StoreError(
                    f"{self.shown} has an unreadable {self.main}: give another folder"
                ) from error
        keys = known or {*before, *identity}
        different = sorted(k for k in keys if before.get(k) != identity.get(k))
        if different:
            changes = ", ".join(
                f"{k} {before.get(k)!r} there, {identity.get(k)!r} here" for k in different
            )
            raise StoreError(
                f"{self.shown} holds another {self.holds} ({changes}): give another folder"
            )
