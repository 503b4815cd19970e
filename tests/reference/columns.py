"""Columns of small files, told as rows."""

from collections import defaultdict

from reference import lac


def varint(number):
    """Return an integer as LEB128."""
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + varint(number // 128)


def heads(table, records, last):
    """Give tag, dtype, shape and facts of each record; ``last`` are the facts of a tag's record before."""
    tags, dtypes, axes = ([table.varint() for _ in range(records)] for _ in range(3))
    shapes = [[table.varint() for _ in range(n)] for n in axes]
    changes = [[table.varint() for _ in range(n)] for n in [table.varint() for _ in range(records)]]
    for tag, dtype, shape, change in zip(tags, dtypes, shapes, changes, strict=True):
        before = last[tag] + [0] * len(change)
        last[tag] = [(b + (-(d // 2) - 1 if d % 2 else d // 2)) % 2**64 for d, b in zip(change, before, strict=False)]
        yield tag, [tag, dtype, len(shape), *shape, len(change), *last[tag]]


def row(table, records, used):
    """Return the next record, ``used`` a list of as many streams as have been named."""
    tag, head = next(records)
    number, out = lac.CODES[tag][1], b"".join(map(varint, head))
    for _ in range(number(head[len(head) - head[3 + head[2]] :]) if callable(number) else number):
        part = table.varint()
        used += [part] * (part == 1)
        out += varint(len(used) if part == 1 else part and part - 1) + (b"" if part else row(table, records, used))
    return out


def tensors(table):
    """Return the list of tensors."""
    number, records = table.varint(), heads(table, table.varint(), defaultdict(list))
    ends, used = [[table.varint() for _ in range(number)] for _ in range(3)], []
    names = [b"".join(map(varint, shared)) + table.take(shared[2]) for shared in zip(*ends, strict=True)]
    out = varint(number) + b"".join([name + row(table, records, used) for name in names])
    assert not list(records)
    return out
