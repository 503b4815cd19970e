"""Symbols and numbers to bytes and back, exactly and fast; every malformed input is a `FormatError`."""

from laconic.coding.dtypes import FLOATS, dtype_of, itemsize
from laconic.coding.frequencies import entropy_bits
from laconic.coding.symbols import decode_symbols, encode_symbols, symbol_dtype
from laconic.coding.values import decode_values, encode_values
from laconic.coding.varints import Cursor, varint

__all__ = [
    "FLOATS",
    "Cursor",
    "decode_symbols",
    "decode_values",
    "dtype_of",
    "encode_symbols",
    "encode_values",
    "entropy_bits",
    "itemsize",
    "symbol_dtype",
    "varint",
]
