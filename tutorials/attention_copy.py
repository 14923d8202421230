"""Attention whose map one can read: copy a row of letters, or say it from its end.

    python tutorials/attention_copy.py               # some minutes on 2 cores
    python tutorials/attention_copy.py --tiny        # seconds: only whether it runs

The first symbol says which of the two is wanted. A bidirectional layer reads the letters: its
outputs are the memory. A decoder says the answer letter by letter, and looks into the memory
before each. In training it is told the letters that it should have said so far (teacher
forcing). Afterwards it hears only itself, step by step: it takes the likeliest letter (greedy),
or follows the likeliest few answers (beam search). Soft attention is trained as any model,
hard attention by REINFORCE. An answer counts if all of it is right. Writes attention_copy.csv
and, where matplotlib is installed, attention_copy.png.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import keras
import numpy as np

import keras_lstm_variants as klv

# 0 is padding; then what begins and ends an answer, the two commands, and the letters.
BEGIN, END, COPY, REVERSE, FIRST = 1, 2, 3, 4, 5
LETTERS = "abcdefghijklmnopqrst"
SYMBOLS = FIRST + len(LETTERS)
SHORTEST, LONGEST = 4, 10


def batch(random: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What is read (size, LONGEST + 1), and what is to be said (size, LONGEST + 1)."""
    read, said = np.zeros((2, size, LONGEST + 1), "int32")
    for k, length in enumerate(random.integers(SHORTEST, LONGEST + 1, size=size)):
        letters = random.integers(FIRST, SYMBOLS, size=length)
        command = random.choice([COPY, REVERSE])
        read[k, : length + 1] = [command, *letters]
        said[k, : length + 1] = [*(letters if command == COPY else letters[::-1]), END]
    return read, said


class Speller:
    """The model, and how it is asked."""

    def __init__(self, units: int, hard: bool) -> None:
        kind = klv.HardAttentionModel if hard else keras.Model
        options = {"hard": True} if hard else {"coverage_penalty": 0.1}
        # Padding is no place to look at, and its answer does not count.
        embed = keras.layers.Embedding(SYMBOLS, 32, mask_zero=True)
        encode = keras.layers.Bidirectional(klv.LSTM(units // 2, return_sequences=True))
        encode.supports_masking = True  # hands the mask on, which Keras 3.16 does not by itself
        self.attend = klv.AttentionLSTM(
            units,
            initial_state="memory",
            return_sequences=True,
            return_state=True,
            return_context=True,
            return_attention=True,
            **options,
        )
        join = keras.layers.Concatenate()
        deep = keras.layers.Dense(units, "tanh")
        score = keras.layers.Dense(SYMBOLS)

        def say(before, memory, states=None):
            x = embed(before)
            h, context, attention, *states = self.attend(x, memory=memory, initial_state=states)
            return score(deep(join([x, h, context]))), attention, states

        read, before = (keras.Input((None,), dtype="int32") for _ in range(2))
        memory = encode(embed(read))
        self.model = kind([read, before], say(before, memory)[0])
        # The same layers, for one letter after the other.
        states = [keras.Input((units,)) for _ in range(2)]
        self.first = keras.Model([read, before], say(before, memory))
        self.next = keras.Model([read, before, *states], say(before, memory, states))

    def fit(self, read: np.ndarray, said: np.ndarray) -> float:
        before = np.pad(said, [[0, 0], [1, 0]])[:, :-1]
        before[:, 0] = BEGIN
        before[(said == 0) & (np.arange(LONGEST + 1) > 0)] = 0
        fitted = self.model.fit([read, before], said, batch_size=100, verbose=0)
        return fitted.history["loss"][-1]

    def step(self, read, before, states):
        """Log probabilities of the next letter, where the model looked, and its states."""
        inputs = [read, before[:, None].astype("int32")]
        if states is None:
            scores, attention, states = self.first.predict_on_batch(inputs)
        else:
            scores, attention, states = self.next.predict_on_batch([*inputs, *states])
        scores = scores[:, 0] - np.max(scores[:, 0], axis=-1, keepdims=True)
        return scores - np.log(np.sum(np.exp(scores), -1, keepdims=True)), attention[:, 0], states

    def greedy(self, read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answers (size, time), and attention (size, time, places)."""
        states, before, ended = None, np.full(len(read), BEGIN), np.zeros(len(read), bool)
        answers, maps = [], []
        for _ in range(LONGEST + 1):
            scores, attention, states = self.step(read, before, states)
            before = np.where(ended, 0, np.argmax(scores, -1))
            # A padded letter would be masked: what comes after the end is not looked at.
            answers.append(before)
            maps.append(attention)
            ended |= before == END
            before = np.where(ended, END, before)
        return np.stack(answers, 1), np.stack(maps, 1)

    def beam(self, read: np.ndarray, width: int) -> np.ndarray:
        """Answers (size, time): the likeliest of those that were followed, `width` a row."""
        size = len(read)
        rows = np.repeat(read, width, axis=0)
        totals = np.full((size, width), -np.inf)
        totals[:, 0] = 0.0  # at first all are the same
        answers = np.zeros((size, width, 0), int)
        states, before, ended = None, np.full(size * width, BEGIN), np.zeros((size, width), bool)
        for _ in range(LONGEST + 1):
            scores, _, states = self.step(rows, before, states)
            scores = scores.reshape(size, width, SYMBOLS)
            # What has ended goes on in one way only, at no cost.
            scores = np.where(ended[..., None], -np.inf, scores)
            scores[..., 0] = np.where(ended, 0.0, -np.inf)
            all_totals = (totals[..., None] + scores).reshape(size, -1)
            best = np.argsort(-all_totals, axis=-1)[:, :width]
            totals = np.take_along_axis(all_totals, best, -1)
            parent, letter = best // SYMBOLS, best % SYMBOLS
            kept = np.take_along_axis(answers, parent[..., None], 1)
            answers = np.concatenate([kept, letter[..., None]], -1)
            ended = np.take_along_axis(ended, parent, 1) | (letter == END)
            flat = (parent + width * np.arange(size)[:, None]).ravel()
            states = [s[flat] for s in states]
            before = np.where(ended, END, letter).ravel()
        return answers[:, 0]


def right(answers: np.ndarray, said: np.ndarray) -> float:
    return float(np.mean(np.all(answers == said, axis=1)))


def picture(spellers: dict[str, Speller], path: Path) -> None:
    try:
        import matplotlib
    except ModuleNotFoundError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    letters = [FIRST + LETTERS.index(c) for c in "klstmqa"]
    read = np.array([[COPY, *letters], [REVERSE, *letters]], "int32")
    figure, axes = pyplot.subplots(len(spellers), 2, figsize=(8, 4 * len(spellers)), squeeze=False)
    names = {COPY: "copy", REVERSE: "reverse", END: "end"}
    names |= {FIRST + k: letter for k, letter in enumerate(LETTERS)}
    for row, (kind, speller) in zip(axes, spellers.items(), strict=True):
        answers, maps = speller.greedy(read)
        for axis, symbols, answer, attention in zip(row, read, answers, maps, strict=True):
            steps = min(np.argmax(answer == END) + 1 if END in answer else len(answer), 8)
            shown = axis.imshow(attention[:steps], cmap="viridis", vmin=0, vmax=1)
            axis.set_xticks(range(len(symbols)), [names[s] for s in symbols], rotation=45)
            axis.set_yticks(range(steps), [names.get(s, "?") for s in answer[:steps]])
            axis.set_xlabel("read")
            axis.set_ylabel("said")
            axis.set_title(f"{kind}: {names[symbols[0]]}")
            figure.colorbar(shown, ax=axis, label="attention", fraction=0.046)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--units", type=int, default=64)
    add("--rounds", type=int, default=20, help="of 10,000 rows each, at most (default: 20)")
    add("--width", type=int, default=3, help="of the beam (default: 3)")
    add("--output", type=Path, default=Path("."), help="folder of the results")
    add("--tiny", action="store_true", help="one round of 100 rows, 8 units")
    arguments = parser.parse_args()
    rounds, rows_a_round, asked = arguments.rounds, 10_000, 500
    if arguments.tiny:
        rounds, rows_a_round, asked, arguments.units = 1, 100, 10, 8
    arguments.output.mkdir(parents=True, exist_ok=True)
    test, results, spellers = batch(np.random.default_rng(10**6), asked), [], {}
    for kind in ("soft", "hard"):
        keras.utils.set_random_seed(0)
        speller = spellers[kind] = Speller(arguments.units, hard=kind == "hard")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        speller.model.compile(keras.optimizers.Adam(3e-3, clipnorm=1.0), loss)
        random, start = np.random.default_rng(1), time.monotonic()
        for k in range(rounds):
            value = speller.fit(*batch(random, rows_a_round))
            greedy = right(speller.greedy(test[0])[0], test[1])
            row = {
                "attention": kind,
                "rows": (k + 1) * rows_a_round,
                "loss": round(value, 4),
                "greedy": greedy,
                "seconds": round(time.monotonic() - start, 1),
            }
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
            results.append(row)
            if greedy > 0.99:
                break
        beam = right(speller.beam(test[0], arguments.width), test[1])
        print(f"{kind} attention, beam of {arguments.width}: {beam:.1%} right", flush=True)
        results[-1]["beam"] = beam
    with (arguments.output / "attention_copy.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["attention", "rows", "loss", "greedy", "beam", "seconds"])
        writer.writeheader()
        writer.writerows(results)
    picture(spellers, arguments.output / "attention_copy.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
