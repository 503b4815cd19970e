"""`laconic version`."""

import platform
from importlib.metadata import PackageNotFoundError, version

from laconic.cli import options
from laconic.cli.console import Output


def command(as_json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Print the versions of laconic and of what it runs on.

    Example:
      laconic version --json
    """
    found = {"laconic": version("laconic"), "python": platform.python_version()}
    for name in ("numpy", "numba", "safetensors", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    Output(as_json, quiet).result(found, *(f"{name} {number}" for name, number in found.items()))
