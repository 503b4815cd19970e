"""Seeds for `fuzz_open.py`: the golden files, the same codes one tensor a file, and files that ask for much.

python tests/fuzz/make_corpus.py FOLDER
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from laconic.format import container
from laconic.format.codes import (
    VIEWS,
    CanonicalCode,
    Code,
    CodebookCode,
    DrawnCode,
    HashedCode,
    LowRankCode,
    Symbols,
    TuckerCode,
    Values,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def make(folder: Path) -> int:
    """Write the seeds to ``folder`` and return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(GOLDEN.rglob("*.lac")):
        with container.open(path) as file:
            pieces = {
                f"{path.stem}-{k}-{small}": container.dumps({name: file.code(name)}, small=small)
                for k, name in enumerate(file)
                for small in (False, True)
            }
        for name, data in {f"{path.parent.name}-{path.stem}": path.read_bytes(), **pieces}.items():
            if len(data) < 10_000:  # what is larger is slow and adds nothing
                (folder / name).write_bytes(data)
    for name, codes in greedy().items():
        (folder / name).write_bytes(container.dumps(codes))
    return len(list(folder.iterdir()))


def greedy() -> dict[str, dict[str, Code]]:
    """Codes of constants by the name of their file, a little below what `check` allows: a byte more is too much."""
    book, indices = Values(np.float32([1])), Symbols(np.zeros(1 << 16, np.uint8), 1)
    square = CodebookCode((256, 256), "float32", book, indices)
    tall = CodebookCode((256, 128), "float32", book, Symbols(np.zeros(1 << 15, np.uint8), 1))
    return {
        "greedy-sum": {f"w{k}": CodebookCode((1 << 16,), "float32", book, indices) for k in range(15)},
        "greedy-rank": {f"w{k}": LowRankCode((256, 256), "float32", VIEWS[0], square, square) for k in range(4)},
        "greedy-tucker": {
            "w": TuckerCode((256, 256, 1), "float32", square, replace(square, shape=(256, 256, 1)), square)
        },
        "greedy-canonical": {"w": CanonicalCode((128, 128), "float32", tall)},
        "greedy-hashed": {"w": HashedCode(((1 << 20) - (1 << 17),), "float32", 1, replace(tall, shape=(1 << 15,)))},
        "greedy-drawn": {"w": DrawnCode((1 << 17,), "float32", 1, 1 << 17, book, Symbols(np.zeros(1), 1))},
    }


if __name__ == "__main__":
    print(make(Path(sys.argv[1])), "seeds")
