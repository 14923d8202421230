# %% [markdown]
# # 2. Sizes and parameters
#
# For everybody who asked: where do units, steps and layers enter? Why has my layer so many
# weights? Read `01_lstm_step_by_step.py` first.
#
# Our example has 80 inputs, say the loudness of 80 tones in a recording, and 12 units.

# %%
from bisect import bisect_left

import keras
from common import Tutorial

import keras_lstm_variants as klv

tutorial = Tutorial("2. Sizes and parameters")
INPUTS, UNITS = 80, 12

# %% [markdown]
# ## Every weight's shape
#
# The four blocks i f g o each need a weight for each pair of an input and a unit, one for each
# pair of two units, and a bias for each unit. They stand side by side, so the matrices have
# 4 x 12 = 48 columns.

# %%
layer = klv.LSTM(UNITS, return_sequences=True)
layer.build((None, None, INPUTS))
for weight in layer.weights:
    print(f"{weight.name:<17} {tuple(weight.shape)!s:<10} {keras.ops.size(weight):>6,}")
print(f"{'together':<28} {layer.count_params():>6,}")

by_formula = 4 * UNITS * (INPUTS + UNITS + 1)
assert layer.count_params() == by_formula
print(f"by the formula 4 n (m + n + 1), with m = {INPUTS} and n = {UNITS}: {by_formula:,}")

# %% [markdown]
# ## Where the steps enter: nowhere
#
# The same weights are used at every step. A sequence of 500 steps needs no more weights than
# one of 5, and one layer takes both. What grows with the steps is the work, and in training
# the memory: the gradient needs what every step computed.

# %%
for steps in (5, 500):
    y = layer(keras.ops.zeros((2, steps, INPUTS)))
    print(f"{steps:>3} steps: {layer.count_params():,} weights, output {tuple(y.shape)}")

# %% [markdown]
# ## Where the units enter: twice
#
# `units` is the size of the output *and* of the memory. Part of the weights grows with the
# square of it: every unit hears every other. It has nothing to do with the number of steps,
# nor with the number of inputs.

# %%
print("units  input weights  recurrent weights  biases  together")
for units in (6, 12, 24, 48, 96):
    rows = klv.describe("LSTM", INPUTS, units, format="dict")["weights"]
    counts = [rows[name]["count"] for name in ("kernel", "recurrent_kernel", "bias")]
    print(f"{units:>5}  {counts[0]:>13,}  {counts[1]:>17,}  {counts[2]:>6,}  {sum(counts):>8,}")

# %% [markdown]
# ## Where the layers enter
#
# The inputs of the second layer are the outputs of the first: 12, not 80. The first must give
# all its outputs (`return_sequences=True`), the last only if you want an answer at each step.
# A bidirectional layer is two layers, and gives 24 numbers a step, so that what follows grows.

# %%
model = keras.Sequential(
    [
        keras.Input((None, INPUTS)),
        klv.LSTM(UNITS, return_sequences=True, name="first"),
        klv.LSTM(UNITS, return_sequences=True, name="second"),
        keras.layers.Bidirectional(klv.LSTM(UNITS), name="both_ways"),
        keras.layers.Dense(1, name="answer"),
    ]
)
for part in model.layers:
    print(f"{part.name:<10} output {part.output.shape!s:<17} {part.count_params():>6,} weights")

# %% [markdown]
# ## What goes in, what comes out
#
# Always (batch, steps, inputs) in. A batch is many sequences at once; no weight knows its size.

# %%
x = keras.ops.zeros((32, 50, INPUTS))
print("output                  ", klv.LSTM(UNITS)(x).shape)
print("return_sequences=True   ", klv.LSTM(UNITS, return_sequences=True)(x).shape)
output, h, c = klv.LSTM(UNITS, return_state=True)(x)
print("return_state=True       ", output.shape, h.shape, c.shape)
_, _, _, all_h, all_c = klv.LSTM(UNITS, return_all_states=True)(x)
print("return_all_states=True  ", "and every h and c:", all_h.shape, all_c.shape)

# %% [markdown]
# ## Describe
#
# `klv.describe` (in a shell: `klv describe PeepholeLSTM --features 80 --units 12`) says all of
# this for any variant, with its equations.

# %%
print(klv.describe("PeepholeLSTM", INPUTS, UNITS))

# %% [markdown]
# ## Equal sizes or equal weights?
#
# With equal units the variants have very different numbers of weights. Who compares an LSTM with
# a GRU of as many units gives the LSTM a third more. Below: the weights at 12 units, and the
# units that come nearest to an LSTM's weights. (The clockwork layers are left out: their units
# are divided among clocks, a matter of its own; see `05_long_memory.py`.)


# %%
def weights_of(name: str, units: int) -> int:
    return klv.describe(name, INPUTS, units, format="dict")["parameters"]


names = ["LSTM", "GRU", "Elman", "CoupledLSTM"]
if not tutorial.tiny:
    names = [name for name in klv.list_variants() if "Clockwork" not in name]
sizes = {name: weights_of(name, UNITS) for name in names}
lstm = sizes["LSTM"]
for name, size in sorted(sizes.items(), key=lambda item: item[1]):
    enough = bisect_left(range(60), lstm, lo=1, key=lambda n: weights_of(name, n))
    units = min((enough - 1 or 1, enough), key=lambda n: abs(weights_of(name, n) - lstm))
    print(f"{name:<16} {size:>6,} weights at {UNITS} units; {units:>2} units for {lstm:,} weights")

# %% [markdown]
# ## What was seen
#
# - 80 inputs and 12 units make 3,840 + 576 + 48 = 4,464 weights, whatever the number of steps.
# - Twice the units took 2.3 times the weights at 12 units, and 2.7 times at 48: the part that
#   grows with the square takes over.
# - The second layer had 1,200 weights, not 4,464: its inputs are 12.
# - At 12 units the variants had from 1,116 weights (Elman) to 7,860 (depth-gated, two levels).
#   With 15 units a GRU has about as many weights as this LSTM.
#
# No chance is involved: you must see the same. Next: `03_gates_as_filters.py`.

# %%
tutorial.done()
