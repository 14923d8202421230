# %% [markdown]
# # 3. Gates as filters, and the gradient through time
#
# What does a gate do to a signal? What does forgetting do to learning? Read
# `01_lstm_step_by_step.py` first; here a derivative is taken for the first time.

# %%
import time

import keras
import numpy as np
import tensorflow as tf
from common import Tutorial

import keras_lstm_variants as klv
from keras_lstm_variants import tasks

tutorial = Tutorial("3. Gates as filters")
random = np.random.default_rng(0)

# %% [markdown]
# ## A gate that does not move is a filter
#
# Take one unit of a `CoupledLSTM`, in which what is forgotten is replaced: c = f c + (1 - f) g.
# Leave out the curves, and hold f by its bias. What remains is the running average that every
# engineer knows: the larger f, the smoother, and the later.
#
# We feed it a jump from 0 to 1 with noise on it.


# %%
def smoother(f: float) -> klv.CoupledLSTM:
    layer = klv.CoupledLSTM(
        1, activation="linear", output_activation="linear", return_sequences=True
    )
    layer.build((None, None, 1))
    # Columns i g o: the writing gate has the bias that makes 1 - f; the candidate is the input.
    bias = [np.log((1 - f) / f), 0, 20]
    layer.set_weights([np.array([[0, 1, 0]]), np.zeros((1, 3)), np.array(bias)])
    return layer


steps, jump = 4_000, 2_000
clean = (np.arange(steps) >= jump).astype(float)
noisy = clean + 0.3 * random.normal(size=steps)
smoothed = {}
print("   f  noise left  (theory)  steps to half of the jump  (theory)")
for f in (0.5, 0.9, 0.98):
    layer = tf.function(smoother(f))  # a graph: step by step in Python, 4,000 steps are slow
    smoothed[f] = np.ravel(layer(noisy[None, :, None]))
    without = np.ravel(layer(clean[None, :, None]))
    noise = np.std((smoothed[f] - without)[100:]) / 0.3
    half = int(np.argmax(without >= 0.5)) - jump + 1
    theory = np.sqrt((1 - f) / (1 + f)), np.log(0.5) / np.log(f)
    print(f"{f:>4}  {noise:>10.2f}  {theory[0]:>8.2f}  {half:>25}  {theory[1]:>8.1f}")

# %% [markdown]
# log(0.5) / log(f) is the number of steps in which a memory falls to a half. It is a good way to
# read any forget gate: 0.5 is one step, 0.9 seven, 0.98 thirty-four.
#
# ## A gate that moves is a filter that listens
#
# A trained gate decides at each step anew. We train 16 units on the adding problem: 20 steps of
# (value, mark), and the answer is the sum of the two marked values. Somebody has to let the
# marked values in and keep the others out. Who?

# %%
keras.utils.set_random_seed(0)
task = tasks.load("adding", length=20)
x, y = (part[:64] if tutorial.tiny else part for part in task.train)
model = keras.Sequential([keras.Input((20, 2)), klv.LSTM(16, name="lstm"), keras.layers.Dense(1)])
model.compile(keras.optimizers.Adam(1e-2, clipnorm=1.0), "mse", jit_compile=True)
model.fit(x, y, batch_size=32, epochs=1 if tutorial.tiny else 12, verbose=0)
x_test, y_test = task.test
error = model.evaluate(x_test, y_test, batch_size=1000, verbose=0)
print(f"mean squared error {error:.4f}; always the mean: {task.baselines['constant']['test']:.4f}")

# %%
history = klv.gate_history(model, x_test)["lstm"]
marked = x_test[:, :, 1] == 1
before = np.concatenate([np.zeros_like(history["c"][:, :1]), history["c"][:, :-1]], axis=1)
print("                              at a mark  elsewhere")
for name, values in {
    "input gate": history["i"],
    "forget gate": history["f"],
    "written, |i g|": np.abs(history["i"] * history["g"]),
    "memory's change": np.abs(history["c"] - before),
}.items():
    print(f"{name:<28} {values[marked].mean():>10.3f}  {values[~marked].mean():>9.3f}")
contrast = history["i"][marked].mean(0) - history["i"][~marked].mean(0)
best = int(np.argmax(contrast))
at, off = (history["i"][where][:, best].mean() for where in (marked, ~marked))
print(f"input gate of unit {best}: {at:.2f} at a mark, {off:.2f} elsewhere")

# %% [markdown]
# ## A blind spot, and the memory-gated cell
#
# The gates of an LSTM see the input and the output h = o tanh(c). If the output gate is shut, h
# is 0, and the gates know nothing of the memory that they guard. Two cells repair this:
#
# - peepholes give each gate a look at its own unit's c, by one weight a unit;
# - the memory-gated LSTM lets its gates see the whole memory *in place of* the output:
#   f = sigmoid(x Wf + c Vf + bf), and i and o likewise, with full matrices V.
#
# The test: shut the output gate by its bias, give the cell two different memories and the same
# input, and look at the forget gate.

# %%
keras.utils.set_random_seed(2)
layers = {
    "LSTM": klv.LSTM(4),
    "PeepholeLSTM": klv.PeepholeLSTM(4, peephole_initializer=keras.initializers.Constant(1.0)),
    "MemoryGatedLSTM": klv.MemoryGatedLSTM(4),
}
one_step = np.random.default_rng(2).normal(size=(1, 1, 3)).astype("float32")
zeros = np.zeros((1, 4), "float32")
for name, layer in layers.items():
    layer.build((None, None, 3))
    columns = layer.cell.gates.index("o") * 4 + np.arange(4)
    bias = keras.ops.convert_to_numpy(layer.cell.bias).copy()
    bias[columns] = -20
    layer.cell.bias.assign(bias)
    forget = []
    for memory in (0.0, 2.0):
        states = [zeros, zeros + memory]  # h is 0 in both: nothing was shown
        (gates,) = klv.gate_history(layer, one_step, initial_state=states).values()
        forget.append(gates["f"][0, 0])
    change = np.abs(forget[1] - forget[0]).max()
    print(f"{name:<16} forget gate's largest change with the memory: {change:.3f}")

# %% [markdown]
# ## Unrolling
#
# A recurrent layer is one cell used again and again. Written out - unrolled - it is a deep
# network, a level for each step, with the *same* weights at every level. Results are the same;
# `unroll=True` does it literally, and the graph grows with the number of steps.

# %%
looped = klv.LSTM(8)
unrolled = klv.LSTM(8, unroll=True)
x3 = random.normal(size=(4, 30, 3)).astype("float32")
looped.build(x3.shape)
unrolled.build(x3.shape)
unrolled.set_weights(looped.get_weights())
for name, layer in (("loop", looped), ("unrolled", unrolled)):
    function = tf.function(layer)
    start = time.perf_counter()
    result = function(x3)
    print(f"{name:<9} {time.perf_counter() - start:5.2f} s for the first call (30 steps)")
np.testing.assert_allclose(result, looped(x3), atol=1e-6)

# %% [markdown]
# ## Back-propagation through time
#
# To learn that step 1 matters for the answer at step 100, the gradient must travel back through
# 100 levels. On the way through the memory it is multiplied by f at every step: 0.5 leaves a
# millionth after 20 steps, 1, as in the LSTM of 1997, all of it. (It has side ways, too: the
# gates see h.) Elman's network has no such path: a matrix and the slope of tanh multiply it.
#
# We measure: how much does the output after 100 steps change with the input `lag` steps before?
# Untrained layers of 32 units, 32 sequences of noise, mean size of the gradient.


# %%
def reach(layer, steps: int = 100) -> np.ndarray:
    """Mean size of d output / d input, by how many steps the input lies back: (steps,)."""
    x = tf.constant(np.random.default_rng(1).normal(size=(32, steps, 8)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        # Half of the units count with a minus, so that they do not all pull one way.
        output = tf.reduce_sum(layer(x) * np.tile([1.0, -1.0], 16))
    sizes = tf.norm(tape.gradient(output, x), axis=-1).numpy().mean(0)
    return sizes[::-1]


makers = {
    "Elman": lambda: klv.Elman(32),
    "LSTM, forget bias 0": lambda: klv.LSTM(32, forget_bias=0.0),
    "LSTM, forget bias 1": lambda: klv.LSTM(32, forget_bias=1.0),
    "LSTM, forget bias 3": lambda: klv.LSTM(32, forget_bias=3.0),
    "LSTM1997": lambda: klv.LSTM1997(32),
    "LSTM, bias 3, cut every 25": lambda: klv.LSTM(32, forget_bias=3.0, stop_gradient_every=25),
}
lags, curves = (0, 10, 24, 25, 50, 99), {}
print(f"{'gradient at a lag of':<28}" + "".join(f"{lag:>9}" for lag in lags))
for name, make in makers.items():
    keras.utils.set_random_seed(1)
    curves[name] = reach(make())
    print(f"{name:<28}" + "".join(f"{curves[name][lag]:>9.0e}" for lag in lags))
print("\nleft of it a step, between lags 10 and 50:")
for name in list(makers)[:5]:
    per_step = (curves[name][50] / curves[name][10]) ** (1 / 40)
    print(f"{name:<28} {per_step:.3f}")
print("sigmoid(0), (1), (3):       ", *(f"{1 / (1 + np.exp(-b)):.3f}" for b in (0, 1, 3)))

# %% [markdown]
# `stop_gradient_every=25` is truncated back-propagation: the states go on, the gradient does
# not. It makes long sequences cheap to learn from, and what lies behind the cut cannot be
# learned.

# %%
if tutorial.pictures:
    figure = tutorial.figure(15, 4)
    axes = figure.subplots(1, 3)
    near = np.arange(-100, 150)
    axes[0].plot(near, noisy[jump + near], color="0.8", label="input")
    for f, values in smoothed.items():
        axes[0].plot(near, values[jump + near], label=f"f = {f}")
    axes[0].set(title="A fixed gate smooths", xlabel="steps since the jump", ylim=(-0.7, 1.7))
    axes[0].legend(fontsize=8)
    image = axes[1].imshow(history["i"][0].T, cmap="viridis", aspect="auto")
    figure.colorbar(image, ax=axes[1], pad=0.02)
    axes[1].set(title="Input gates of one sequence", ylabel="unit")
    axes[1].set_xticks(np.flatnonzero(marked[0]), ["mark", "mark"])
    for (name, curve), line in zip(curves.items(), ("-", "-", "-", "-", "-", "--"), strict=True):
        axes[2].semilogy(np.maximum(curve, 1e-30), line, label=name)
    axes[2].set(title="How far the gradient reaches", xlabel="steps back", ylim=(1e-16, 10))
    axes[2].legend(fontsize=8)
    tutorial.save(figure, "03_filters.png")

# %% [markdown]
# ## What was seen
#
# - With f = 0.5, 0.9 and 0.98 the filter left 0.58, 0.23 and 0.10 of the noise, and took
#   1, 7 and 35 steps to half of the jump, as the theory says.
# - After training (seed 0, error 0.0002 where saying the mean gives 0.163) the input gates stood
#   at 0.58 at a mark and at 0.35 elsewhere. Unit 11 was a clean switch, 0.94 and 0.07, unit 13
#   nearly one. Most were not: the 16 units share the work, and gates, candidate and forgetting
#   share it, too.
#   The memory changed by 0.126 at a mark and by 0.037 elsewhere.
# - With its output gate shut, the LSTM's forget gate did not see the memory at all (0.000);
#   with peepholes (of weight 1) it moved by 0.25, in the memory-gated LSTM by 0.42.
# - Going back from lag 10 to lag 50, a step left 0.60 of the gradient with a forget bias of 0,
#   0.82 with 1, 0.995 with 3 (seed 1). That is more than sigmoid(0) = 0.50, sigmoid(1) = 0.73
#   and sigmoid(3) = 0.95: the side ways through h carry some. Elman's network left 0.72.
#   Without forgetting, in the LSTM of 1997, the gradient *grew*, by 2 % a step: never to
#   forget is no cure for everything.
# - With the cut every 25 steps the gradient was exactly 0 from lag 25 on.
#
# Next: `04_variants_on_text.py`.

# %%
tutorial.done()
