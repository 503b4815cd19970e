"""Symbols and numbers to bytes and back, exactly and fast; every malformed input is a `FormatError`."""

from laconic.coding.frequencies import entropy_bits
from laconic.coding.symbols import decode_symbols, encode_symbols, symbol_dtype
from laconic.coding.values import FLOATS, decode_values, encode_values
from laconic.coding.varints import Cursor, varint

__all__ = [
    "FLOATS",
    "Cursor",
    "decode_symbols",
    "decode_values",
    "encode_symbols",
    "encode_values",
    "entropy_bits",
    "symbol_dtype",
    "varint",
]
