"""The only module that may import Keras's private code (a test guards this)."""

# `keras.layers.RNN` prepares dropout masks before its loop only for instances of
# this class, and Keras does not export it.
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

__all__ = ["DropoutRNNCell"]
