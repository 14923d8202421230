"""`klv.testing.check_cell` finds what is wrong with a cell, and names the check and the case."""

import keras
import pytest
from keras import ops

import keras_lstm_variants as klv
from keras_lstm_variants.backend.xla import compiled_by_xla
from keras_lstm_variants.testing import CheckResult, check_cell, contract, list_checks

pytestmark = pytest.mark.usefixtures("forgotten_after_each_test")


class RightCell(klv.GatedCell):
    """A leaky network with an argument of its own, as right as a cell can be."""

    gates = ("z", "g")
    states = (klv.State("h"),)

    def __init__(self, units, *args, leak=0.5, **kwargs):
        super().__init__(units, *args, **kwargs)
        self.leak = leak

    def step(self, z, states, training=False):
        (h,) = states
        z, g = self.split(self.recurrent_matmul(h, add_to=z, training=training))
        z, g = self.gate(z), self.activation(g)
        self.sow(z=z, g=g)
        h = self.mixed(h, z * g)
        return h, (h,)

    def mixed(self, h, g):
        return (1 - self.leak) * h + self.leak * g


class DrawsAtRandom(RightCell):
    def mixed(self, h, g):
        return super().mixed(h, g + 0.1 * keras.random.normal(ops.shape(g)))


class CountsItsSteps(RightCell):
    def build(self, input_shape):
        super().build(input_shape)
        self.steps = self.add_weight((), "zeros", trainable=False)

    def mixed(self, h, g):
        self.steps.assign_add(1)
        return super().mixed(h, g)


class RemembersACall(RightCell):
    last = 0.0

    def mixed(self, h, g):
        g, self.last = g + self.last, ops.stop_gradient(g)
        return super().mixed(h, g)


class MixesRows(RightCell):
    def mixed(self, h, g):
        return super().mixed(h, g - ops.mean(g, axis=0, keepdims=True))


class ForgetsItsArgument(RightCell):
    def get_config(self):
        config = super().get_config()
        del config["leak"]
        return config


class StoresAnotherValue(RightCell):
    def get_config(self):
        return {**super().get_config(), "leak": 0.25}


class StoresNoText(RightCell):
    def get_config(self):
        return {**super().get_config(), "units": {self.units}}


class IsOfAnotherSize(RightCell):
    output_size = 7


class StopsAGradient(RightCell):
    def mixed(self, h, g):
        return super().mixed(ops.stop_gradient(h), g)


class HasAnIdleWeight(RightCell):
    def build(self, input_shape):
        super().build(input_shape)
        self.idle = self.add_weight((self.units,), "ones", name="idle")

    def mixed(self, h, g):
        return super().mixed(h, g) + 0 * self.idle


class HidesAGate(RightCell):
    def sow(self, **values):
        super().sow(g=values["g"])


class NeedsSinglePrecision(RightCell):
    def mixed(self, h, g):
        return super().mixed(h, ops.cast(ops.cast(g, "float32"), "float32"))


class DropsInputsAlways(RightCell):
    def drop_inputs(self, inputs, training):
        return super().drop_inputs(inputs, True)


class DropsEachStepAnew(RightCell):
    def drop_state(self, state, training):
        self.reset_recurrent_dropout_mask()
        return super().drop_state(state, training)


class NeverDropsItsState(RightCell):
    def drop_state(self, state, training):
        return state


class HasOneStateForAllRows(RightCell):
    def get_initial_state(self, batch_size=None):
        return [ops.zeros((1, self.units), self.compute_dtype)]


class ProjectsTheWholeBatch(RightCell):
    def project_inputs(self, inputs, training=False):
        return super().project_inputs(inputs - ops.mean(inputs, axis=0), training)


class DiffersInGraphs(RightCell):
    def mixed(self, h, g):
        return super().mixed(h, g if hasattr(g, "numpy") else 2 * g)


class NeedsToKnowTheBatch(RightCell):
    def mixed(self, h, g):
        return super().mixed(h, g + ops.zeros(tuple(h.shape)))


class DrawsItsFirstState(RightCell):
    def get_initial_state(self, batch_size=None):
        return [ops.cast(keras.random.normal((batch_size, self.units)), self.compute_dtype)]


class NeedsThreeFeatures(RightCell):
    def project_inputs(self, inputs, training=False):
        return super().project_inputs(ops.reshape(inputs, (-1, 3)), training)


class DiffersUnderXLA(RightCell):
    def mixed(self, h, g):
        return super().mixed(h, 2 * g if compiled_by_xla() else g)


# The checks that fail, of those that are cheap: all others are left out of the run.
FAULTS = {
    DrawsAtRandom: {"pure_step", "rows_alone", "loops"},
    CountsItsSteps: {"pure_step"},
    RemembersACall: {"pure_step", "loops"},
    MixesRows: {"rows_alone", "masked_steps"},
    ProjectsTheWholeBatch: {"rows_alone", "masked_steps"},
    ForgetsItsArgument: {"configuration", "saving"},
    StoresAnotherValue: {"configuration", "saving"},
    StoresNoText: {"configuration"},
    IsOfAnotherSize: {"step_shapes"},
    HasAnIdleWeight: {"weights_learn"},
    HidesAGate: {"gates"},
    NeedsSinglePrecision: {"precision"},
    DropsInputsAlways: {"dropout"},
    DropsEachStepAnew: {"dropout"},
    NeverDropsItsState: {"dropout"},
    HasOneStateForAllRows: {"step_shapes"},
    DrawsItsFirstState: {"parts_of_a_sequence"},
    DiffersInGraphs: {"in_a_graph"},
    NeedsToKnowTheBatch: {"exported"},
    NeedsThreeFeatures: {"stacked"},
    DiffersUnderXLA: {"compiled_by_xla"},
}
CHEAP = set(list_checks()) - {"in_a_graph", "compiled_by_xla", "exported"}


def failing(cell_class, cases, checks):
    """The names of the checks that fail."""
    skip = dict.fromkeys(set(list_checks()) - checks, "not asked here")
    try:
        check_cell(cell_class, cases, skip=skip)
    except AssertionError as error:
        lines = str(error).splitlines()
        return {name for name in checks if any(f"), {name}: " in line for line in lines)}
    return set()


@pytest.mark.slow
def test_a_right_cell_passes_all():
    results = check_cell(RightCell, [{"units": 4}, {"units": 3, "leak": 0.25}])
    assert {r.status for r in results} == {"passed"}
    assert [r.check for r in results] == [*list_checks(), *list_checks()]


@pytest.mark.parametrize("cell_class", FAULTS, ids=lambda c: c.__name__)
@pytest.mark.slow
def test_a_fault_is_found(cell_class):
    wanted = FAULTS[cell_class]
    assert wanted <= failing(cell_class, [{"units": 4, "leak": 0.125}], CHEAP | wanted)
    # Each of these checks passes where the fault is not.
    assert not failing(RightCell, [{"units": 4, "leak": 0.125}], wanted)


def test_a_layer_that_drops_an_argument_is_found(monkeypatch):
    class RightLayer(klv.CellLayer):
        cell_class = RightCell

    class ForgetfulLayer(RightLayer):
        cell_class = RightCell

        def get_config(self):
            return {**super().get_config(), "leak": 0.5}

    for layer_class, found in ((RightLayer, set()), (ForgetfulLayer, {"named_layer"})):
        monkeypatch.setattr(contract, "list_variants", lambda: ["Right"])
        monkeypatch.setattr(contract, "get_variant", lambda _, layer=layer_class: layer)
        assert failing(RightCell, [{"units": 4, "leak": 0.125}], {"named_layer"}) == found


def test_every_check_has_a_fault():
    assert set().union(*FAULTS.values(), {"named_layer"}) == set(list_checks())


@pytest.mark.slow
def test_a_cell_of_keras():
    skip = dict.fromkeys(["exported", "compiled_by_xla"], "takes long")
    results = check_cell(keras.layers.LSTMCell, [{"units": 4}], skip=skip)
    assert CheckResult("rows_alone", {"units": 4}, "passed", "") in results


class TestReport:
    ONLY = {name: "another day" for name in list_checks() if name not in ("gates", "pure_step")}

    def test_names_check_case_and_what_was_found(self):
        cases = [{"units": 4}, {"units": 3, "leak": 0.25}]
        with pytest.raises(AssertionError) as caught:
            check_cell(HidesAGate, cases, skip=self.ONLY)
        first, second = str(caught.value).splitlines()
        assert first == "HidesAGate(units=4), gates: step shows no ['z']"
        assert second.startswith("HidesAGate(units=3, leak=0.25), gates: ")

    def test_an_error_of_the_cell_is_a_failure_with_its_type(self):
        with pytest.raises(AssertionError, match=r"units=0\), gates: ValueError: `units` must be"):
            check_cell(RightCell, [{"units": 0}], skip=self.ONLY)

    def test_expected_failures(self):
        reason = {"gates": "it is shy"}
        results = check_cell(HidesAGate, [{"units": 3}], skip=self.ONLY, expected_failures=reason)
        assert CheckResult("gates", {"units": 3}, "failed as expected", "it is shy") in results
        with pytest.raises(AssertionError, match="gates: passes, but was to fail: it is shy"):
            check_cell(RightCell, [{"units": 3}], skip=self.ONLY, expected_failures=reason)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"cell_class": "LSTM"}, "`cell_class` must be .*'LSTM'"),
            ({"cases": {"units": 3}}, "`cases` must be a list of dicts.*'units'"),
            ({"cases": []}, r"`cases` must be .*\[\]"),
            ({"cases": [3]}, r"`cases` must be .*\[3\]"),
            ({"features": 0}, "`features` must be a positive integer"),
            ({"skip": {"gate": "x"}}, "`skip` names no check 'gate'.*'gates'"),
            ({"expected_failures": {"gates": ""}}, "must give a reason.*gates=''"),
        ],
    )
    def test_wrong_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            check_cell(**{"cell_class": RightCell, "cases": [{"units": 3}], **arguments})
