"""What TensorBoard shows: a folder of numbers, histograms and images by step."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


class Writer:
    """Writes to a folder that TensorBoard reads."""

    def __init__(self, log_dir: str) -> None:
        self.writer = tf.summary.create_file_writer(log_dir)

    def write(
        self,
        step: int,
        scalars: Mapping[str, float],
        histograms: Mapping[str, np.ndarray],
        images: Mapping[str, np.ndarray],
    ) -> None:
        """Tag -> a number; numbers of any shape; uint8 (height, width, 3)."""
        with self.writer.as_default(step):
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value)
            for tag, values in histograms.items():
                tf.summary.histogram(tag, values)
            for tag, image in images.items():
                tf.summary.image(tag, image[None])
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
