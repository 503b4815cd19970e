"""What calibration is compared with beside its own recursion: codebooks, steps of columns, files of NNCodec."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import takewhile
from pathlib import Path
from unittest.mock import patch

from safetensors.torch import load_file, save_file
from torch import Tensor

from laconic.calibrate import rates
from laconic.calibrate.compressed import Ready
from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.lossless import lossless, together
from laconic.models.params import Params, to_numpy

ENTRIES = 256
"""Values of a codebook, at most."""


@contextmanager
def steps_of_columns() -> Iterator[None]:
    """Let each column have a step of its own however few rows there are: laconic has them from 256 rows on."""
    with patch.object(rates, "WIDE", 1):
        yield


def codebooks(ready: Ready, size: int) -> dict[str, Code]:
    """Return a network within a size, each of whose weights has the k values that are nearest to it, entropy-coded.

    k is the same for all weights and as large as the size allows; then weights have one value more, in the order in
    which they are used, where there is room. What is no weight is lossless. No sample is looked at.

    Args:
        ready: the network, in which batch normalization may be folded.
        size: bytes of the file.
    """
    params = ready.network.params
    weights = [subject.name for subject in ready.network.subjects]
    rest = together({name: lossless(to_numpy(params[name])) for name in params if name not in weights})

    @cache
    def code(name: str, entries: int) -> Code:
        return AdaptiveCodebook(entries).project({name: params[name]})[name]

    def file(entries: Mapping[str, int]) -> dict[str, Code]:
        codes = rest | {name: code(name, k) for name, k in entries.items()}
        return {name: codes[first] for name, first in ready.names.items()}

    def fits(entries: Mapping[str, int]) -> bool:
        return container.bits(file(entries)) <= 8 * size

    within = list(takewhile(fits, (dict.fromkeys(weights, k) for k in range(1, ENTRIES + 1))))
    if not within:
        raise SystemExit(f"{size:,} bytes are too few for a codebook of one value for each weight")
    entries = within[-1]
    for name in weights:
        more = entries | {name: min(entries[name] + 1, ENTRIES)}
        entries = more if fits(more) else entries
    return file(entries)


def nncodec(python: Path, params: Params, folded: Mapping[str, str], size: int) -> tuple[dict[str, Tensor], int]:
    """Return what a file of NNCodec decodes to, the finest within a size, and its bytes: see `nncodec_files`.

    Args:
        python: the interpreter of an environment with NNCodec, which is none of laconic's.
        params: the network, batch normalization as it is.
        folded: norm → layer, of the normalizations that NNCodec is to fold.
        size: bytes.

    Raises:
        SystemExit: when the interpreter has no NNCodec, or no step is within the size.
    """
    script = Path(__file__).with_name("nncodec_files.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_file({key: tensor.contiguous() for key, tensor in params.items()}, folder / "network.safetensors")
        # isolated: the folder of the script has modules whose names others have too
        command = [python, "-I", script, folder, str(size), json.dumps(dict(folded))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise SystemExit(
                f"NNCodec has made no file: {last}. --nncodec is the interpreter of an environment with it, which "
                "docs/notes/calibration.md tells how to make"
            )
        return load_file(folder / "decoded.safetensors"), (folder / "network.nnc").stat().st_size
