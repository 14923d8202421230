"""The plot of a search."""

import numpy as np

from keras_lstm_variants import list_variants
from keras_lstm_variants.tuning import search_plot


class TestPlot:
    def test_importance_finds_what_matters(self):
        random = np.random.default_rng(0)
        scores = random.normal(size=40)
        assert search_plot.importance(list(scores), list(scores)) > 0.8
        assert search_plot.importance([s > 0 for s in scores], list(scores)) > 0.6
        chance = [
            search_plot.importance(list(random.normal(size=40)), list(scores)) for _ in range(50)
        ]
        assert np.mean(chance) < 0.06
        assert search_plot.importance([1.0, 2.0], [1.0, 2.0]) == 0.0
        assert search_plot.importance([3] * 9, list(scores[:9])) == 0.0

    def test_panels(self, tmp_path, monkeypatch):
        from matplotlib.figure import Figure

        figures = []
        monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: figures.append(figure))
        random = np.random.default_rng(0)
        records = []
        for k in range(30):
            settings = {"variant": ["LSTM", "Elman"][k % 2], "units": 8 * (1 + k % 5)}
            if k % 2 == 0:
                settings["forget_bias_rule"] = ["number", "chrono"][k % 4 // 2]
            if settings.get("forget_bias_rule") == "number":
                settings["forget_bias"] = float(random.uniform(-1, 5))
            records.append({"score": settings["units"] + random.normal(), "settings": settings})
        search_plot.draw(records, "val_loss", "min", tmp_path / "x.png", "A")
        labels = [axes.get_xlabel() for axes in figures[0].axes]
        assert labels[0].startswith("forget bias") and labels[1].startswith("units (accounts for")
        ticks = [t.get_text() for t in figures[0].axes[0].get_xticklabels()]
        assert {"chrono", "none"} <= set(ticks) and "number" not in ticks
        shown = sum(len(points.get_offsets()) for points in figures[0].axes[0].collections)
        assert shown == 30

        # All that was searched, each variant with a look of its own, and what no memory reaches.
        names = ["units", "layers", "dropout", "batch_size", "learning_rate", "clipnorm"]
        records = [
            {"score": 1 + k, "settings": {"variant": v, **dict.fromkeys(names, k % 4)}}
            for k, v in enumerate(list_variants())
        ]
        search_plot.draw(
            records, "val_loss", "min", tmp_path / "x.png", "A", {"last value": 3.0}, "Never: B"
        )
        drawn = [axes for axes in figures[1].axes if axes.get_xlabel()]
        assert len(drawn) == 7 and figures[1].get_supxlabel() == "Never: B"
        looks = {
            (tuple(c.get_facecolor()[0]), len(c.get_paths()[0]), str(c.get_paths()[0].vertices))
            for c in drawn[0].collections
        }
        assert len(looks) == len(records)
        for axes in drawn:
            assert 3.0 in [line.get_ydata()[0] for line in axes.lines]
