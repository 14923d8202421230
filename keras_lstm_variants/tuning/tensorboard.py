"""Learning curves and the HParams view of every trial."""

from pathlib import Path
from typing import Any

import keras

from keras_lstm_variants.backend.tensorboard import write_hparams_config
from keras_lstm_variants.tuning.settings import Search


def callbacks(search: Search) -> list[Any]:
    """For `search`: nothing without `--tensorboard`."""
    folder = search.arguments.tensorboard
    return [] if folder is None else [keras.callbacks.TensorBoard(folder, write_graph=False)]


def describe(search: Search, oracle: Any) -> None:
    """Which settings and scores the HParams view shows; nothing without `--tensorboard`."""
    folder = search.arguments.tensorboard
    if folder is None or list(Path(folder).glob("events.out.tfevents*")):
        return
    from tensorboard.plugins.hparams import api

    names = dict.fromkeys(p.name for p in oracle.get_space().space)
    metrics = [
        api.Metric(f"epoch_{name}", group=group, display_name=f"{short}{name}")
        for group, short in (("validation", "val_"), ("train", ""))
        for name in ("loss", search.hypermodel.metric)
    ]
    write_hparams_config(folder, [api.HParam(name) for name in names], metrics)
