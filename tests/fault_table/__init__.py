"""The faults that `planted_faults.py` plants, by area."""

from fault_table.cells import CELLS
from fault_table.engine import ENGINE
from fault_table.fault import Fault
from fault_table.generative import GENERATIVE
from fault_table.layers import LAYERS
from fault_table.protocol import PROTOCOL
from fault_table.tools import TOOLS
from fault_table.tuning import TUNING

__all__ = ["FAULTS", "Fault"]

FAULTS = [*CELLS, *ENGINE, *LAYERS, *GENERATIVE, *PROTOCOL, *TUNING, *TOOLS]
