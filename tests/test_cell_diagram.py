"""Diagrams of cells: what is connected, what is written, and that nothing overlaps."""

import io

import keras
import numpy as np
import pytest
from cases import LAYERS, make
from tiers import quick_first

import keras_lstm_variants as klv
from keras_lstm_variants import plots
from keras_lstm_variants.backend import cell_graph
from keras_lstm_variants.plots import _layered

BATCH, TIME, UNITS = 2, 6, 4


def png(figure):
    """Drawn without a warning, as a glyph or a label that is missing or cut would be."""
    file = io.BytesIO()
    figure.savefig(file)
    assert file.getvalue().startswith(b"\x89PNG")


class TestCell:
    def parts(self, name, **options):
        cell = klv.get_variant(name).cell_class(4, **options)
        cell.build((None, 3))
        found = cell_graph.wiring(cell, 3, [w.name for w in cell.trainable_weights])
        return {(part.kind, part.name): part for part in found}

    def test_what_a_step_is_made_of(self):
        parts = self.parts("PeepholeLSTM")
        assert parts["gate", "i"].sources == {
            ("x", ""): {"kernel": True},
            ("old", "h"): {"recurrent_kernel": True},
            ("old", "c"): {"peephole_kernel": False},
        }
        assert parts["gate", "o"].sources["new", "c"] == {"peephole_kernel": False}
        assert ("old", "c") not in parts["gate", "g"].sources
        new_c = {("old", "c"), ("gate", "i"), ("gate", "f"), ("gate", "g")}
        assert set(parts["new", "c"].sources) == new_c
        assert parts["gate", "g"].function == "tanh" and parts["gate", "o"].function == "σ"
        assert set(self.parts("LSTM", activation="relu")["new", "h"].sources) == {
            ("gate", "o"),
            ("new", "c"),
        }

    @pytest.mark.slow
    def test_sums_and_products(self):
        product = lambda *of: cell_graph.Operation("×", of)  # noqa: E731
        f, i, g, o, z = (("gate", name) for name in "figoz")
        parts = self.parts("LSTM")
        assert parts["new", "c"].made == cell_graph.Operation(
            "+", (product(f, ("old", "c")), product(i, g))
        )
        h = product(o, cell_graph.Operation("tanh", (("new", "c"),)))
        assert parts["new", "h"].made == h and parts["gate", "i"].made is None
        rest = product(cell_graph.Operation("1 -", (z,)), g)
        assert rest in self.parts("GRU")["new", "h"].made.of
        assert len(self.parts("DepthGatedLSTM")["new", "c_2"].made.of) == 3
        # What weights are in, or what is chosen, is no sum to be drawn.
        assert self.parts("ClockworkLSTM")["new", "c"].made is None
        texts = [text.get_text() for text in plots.cell_diagram("LSTM", 5, 4).axes[0].texts]
        assert sorted(t for t in texts if t in "×+") == ["+", "×", "×", "×"]

    def test_columns_that_were_joined_and_cut_apart(self):
        parts = self.parts("MUT1")
        assert parts["gate", "z"].sources == {("x", ""): {"kernel": True}}
        assert parts["gate", "g"].sources["x", ""] == {"input_projection": True}
        assert "h" not in {name for _, name in parts["gate", "z"].sources}

    def test_gates_that_are_states_and_an_output_of_its_own(self):
        assert ("gate", "i") not in self.parts("FGRLSTM")
        assert ("output", "output") in self.parts("GridLSTM")
        assert self.parts("Elman")["new", "h"].sources == {("gate", "g"): {}}

    @quick_first(pytest.mark.parametrize("name", LAYERS))
    def test_of_every_variant(self, name):
        figure = plots.cell_diagram(name, input_dim=5, units=4)
        facts = klv.describe(name, 5, 4, format="dict")
        diagram, below = figure.axes
        nodes = {text.get_text() for text in diagram.texts}
        known = {name.split("_")[0].split("[")[0] for name in nodes}
        assert set(facts["gates"]) <= known
        assert "x[t]" in nodes and {f"{state}[t]" for state in facts["states"]} <= nodes
        lines = "\n".join(text.get_text() for text in below.texts)
        for weight, found in facts["weights"].items():
            assert weight in lines and str(tuple(found["shape"])) in lines
        assert f"{facts['parameters']:,} weights" in figure.get_suptitle()
        png(figure)
        # No two boxes overlap, and every line ends at a box or dot.
        boxes = [p.get_bbox() for p in diagram.patches if type(p).__name__ == "FancyBboxPatch"]
        for k, a in enumerate(boxes):
            assert not any(a.overlaps(b) for b in boxes[:k])

    def test_of_layers_and_own_cells(self):
        layer = make("PeepholeLSTM", {"peepholes": ("o",)})
        below = plots.cell_diagram(layer).axes[1]
        lines = "\n".join(text.get_text() for text in below.texts)
        assert "(1, 5)" in lines and "(3, 20)" in lines and "c[t] -> o" in lines

        class LeakyCell(klv.AffineCell):
            gates = ("g",)

            def step(self, z, states, training=False):
                h = self.activation(self.recurrent_matmul(states[0], add_to=z))
                h = 0.5 * states[0] + h
                return h, (h,)

        assert len(plots.cell_diagram(LeakyCell, 3, 2).axes[0].texts) == 3

    @pytest.mark.parametrize("name", ["LSTM", "MUT1", "ClockworkLSTM"])
    def test_in_mixed_precision(self, name):
        expected = plots.cell_diagram(name, 5, 4)
        found = plots.cell_diagram(klv.get_variant(name)(4, dtype="mixed_bfloat16"), 5)
        for one, other in zip(found.axes, expected.axes, strict=True):
            assert {t.get_text() for t in one.texts} == {t.get_text() for t in other.texts}

    def test_of_a_cell_with_a_memory(self):
        layer = klv.AttentionLSTM(4)
        layer(np.ones((2, 5, 3)), memory=np.ones((2, 7, 6)))
        diagram, below = plots.cell_diagram(layer).axes
        assert {"memory", "alpha", "beta", "context"} <= {t.get_text() for t in diagram.texts}
        lines = [" ".join(text.get_text().split()) for text in below.texts]
        assert "memory_kernel (6, 4) 24 memory -> alpha" in lines
        assert "query_kernel (4, 4) 16 h[t-1] -> alpha" in lines
        assert "context_kernel (6, 16) 96 context -> i f g o" in lines
        assert plots.cell_diagram(klv.AttentionLSTMCell(4, memory_features=6), 3).axes
        with pytest.raises(ValueError, match="memory_features="):
            plots.cell_diagram(klv.AttentionLSTM(4))

    @pytest.mark.parametrize(
        ("variant", "options", "message"),
        [
            ("LTSM", {}, "Did you mean"),
            (5, {}, "`variant`"),
            (keras.layers.LSTMCell, {}, "klv.Cell"),
            (keras.layers.Dense(2), {}, "`variant`"),
            ("LSTM", {"peepholes": ()}, "passed to LSTMCell: {'peepholes'"),
            ("LSTM", {"input_dim": 0}, "input_dim=0"),
        ],
        ids=range(6),
    )
    def test_bad_arguments(self, variant, options, message):
        with pytest.raises(ValueError, match=message):
            plots.cell_diagram(variant, **options)
        with pytest.raises(ValueError, match="its arguments already"):
            plots.cell_diagram(klv.LSTM(2), activation="relu")

    def test_lines_pass_between_boxes(self):
        layered = _layered.Layered({"a": [], "b": ["a"], "c": ["b"], "d": ["a", "c"]}, set())
        assert [layered.column[n] for n in "abcd"] == [0, 1, 2, 3]
        way = layered.way("a", "d")
        assert way[0] == "a" and way[-1] == "d" and len(way) == 4
        for point, box in zip(way[1:3], "bc", strict=True):
            assert layered.at[point][0] == layered.at[box][0]
            assert abs(layered.at[point][1] - layered.at[box][1]) > 0.6
