"""`laconic version`."""

import platform
from importlib.metadata import PackageNotFoundError, version

from laconic.cli import groups
from laconic.cli.console import Output


@groups.grouped
def command(say: Output) -> None:
    """Print the versions of laconic and of what it runs on.

    Example:
      laconic version --json
    """
    versions = {"laconic": version("laconic"), "python": platform.python_version()}
    for name in ("numpy", "numba", "safetensors", "torch"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    say.result(versions, *(f"{name} {number}" for name, number in versions.items()))
