"""What TensorBoard shows: a folder of numbers, histograms and images by step."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


class Writer:
    """Writes to a folder that TensorBoard reads."""

    def __init__(self, log_dir: str) -> None:
        self.writer = tf.summary.create_file_writer(log_dir)
        # By tags: as a graph TensorFlow writes several times as fast as step by step.
        self.graphs: dict[tuple[str, ...], Any] = {}

    def write(
        self,
        step: int,
        scalars: Mapping[str, float],
        histograms: Mapping[str, np.ndarray],
        images: Mapping[str, np.ndarray],
    ) -> None:
        """Tag -> a number; numbers (any,); uint8 (height, width, 3)."""
        tags = (*scalars, *histograms, *images)
        if tags not in self.graphs:
            self.graphs[tags] = tf.function(self._write, autograph=False).get_concrete_function(
                tf.TensorSpec([], tf.int64),
                {tag: tf.TensorSpec([], tf.float32) for tag in scalars},
                {tag: tf.TensorSpec([None], tf.float32) for tag in histograms},
                {tag: tf.TensorSpec([1, None, None, 3], tf.uint8) for tag in images},
            )
        self.graphs[tags](
            tf.constant(step, tf.int64),
            {tag: tf.constant(value, tf.float32) for tag, value in scalars.items()},
            {tag: tf.constant(values, tf.float32) for tag, values in histograms.items()},
            {tag: tf.constant(image[None]) for tag, image in images.items()},
        )
        self.writer.flush()

    def _write(self, step: Any, scalars: Any, histograms: Any, images: Any) -> None:
        with self.writer.as_default(step):
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value)
            for tag, values in histograms.items():
                tf.summary.histogram(tag, values)
            for tag, image in images.items():
                tf.summary.image(tag, image)


def write_hparams_config(folder: str | os.PathLike[str], hparams: Any, metrics: Any) -> None:
    """Tell TensorBoard's HParams view which settings and scores there are."""
    from tensorboard.plugins.hparams import api

    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        api.hparams_config(hparams=hparams, metrics=metrics)
    writer.close()
