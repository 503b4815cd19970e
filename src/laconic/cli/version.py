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
    versions = {"laconic": version("laconic"), "python": platform.python_version()}
    for name in ("numpy", "numba", "safetensors", "torch"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    Output(as_json, quiet).result(versions, *(f"{name} {number}" for name, number in versions.items()))
