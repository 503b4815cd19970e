"""Which sizes are tried for the smallest file of a quality: halved while it is met, then between the two."""

import math
from dataclasses import dataclass, replace
from typing import final

RUN = 2
"""So many points one after the other have to meet the quality: one of many does by chance."""

_NEAR = 1.05
"""A size that meets the quality over one that does not: near enough to stop."""


@final
@dataclass(frozen=True)
class Sizes:
    """Where the search stands: bisection of the logarithm of the size, each size with a path of its own.

    The halving ends with two sizes in a row that fail, for now and then one fails where half of it does not.

    Args:
        size: bytes of the file on the path that runs.
        most: bytes beyond which no file is asked for.
        began: the step that its path began with.
        run: how many of its last points meet the quality, one after the other.
        met: the smallest size so far whose path has met the quality, if any.
        failed: the largest below it whose path has not, if any.
        ended: how many paths lie behind.
    """

    size: int
    most: int
    began: int = 0
    run: int = 0
    met: int | None = None
    failed: int | None = None
    ended: int = 0

    @property
    def is_met(self) -> bool:
        """Whether the path that runs has met the quality."""
        return self.run >= RUN

    @property
    def smallest(self) -> int | None:
        """The smallest size whose path has met the quality, that of the one that runs included."""
        return self.size if self.is_met else self.met

    def after(self, step: int) -> "Sizes | None":
        """Return the search once the path of this size has ended, or None where the smallest size is found.

        Args:
            step: the first of the next path.

        >>> met = Sizes(4000, most=8000, run=RUN).after(2)
        >>> met.size, met.after(9).size, met.after(9).after(12).size
        (2000, 1000, 2828)
        """
        high, low, halved = self.smallest, self.failed, self.failed is None
        if self.is_met:
            low = low if low is not None and low < self.size else None
        elif low is None or low < self.size:
            low = self.size
        search = replace(self, began=step, run=0, met=high, failed=low, ended=self.ended + 1)
        if high is None:
            return replace(search, size=min(2 * self.size, self.most)) if self.size < self.most else None
        if low is None or halved:
            return replace(search, size=self.size // 2) if self.size > 1 else None
        return replace(search, size=math.isqrt(low * high)) if high > _NEAR * low else None

    @property
    def to_come(self) -> int:
        """How many paths there are at most, this one among them, where the next smaller sizes are met by none."""
        between = self.met is not None and self.failed is not None and self.failed < self.size
        ratio = self.met / self.failed if between and self.met and self.failed else 2.0
        halvings = 0 if between else 2 if self.failed is None else 1
        return halvings + math.ceil(math.log2(math.log(ratio) / math.log(_NEAR)))
