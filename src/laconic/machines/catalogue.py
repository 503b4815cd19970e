"""Every way for gradients to travel, by the name that the command line and `laconic.compress_gradients` call it.

A name may have one number or word behind a colon: `terngrad:base 3`, `qsgd:7` (levels on a side), `topk:0.01` and
`dgc:0.01` (share that is sent), `clustered:4` (values).
"""

import difflib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from laconic.errors import PlanError
from laconic.machines.clustered import Clustered
from laconic.machines.floats import DTYPES, Floats
from laconic.machines.largest import SHARE, Largest
from laconic.machines.levels import Levels
from laconic.machines.memory import ErrorFeedback, MomentumCorrection
from laconic.machines.scheme import Scheme
from laconic.machines.signs import Signs
from laconic.machines.ternary import Ternary

SMALL_TO_TERNGRAD = 9217
"""Tensors of fewer numbers stay as they are: as AlexNet's in Wen et al., whose last layer does, too."""

SMALL_TO_QSGD = 10_000
"""As in the experiments of Alistarh et al., section 5."""


POWERSGD = "powersgd"
"""The name of what a hook of `DistributedDataParallel` alone can do."""

_NUMBER = re.compile(r"\d+(\.\d*)?(e-?\d+)?|\.\d+(e-?\d+)?", re.ASCII)


def is_whole(text: str) -> bool:
    """Say whether a text is digits and nothing else, as ``int`` does not: it takes "1_0" and " 3" as well."""
    return text.isascii() and text.isdecimal()


def _whole(text: str, unless: int) -> int:
    """Return a whole number, or another one for an empty text; raise ValueError for all else."""
    if text and not is_whole(text):
        raise ValueError
    return int(text or unless)


def _share(text: str) -> float:
    """Return a share, or that of `Largest` for an empty text; raise ValueError for what is no number."""
    if text and not _NUMBER.fullmatch(text):
        raise ValueError
    return float(text or SHARE)


def _terngrad(form: str) -> Scheme:
    return Scheme(Ternary(form=form or "entropy"), smallest=SMALL_TO_TERNGRAD, last=False)  # type: ignore[arg-type]


def _qsgd(levels: str) -> Scheme:
    return Scheme(Levels(_whole(levels, 7)), smallest=SMALL_TO_QSGD)


def _topk(share: str) -> Scheme:
    return Scheme(Largest(_share(share)), ErrorFeedback(), axes=2)


def _dgc(share: str) -> Scheme:
    return Scheme(Largest(_share(share)), MomentumCorrection(), axes=2)


def _signs(nothing: str) -> Scheme:
    if nothing:
        raise ValueError
    return Scheme(Signs(), ErrorFeedback(), axes=2)


def _clustered(values: str) -> Scheme:
    return Scheme(Clustered(_whole(values, 16)), ErrorFeedback(), axes=2)


def _floats(kind: str) -> Callable[[str], Scheme]:
    def make(nothing: str) -> Scheme:
        if nothing:
            raise ValueError
        return Scheme(Floats(kind))  # type: ignore[arg-type]

    return make


SCHEMES: Mapping[str, Callable[[str], Scheme]] = MappingProxyType(
    {
        **{kind: _floats(kind) for kind in DTYPES},
        "terngrad": _terngrad,
        "qsgd": _qsgd,
        "topk": _topk,
        "dgc": _dgc,
        "signs": _signs,
        "clustered": _clustered,
    }
)
"""Name → text behind the colon, perhaps empty → scheme."""


def scheme_of(name: str) -> Scheme:
    """Return the scheme that a name stands for.

    Raises:
        PlanError: for an unknown name, with the nearest one, or a number that is none.

    >>> scheme_of("qsgd:3").codec
    Levels(levels=3, bucket=512)
    """
    kind, _, number = name.partition(":")
    if kind == POWERSGD:
        raise PlanError(
            "powersgd adds up messages on their way and is no codec of one worker's gradients: it is a hook of "
            "DistributedDataParallel alone, laconic.compress_gradients(ddp, 'powersgd:2')"
        )
    if kind not in SCHEMES:
        known = [*SCHEMES, POWERSGD]
        close = difflib.get_close_matches(kind.strip().lower(), known, 1)
        hint = f", did you mean {close[0]!r}?" if close else ";"
        raise PlanError(
            f"no way for gradients {kind!r}{hint} there are {', '.join(SCHEMES)}, and, as a hook of "
            f"DistributedDataParallel, {POWERSGD}"
        )
    try:
        return SCHEMES[kind](number)
    except PlanError:
        raise
    except ValueError:
        raise PlanError(
            f"{name!r}: what stands behind the colon is no number that {kind} takes; digits alone, without spaces"
        ) from None
