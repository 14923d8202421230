"""Faults of layers, saving and states."""

from fault_table.fault import Fault

LAYERS = [
    Fault(
        "learned_states_count_steps",
        "trainable=not counts[k],",
        "trainable=True,",
        "tests/test_clockwork.py -k learned_first_states",
    ),
    Fault(
        "learned_states_begin_at_one",
        "initializer=InitialStateOf(self, k),\n                    trainable",
        'initializer="ones",\n                    trainable',
        "tests/test_layer.py::TestLearnedInitialState",
    ),
    Fault(
        "reset_layer_goes_on_from_copies_of_the_learned_states",
        "self._fresh.assign(1)",
        "self._fresh.assign(0)",
        "tests/test_layer.py::TestLearnedInitialState",
    ),
    Fault(
        "seed_advances_at_inference",
        "            if training:\n                draw_dropout_masks",
        "            if True:\n                draw_dropout_masks",
        'tests/test_layer.py -k "inference or dropout"',
    ),
    Fault(
        "recurrent_dropout_mask_is_kept_for_the_next_call",
        "cell.reset_recurrent_dropout_mask()",
        "cell.get_config()",
        "tests/test_layer.py -k draws_its_mask_anew",
    ),
    Fault(
        "all_states_of_a_backward_layer_in_its_own_order",
        "engine.in_processing_order(result.state_sequences, self._loop_options())",
        "result.state_sequences",
        'tests/test_contract.py::test_all_states_in_input_order -k "GRU"',
    ),
    Fault(
        "all_states_lose_their_mask",
        "return [output_mask] + [None] * states + [mask] * states",
        "return [output_mask] + [None] * states + [None] * states",
        "tests/test_models.py -k all_states",
    ),
    Fault(
        "kept_states_are_not_read",
        "        elif self.stateful:\n",
        "        elif self.stateful and self._fresh is not None:\n",
        'tests/test_contract.py::test_contract -k "GRU-False"',
    ),
    Fault(
        "directions_share_one_dropout_mask",
        "(cell.seed + _BACKWARD_SEED) % 2**32",
        "cell.seed % 2**32",
        "tests/test_layer.py -k directions",
    ),
    Fault(
        "config_forgets_recompute",
        '            "recompute": self.recompute,\n',
        "",
        "tests/test_contract.py::test_config_survives_json tests/test_engine_gradients.py"
        ' tests/test_arguments.py -k "recompute or configuration_keeps or LSTM-default"',
    ),
    Fault(
        "config_of_a_function_is_its_name",
        "        return keras.activations.serialize(value)\n",
        "        return value.__name__\n",
        'tests/test_arguments.py tests/test_layer.py -k "config or lambda or array"',
    ),
    Fault(
        "weights_of_the_same_number_of_values_are_taken",
        "if array.shape != tuple(variable.shape):",
        "if array.size != np.prod(variable.shape):",
        "tests/test_arguments.py::test_weights_that_do_not_fit_change_none",
    ),
    Fault(
        "failed_load_leaves_half_of_the_file",
        "before = [(v, ops.copy(v)) for v in self.variables]",
        "before = [(v, v) for v in self.variables]",
        "tests/test_arguments.py::test_weights_that_do_not_fit_change_none"
        " tests/test_generative_files.py",
    ),
    Fault(
        "registered_under_another_name",
        "keras.saving.register_keras_serializable(package=package",
        "keras.saving.register_keras_serializable(package=package.title()",
        "tests/test_saving.py::test_golden_file_of_the_first_version",
    ),
    Fault(
        "fresh_states_are_read_as_kept_ones",
        'kept = layer.kept_states() if hasattr(layer, "kept_states") else layer.states',
        "kept = layer.states",
        "tests/test_states.py -k fresh_learned",
    ),
    Fault(
        "set_states_are_replaced_by_learned_ones",
        "            self._fresh.assign(0)\n",
        "            self._fresh.assign(self._fresh)\n",
        'tests/test_states.py tests/test_layer.py -k "fresh or Learned"',
    ),
    Fault(
        "constants_of_an_outer_cell_are_forgotten",
        "return within(derived={**context.derived, **values})",
        "return within(derived=dict(values))",
        "tests/test_attention.py tests/test_draw.py tests/test_constants.py",
    ),
]
