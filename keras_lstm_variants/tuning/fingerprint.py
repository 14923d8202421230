"""The fingerprint of a search, so that no other search goes on in its folder unnoticed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_lstm_variants._cli.work_folder import write_json

FILE = "search.json"
# What `search` gets that decides a score.
_DATA = ("x", "y", "sample_weight", "class_weight", "validation_data", "validation_split")


def parameters_of(hypermodel: Any) -> Any:
    """The parameters that a model of default settings has, with their ranges; None if unknown."""
    hp = keras_tuner.HyperParameters()
    try:
        getattr(hypermodel, "build", hypermodel)(hp)
    except Exception:
        return None  # A trial will say what is wrong.
    finally:
        keras.backend.clear_session()
    return json.loads(json.dumps(hp.get_config()["space"], default=str))


def hash_of_data(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """A hash of the arrays of a search; None where they are datasets or generators."""
    digest = hashlib.sha256()
    for part in keras.tree.flatten([list(args), [kwargs.get(name) for name in _DATA]]):
        if part is None or isinstance(part, bool | int | float | str):
            digest.update(repr(part).encode())
        elif hasattr(part, "__array__"):
            array = np.ascontiguousarray(part)
            digest.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
        else:
            return None
    return digest.hexdigest()


def read(path: Path) -> dict[str, Any]:
    """A file of a search, or a `ValueError` if it is cut."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if isinstance(content, dict):
            return content
    except ValueError:
        pass
    raise ValueError(
        f"{path} cannot be read, it is cut or changed: put it back, or give another `directory`"
    )


def check(project: Path, **fingerprint: Any) -> None:
    """Add the fingerprint of a search to the folder's file, or raise if another one is there.

    Raises:
        ValueError: the folder holds another search; the message says what differs.
    """
    path = project / FILE
    known = read(path) if path.exists() else {}
    ours = {name: value for name, value in fingerprint.items() if value is not None}
    different = [name for name in ours if known.get(name, ours[name]) != ours[name]]
    if different:
        long = ("space", "data")
        differences = ", ".join(
            f"another {name}" if name in long else f"{name} {known[name]!r}, not {ours[name]!r}"
            for name in different
        )
        raise ValueError(
            f"{project} holds another search: {differences}. Give another `directory` or "
            "`project_name`, or remove the folder."
        )
    project.mkdir(parents=True, exist_ok=True)
    write_json(path, {**known, **ours})
