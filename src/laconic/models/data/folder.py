"""Finding data files in the caller's folder, and reading them whatever they are compressed with."""

import gzip
import lzma
import zlib
from collections.abc import Sequence
from pathlib import Path

from laconic.errors import DataError

KNOWN = ("mnist", "fashion-mnist", "cifar10", "cifar100", "digits")
"""Data sets with a name of their own; any other name is a folder of IDX files."""

_ADVICE = "name the folder that holds the data by --data-dir DIR or the environment variable LACONIC_DATA"
_COMPRESSIONS = ("", ".gz", ".xz")


def locate(name: str, data_dir: Path | None, wanted: Sequence[Sequence[str]], nested: str = "") -> list[Path]:
    """Return the paths of the files of data set ``name``.

    The files are looked for in ``data_dir/name``, then in ``data_dir`` itself (unless that is named after
    another known data set), each plain or compressed.

    Args:
        name: of the data set.
        data_dir: the caller's data folder.
        wanted: for every file, the names that it may bear, without the suffix of a compression.
        nested: a folder inside either place that may hold the files too.

    Raises:
        DataError: when no folder was given, or no place holds all of the files.
    """
    if data_dir is None:
        raise DataError(f"{name}: no data folder was given; {_ADVICE}")
    places = [data_dir / name]
    if data_dir.name == name or data_dir.name not in KNOWN:
        places.append(data_dir)
    if nested:
        places = [folder for place in places for folder in (place, place / nested)]
    for place in places:
        files = {names[0]: _first(place, names) for names in wanted}
        missing = [file for file, path in files.items() if path is None]
        if len(missing) < len(files):
            if missing:
                raise DataError(f"{name}: {place} lacks {', '.join(missing)} (plain, .gz or .xz)")
            return [path for path in files.values() if path is not None]
    tried = ", ".join(str(place) for place in places)
    raise DataError(
        f"{name}: no file {wanted[0][0]} (plain, .gz or .xz) in {tried}; {_ADVICE}. "
        f"Known data sets: {', '.join(KNOWN)}; any other name is a folder of IDX files"
    )


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the first existing file of ``folder`` that bears one of ``names``."""
    paths = (folder / (name + suffix) for name in names for suffix in _COMPRESSIONS)
    return next((path for path in paths if path.is_file()), None)


def read_bytes(path: Path) -> bytes:
    """Return the content of ``path``, decompressed as its suffix says.

    Raises:
        DataError: when the file cannot be read or decompressed.
    """
    try:
        if path.suffix == ".gz":
            return gzip.decompress(path.read_bytes())
        if path.suffix == ".xz":
            return lzma.decompress(path.read_bytes())
        return path.read_bytes()
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}; fetch it again") from error
