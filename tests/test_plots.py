"""Pictures by what is in them: panels, labels, values and colours."""

import inspect
import io
import pickle
import sys

import keras
import numpy as np
import pytest
from cases import LAYERS, make, sequences

import keras_lstm_variants as klv
from keras_lstm_variants import plots
from keras_lstm_variants.analysis.gate_history import GateHistory

BATCH, TIME, UNITS = 2, 6, 4


def history(mask=None, **names):
    """Gates i and f, a candidate and a state, all different."""
    random = np.random.default_rng(0)
    shape = (BATCH, TIME, UNITS)
    found = {name: random.uniform(size=shape) for name in ("i", "f")}
    found |= {name: 3 * random.normal(size=shape) for name in ("g", "c")} | names
    if mask is not None:
        found |= {name: np.where(mask[..., None], found[name], np.nan) for name in ("i", "f", "g")}
    return found


def images(figure):
    return [np.ma.getdata(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def png(figure):
    """Drawn without a warning, as a glyph or a label that is missing or cut would be."""
    file = io.BytesIO()
    figure.savefig(file)
    assert file.getvalue().startswith(b"\x89PNG")


class TestGates:
    def test_values_labels_and_colours(self):
        mask = np.ones((BATCH, TIME), bool)
        mask[1, 4:] = False
        found = history(mask)
        figure = plots.gates(found, tokens="a \n$b\t", row=1)
        panels = figure.axes[:4]
        assert [axes.get_title() for axes in panels] == ["i", "f", "g", "c"]
        for image, name in zip(images(figure), found, strict=True):
            real = ~np.isnan(found[name][1].T)
            np.testing.assert_array_equal(image[real], found[name][1].T[real])
        norms = [(axes.images[0].norm.vmin, axes.images[0].norm.vmax) for axes in panels]
        high = np.abs(found["c"][1]).max()
        assert norms[0] == norms[1] == (0, 1) and norms[3] == (-high, high)
        maps = [axes.images[0].cmap for axes in panels]
        assert maps[0].name == "viridis" and maps[3].name == "RdBu_r"
        grey = maps[0].get_bad()
        assert grey[0] == grey[1] == grey[2]
        assert np.ma.getmaskarray(panels[0].images[0].get_array())[:, 4:].all()
        assert ticks(panels[-1].xaxis) == ["a", "␣", "⏎", r"\$", "b", "⇥"]
        assert panels[-1].get_xlabel() == "token" and panels[0].get_ylabel() == "unit"
        png(figure)

    def test_some_of_them(self):
        found = history()
        figure = plots.gates(found, names=("c", "f"), units=(3, 0), row=-1)
        assert [axes.get_title() for axes in figure.axes[:2]] == ["c", "f"]
        np.testing.assert_array_equal(images(figure)[1], found["f"][-1][:, [3, 0]].T)
        assert ticks(figure.axes[0].yaxis) == ["3", "0"]

    @pytest.mark.parametrize("name", LAYERS)
    def test_of_every_layer(self, name):
        layer = make(name)
        found = klv.gate_history(layer, sequences())[layer.name]
        assert len(images(plots.gates(found))) == len(found)

    @pytest.mark.parametrize(("steps", "count"), [(1, 1), (400, 100)])
    def test_few_and_many_steps(self, steps, count):
        found = {"f": np.full((1, steps, count), 0.5)}
        figure = plots.gates(found, tokens="x" * steps)
        assert len(ticks(figure.axes[0].xaxis)) <= 250
        png(figure)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"tokens": "abc"}, "`tokens` must be 6.*3"),
            ({"row": 2}, "row=2"),
            ({"row": True}, "row=True"),
            ({"names": ["x"]}, "names="),
            ({"names": ()}, "names="),
            ({"units": [9]}, "units=9"),
            ({"units": []}, "units="),
        ],
        ids=str,
    )
    def test_bad_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            plots.gates(history(), **options)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"lstm": history()}, "Choose one of its layers: 'lstm'"),
            ({}, "one layer"),
            ({"f": [1.0]}, "one layer"),
            ({"f": np.ones((1, 2, 3)), "g": np.ones((1, 3, 3))}, "all of one batch and time"),
        ],
        ids=range(4),
    )
    def test_what_is_no_history(self, value, message):
        for draw in (plots.gates, plots.saturation, plots.time_constants):
            with pytest.raises(ValueError, match=message):
                draw(value)


class TestSaturation:
    def test_shares(self):
        f = np.full((1, 4, 2), 0.5)
        f[0, :, 0] = [0.01, 0.02, 0.95, np.nan]
        f[0, 3, 1] = np.nan
        figure = plots.saturation({"f": f, "c": np.ones((1, 4, 2))})
        points, histogram = figure.axes
        np.testing.assert_allclose(points.collections[0].get_offsets(), [[2 / 3, 1 / 3], [0, 0]])
        assert points.get_title() == "f" and "below 0.1" in points.get_xlabel()
        assert "above 0.9" in points.get_ylabel()
        assert sum(bar.get_height() for bar in histogram.patches) == 6
        png(figure)

    def test_no_gate_and_bad_limits(self):
        with pytest.raises(ValueError, match="with gates.*history of c"):
            plots.saturation({"c": np.ones((1, 2, 3))})
        for low, high in ((0.9, 0.1), (-1, 0.5), (0.1, 2)):
            with pytest.raises(ValueError, match="low|high"):
                plots.saturation(history(), low, high)

    def test_many_gates(self):
        layer = make("GridLSTM")
        found = klv.gate_history(layer, sequences())[layer.name]
        assert sum(bool(axes.get_title()) for axes in plots.saturation(found).axes) == 12


class TestTimeConstants:
    def lives(self, figure):
        return [line.get_xdata()[0] for axes in figure.axes for line in axes.lines]

    def test_half_of_it_is_left(self):
        f = np.tile([0.5, 0.5**0.1, 0.5**0.5], (2, 4, 1))
        f[0, 0] = np.nan
        figure = plots.time_constants({"f": f})
        (axes,) = figure.axes
        np.testing.assert_allclose(self.lives(figure), [2])
        assert sum(bar.get_height() for bar in axes.patches) == 3
        assert axes.get_xscale() == "log" and axes.get_xlabel().endswith("(log scale)")
        assert axes.get_title() == "f: median 2"
        png(figure)

    def test_all_and_nothing_are_counted(self):
        figure = plots.time_constants({"f": np.tile([0.0, 1.0, 1.0, 0.5], (1, 2, 1))})
        title = figure.axes[0].get_title()
        assert "2 of 4 units keep all" in title and "1 of 4 units keep nothing" in title
        png(figure)
        png(plots.time_constants({"f": np.ones((1, 2, 3))}))
        png(plots.time_constants({"f": np.full((1, 2, 3), np.nan)}))

    def test_the_sign(self):
        z = {"z": np.full((1, 2, 3), 0.25)}
        np.testing.assert_allclose(self.lives(plots.time_constants(z, layer="GRU")), [0.5])
        inverted = np.log(0.5) / np.log(0.75)
        for options in ({"layer": klv.MUT1}, {"layer": klv.MUT1(3)}, {"gate": "z", "sign": -1}):
            figure = plots.time_constants(z, **options)
            np.testing.assert_allclose(self.lives(figure), [inverted])
            assert figure.axes[0].get_title().startswith("1 - z")
        with pytest.raises(ValueError, match="give `layer=.*, or `sign`"):
            plots.time_constants(z, gate="z")

    def test_of_the_cell_that_the_history_knows(self):
        z = {"z": np.full((1, 2, 3), 0.25)}
        for cell, life in ((klv.GRUCell(3), 0.5), (klv.MUT1Cell(3), np.log(0.5) / np.log(0.75))):
            np.testing.assert_allclose(
                self.lives(plots.time_constants(GateHistory(z, cell))), [life]
            )
        # What is given is stronger.
        other = plots.time_constants(GateHistory(z, klv.MUT1Cell(3)), layer="GRU")
        np.testing.assert_allclose(self.lives(other), [0.5])
        for cell, message in (
            (klv.ElmanCell(3), "Cells without a gate that keeps memory"),
            (keras.layers.GRUCell(3), "Cells without a gate that keeps memory"),
            (None, "Give `layer="),
        ):
            with pytest.raises(ValueError, match=message):
                plots.time_constants(GateHistory(z, cell))

    def test_levels(self):
        found = {f"f_{k}": np.full((1, 2, 3), 0.5) for k in (1, 2)}
        titles = [axes.get_title() for axes in plots.time_constants(found).axes]
        assert titles == ["f_1: median 1", "f_2: median 1"]

    @pytest.mark.parametrize(
        ("found", "options", "message"),
        [
            ({"c": np.ones((1, 2, 3))}, {}, "gate that keeps"),
            (history(), {"gate": "x"}, "gate='x'"),
            (history(), {"sign": 2}, "sign=2"),
            (history(), {"layer": "Elman"}, "this cell has none"),
            (history(), {"layer": 5}, "layer=5"),
        ],
        ids=range(5),
    )
    def test_bad_arguments(self, found, options, message):
        with pytest.raises(ValueError, match=message):
            plots.time_constants(found, **options)


class TestText:
    def test_lines_and_colours(self):
        text, values = "ab cd\nef", np.array([-2.0, 0, 1, np.nan, 2, 0, 1, 2])
        figure = plots.units_over_text(text, values, columns=4)
        axes = figure.axes[0]
        written = {t.get_position(): t.get_text() for t in axes.texts}
        # Words are whole, but for those longer than a line.
        assert [written[p] for p in ((2, 0), (0, 1), (1, 1), (0, 2))] == ["␣", "c", "d", "e"]
        assert len(written) == len(text)
        (grid,) = images(figure)[:1]
        np.testing.assert_array_equal(grid[2, :2], [1, 2])
        assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == (-2, 2)
        assert axes.images[0].get_alpha()[2].tolist() == [1, 1, 0]
        png(figure)

    def test_words_longer_than_a_line(self):
        figure = plots.units_over_text("a bcdefg h", np.zeros(10), columns=4)
        lines = {}
        for text in figure.axes[0].texts:
            lines[text.get_position()[1]] = lines.get(text.get_position()[1], "") + text.get_text()
        assert list(lines.values()) == ["a␣bc", "defg", "␣h"]

    def test_units_of_a_batch_in_panels(self):
        values = np.random.default_rng(0).normal(size=(2, 9, 4))
        figure = plots.units_over_text("ab cd\nef.", values, row=1, units=(3, 0))
        panels = figure.axes[:2]
        assert [axes.get_title() for axes in panels] == ["unit 3", "unit 0"]
        for axes, unit in zip(panels, (3, 0), strict=True):
            np.testing.assert_array_equal(axes.images[0].get_array()[1, :3], values[1, 6:, unit])
            high = np.abs(values[1][:, [3, 0]]).max()
            assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == (-high, high)
        one = plots.units_over_text("ab cd\nef.", values, row=1, units=3).axes
        np.testing.assert_array_equal(one[0].images[0].get_array(), panels[0].images[0].get_array())
        png(figure)

    def test_limits(self):
        def norm(*arguments, **options):
            image = plots.units_over_text(*arguments, **options).axes[0].images[0]
            return image.norm.vmin, image.norm.vmax

        assert norm("ab", [0.2, 0.4]) == norm(np.array(["a", "b"]), [0.2, 0.4]) == (0, 1)
        assert norm("ab", [0.2, 0.4], limits=(-1, 1)) == (-1, 1)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("", []), "`text`"),
            ((5, [1]), "text=5"),
            ((["to", "be"], [1, 2]), "longer tokens"),
            (("ab", [1]), "2 characters"),
            (("ab", [[1, 2]]), "`values`"),
            (("ab", [1, 2], 4, None, 1), "`row` needs `values` of a batch"),
            (("ab", [1, 2], 4, None, 0, 3), "`units` needs `values` of a batch"),
            (("ab", np.ones((1, 2, 3))), "`units` must name some of the 3 units"),
            (("ab", np.ones((1, 2, 3)), 4, None, 0, 3), "units=3"),
            (("ab", np.ones((1, 2, 3)), 4, None, 1, 0), "row=1"),
            (("ab", ["x", "y"]), "`values`"),
            (("ab", [1, 2], 0), "columns=0"),
            (("ab", [1, 2], 4, (1, 0)), "limits="),
        ],
        ids=range(13),
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            plots.units_over_text(*arguments)


def test_attention():
    shares = np.array([[0.1, 0.9], [0.5, 0.5], [np.nan, np.nan]])
    figure = plots.attention(shares, read=["longer", "words"], said="abc")
    axes = figure.axes[0]
    assert ticks(axes.xaxis) == ["longer", "words"] and ticks(axes.yaxis) == ["a", "b", "c"]
    assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == (0, 0.9)
    assert figure.axes[1].get_ylabel() == "attention"
    png(figure)
    png(plots.attention(np.zeros((1, 1))))
    both = np.stack([np.zeros((3, 2)), shares])
    np.testing.assert_array_equal(images(plots.attention(both, row=1))[0], images(figure)[0])
    for arguments, message in (
        ((np.ones(3),), "`map`"),
        ((-np.ones((2, 2)),), "`map`"),
        ((shares, "abc"), "`read`"),
        ((shares, "ab", "ab"), "`said`"),
        ((shares, None, None, 1), "row=1"),
        ((both, None, None, 2), "row=2"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.attention(*arguments)


def test_attribution():
    layer = make("LSTM")
    found = klv.attribution(layer, sequences(), 0, steps=2)
    output = found.baseline_output + np.array([1, 2, 1, 1])
    gap = np.array([0, 0.5, 0, 0])
    found = found._replace(output=output, gap=gap)
    figure = plots.attribution(found, tokens="abcdef", feature_names=["p", "q $", "r"], row=1)
    bars, axes = figure.axes[:2]
    np.testing.assert_allclose(images(figure)[0], found.values[1].T)
    heights = [bar.get_height() for bar in bars.patches]
    np.testing.assert_allclose(heights, [*found.values[1].sum(-1), 0.5], rtol=1e-5)
    shown = {bar.get_facecolor() for bar in bars.patches[:-1] if bar.get_height() > 0}
    assert bars.patches[-1].get_hatch() and bars.patches[-1].get_x() > TIME - 0.5
    (said,) = bars.texts
    assert said.get_text() == "bars: 2.5, F(x) - F(baseline): 2, gap (hatched): 0.5, 25 %"
    small = plots.attribution(found, row=0).axes[0].texts[0]
    assert small.get_text().endswith("0, 0 %") and small.get_color() != said.get_color()
    assert len(shown) <= 1 and ticks(axes.yaxis) == ["p", r"q \$", "r"]
    assert ticks(axes.xaxis) == list("abcdef")
    png(figure)
    png(plots.attribution(np.zeros((1, 1))))
    # Of tokens, with one value each, there are bars alone.
    alone = plots.attribution(found._replace(values=found.values[..., 0]), "abcdef", row=1)
    assert [bar.get_height() for bar in alone.axes[0].patches][:-1] == list(found.values[1, :, 0])
    assert len(alone.axes) == 1 and ticks(alone.axes[0].xaxis) == list("abcdef")
    png(alone)
    for arguments, message in (
        ((np.ones(3),), "`values`"),
        ((found, "abc"), "`tokens`"),
        ((found, None, "ab"), "`feature_names`"),
        ((found, None, None, 9), "row=9"),
        ((found.values[0], None, None, 1), "row=1"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.attribution(*arguments)


def test_row_and_tokens_are_the_same_in_all_plots():
    said = {
        "row": "row: which sequence of a batch.",
        "tokens": "tokens: a label for each step, (time,), as a text or words.",
    }
    having = {name: set() for name in said}
    for plot in plots.__all__:
        function = getattr(plots, plot)
        for name, parameter in inspect.signature(function).parameters.items():
            if name in said:
                having[name].add(plot)
                assert said[name] in map(str.strip, function.__doc__.splitlines())
                assert parameter.default == (0 if name == "row" else None)
    assert having == {
        "row": {"attention", "attribution", "gates", "units_over_text"},
        "tokens": {"attribution", "gates"},
    }


def test_figures_are_shown_kept_and_changed():
    figure = plots.learning_curves({"loss": [2.0, 1.0]})
    figure.axes[0].set_title("mine")
    assert pickle.loads(pickle.dumps(figure)).axes[0].get_title() == "mine"
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert not hasattr(figure, "number")  # pyplot, which would keep it, does not know it


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras_lstm_variants.plots._figure", raising=False)
    monkeypatch.delattr(plots, "_figure", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"keras_lstm_variants\[plot\]"):
        plots.learning_curves({"loss": [1.0]})
