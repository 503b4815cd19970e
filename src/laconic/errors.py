"""Every exception that laconic raises on purpose: one tree, one message that says what to do.

    LaconicError
     ├─ FormatError         the file is not a sound .lac file
     ├─ WeightsError        a tensor that cannot be compressed as asked (NaN, wrong shape)
     ├─ PlanError           the plan does not fit the tensors
     ├─ UnsupportedMetric   a compression that cannot honour the metric it was given
     ├─ DataError           data or a checkpoint that is missing or not what it should be
     ├─ ExportError         a network that cannot be made what runs elsewhere, or that does not run alike there
     ├─ WorkersError        one of several workers is gone, has failed, or does another job
     ├─ MissingPackage      a package that is not installed and that this file or command needs
     └─ OutputExists        an output file that would be overwritten

A bug is an ``AssertionError``; anything here is something the caller can mend.
"""

from collections.abc import Iterable

NETWORK_ERRORS = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)
"""What a network may raise that does not take what it is given."""

_LISTED = 8
"""Names that a message lists, at most."""


def listed(names: Iterable[str]) -> str:
    """Return names as a message lists them: the first few, and how many more there are.

    >>> listed("abcdefghij")
    'a, b, c, d, e, f, g, h and 2 more'
    """
    several = list(names)
    rest = len(several) - _LISTED
    return ", ".join(several[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


class LaconicError(Exception):
    """The root of the tree: catch it to catch whatever laconic raises on purpose."""


class FormatError(LaconicError):
    """A file that is truncated, altered, of a newer version, or no `.lac` file at all."""


class WeightsError(LaconicError, ValueError):
    """A tensor that cannot be compressed as asked: NaN or infinite weights, or a shape that does not fit."""


class PlanError(LaconicError, ValueError):
    """A plan that does not fit the tensors: a dead pattern, a tensor on two rows or on none, a bad parameter."""


class UnsupportedMetric(LaconicError, TypeError):
    """A compression was given a metric that it cannot honour; it never ignores one."""


class DataError(LaconicError):
    """Data, a checkpoint or a task that is missing, unreadable or not what its name says."""


class ExportError(LaconicError):
    """A network that cannot be made what runs elsewhere: an operator nobody knows, or outputs that differ."""


class WorkersError(LaconicError):
    """One of several workers that train one network: gone, failed, or not doing the same as the others."""


class MissingPackage(LaconicError, ImportError):
    """A package that is not installed; the message says which, and how to install it."""


class OutputExists(LaconicError, FileExistsError):
    """An output file that exists already and would have been overwritten."""
