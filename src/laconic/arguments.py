"""Whether arguments have the types that their signature says: one check, for what people write by hand."""

import math
from collections.abc import Mapping
from inspect import signature
from numbers import Integral, Real
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from laconic.errors import PlanError

_NUMBERS: Mapping[Any, tuple[type, str]] = {int: (Integral, "an integer"), float: (Real, "a number")}
_WORDS: Mapping[Any, str] = {str: "a string", bool: "True or False", type(None): "None"}


def require_types(kind: type, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Check what ``kind`` is made of, where its signature says a number, a string, a truth value or a class of ours.

    What it says beside, and arguments that do not fit the signature, are left to ``kind`` itself.

    Raises:
        PlanError: names the argument, what is expected and what came.

    >>> from laconic import AdaptiveCodebook
    >>> AdaptiveCodebook("4")
    Traceback (most recent call last):
    laconic.errors.PlanError: AdaptiveCodebook: entries is an integer, not '4'
    """
    try:
        given = signature(kind.__init__).bind_partial(None, *arguments, **named).arguments  # type: ignore[misc]
    except TypeError:
        return  # `kind` itself says so
    hints = get_type_hints(kind)
    for name, value in given.items():
        if name not in hints:
            continue
        hint = hints[name]
        allowed = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        if not any(_fits(value, one) for one in allowed):
            expected = " or ".join(_said(one) for one in allowed if one is not type(None) or len(allowed) == 1)
            raise PlanError(f"{kind.__name__}: {name} is {expected}, not {value!r}")


def is_weight(value: object, least: float = 0.0) -> bool:
    """Say whether ``value`` is a finite number from ``least``, which is no truth value.

    >>> is_weight(0.5), is_weight(-1), is_weight("1"), is_weight(float("nan")), is_weight(True)
    (True, False, False, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool) and least <= value < math.inf  # type: ignore[operator]


def _fits(value: object, kind: Any) -> bool:
    """Say whether ``value`` is of a type, or the type is none that is checked."""
    if kind in _NUMBERS:
        return isinstance(value, _NUMBERS[kind][0]) and not isinstance(value, bool)
    checked = kind in _WORDS or (isinstance(kind, type) and kind.__module__.startswith("laconic."))
    return not checked or isinstance(value, kind)


def _said(kind: Any) -> str:
    """Return what a person calls a type."""
    return _NUMBERS[kind][1] if kind in _NUMBERS else _WORDS.get(kind, f"a {getattr(kind, '__name__', kind)}")
