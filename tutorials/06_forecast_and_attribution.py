# %% [markdown]
# # 6. Many inputs, one output: a forecast, and what moved it
#
# Which of my inputs mattered, and when? We make data of which we know the answer, train a
# forecast, and ask `klv.attribution`. You should have trained a model before.

# %%
import keras
import numpy as np
from common import Tutorial

import keras_lstm_variants as klv

tutorial = Tutorial("6. Forecast and attribution")
random = np.random.default_rng(0)

# %% [markdown]
# ## The data: a pot of earth
#
# For 30 days six things are measured. Rain makes the earth wet; on sunny days it dries faster:
#
#     water = (0.95 - 0.35 sun) * water + 0.3 rain
#
# The other four - wind, traffic, a wrong clock, the neighbour's rain gauge - do nothing, though
# the neighbour's gauge goes with the rain. The forecast is the water at the end. The formula is
# a small recurrent network itself, with a forget gate that the sun moves; we write it with
# `keras.ops`, so that we can later ask it the same questions as the model.

# %%
DAYS, NAMES = 30, ["rain", "sun", "wind", "traffic", "clock", "neighbour"]
RAIN, SUN, NEIGHBOUR = 0, 1, 5


def draw(size: int) -> np.ndarray:
    x = random.uniform(size=(size, DAYS, len(NAMES))).astype("float32")
    x[..., RAIN] *= random.uniform(size=(size, DAYS)) < 0.3  # it rains on 3 days of 10
    x[..., NEIGHBOUR] = 0.7 * x[..., RAIN] + 0.3 * x[..., NEIGHBOUR]
    return x


class Earth(keras.layers.Layer):
    def call(self, x):
        water = keras.ops.zeros_like(x[:, 0, 0])
        for t in range(DAYS):
            water = (0.95 - 0.35 * x[:, t, SUN]) * water + 0.3 * x[:, t, RAIN]
        return water[:, None]


earth = Earth()
sizes = (64, 64) if tutorial.tiny else (8000, 1000)
x_train, x_test = draw(sizes[0]), draw(sizes[1])
y_train = keras.ops.convert_to_numpy(earth(x_train))
y_test = keras.ops.convert_to_numpy(earth(x_test))

# %% [markdown]
# ## The forecast, and what is reached without a memory

# %%
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [keras.Input((DAYS, len(NAMES))), klv.LSTM(24, name="lstm"), keras.layers.Dense(1)]
)
epochs = 1 if tutorial.tiny else 15
updates = epochs * (len(x_train) // 32)
rate = keras.optimizers.schedules.CosineDecay(1e-2, updates)
model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "mse", jit_compile=True)
model.fit(x_train, y_train, batch_size=32, epochs=epochs, verbose=0)


def flat(x: np.ndarray) -> np.ndarray:
    return np.hstack([x.reshape(len(x), -1), np.ones((len(x), 1))])


weights = np.linalg.lstsq(flat(x_train), y_train, rcond=None)[0]
variance = np.var(y_test)
for name, said in {
    "always the mean": np.mean(y_train),
    "linear, all 180 numbers": flat(x_test) @ weights,
    "LSTM, 24 units": model.predict(x_test, verbose=0),
}.items():
    error = np.mean((said - y_test) ** 2)
    print(f"{name:<24} squared error {error:.6f}, {100 * error / variance:6.2f} % of the variance")

# %% [markdown]
# ## What moved the output?
#
# Integrated gradients compare an input with a baseline, here the mean of the training data: what
# a usual month would say. They go from the one to the other in small steps, and add up what each
# number contributes on the way. So the parts sum to the difference of the two outputs; `gap`
# says how far they miss it.

# %%
baseline = x_train.mean(axis=(0, 1))
shown = x_test[:200]
found = klv.attribution(model, shown, baseline=baseline)
truth = klv.attribution(earth, shown, baseline=baseline)
difference = np.abs(found.output - found.baseline_output).mean()
print(f"mean difference to the baseline {difference:.3f}, mean gap {np.abs(found.gap).mean():.6f}")
print("\nmean size of the contribution   model   formula")
for k, name in enumerate(NAMES):
    parts = [np.abs(a.values[..., k]).sum(axis=1).mean() for a in (found, truth)]
    print(f"{name:<30}{parts[0]:>7.3f}{parts[1]:>10.3f}")
for k in (RAIN, SUN):
    together = np.corrcoef(found.values[..., k].ravel(), truth.values[..., k].ravel())[0, 1]
    print(f"{NAMES[k]}: correlation of the model's contributions and the formula's {together:.3f}")
print("\nshare of rain's contribution by days ago:", end="")
for first, last in ((0, 5), (5, 10), (10, 20), (20, 30)):
    days = slice(DAYS - last, DAYS - first)
    share = [np.abs(a.values[:, days, RAIN]).sum() for a in (found, truth)]
    share = [
        s / np.abs(a.values[..., RAIN]).sum() for s, a in zip(share, (found, truth), strict=True)
    ]
    print(f"  {first}-{last - 1}: {share[0]:.2f} ({share[1]:.2f})", end="")
print("  (in brackets: the formula)")

# %% [markdown]
# ## The quick way, and its trap
#
# Gradient x input takes a single gradient. It needs no baseline, which means that it has one
# that you did not choose: zero. And it need not sum to anything.

# %%
quick = klv.attribution(model, shown, method="gradient_x_input")
total = quick.values.sum(axis=(1, 2))
print(f"mean output {quick.output.mean():.3f}, mean sum of gradient x input {total.mean():.3f}")

# %% [markdown]
# ## Does the gate do what the formula does?
#
# In the formula the sun decides what is forgotten. In the model?

# %%
gates = klv.gate_history(model, shown)["lstm"]["f"][:, 5:]
sun = shown[:, 5:, SUN]
per_unit = [np.corrcoef(gates[..., k].ravel(), sun.ravel())[0, 1] for k in range(gates.shape[-1])]
strongest = int(np.argmin(per_unit))
print(f"forget gate and sun: mean correlation {np.mean(per_unit):.2f}")
print(f"strongest: unit {strongest} with {per_unit[strongest]:.2f}")

# %%
if tutorial.pictures:
    days_ago = [str(k) for k in range(DAYS, 0, -1)]
    for name, a in (("model", found), ("formula", truth)):
        figure = klv.plots.attribution(a, days_ago, NAMES, row=0)
        figure.axes[0].set_title(
            f"{name}: says {a.output[0]:.2f}, usual {a.baseline_output[0]:.2f}"
        )
        figure.axes[1].set_xlabel("days before the forecast")
        tutorial.save(figure, f"06_{name}.png")

# %% [markdown]
# ## What was seen
#
# With seed 0:
#
# - A linear model of all 180 numbers left 2.8 % of the variance, the LSTM 0.02 %: the product of
#   sun and water is what the linear model cannot say.
# - The model's contributions were those of the formula: rain 0.29 (0.29 in the formula), sun 0.08
#   (0.08), and 0.001 for each of the four that do nothing - for the neighbour's gauge,
#   too, which goes with the rain. The correlation was 1.000 for rain and 0.999 for sun, and
#   72 % of rain's contribution came from the last five days, as in the formula.
# - The gap was below 0.000001, for a difference of 0.114: 64 gradients on the way were plenty.
# - Gradient x input summed to 0.047 where the output was 0.200. It is quick, and it does not add
#   up.
# - In the mean the forget gates went against the sun (correlation -0.35), in unit 7 with -0.95:
#   the model had found the formula's gate.
#
# Attribution explains the *model*. Here the model was right, so its explanation was. A wrong
# model is explained just as readily: look at its error first. Next: `07_attention.py`.

# %%
tutorial.done()
