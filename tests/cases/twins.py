"""Which tests hold a compression against a slow twin: brute force, or a transcription of the paper."""

import functools
from collections.abc import Callable
from unittest import mock

from laconic import Compression
from laconic.theory.metric import Unit

Test = Callable[..., None]


def twin_of(kind: type[Compression], *, importances: bool = True) -> Callable[[Test], Test]:
    """Say that a test is the twin of ``kind``; `tests/test_contributing.py` asks that there is one of each.

    Unless the compression takes none, the test must project under a metric that is not the unit one: a solver that
    ignores importances keeps to all the laws. A run whose argument ``weighted`` is false need not.
    """

    def marked(test: Test) -> Test:
        @functools.wraps(test)
        def run(*args: object, **kwargs: object) -> None:
            seen = []
            project = kind.project

            def watched(self, weights, metrics=None, warm=None):
                seen.append(any(not isinstance(metric, Unit) for metric in (metrics or {}).values()))
                return project(self, weights, metrics, warm)

            with mock.patch.object(kind, "project", watched):
                test(*args, **kwargs)
            assert seen, f"{test.__name__} never calls {kind.__name__}"
            weighted = importances and kwargs.get("weighted", True)
            assert any(seen) or not weighted, f"{test.__name__} never weighs what {kind.__name__} projects"

        return run

    return marked
