"""What is timed against what."""

import dataclasses
import importlib.util
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from keras_lstm_variants.core.machine import cores

KINDS = ("step", "inference")

# The built-in layer of the same name in Keras and in torch; for variants that neither has,
# the nearest relative: a yardstick, not an equal.
YARDSTICKS = {"LSTM": "LSTM", "PeepholeLSTM": "LSTM", "CoupledLSTM": "LSTM", "GRU": "GRU"}

OPTIONS = {
    "": "",
    "dropout": "dropout=0.2, recurrent_dropout=0.2",
    "mask": "a random mask",
}


class Shape(NamedTuple):
    """Sizes of the input and of the layer."""

    batch: int
    time: int
    features: int
    units: int

    def __str__(self) -> str:
        return "x".join(map(str, self))


def parse_shape(text: str) -> Shape:
    """`"16x100x32x64"` as a `Shape`.

    Raises:
        ValueError: not four whole numbers above 0.
    """
    if not re.fullmatch(r"0*[1-9]\d*(x0*[1-9]\d*){3}", text, re.ASCII):
        raise ValueError(
            "must be BATCHxTIMExFEATURESxUNITS, four whole numbers above 0 as in 16x100x32x64. "
            f"Received: {text!r}"
        )
    return Shape(*map(int, text.split("x")))


@dataclasses.dataclass(frozen=True)
class Contender:
    """One function to be timed.

    Attributes:
        side: "klv" our layer, "klv_xla" our layer with `engine="xla"`, "keras" Keras's layer,
            "rnn" `keras.layers.RNN` of our cell, "rnn_keras" `keras.layers.RNN` of Keras's
            cell, "torch" torch's layer, "torchrecurrent" that package's layer, "floor" the
            matrix products alone, a lower bound.
        variant: which variant of ours it stands beside.
        shape: sizes.
        kind: "step" (forward, backward) or "inference".
        jit: whether XLA compiles it; None where there is no XLA.
        option: "", "dropout" or "mask".
        threads: with how many threads; None: one for each core. Only torch takes less.
    """

    side: str
    variant: str
    shape: Shape
    kind: str
    jit: bool | None
    option: str = ""
    threads: int | None = None

    @property
    def engine(self) -> str:
        """Which process times it."""
        return "torch" if self.side in ("torch", "torchrecurrent") else "tensorflow"

    @property
    def group(self) -> str:
        """What it shares with those that it is timed against."""
        return f"{self.variant} {self.shape} {self.kind}"

    @property
    def name(self) -> str:
        from keras_lstm_variants.core.registry import PACKAGE, get_variant

        layer = get_variant(self.variant)
        ours = "klv." if layer.__module__.split(".")[0] == PACKAGE else ""
        like = YARDSTICKS.get(self.variant, self.variant)
        name = {
            "klv": f"{ours}{self.variant}",
            "klv_xla": f'{ours}{self.variant}, engine="xla"',
            "keras": f"keras.layers.{like}",
            "rnn": f"RNN({ours}{layer.cell_class.__name__})",
            "rnn_keras": f"RNN(keras {like}Cell)",
            "torch": f"torch.nn.{like}",
            "torchrecurrent": f"torchrecurrent.{self.variant}",
            "floor": "matrix products alone",
        }[self.side]
        alone = "1 thread" if self.threads == 1 else ""
        return ", ".join(part for part in (name, self.option, alone) if part)

    def message(self) -> dict[str, Any]:
        """For the process that times it, which need not know this package."""
        return {
            **dataclasses.asdict(self),
            "shape": list(self.shape),
            "yardstick": YARDSTICKS.get(self.variant),
        }


def contenders_of(
    variant: str,
    shape: Shape,
    kind: str,
    *,
    jits: Sequence[bool] = (False, True),
    torch: Iterable[str] = ("torch", "torchrecurrent"),
) -> list[Contender]:
    """All that a variant is timed against at one shape.

    Args:
        variant: a registered name.
        shape, kind: see `Contender`.
        jits: with which settings of XLA.
        torch: the sides that need torch, of those that are installed.
    """
    yardstick = YARDSTICKS.get(variant)
    sides = ["klv", *(["keras"] if yardstick else []), "rnn"]
    # Only for the variants that Keras has: for others it is no equal, and `keras` is there.
    sides += ["rnn_keras"] if yardstick == variant else []
    contenders = [
        Contender(s, variant, shape, kind, jit) for s in (*sides, "floor") for jit in jits
    ]
    if False in jits:  # In a compiled function it is no other layer.
        contenders.append(Contender("klv_xla", variant, shape, kind, False))
    theirs = ["torch"] if yardstick and "torch" in torch else []
    theirs += ["torchrecurrent"] if "torchrecurrent" in torch else []
    # Dividing a small step among threads can cost more than it gains, most of all on a busy
    # machine: as of XLA on and off, the better one will count. TensorFlow decides by itself.
    contenders += [
        Contender(side, variant, shape, kind, None, threads=threads)
        for side in theirs
        for threads in ((None, 1) if cores() > 1 else (None,))
    ]
    return contenders


def installed_torch() -> tuple[str, ...]:
    """Of torch and torchrecurrent, those that are installed."""
    return tuple(n for n in ("torch", "torchrecurrent") if importlib.util.find_spec(n))
