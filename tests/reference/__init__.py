"""A reader of `.lac` files that shares no line with laconic: `lac`, and files of at most 30 lines for later codes.

A code is added as a file with a function of (shape, dtype, facts, *parts), and a line here: its tag, the function, and
the number of its parts (or a function of the facts that gives it). The grid takes four files.
"""

from reference import classed, grid, grouped, hashing, lac, packed, small, summed, tensors, tiles

lac.CODES |= {
    4: (grid.grid, 4),
    5: (grouped.grouped, 3),
    6: (summed.summed, lambda facts: facts[0]),
    7: (tiles.tiles, 2),
    8: (tensors.tucker, 3),
    9: (tensors.canonical, 1),
    10: (hashing.hashed, 1),
    11: (hashing.drawn, 2),
    12: (packed.packed, 1),
}
lac.FORMS[3] = small.version_1
lac.LATER |= {"classes": classed.classes}
