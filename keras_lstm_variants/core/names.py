"""Names and references of our variants, for what is answered without TensorFlow.

A test compares them with the registered classes.
"""

from collections.abc import Collection

from keras_lstm_variants.core import checks

VARIANTS = {
    "Elman": "Elman 1990, Finding structure in time",
    "LSTM1997": "Hochreiter & Schmidhuber 1997, Long short-term memory",
    "LSTM": "Gers, Schmidhuber & Cummins 2000, Learning to forget",
    "LayerNormLSTM": "Ba, Kiros & Hinton 2016, Layer normalization",
    "PeepholeLSTM": "Gers & Schmidhuber 2000, Recurrent nets that time and count",
    "CoupledLSTM": "Greff et al. 2015, LSTM: a search space odyssey (CIFG)",
    "GRU": "Cho et al. 2014, Learning phrase representations using RNN encoder-decoder",
    "NIGLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NIG)",
    "NFGLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NFG)",
    "NOGLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NOG)",
    "NIAFLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NIAF)",
    "NOAFLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NOAF)",
    "NPLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NP)",
    "CIFGLSTM": "Greff et al. 2015, LSTM: a search space odyssey (CIFG)",
    "FGRLSTM": "Greff et al. 2015, LSTM: a search space odyssey (FGR)",
    "MUT1": "Jozefowicz et al. 2015, An empirical exploration of "
    "recurrent network architectures (MUT1)",
    "MUT2": "Jozefowicz et al. 2015, An empirical exploration of "
    "recurrent network architectures (MUT2)",
    "MUT3": "Jozefowicz et al. 2015, An empirical exploration of "
    "recurrent network architectures (MUT3)",
    "DepthGatedLSTM": "Yao et al. 2015, Depth-gated LSTM",
    "ClockworkRNN": "Koutnik et al. 2014, A clockwork RNN",
    "ClockworkLSTM": "Koutnik et al. 2014, A clockwork RNN (on the LSTM)",
    "GridLSTM": "Kalchbrenner et al. 2015, Grid long short-term memory",
    "MemoryGatedLSTM": "no paper; compare Gers & Schmidhuber 2000, Recurrent nets "
    "that time and count",
    "DeepGateLSTM": "no paper; compare Pascanu et al. 2014, Deep recurrent neural networks",
    "MinGRU": "Feng et al. 2024, Were RNNs all we needed?",
    "PhasedLSTM": "Neil, Pfeiffer & Liu 2016, Phased LSTM",
    "MatrixLSTM": "Beck et al. 2024, xLSTM: extended long short-term memory",
}

# Known by name, but no variants: they read a memory, too.
WITH_MEMORY = ("AttentionLSTM",)

# Keras's name for one of ours; not listed a second time.
OTHER_NAMES = {"SimpleRNN": "Elman"}


def find(
    text: str, known: Collection[str] = VARIANTS, with_memory: Collection[str] = WITH_MEMORY
) -> str:
    """The name, out of `known`, that a person means: `lstm` and `LSTMCell` are LSTM.

    Raises:
        ValueError: no such variant; the message names the nearest ones.
    """
    if text in known:
        return text
    names = {other.lower(): name for other, name in OTHER_NAMES.items()}
    names |= {name.lower(): name for name in known}
    name = names.get(text.lower()) or names.get(text.lower().removesuffix("cell"))
    if name is None:
        raise ValueError(_unknown(text, known, with_memory))
    return name


def _unknown(name: str, known: Collection[str], with_memory: Collection[str]) -> str:
    """The message for a name that is no variant's."""
    if name in with_memory:
        return (
            f"{name!r} reads a memory, too, and is no variant that can replace another. Its "
            f"class is known: `klv.{name}`."
        )
    near = checks.nearest(name, known)
    return f"Unknown variant {name!r}. Known: {', '.join(known)}{near}"
