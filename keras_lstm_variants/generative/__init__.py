"""Generative models: sequences and images with latent variables, trained on a bound."""

from keras_lstm_variants.generative.draw import DRAW
from keras_lstm_variants.generative.storn import STORN
from keras_lstm_variants.generative.vrnn import VRNN

__all__ = ["DRAW", "STORN", "VRNN"]
