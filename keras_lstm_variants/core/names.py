"""Which variant a name means, for what is answered without TensorFlow, too."""

from collections.abc import Collection

from keras_lstm_variants.core import checks
from keras_lstm_variants.core.variant_names import VARIANTS, WITH_MEMORY

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
