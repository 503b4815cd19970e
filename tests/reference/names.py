"""Tied tensors: names whose records are the same bytes."""

from reference.lac import CODES, FORMS, table_of


def skip(table):
    """Go past a record."""
    tag = table.varint()
    table.varint(), table.varints()
    facts, number = table.varints(), CODES[tag][1]
    for _ in range(number(facts) if callable(number) else number):
        if not table.varint():
            skip(table)


def ties(data):
    """Return the further names of the tensors of a file, with the first of each."""
    table, name, firsts, found = table_of(FORMS.get(data[8], bytes)(data)), b"", {}, {}
    for _ in range(2 * table.varint()):
        table.string()
    for _ in range(table.varint()):
        for _ in range(0, [table.varint() for _ in range(3)][2], 1 << 20):
            table.varint(), table.bits(32)
    for _ in range(table.varint()):
        head, tail = table.varint(), table.varint()
        name, start = name[:head] + table.string() + name[len(name) - tail :], table.at // 8
        skip(table)
        found[name.decode()] = firsts.setdefault(table.data[start : table.at // 8], name.decode())
    return {name: first for name, first in found.items() if name != first}
