"""Two replicas train like one. In a process of its own: devices are set before TensorFlow runs."""

import pytest
from cases import PROTOCOL
from test_saving import run_script

SCRIPT = """
import sys
import numpy as np
import tensorflow as tf
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import keras_lstm_variants as klv

random = np.random.default_rng(0)
x = random.normal(size=(8, 6, 3)).astype("float32")
x[1, 4:] = 0
y = random.normal(size=(8, 4)).astype("float32")


def model_of():
    layers = [keras.Input((None, 3)), keras.layers.Masking()]
    layers += [klv.get_variant(n)(4, return_sequences=True) for n in sys.argv[1].split(',')]
    model = keras.Sequential([*layers, klv.LSTM(4, initial_state="learned")])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


single = model_of()
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    double = model_of()
double.set_weights(single.get_weights())
losses = [m.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False).history["loss"]
          for m in (single, double)]
np.testing.assert_allclose(*losses, rtol=1e-5)
for a, b in zip(single.get_weights(), double.get_weights(), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
with strategy.scope():
    layer = klv.LSTM(4, dropout=0.3, recurrent_dropout=0.3)
    noisy = keras.Sequential([keras.Input((None, 3)), layer])
    noisy.compile("sgd", "mse")
noisy.fit(x, y, batch_size=8, verbose=0)
print("replicas", strategy.num_replicas_in_sync)
"""


@pytest.mark.slow
@pytest.mark.processes
def test_mirrored_strategy_equals_one_device():
    assert "replicas 2" in run_script(SCRIPT, ",".join(PROTOCOL))
