"""Nothing registered goes untested or undocumented, and private Keras code stays in one place."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from cases import ROWS
from equations import EQUATIONS, PARAMETERS

import keras_lstm_variants as klv

ROOT = Path(__file__).parent.parent
PACKAGE = Path(klv.__file__).parent
README = (ROOT / "README.md").read_text("utf-8")
OURS = [n for n in klv.list_variants() if klv.get_variant(n).__module__.startswith(klv.__name__)]


@pytest.mark.parametrize("name", OURS)
def test_every_variant_is_complete(name):
    layer = klv.get_variant(name)
    cell = layer.cell_class
    assert cell.__name__ == f"{name}Cell"
    assert name in ROWS, "no row in tests/cases.py"
    assert name in EQUATIONS and name in PARAMETERS, "no equations in tests/equations"
    assert cell.reference and re.search(r"\b(19|20)\d\d\b", cell.reference), "no reference"
    assert cell.gates and cell.state_names
    assert getattr(klv, name) is layer and getattr(klv, cell.__name__) is cell
    for part in ("Reference:", "Weights:", "Example:", "$$"):
        assert part in cell.__doc__, part
    assert "Example:" in layer.__doc__
    assert f"`{name}`" in README


def test_variants_stand_in_the_order_of_their_years():
    years = [
        int(re.search(r"\b(19|20)\d\d\b", klv.get_variant(name).cell_class.reference)[0])
        for name in OURS
    ]
    assert years == sorted(years) and OURS == klv.list_variants()[: len(OURS)]


def test_the_test_table_knows_no_cell_that_does_not_exist():
    assert set(ROWS) == set(EQUATIONS) == set(PARAMETERS) == set(OURS)


@pytest.mark.parametrize("name", klv.__all__)
def test_public_names_are_documented(name):
    value = getattr(klv, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__, name
        assert re.search("Raises:|Example:", value.__doc__), name


def test_private_code_is_imported_in_one_module_each():
    pattern = re.compile(r"keras\.src|tensorflow\.python|_tf_keras")
    found = {
        str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if pattern.search(p.read_text())
    }
    # The second one imports a function of TensorFlow's that has no public equal.
    assert found == {"core/keras_private.py", "backend/xla.py"}


def test_tensorflow_is_imported_in_the_engine_only():
    pattern = re.compile(r"^\s*(import|from) tensorflow", re.MULTILINE)
    found = {
        p.relative_to(PACKAGE).parts[0]
        for p in PACKAGE.rglob("*.py")
        if pattern.search(p.read_text())
    }
    assert found == {"engine", "backend"}


def private_names_of_keras_tuner():
    """Methods and attributes of its classes that begin with an underscore."""
    import keras_tuner

    names = set()
    for path in (Path(keras_tuner.__file__).parent / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
                names.add(node.attr)
    return {name for name in names if re.match("_[^_]", name)}


def private_uses(source, names):
    """Of Keras Tuner: its private modules, and names of `names` that are read or overridden."""
    found = set(re.findall(r"keras_tuner\.(?:src|engine)\b", source))
    for node in ast.walk(ast.parse(source)):
        name = getattr(node, "attr", None) or getattr(node, "name", None)
        found |= {name} & names
    return found


def test_private_names_of_keras_tuner_stay_in_two_modules():
    names = private_names_of_keras_tuner()
    sample = (
        "from keras_tuner.src import config\nclass A:\n def _build_hypermodel(self): self._oracle"
    )
    assert private_uses(sample, names) == {"keras_tuner.src", "_build_hypermodel", "_oracle"}
    found = {
        str(path.relative_to(PACKAGE))
        for path in (PACKAGE / "tuning").rglob("*.py")
        if private_uses(path.read_text("utf-8"), names)
    }
    assert found == {"tuning/oracles.py", "tuning/tuner.py"}
    imports = re.compile(r"^\s*(import|from) keras_tuner", re.MULTILINE)
    users = {
        p.relative_to(PACKAGE).parts[0]
        for p in PACKAGE.rglob("*.py")
        if imports.search(p.read_text("utf-8"))
    }
    assert users == {"tuning"}


@pytest.mark.parametrize("command", ["bench", "compare", "tuning"])
def test_commands_take_what_they_share_from_one_package(command):
    others = "|".join({"bench", "compare", "tuning"} - {command})
    pattern = re.compile(rf"keras_lstm_variants\.({others})\b")
    found = [p.name for p in (PACKAGE / command).glob("*.py") if pattern.search(p.read_text())]
    assert found == []


def test_matplotlib_is_imported_in_one_module_only():
    pattern = re.compile(r"^\s*(import|from) matplotlib", re.MULTILINE)
    found = {
        str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if pattern.search(p.read_text())
    }
    assert found == {"plots/_figure.py"}


PICTURES = [(klv.plots, name) for name in klv.plots.__all__]


@pytest.mark.parametrize(("module", "name"), [*PICTURES, (klv.callbacks, "GateMonitor")], ids=str)
def test_pictures_and_callbacks_are_documented(module, name):
    text = getattr(module, name).__doc__
    for part in ("Args:", "Raises:", "Example:"):
        assert part in text, part


def test_keras_still_has_the_private_class_we_need():
    import keras

    from keras_lstm_variants.core.keras_private import DropoutRNNCell

    assert issubclass(keras.layers.LSTMCell, DropoutRNNCell)
    assert issubclass(klv.LSTMCell, DropoutRNNCell)
    for name in ("get_dropout_mask", "get_recurrent_dropout_mask", "reset_dropout_mask"):
        assert callable(getattr(DropoutRNNCell, name))


def test_private_names_are_found_where_they_have_moved_and_missed_in_one_line(monkeypatch):
    import sys
    from types import ModuleType

    import keras

    from keras_lstm_variants.core import keras_private

    moved = ModuleType("keras.src.somewhere")
    moved.new_home_of_it = object()
    monkeypatch.setitem(sys.modules, "keras.src.somewhere", moved)
    assert keras_private.find("new_home_of_it") is moved.new_home_of_it
    for look in (
        lambda: keras_private.find("no_such_name"),
        lambda: keras_private.base_of(keras.layers.LSTMCell, "no_such_name"),
        lambda: keras_private.method_of(keras.layers.Layer, "no_such_name"),
    ):
        with pytest.raises(ImportError, match=r"^.*`no_such_name`, which Keras 3\..*$"):
            look()


MODULES = [m.name for m in pkgutil.walk_packages([str(PACKAGE)], "keras_lstm_variants.")]


# Whose examples train models.
DEAR = ("generative.", "tuning.factory", ".testing", "gate_monitor")
EXAMPLES = [
    pytest.param(m, marks=pytest.mark.slow if any(part in m for part in DEAR) else [])
    for m in MODULES
    if not m.endswith("__main__")
]


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_in_docstrings(module):
    failures, _ = doctest.testmod(importlib.import_module(module))
    assert failures == 0


def test_a_second_class_of_one_name_is_refused():
    class LSTMCell(klv.ElmanCell):
        pass

    with pytest.raises(ValueError, match="'LSTMCell' is registered already"):
        klv.register(package="mine")(LSTMCell)


@pytest.mark.parametrize("text", ["LSTM", "lstm", "LSTMCell", "lstmcell"])
def test_variants_are_known_in_any_case_and_by_their_cells(text):
    assert klv.get_variant(text) is klv.LSTM


def test_unknown_variant_names_the_nearest():
    with pytest.raises(ValueError, match="'peepholelstn'.*Did you mean 'PeepholeLSTM'"):
        klv.get_variant("peepholelstn")
    known = ", ".join(klv.list_variants())
    with pytest.raises(ValueError, match=rf"Unknown variant 'xyz'\. Known: {known}$"):
        klv.get_variant("xyz")


def test_help_shows_the_arguments():
    names = list(inspect.signature(klv.PeepholeLSTM).parameters)
    assert names[:4] == ["units", "activation", "recurrent_activation", "use_bias"]
    assert {"peepholes", "forget_bias", "return_sequences", "initial_state"} <= set(names)
    assert "couple" in inspect.signature(klv.CoupledLSTMCell).parameters
    assert next(iter(inspect.signature(klv.LSTM(2)).parameters)) == "sequences"
