"""Files of codes whose numbers are on several ranks: rank 0 writes them, and holds one tensor's at a time."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from laconic.format import container
from laconic.format.codes import Code
from laconic.machines.sharing import Sharing
from laconic.quantize.lattice.travel import has_payload, payload_bytes, with_payload


def write(
    path: Path, codes: Mapping[str, Code], metadata: Mapping[str, str], sharing: Sharing, *, force: bool = False,
    within_safetensors: bool = False,
) -> None:  # fmt: skip
    """Write codes that `laconic.lc.budgeted.within` has found on several ranks; all call it, rank 0 writes.

    The file is that of one rank, byte by byte; each tensor's numbers come from the rank that has them when their turn
    has come.

    Args:
        path: the file.
        codes: by name; names of one tensor have one object.
        metadata: as text.
        sharing: of the tensors.
        force: replace an existing file.
        within_safetensors: see `laconic.format.container.write`.

    Raises:
        OutputExists: when ``path`` exists and ``force`` is not set.
        WorkersError: when a rank is gone.
    """
    firsts = dict[int, str]()
    for name, code in codes.items():
        firsts.setdefault(id(code), name)
    away = [name for name in firsts.values() if sharing.owners[name] and has_payload(codes[name])]
    brought = sharing.brought(away, lambda name: payload_bytes(codes[name]))
    if sharing.leads:
        container.write(
            path, _whole(codes, set(away), brought), metadata, force=force, within_safetensors=within_safetensors
        )
    else:
        for _ in brought:
            raise AssertionError("what is brought is for rank 0")


def _whole(
    codes: Mapping[str, Code], away: set[str], brought: Iterator[tuple[str, bytes]]
) -> Iterator[tuple[str, Code]]:
    """Give codes by name, in order, those that are away as they are brought; tied ones stay until all is written."""
    users, kept = Counter(map(id, codes.values())), dict[int, Code]()
    for name, code in codes.items():
        whole = kept.get(id(code), code)
        if name in away:
            whole = with_payload(code, next(brought)[1])
            if users[id(code)] > 1:
                kept[id(code)] = whole
        yield name, whole
