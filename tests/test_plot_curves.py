"""Learning curves, by what is in their pictures."""

import keras
import pytest
from test_plots import png

from keras_lstm_variants import plots
from keras_lstm_variants.plots import _style


class TestCurves:
    def test_one_and_several(self):
        one = {"loss": [3, 2, 1], "val_loss": [3.5, 2.5, 1.5], "accuracy": [0, 0.5, 1]}
        trained = keras.callbacks.History()
        trained.history, trained.epoch = {"loss": [5.0, 4.0]}, [3, 4]
        figure = plots.learning_curves({"first": one, "second": trained})
        (axes,) = figure.axes
        assert [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines] == [
            ([1, 2, 3], [3, 2, 1]),
            ([1, 2, 3], [3.5, 2.5, 1.5]),
            ([4, 5], [5, 4]),
        ]
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == ["first, training", "first, validation", "second, training"]
        assert axes.lines[0].get_color() == axes.lines[1].get_color() == _style.COLOURS[0]
        assert axes.lines[2].get_color() != axes.lines[0].get_color()
        assert axes.get_xlabel() == "epoch" and axes.get_ylabel() == "loss"
        png(figure)
        assert plots.learning_curves([one], "accuracy").axes[0].get_ylabel() == "accuracy"

    def test_many_have_their_legend_beside_them(self):
        figure = plots.learning_curves([{"loss": [2.0, 1.0]}] * 9)
        looks = {(i.get_color(), i.get_linestyle(), i.get_marker()) for i in figure.axes[0].lines}
        assert len(looks) == 9 and len(figure.legends[0].get_texts()) == 9
        png(figure)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (({"loss": [1.0]}, "los"), "metric='los'.*Did you mean 'loss'"),
            (({"loss": [1.0]}, 5), "metric=5"),
            (({},), "`histories`"),
            (([],), "`histories`"),
            ((5,), "Received: 5"),
            (({"a": {"loss": ["x"]}},), "`histories`"),
        ],
        ids=range(6),
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            plots.learning_curves(*arguments)
