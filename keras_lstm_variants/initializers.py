"""Initialisers for recurrent cells: where memory starts, and gates drawn alike."""

from keras_lstm_variants.core.initializers import ChronoBias, PerGate

__all__ = ["ChronoBias", "PerGate"]
