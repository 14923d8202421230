"""`klv.describe`, in Python and on the command line, and `klv list`."""

import json
import os
import random
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from cases import CASES, FEATURES, IDS, LAYERS, UNITS
from equations import PARAMETERS

import keras_lstm_variants as klv
from keras_lstm_variants.cli import main


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_facts(name, options):
    found = klv.describe(name, FEATURES, UNITS, format="dict", **options)
    layer = klv.get_variant(name)(UNITS, **options)
    layer.build((None, None, FEATURES))
    assert found["parameters"] == PARAMETERS[name](FEATURES, UNITS, **options)
    assert found["parameters"] == sum(w["count"] for w in found["weights"].values())
    assert {n: tuple(w["shape"]) for n, w in found["weights"].items()} == {
        w.name: tuple(w.shape) for w in layer.weights
    }
    for weight, facts in found["weights"].items():
        count = len(facts["columns"])
        if count and "peephole" in weight:
            assert count == facts["shape"][0]
        elif count and weight.startswith(("trunk_", "recurrent_kernel_")):
            assert facts["shape"][-1] % count == 0
        elif weight in ("gate_kernel", "gate_bias") and name == "MatrixLSTM":
            assert facts["shape"][-1] == count * options.get("heads", 1)
        elif count:
            assert count * UNITS == facts["shape"][-1]
    assert list(found["states"]) == list(layer.state_names)
    assert found["equations"] and found["formula"] and found["reference"]
    assert found["lstm_parameters"] == PARAMETERS["LSTM"](FEATURES, UNITS)
    json.dumps(found)


@pytest.mark.parametrize("name", LAYERS)
def test_formula_of_the_docstring_gives_the_number(name):
    """The formula is text for people; it must still be true."""
    facts = klv.describe(name, FEATURES, UNITS, format="dict")
    formula = facts["formula"].split("`")[1].replace("^", "**")
    if "reset_after" in facts["formula"]:
        formula = facts["formula"].split("`")[5]
    formula = re.sub(r"(?<=[\w)]) (?=[\w(])", "*", formula)
    weights = facts["weights"]
    known = {
        "m": FEATURES,
        "n": UNITS,
        "k": len(weights.get("peephole_kernel", {"columns": []})["columns"]),
        "L": 2,
        "H": 1,
        "d": 16,
        "s": sum(
            w["shape"][0] * w["shape"][1] // len(w["columns"])
            for name, w in weights.items()
            if re.match(r"recurrent_kernel_\d", name)
        ),
    }
    value = eval(formula, known)
    if "input_projection" in facts["weights"]:
        value += FEATURES * UNITS
    assert value == facts["parameters"]


def test_text_and_markdown():
    text = klv.describe("PeepholeLSTM", input_dim=80, units=12)
    assert "o = sigma(A_o + p_o * c[t]);   h[t] = o * tanh(c[t])" in text
    assert "weight peephole_kernel    (3, 12)                36   i f o" in text
    assert "total: 4,500 = 4 n (m + n + 1) + k n for m inputs" in text
    assert "an LSTM of this size has 4,464 (1.01 times)" in text
    assert "\\" not in text and "$" not in text
    markdown = klv.describe("PeepholeLSTM", input_dim=80, units=12, format="markdown")
    assert markdown.startswith("## PeepholeLSTM") and "| weight `kernel` | (80, 48) |" in markdown
    assert "$$c_t = f \\odot c_{t-1} + i \\odot g$$" in markdown


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_no_latex_is_left_in_text(name, options):
    text = klv.describe(name, FEATURES, UNITS, **options)
    assert not re.search(r"[\\{}$]", text)


def test_a_cell_with_a_memory():
    text = klv.describe(klv.AttentionLSTM, 3, 4, memory_features=6)
    assert "\\" not in text and "alpha = softmax(e)" in text and "(6, 16)" in text
    with pytest.raises(ValueError, match=r"klv\.AttentionLSTM`"):
        klv.describe("AttentionLSTM")


def test_cells_of_others():
    class OwnCell(klv.Cell):
        """A leaky integrator."""

        def step(self, x, states, training=False):
            h = 0.9 * states[0] + 0.1 * x
            return h, (h,)

    assert "A leaky integrator." in klv.describe(OwnCell, 3, 3)
    found = klv.describe(keras.layers.GRUCell, 3, 5, format="dict")
    assert found["parameters"] == PARAMETERS["GRU"](3, 5)
    assert found["states"] == {"state_0": ["batch", 5]}
    assert klv.describe(klv.LSTM, 3, 5) == klv.describe("LSTM", 3, 5)


INSTANCES = [
    ("GRU", {}),
    ("LSTM", {"use_bias": False}),
    ("PeepholeLSTM", {"peepholes": ("f",)}),
    ("ClockworkRNN", {"periods": (1, 3), "group_units": (2, 3)}),
    ("DepthGatedLSTM", {"depth": 3}),
]


@pytest.mark.parametrize(("name", "options"), INSTANCES, ids=str)
def test_layers_and_cells_are_described_as_they_are(name, options):
    expected = klv.describe(name, FEATURES, UNITS, format="dict", **options)
    layer = klv.get_variant(name)(UNITS, name="mine", seed=3, **options)
    assert klv.describe(layer, FEATURES, format="dict") == expected
    assert not layer.built
    layer.build((None, None, FEATURES))
    layer.trainable = False
    assert klv.describe(layer, format="dict") == expected
    of_cell = expected | {"name": expected["cell"]}
    assert klv.describe(layer.cell, FEATURES, UNITS, format="dict") == of_cell
    in_keras = expected | {"name": "RNN"}
    assert klv.describe(keras.layers.RNN(layer.cell), format="dict") == in_keras


def test_the_seeds_of_what_is_made_next_stay_the_same():
    layer = klv.GRU(UNITS)
    before = random.getstate()
    klv.describe("GRU")
    klv.describe(layer)
    klv.plots.cell_diagram("Elman", 3, 4)
    assert random.getstate() == before


def test_layers_of_keras_and_what_a_layer_contradicts():
    theirs = keras.layers.LSTM(UNITS)
    theirs.build((None, None, FEATURES))
    assert klv.describe(theirs, format="dict")["parameters"] == PARAMETERS["LSTM"](FEATURES, UNITS)
    stack = klv.RecurrentLayer([klv.GRUCell(3), klv.GRUCell(3)])
    layer = klv.GRU(UNITS, name="gru")
    layer.build((None, None, FEATURES))
    for variant, arguments, message in (
        (layer, {"features": 9}, f"`features` of gru is {FEATURES}. Received: features=9"),
        (layer, {"units": 9}, f"`units` of gru is {UNITS}. Received: units=9"),
        (layer, {"use_bias": False}, "GRU has its arguments already"),
        (stack, {}, "of a stack, one of its cells"),
        (keras.layers.Dense(3), {}, "must be a recurrent layer or a cell"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            klv.describe(variant, **arguments)


def test_only_what_a_class_says_of_itself():
    class QuietCell(klv.PeepholeLSTMCell):
        def step(self, z, states, training=False):
            return super().step(z, states, training)

    found = klv.describe(QuietCell, 3, 4, format="dict")
    assert (found["equations"], found["formula"], found["reference"]) == ([], "", "")


def test_what_depends_on_arguments_is_said():
    assert "raw input is projected, x[t] P" in klv.describe("MUT1", 3, 4)
    assert "raw input is used as it is" in klv.describe("MUT2", 4, 4)
    assert "projected, x[t] P" not in klv.describe("MUT3", 3, 4)
    assert "i = 1 - f." in klv.describe("CoupledLSTM", 3, 4, couple="i=1-f")
    without = klv.describe("LSTM", 80, 12, use_bias=False)
    assert "total: 4,416 (by default 4 n (m + n + 1) for" in without


@pytest.mark.parametrize(
    ("name", "options", "said", "unsaid"),
    [
        (
            "DepthGatedLSTM",
            {},
            ["2 levels and separate gates i and f."],
            ["no depth gate here", "Without a"],
        ),
        (
            "DepthGatedLSTM",
            {"depth": 3, "coupled": True, "peepholes": ("o",)},
            ["3 levels and coupled gates, f = 1 - i.", "Without a peephole here: i."],
            ["has no depth gate here"],
        ),
        (
            "DepthGatedLSTM",
            {"depth": 1, "bottom": "none", "peepholes": ()},
            ["1 level and", "has no depth gate here.", "Without a peephole here: i, f, o."],
            ["coupled gates"],
        ),
        ("ClockworkRNN", {}, ["3, 3, 3, 3; their periods: 1, 2, 4, 8."], ["first run"]),
        (
            "ClockworkLSTM",
            {"periods": (1, 3, 300), "group_units": (5, 6, 1), "offset": 2},
            [
                "groups here: 5, 6, 1; their periods: 1, 3, 300.",
                "is t = 2: the groups first run after 0, 1, 298 steps.",
                "a count is phase + 256 phase_high here.",
            ],
            [],
        ),
        (
            "GridLSTM",
            {},
            ["2 levels, each with weights of its own."],
            ["before the activation here", "input here", "Here time", "Here neither"],
        ),
        (
            "GridLSTM",
            {"depth": 3, "tied": True, "priority": "time", "input_memory": True},
            [
                "3 levels, all with the same weights.",
                "The first m_d is projected from the input here",
                "time comes after depth, and sees the new h_d.",
            ],
            ["before the activation here"],
        ),
        (
            "GridLSTM",
            {"depth": 1, "tied": True, "priority": None, "output_form": "tanh_o"},
            ["has 1 level.", "h' = tanh(o * m').", "time and depth see the old h[t] and h_d."],
            ["all with"],
        ),
        ("DeepGateLSTM", {}, ["here: i, f, o. Their", "have 16 units, and are each gate's"], []),
        (
            "DeepGateLSTM",
            {"gate_hidden_units": (4, 3), "deep_gates": ("f", "g"), "shared_trunk": True},
            ["here: f, g. Their hidden layers have 4, 3 units, and are the same for all."],
            [],
        ),
        ("DeepGateLSTM", {"gate_hidden_units": ()}, ["no gate is deep: the cell"], ["Their"]),
        ("DeepGateLSTM", {"deep_gates": ()}, ["no gate is deep: the cell"], ["Their"]),
    ],
)
def test_remarks(name, options, said, unsaid):
    text = " ".join(klv.describe(name, 3, 12, **options).split())
    for sentence in said:
        assert sentence in text
    for sentence in unsaid:
        assert sentence not in text


def test_weights_of_one_name_are_told_apart():
    class TwoCell(klv.Cell):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.one, self.two = keras.layers.Dense(self.units), keras.layers.Dense(self.units)

        def build(self, shape):
            self.one.build(shape)
            self.two.build((None, self.units))

        def step(self, x, states, training=False):
            h = self.one(x) + self.two(states[0])
            return h, (h,)

    found = klv.describe(TwoCell, 3, 4, format="dict")
    assert len(found["weights"]) == 4
    assert sum(w["count"] for w in found["weights"].values()) == found["parameters"] == 16 + 20


def test_errors():
    with pytest.raises(ValueError, match="Did you mean 'GRU'"):
        klv.describe("GRUU")
    with pytest.raises(ValueError, match="`input_dim`.*input_dim=0"):
        klv.describe("GRU", input_dim=0)
    with pytest.raises(ValueError, match="`features` must be at most.*features=1000001"):
        klv.describe("GRU", 10**6 + 1)
    with pytest.raises(ValueError, match="`units`"):
        klv.describe("GRU", 3, -1)
    for wrong in (5, None, b"GRU"):
        with pytest.raises(ValueError, match="`variant` must be the name"):
            klv.describe(wrong)
    with pytest.raises(ValueError, match="features=3, input_dim=4"):
        klv.describe("GRU", 3, input_dim=4)
    for wrong in (keras.layers.LSTM, keras.layers.Dense):
        with pytest.raises(ValueError, match="is no cell"):
            klv.describe(wrong)

    class NeedyCell(klv.ElmanCell):
        def __init__(self, units, leak, **kwargs):
            super().__init__(units, **kwargs)

    with pytest.raises(ValueError, match="NeedyCell cannot be made of.*'leak'"):
        klv.describe(NeedyCell)
    with pytest.raises(ValueError, match=r"`format`.*format='html'"):
        klv.describe("GRU", format="html")


@pytest.mark.slow
def test_weights_are_counted_without_being_made():
    """A million units have weights of terabytes."""
    for name in klv.list_variants():
        found = klv.describe(name, 5, 10**6, format="dict")
        # But for those without a matrix for the state.
        assert found["parameters"] > (10**7 if name in ("MinGRU", "MatrixLSTM") else 10**11)
    # Nothing is left behind that the end of a scope of Keras's would make.
    with keras.StatelessScope():
        pass


def test_a_cell_whose_build_asks_for_values_is_described():
    class ScaledCell(klv.ElmanCell):
        def build(self, shape):
            super().build(shape)
            self.scale = keras.Variable(np.ones(self.units), name="scale")

    assert klv.describe(ScaledCell, 3, 4, format="dict")["parameters"] == 3 * 4 + 4 * 4 + 4 + 4


def test_commands(capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == klv.list_variants()
    assert main(["describe", "mut1cell", "--units", "5", "--input-dim", "3"]) == 0
    assert capsys.readouterr().out == klv.describe("MUT1", 3, 5)
    for form in ("text", "markdown", "json"):
        assert main(["describe", "MUT1", "--features", "4", "--format", form]) == 0
        assert capsys.readouterr().out == klv.describe("MUT1", 4, format=form)
    assert json.loads(klv.describe("MUT1", 4, format="json")) == klv.describe(
        "MUT1", 4, format="dict"
    )
    assert main(["describe", "MUT9"]) == 2
    assert capsys.readouterr().err.startswith("klv describe: Unknown variant 'MUT9'")
    for size in ("0", "-1", str(10**6 + 1), str(2**70)):
        for option, name in (
            ("units", "units"),
            ("features", "features"),
            ("input-dim", "features"),
        ):
            assert main(["describe", "LSTM", f"--{option}", size]) == 2
            message = f"klv describe: --{name} must be a whole number from 1 to 1,000,000"
            assert capsys.readouterr().err.startswith(message)
    for module in ("no_such_module", "", "."):
        assert main(["list", "--import", module]) == 2
        assert f"klv: --import {module}: " in capsys.readouterr().err
    assert main(["list", "--import", "no_such_module"]) == 2
    assert "klv: --import no_such_module: ModuleNotFoundError" in capsys.readouterr().err


@pytest.mark.processes
def test_a_reader_may_stop_early():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "keras_lstm_variants", "list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert done.returncode == 0 and "Error" not in done.stderr
