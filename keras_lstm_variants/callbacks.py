"""Callbacks for `fit`: what the gates do while a model learns."""

from keras_lstm_variants.analysis.gate_monitor import GateMonitor

__all__ = ["GateMonitor"]
