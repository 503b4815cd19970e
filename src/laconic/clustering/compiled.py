"""The house's decorator (`laconic.compiled`) by its name in this room."""

from laconic.compiled import Function, compiled

__all__ = ["Function", "compiled"]
