"""Which mutants there are: drawn from a seed, written as JSON, and found again in a tree that has moved on."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mutant_sites import Site, sites, sound

GROUPS: Mapping[str, tuple[str, ...]] = {
    "coding": ("format/coding",),
    "container": ("format/codes", "format/container"),
    "C steps": ("csteps",),
    "LC": ("lc", "training/loop.py"),
}
"""Where the mutants of a group are, below `src/laconic`; those of kernels have a group of their own."""

KERNEL = "kernels"
LEFT_OUT = ("quantize/budget", "quantize/lattice/quantized.py")
SHARE, LEAST = 0.36, 30
"""Of the mutants are in kernels; and at least this many."""

SUBTLE = {"comparison", "constant", "arithmetic"}
"""Operators that are drawn twice as often: a negated condition or a deleted line is seen by almost any test."""


@dataclass(frozen=True)
class Mutant:
    """One line with another text. ``old`` and ``new`` are without indentation."""

    id: int
    file: str
    function: str
    line: int
    old: str
    new: str
    operator: str
    kernel: bool
    group: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} `{self.old}` → `{self.new}`"

    @property
    def place(self) -> str:
        return f"{self.file}::{self.function}"

    def apply(self, source: str) -> str:
        """Return the source with the change."""
        lines = source.split("\n")
        text = lines[self.line - 1]
        if text.strip() != self.old:
            raise ValueError(f"another line than expected: {self}")
        lines[self.line - 1] = text[: len(text) - len(text.lstrip())] + self.new
        return "\n".join(lines)


def make(tree: Path, count: int, seed: int) -> list[Mutant]:
    """Draw mutants: files in turn, an operator in a file, a site of an operator; no two on one line."""
    rng = random.Random(seed)
    kernels = max(LEAST, round(SHARE * count))
    each, more = divmod(count - kernels, len(GROUPS))
    wanted = {KERNEL: kernels, **{group: each + (place < more) for place, group in enumerate(GROUPS)}}
    sources = {path: (tree / path).read_text(encoding="utf-8") for path in _files(tree)}
    drawn: list[Mutant] = []
    operators = Counter[str]()
    for group, number in wanted.items():
        found = {path: _of_group(path, source, group) for path, source in sources.items()}
        drawn += _draw({path: own for path, own in found.items() if own}, sources, group, number, rng, operators)
    ordered = sorted(drawn, key=lambda mutant: (mutant.file, mutant.line))
    return [replace(mutant, id=number) for number, mutant in enumerate(ordered, 1)]


def relocate(mutants: Sequence[Mutant], tree: Path) -> tuple[list[Mutant], list[Mutant]]:
    """Return the mutants where they are in this tree, and those that are gone.

    A mutant is in the file of its name or else in the only other one that has its line, once, in a function of its
    name.
    """
    texts = {path: (tree / path).read_text(encoding="utf-8") for path in _files(tree, every=True)}
    wanted = {mutant.old for mutant in mutants}
    lines = {path: _lines(text) for path, text in texts.items() if wanted & {line.strip() for line in text.split("\n")}}
    here, gone = [], []
    for mutant in mutants:
        key = (mutant.function, mutant.old)
        places = [(path, found[key]) for path, found in lines.items() if key in found]
        same = [place for place in places if place[0] == mutant.file]
        named = [place for place in places if Path(place[0]).name == Path(mutant.file).name]
        chosen = next((some for some in (same, named, places) if len(some) == 1 and len(some[0][1]) == 1), None)
        if chosen is None:
            gone.append(mutant)
        else:
            here.append(replace(mutant, file=chosen[0][0], line=chosen[0][1][0]))
    return here, gone


def write(path: Path, mutants: Sequence[Mutant]) -> None:
    """Write a list, a mutant a line."""
    rows = ",\n".join(json.dumps(asdict(mutant), ensure_ascii=False) for mutant in mutants)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[\n{rows}\n]\n", encoding="utf-8")


def read(path: Path) -> list[Mutant]:
    """Read a list."""
    return [Mutant(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def digest(mutants: Sequence[Mutant]) -> str:
    """Return what tells one list of mutants from another."""
    return hashlib.sha256(repr([(m.id, m.file, m.function, m.old, m.new) for m in mutants]).encode()).hexdigest()[:16]


def _files(tree: Path, every: bool = False) -> list[str]:
    """Return the sources by their path in the tree."""
    root = tree / "src" / "laconic"
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    return [f"src/laconic/{path}" for path in paths if every or not path.startswith(LEFT_OUT)]


def _of_group(path: str, source: str, group: str) -> list[Site]:
    """Return the sites of a file that are in a group, and whose line tells where they are."""
    below = path.removeprefix("src/laconic/")
    if not below.startswith(GROUPS[group]) if group != KERNEL else "laconic.compiled" not in source:
        return []
    unique = {(function, line[0]) for (function, _), line in _lines(source).items() if len(line) == 1}
    return [site for site in sites(source) if site.kernel == (group == KERNEL) and (site.function, site.line) in unique]


def _lines(source: str) -> dict[tuple[str, str], list[int]]:
    """Return by function and text of a line, without indentation, the lines that can be changed there."""
    texts = source.split("\n")
    found: dict[tuple[str, str], list[int]] = {}
    for function, line in dict.fromkeys((site.function, site.line) for site in sites(source)):
        found.setdefault((function, texts[line - 1].strip()), []).append(line)
    return found


def _draw(
    found: Mapping[str, list[Site]],
    sources: Mapping[str, str],
    group: str,
    number: int,
    rng: random.Random,
    operators: Counter[str],
) -> list[Mutant]:
    """Draw from the files in turn, the one with the fewest mutants for its sites first; operators likewise.

    ``operators`` counts those that have been drawn; the subtle ones come twice as often.
    """
    drawn: list[Mutant] = []
    left = {path: list(own) for path, own in found.items()}
    taken = Counter(dict.fromkeys(found, 0))
    while len(drawn) < number and any(left.values()):
        path = min(
            (path for path in left if left[path]), key=lambda path: (taken[path] / len(found[path]) ** 0.5, path)
        )
        there = sorted({site.operator for site in left[path]})
        rarest = min(operators[operator] / (1 + (operator in SUBTLE)) for operator in there)
        operator = rng.choice([one for one in there if operators[one] / (1 + (one in SUBTLE)) == rarest])
        site = rng.choice([site for site in left[path] if site.operator == operator])
        left[path].remove(site)
        text = sources[path].split("\n")[site.line - 1]
        new = site.apply(text)
        if sound(sources[path], site.line, new):
            left[path] = [other for other in left[path] if other.line != site.line]
            taken[path] += 1
            operators[operator] += 1
            line = (site.line, text.strip(), new.strip())
            drawn.append(Mutant(0, path, site.function, *line, operator, site.kernel, group))
    return drawn
