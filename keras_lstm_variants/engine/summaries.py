"""What TensorBoard reads."""

import os
from typing import Any

import tensorflow as tf


def write_hparams_config(folder: str | os.PathLike[str], hparams: Any, metrics: Any) -> None:
    """Tell TensorBoard's HParams view which settings and scores there are."""
    from tensorboard.plugins.hparams import api

    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        api.hparams_config(hparams=hparams, metrics=metrics)
    writer.close()
