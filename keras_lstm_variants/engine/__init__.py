"""The time loop: how a cell runs over a sequence, and nothing about cells."""

from keras_lstm_variants.engine.loop import Result, is_ragged, run

__all__ = ["Result", "is_ragged", "run"]
