"""Which sizes are tried for the smallest file of a quality: halved while it is met, then between the two."""

import math
from dataclasses import dataclass, replace
from typing import final

RUN = 2
"""So many points of a path one after the other have to meet the quality: one of many does by chance."""

_NEAR = 1.07
"""A size that meets the quality over one that does not: near enough to stop."""

_CLEAR, _FAR = math.log2(1.5), 2.0
"""log₂ of the figure over its bound, above which a size fails clearly, and by far."""

_FIRST = 0.6
"""Where between the two, by logarithm, the first size after the halving is: the middle may have been tried."""


@final
@dataclass(frozen=True)
class Sizes:
    """Where the search stands: bisection of the logarithm of the size, each size with a path of its own.

    What a size reaches is a figure of some samples, which does not rise with every byte that is taken away. So the
    halving goes on where a size fails, and ends with one that fails by far, or clearly after another has failed.

    Args:
        size: bytes of the file on the path that runs.
        most: bytes beyond which no file is asked for.
        run: how many of its last points meet the quality, one after the other.
        excess: log₂ of the figure over its bound at the point of the path that is nearest to it.
        met: the smallest size so far whose path has met the quality, if any.
        failed: the size between which and ``met`` the smallest is looked for, once there is one.
        missed: whether the last size of the halving has failed.
        ended: how many paths lie behind.
    """

    size: int
    most: int
    run: int = 0
    excess: float = math.inf
    met: int | None = None
    failed: int | None = None
    missed: bool = False
    ended: int = 0

    @property
    def is_met(self) -> bool:
        """Whether the path that runs has met the quality."""
        return self.run >= RUN

    @property
    def smallest(self) -> int | None:
        """The smallest size whose path has met the quality, that of the one that runs included."""
        met = [size for size in (self.met, self.size if self.is_met else None) if size is not None]
        return min(met, default=None)

    def seen(self, excess: float, *, direct: bool) -> "Sizes":
        """Return the search after one more point of the path.

        Args:
            excess: log₂ of its figure over the bound, at most 0 where that is met.
            direct: whether it is direct compression, of which there is one for each size: nothing of many.
        """
        run = 0 if excess > 0 else RUN if direct else self.run + 1
        return replace(self, run=run, excess=min(excess, self.excess))

    def after(self) -> "Sizes | None":
        """Return the search once the path of this size has ended, or None where the smallest size is found.

        >>> met = Sizes(4000, most=8000).seen(-0.1, direct=True).after()
        >>> failed = met.seen(1.0, direct=True).after()
        >>> met.size, failed.size, failed.seen(1.0, direct=True).after().size
        (2000, 1000, 2297)
        """
        high, failed = self.smallest, self.failed
        search = replace(self, run=0, excess=math.inf, met=high, ended=self.ended + 1)
        if high is None:
            larger = replace(search, failed=self.size, size=min(2 * self.size, self.most))
            return larger if self.size < self.most else None
        if failed is None:
            if min(self.size, high) > 1 and (self.is_met or self.excess < (_CLEAR if self.missed else _FAR)):
                return replace(search, missed=not self.is_met, size=min(self.size, high) // 2)
        share = _FIRST if failed is None else 0.5
        failed = self.size if failed is None or not self.is_met else failed
        between = replace(search, failed=failed, size=max(failed + 1, int(failed * (high / failed) ** share)))
        return between if high > max(_NEAR * failed, failed + 1) else None

    @property
    def to_come(self) -> int:
        """How many paths there are, this one among them, where all smaller sizes of the halving fail clearly."""
        halvings = 0 if self.failed is not None else 1 if self.missed else 2
        low = self.size / 2 ** (halvings - 1) if halvings else float(self.failed or 1)
        high = float(self.met or 2 * self.size)
        return max(1, halvings + math.ceil(math.log2(max(math.log(high / low), 1e-9) / math.log(_NEAR))))
