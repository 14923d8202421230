"""Variants that fail in training, each in its way, for `klv tune --import tune_trouble`."""

import os
import signal
import time

import tensorflow as tf

import keras_lstm_variants as klv


class _Trouble(klv.LSTM):
    """Behaves until it is trained."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if training:
            self.strike()
        return super().call(sequences, initial_state, mask, training)


@klv.register(package="trouble")
class Raises(_Trouble):
    def strike(self):
        raise RuntimeError("what must not be\nand more")


@klv.register(package="trouble")
class OutOfMemory(_Trouble):
    def strike(self):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating [9,9]")


@klv.register(package="trouble")
class Dies(_Trouble):
    def strike(self):
        os.kill(os.getpid(), signal.SIGKILL)


@klv.register(package="trouble")
class Slow(_Trouble):
    def strike(self):
        time.sleep(3)


@klv.register(package="trouble")
class NotANumber(klv.LSTM):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        return super().call(sequences, initial_state, mask, training) * float("nan")
