"""Models with a training of their own: latent variables on a bound, hard attention by draws."""

from keras_lstm_variants.generative.draw import DRAW
from keras_lstm_variants.generative.hard_attention import HardAttentionModel
from keras_lstm_variants.generative.storn import STORN
from keras_lstm_variants.generative.vrnn import VRNN

__all__ = ["DRAW", "STORN", "VRNN", "HardAttentionModel"]
