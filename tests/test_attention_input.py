"""What the attention LSTM refuses: arguments, and what it is called with."""

import keras
import pytest
import tensorflow as tf
from test_attention import BATCH, FEATURES, SEEN, data, make

import keras_lstm_variants as klv


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"scoring": "dot"}, "scoring='dot'"),
            ({"attention_units": 0}, "attention_units=0"),
            ({"memory_features": 1.5}, "memory_features=1.5"),
            ({"coverage_penalty": -1}, "coverage_penalty=-1"),
            ({"expected_share": 0.1}, "hard=True"),
            ({"hard": True, "expected_share": 2}, "expected_share=2"),
            ({"hard": True, "hard_inference": "soft"}, "hard_inference='soft'"),
            ({"initial_state": "memory", "stateful": True}, "stateful=True"),
            ({"initial_state": "annotations"}, "initial_state='annotations'"),
            ({"return_atention": True}, "return_attention"),
        ],
        ids=str,
    )
    def test_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            klv.AttentionLSTM(3, **options)

    def test_calls(self):
        x, memory = data()
        with pytest.raises(ValueError, match="memory=\\.\\.\\."):
            klv.AttentionLSTM(3)(x)
        with pytest.raises(ValueError, match="memory=\\.\\.\\."):
            klv.AttentionLSTM(3)(keras.Input((None, FEATURES)))
        layer = make()
        for bad in (memory[0], memory[..., :1], memory[:3]):
            with pytest.raises(ValueError, match="memory"):
                layer(x, memory=bad)
        with pytest.raises(ValueError, match="memory_mask"):
            layer(x, memory=memory, memory_mask=SEEN[:, :3])
        with pytest.raises(ValueError, match="memory_features|memory"):
            make(memory_features=3)
        with pytest.raises(ValueError, match="two tensors"):
            layer([x, memory])
        with pytest.raises(ValueError, match="ragged memory"):
            layer(x, memory=tf.ragged.constant([[[1.0, 2.0]]] * BATCH, ragged_rank=1))
        with pytest.raises(ValueError, match="memory"):
            make(return_context=True).compute_output_shape((2, 3, 4))
        with pytest.raises(ValueError, match=r"memory=\.\.\."):
            keras.layers.Bidirectional(klv.AttentionLSTM(3))(x)
