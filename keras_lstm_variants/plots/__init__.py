"""Plots of what recurrent layers do. They need matplotlib, the extra `plot`.

Every function returns a `matplotlib.figure.Figure`, which a notebook shows, `savefig` saves, and
whose axes can be changed. Nothing here touches pyplot or needs a display.
"""

from keras_lstm_variants.plots._cell import cell_diagram
from keras_lstm_variants.plots._curves import learning_curves
from keras_lstm_variants.plots._history import gates, saturation, time_constants
from keras_lstm_variants.plots._text import attention, attribution, units_over_text

__all__ = [
    "attention",
    "attribution",
    "cell_diagram",
    "gates",
    "learning_curves",
    "saturation",
    "time_constants",
    "units_over_text",
]
