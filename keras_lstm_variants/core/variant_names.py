"""Made by tests/make_generated.py: the variants, for what needs no TensorFlow."""

# ruff: noqa: E501

VARIANTS = {
    "Elman": "Elman 1990, Finding structure in time",
    "LSTM1997": "Hochreiter & Schmidhuber 1997, Long short-term memory",
    "LSTM": "Gers, Schmidhuber & Cummins 2000, Learning to forget",
    "PeepholeLSTM": "Gers & Schmidhuber 2000, Recurrent nets that time and count",
    "MemoryGatedLSTM": "no paper; compare Gers & Schmidhuber 2000, Recurrent nets that time and count",
    "ClockworkRNN": "Koutnik et al. 2014, A clockwork RNN",
    "ClockworkLSTM": "Koutnik et al. 2014, A clockwork RNN (on the LSTM)",
    "DeepGateLSTM": "no paper; compare Pascanu et al. 2014, Deep recurrent neural networks",
    "GRU": "Cho et al. 2014, Learning phrase representations using RNN encoder-decoder",
    "CoupledLSTM": "Greff et al. 2015, LSTM: a search space odyssey (CIFG)",
    "DepthGatedLSTM": "Yao et al. 2015, Depth-gated LSTM",
    "NIGLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NIG)",
    "NFGLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NFG)",
    "NOGLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NOG)",
    "NIAFLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NIAF)",
    "NOAFLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NOAF)",
    "NPLSTM": "Greff et al. 2015, LSTM: a search space odyssey (NP)",
    "CIFGLSTM": "Greff et al. 2015, LSTM: a search space odyssey (CIFG)",
    "FGRLSTM": "Greff et al. 2015, LSTM: a search space odyssey (FGR)",
    "GridLSTM": "Kalchbrenner et al. 2015, Grid long short-term memory",
    "MUT1": "Jozefowicz et al. 2015, An empirical exploration of recurrent network architectures (MUT1)",
    "MUT2": "Jozefowicz et al. 2015, An empirical exploration of recurrent network architectures (MUT2)",
    "MUT3": "Jozefowicz et al. 2015, An empirical exploration of recurrent network architectures (MUT3)",
    "LayerNormLSTM": "Ba, Kiros & Hinton 2016, Layer normalization",
    "PhasedLSTM": "Neil, Pfeiffer & Liu 2016, Phased LSTM",
    "MinGRU": "Feng et al. 2024, Were RNNs all we needed?",
    "MatrixLSTM": "Beck et al. 2024, xLSTM: extended long short-term memory",
}

# Known by name, but no variants: they read a memory, too.
WITH_MEMORY = ["AttentionLSTM"]
