"""What a folder holds, and the options of the network that is used."""

from pathlib import Path

DIGITS = ["--net", "lenet300", "--data", "digits"]


def contents():
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}
