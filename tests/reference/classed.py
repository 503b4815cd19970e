"""Blocks of symbols whose runs are of several classes."""


def classes(symbols, source, count, alphabet):
    """The symbols of runs, each the next of its class; ``symbols`` reads a block."""
    length, first, number = source.varint(), source.varint(), source.varint()
    kinds = symbols(source.string(), 1 - (first - count) // length, number)
    kinds = [kinds[(i - first) // length + 1] for i in range(count)]
    own = [iter(symbols(piece, kinds.count(k), alphabet)) for k, piece in enumerate(source.pieces(number))]
    return [next(own[k]) for k in kinds]
