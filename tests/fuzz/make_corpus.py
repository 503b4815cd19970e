"""Seeds for `fuzz_open.py`: the golden files, and the same codes one tensor a file.

python tests/fuzz/make_corpus.py FOLDER
"""

import sys
from pathlib import Path

from laconic.format import container

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def make(folder: Path) -> int:
    """Write the seeds to ``folder`` and return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(GOLDEN.rglob("*.lac")):
        with container.open(path) as file:
            pieces = {f"{path.stem}-{k}": container.dumps({name: file.code(name)}) for k, name in enumerate(file)}
        for name, data in {path.stem: path.read_bytes(), **pieces}.items():
            if len(data) < 8192:  # what is larger is slow and adds nothing
                (folder / name).write_bytes(data)
    return len(list(folder.iterdir()))


if __name__ == "__main__":
    print(make(Path(sys.argv[1])), "seeds")
