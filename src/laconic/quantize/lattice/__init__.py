"""Quantization to integers with the rate in the loop: scalar, or by a trellis; NumPy and Numba alone."""

from laconic.quantize.lattice.assigned import Assigned, Assignment
from laconic.quantize.lattice.quantized import Quantized, Quantizer, Rehearsal
from laconic.quantize.lattice.source import Source, floats, prepare
from laconic.quantize.lattice.workers import Workers

__all__ = ["Assigned", "Assignment", "Quantized", "Quantizer", "Rehearsal", "Source", "Workers", "floats", "prepare"]
