"""An output folder that belongs to one piece of work, and knows it when it sees it again."""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

LOG, PARTIAL = "tensorflow.log", ".partial-"


class StoreError(ValueError):
    """The output folder cannot be used; the message is one line for the user."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write all of it or nothing: a reader never sees half a file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PARTIAL}{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON, all of it or nothing; NaN and infinity are refused."""
    data = json.dumps(value, indent=1, allow_nan=False)
    write_atomically(path, (data + "\n").encode())


class WorkFolder:
    """A folder whose main file names what it holds, so that other work is refused."""

    # The option that names the folder, and what the folder holds, for messages.
    option: ClassVar[str] = "--output"
    holds: ClassVar[str] = "work"
    # The file with the identity, and what may lie there before this file does.
    main: ClassVar[str]
    early: ClassVar[tuple[str, ...]] = (LOG,)
    # Folders inside that are written to.
    parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def open(self, identity: dict[str, Any]) -> None:
        """Make the folder, or check that it holds work with this identity.

        Looks first: a folder that is refused stays as it was.
        """
        try:
            found = {p.name for p in self.folder.iterdir()} if self.folder.exists() else set()
            if self.main in found:
                self.check_same(identity)
            elif found - {*self.parts, *self.early}:
                raise StoreError(
                    f"{self.option} {str(self.folder)!r} is not empty and holds no {self.holds}: "
                    "give another folder"
                )
            folders = [self.folder, *(self.folder / part for part in self.parts)]
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            with open(self.folder / LOG, "ab"):
                pass
            self.clear(folders)
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(
                f"cannot write to {self.option} {str(self.folder)!r}: {reason}"
            ) from error

    def clear(self, folders: Iterable[Path]) -> None:
        """Remove what a process that was stopped left half written."""
        for folder in folders:
            for path in folder.glob(f"{PARTIAL}*"):
                path.unlink()

    def check_same(self, identity: dict[str, Any]) -> None:
        """Raise a `StoreError` unless the folder holds work with this identity."""
        try:
            before = json.loads((self.folder / self.main).read_text("utf-8"))["identity"]
            different = {k for k in {*before, *identity} if before.get(k) != identity.get(k)}
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StoreError(
                f"{self.option} {str(self.folder)!r} has an unreadable {self.main}: "
                "give another folder"
            ) from error
        if different:
            changes = ", ".join(
                f"{k} {before.get(k)!r} there, {identity.get(k)!r} here" for k in sorted(different)
            )
            raise StoreError(
                f"{self.option} {str(self.folder)!r} holds another {self.holds} ({changes}): "
                "give another folder"
            )
