# %% [markdown]
# # 1. An LSTM, step by step
#
# For everybody who wants to know what is inside. You need to know what a matrix product is.
#
# We build an LSTM of two units with weights that we choose ourselves, so that we know what each
# gate does and why. We compute it in NumPy, one line at a time, and then ask `klv.LSTM` for the
# same numbers, gate by gate.

# %%
import keras
import numpy as np
from common import Tutorial

import keras_lstm_variants as klv

tutorial = Tutorial("1. An LSTM, step by step")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## What it computes
#
# At every step the cell gets the input `x` and two things it kept from the step before: its
# output `h` and its memory `c`, one number of each per unit. It computes four things, each from
# `x` and `h` by weights of its own:
#
#     i = sigmoid(x Wi + h Ui + bi)      input gate:  how much of the new is written?
#     f = sigmoid(x Wf + h Uf + bf)      forget gate: how much of the old memory stays?
#     g = tanh   (x Wg + h Ug + bg)      candidate:   what is the new?
#     o = sigmoid(x Wo + h Uo + bo)      output gate: how much of the memory is shown?
#
# and then
#
#     c = f * c + i * g                  the memory: some of the old, some of the new
#     h = o * tanh(c)                    the output
#
# A sigmoid lies between 0 and 1, so a gate is a tap: 0 is shut, 1 is open. `*` multiplies number
# by number: each unit has its own taps.


# %%
def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def lstm_step(x, h, c, kernel, recurrent, bias):
    """One step. The matrices hold the four blocks side by side, in the order i f g o."""
    zi, zf, zg, zo = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    i, f, g, o = sigmoid(zi), sigmoid(zf), np.tanh(zg), sigmoid(zo)
    c = f * c + i * g
    h = o * np.tanh(c)
    return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}


def lstm(x, kernel, recurrent, bias):
    """All steps of one sequence (time, inputs): name -> (time, units)."""
    h = c = np.zeros(recurrent.shape[0])
    steps = []
    for x_t in x:
        steps.append(lstm_step(x_t, h, c, kernel, recurrent, bias))
        h, c = steps[-1]["h"], steps[-1]["c"]
    return {name: np.array([step[name] for step in steps]) for name in steps[0]}


# %% [markdown]
# ## Weights with a purpose
#
# Each step brings a value and a mark. Our two units shall
#
# - **counter**: count the marks;
# - **latch**: keep the *first* marked value, and nothing after it.
#
# A weight of 20 with a bias of -10 makes a gate that is shut without a mark, sigmoid(-10) =
# 0.00005, and open with one, sigmoid(10) = 0.99995. A bias of 10 alone holds a gate open.
#
# The latch must know whether there was a mark before. The counter knows: after the first mark
# its output is tanh(1) = 0.76. So the latch listens to the counter through `U`, the weights on
# `h`. With -40 for its input gate and +40 for its forget gate, 0.76 is enough to turn both.

# %%
LATCH, COUNTER = 0, 1
VALUE, MARK = 0, 1
I, F, G, O = 0, 2, 4, 6  # noqa: E741  (where the four blocks of two columns begin)

kernel, recurrent, bias = np.zeros((2, 8)), np.zeros((2, 8)), np.zeros(8)

kernel[MARK, I + LATCH] = 20  # the latch: open for a mark,
bias[I + LATCH] = -10
recurrent[COUNTER, I + LATCH] = -40  # but not after the first one,
kernel[MARK, F + LATCH] = -20  # and forget what was there before,
bias[F + LATCH] = 10
recurrent[COUNTER, F + LATCH] = 40  # but nothing after the first one.
kernel[VALUE, G + LATCH] = 1  # What is written is tanh(value).
bias[O + LATCH] = 10  # Always shown.

kernel[MARK, I + COUNTER] = 20  # the counter: open for a mark,
bias[I + COUNTER] = -10
bias[F + COUNTER] = 10  # never forgets,
bias[G + COUNTER] = 10  # and what is written is tanh(10) = 1.
bias[O + COUNTER] = 10

x = np.array([[0.5, 0], [0.8, 1], [-0.3, 0], [0.1, 0], [-0.6, 1], [0.9, 0]])
by_hand = lstm(x, kernel, recurrent, bias)

# %%
for unit, what in ((LATCH, "latch"), (COUNTER, "counter")):
    print(f"\n{what}\nstep  value  mark       i      f      g      o  |     c      h")
    for t, (value, mark) in enumerate(x):
        numbers = "".join(f"{by_hand[name][t, unit]:7.3f}" for name in "ifgo")
        states = "".join(f"{by_hand[name][t, unit]:7.3f}" for name in "ch")
        print(f"{t:>4}  {value:>5}  {mark:>4.0f} {numbers}  |{states}")

# %% [markdown]
# Read the latch's line of step 1: i is open, f is shut, so the memory becomes g = tanh(0.8) =
# 0.664. At step 4 there is a mark again, but i stays shut, and f open: the counter has spoken.
# After it the counter's memory is 2, and its output tanh(2) = 0.964: outputs stay below 1,
# memories need not.

# %% [markdown]
# ## The same from klv
#
# A `klv.LSTM` has the same three weights: `kernel` (inputs, 4 units), `recurrent_kernel`
# (units, 4 units) and `bias` (4 units), in the same order of columns, i f g o. `gate_history`
# gives every gate and state at every step.

# %%
layer = klv.LSTM(2, name="lstm")
layer.build((None, None, 2))
layer.set_weights([kernel, recurrent, bias])
history = klv.gate_history(layer, x[None].astype("float32"))["lstm"]
gaps = {}
for name in "ifgoch":
    np.testing.assert_allclose(history[name][0], by_hand[name], atol=1e-5)
    gaps[name] = np.max(np.abs(history[name][0] - by_hand[name]))
print("largest difference:", {name: f"{gap:.0e}" for name, gap in gaps.items()})

# %% [markdown]
# The rest is rounding: NumPy counted in 64 bits, the layer in 32.
#
# ## The same with any weights
#
# Nothing depended on our choice. With random weights, four units and three inputs, the NumPy
# function, `klv.LSTM` and `keras.layers.LSTM` must agree as well.

# %%
random = np.random.default_rng(0)
shapes = [(3, 16), (4, 16), (16,)]
weights = [random.normal(size=shape) for shape in shapes]
x2 = random.normal(size=(20, 3))
expected = lstm(x2, *weights)["h"]
ours, theirs = klv.LSTM(4, return_sequences=True), keras.layers.LSTM(4, return_sequences=True)
for other in (ours, theirs):
    other.build((None, None, 3))
    other.set_weights(weights)
    got = keras.ops.convert_to_numpy(other(x2[None].astype("float32")))[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    print(f"{type(other).__module__.split('.')[0]}: {np.max(np.abs(got - expected)):.0e}")

# %% [markdown]
# ## Try it: let the counter forget
#
# With a forget bias of 0 its forget gate is 0.5: half of the count is lost at every step.

# %%
forgetful = bias.copy()
forgetful[F + COUNTER] = 0
leaking = lstm(x, kernel, recurrent, forgetful)
print("count, never forgetting:      ", by_hand["c"][:, COUNTER])
print("count, forgetting half a step:", leaking["c"][:, COUNTER])
print("latch, never forgetting:      ", by_hand["c"][:, LATCH])
print("latch, forgetting half a step:", leaking["c"][:, LATCH])

# %%
if tutorial.pictures:
    figure = tutorial.figure(10, 3.2)
    axes = figure.subplots(1, 2)
    for axis, unit, what in zip(axes, (LATCH, COUNTER), ("latch", "counter"), strict=True):
        table = np.stack([by_hand[name][:, unit] for name in "ifgoch"])
        high = np.abs(table).max()
        image = axis.imshow(table, cmap="RdBu_r", vmin=-high, vmax=high, aspect="auto")
        figure.colorbar(image, ax=axis, pad=0.02)
        for (row, t), number in np.ndenumerate(table):
            colour = "white" if abs(number) > 0.6 * high else "black"
            axis.text(t, row, f"{number:.2f}", ha="center", va="center", fontsize=8, color=colour)
        axis.set_yticks(range(6), ["i", "f", "g", "o", "c", "h"])
        axis.set_xticks(range(len(x)), [f"{v}{' *' if m else ''}" for v, m in x])
        axis.set_xlabel("value (* marked)")
        axis.set_title(what)
    tutorial.save(figure, "01_gates.png")

# %% [markdown]
# ## What was seen
#
# - The latch wrote 0.664 at the first mark (step 1) and still had 0.664 at step 5, after a
#   second mark; the counter's memory was 1.000 after the first and 2.000 after the second.
# - `klv.LSTM` gave every gate and state of it with a largest difference of 7e-8; with
#   random weights (seed 0) both layers agreed with NumPy to 2e-7.
# - With a forget bias of 0 the count was down to 0.25 when the second mark came. Its voice in
#   `U` was then too weak: the latch's gates stood half open (step 4), and it mixed both values
#   to 0.003. Forgetting in one unit broke another one.
#
# Real layers start with random weights, and training finds what the units do. Few of them can
# be read as easily as these. Next: `02_sizes_and_parameters.py`.

# %%
tutorial.done()
