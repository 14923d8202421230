"""The cells and their layers, a file for each family. Every file here is imported by itself."""

import importlib
import pkgutil

from keras_lstm_variants.core import registry
from keras_lstm_variants.core.bases import LSTMFamilyCell, PeepholeFamilyCell

_public = {cls.__name__: cls for cls in (LSTMFamilyCell, PeepholeFamilyCell)}
for _file in sorted(file.name for file in pkgutil.iter_modules(__path__)):
    _public |= registry.classes_of(importlib.import_module(f"{__name__}.{_file}"))
registry.order_by_year()

globals().update(_public)
__all__ = sorted(_public)  # noqa: PLE0605
