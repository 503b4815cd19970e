"""Where a source can be changed, and how: the operators of `mutants.py`.

Sites are found in the syntax tree, and a change replaces one stretch of one line. Left out are docstrings, annotations,
what stands in `raise`, `assert`, f-strings and decorators, and all that runs at the import alone.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

KERNELS = {"compiled", "inlined"}
"""Decorators of `laconic.compiled`."""

COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "|"),
}
_LEAST = {"min": "max", "minimum": "maximum", "argmin": "argmax", "amin": "amax", "nanmin": "nanmax"}
EXTREMES = _LEAST | {most: least for least, most in _LEAST.items()}
SAME = {"strict", "stacklevel", "copy", "check"}
"""Arguments by name that change nothing in a program that works."""

FLOATS = (1e-6, 1e15)
"""Constants beyond these stand for "almost nothing" and "no bound", and twice as much says the same."""

Skipped = ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom
Function = ast.FunctionDef | ast.AsyncFunctionDef
Change = tuple[str, int, int, int, str]
"""Operator, line, start, end, new text."""


@dataclass(frozen=True)
class Site:
    """One change: ``new`` for the bytes ``start`` to ``end`` of a line, which is counted from 1."""

    function: str
    kernel: bool
    operator: str
    line: int
    start: int
    end: int
    new: str

    def apply(self, text: str) -> str:
        """Return the text of the line with the change."""
        data = text.encode()
        return (data[: self.start] + self.new.encode() + data[self.end :]).decode()


@cache
def sites(source: str) -> tuple[Site, ...]:
    """Return every change of a source that parses and stands within a function, in the order of the text."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return tuple(sorted(finder.found, key=lambda site: (site.line, site.start, site.end, site.operator, site.new)))


def sound(source: str, line: int, new: str) -> bool:
    """Tell whether the source with this text of a line still parses, and is another program."""
    lines = source.split("\n")
    changed = [*lines[: line - 1], new, *lines[line:]]
    try:
        return ast.dump(ast.parse("\n".join(changed))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


class _Finder(ast.NodeVisitor):
    """Collects sites, and knows which function it is in."""

    def __init__(self, source: str) -> None:
        self.lines = [line.encode() for line in source.split("\n")]
        self.names: list[str] = []
        self.kernels: list[bool] = []
        self.found: list[Site] = []

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, Skipped):
            return
        if self.kernels:
            changes = (change for change in self._changes(node) if change is not None)
            name, kernel = ".".join(self.names), any(self.kernels)
            self.found += [Site(name, kernel, *change) for change in changes]
        super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.names.append(node.name)
        decorators = (item.func if isinstance(item, ast.Call) else item for item in node.decorator_list)
        self.kernels.append(any(getattr(item, "id", getattr(item, "attr", "")) in KERNELS for item in decorators))
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for statement in node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body:
            self.visit(statement)
        self.names.pop()
        self.kernels.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names.append(node.name)
        for statement in node.body:
            if self.kernels or isinstance(statement, Function | ast.ClassDef):
                self.visit(statement)
        self.names.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in SAME:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "id", "")
        plain = node.args[1:] if name == "cast" else node.args[:1] if name == "isinstance" else node.args
        for child in [node.func, *plain, *node.keywords]:
            self.visit(child)

    def _changes(self, node: ast.AST) -> Iterator[Change | None]:
        """Give every change of this node, and None for one that does not lie within one line."""
        match node:
            case ast.Compare():
                for (left, right), kind in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
                    old, others = COMPARISONS[type(kind)]
                    yield from (self._between("comparison", left, right, old, new) for new in others)
            case ast.BoolOp():
                old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                yield from (self._between("and/or", a, b, old, new) for a, b in pairwise(node.values))
            case ast.BinOp() if type(node.op) in ARITHMETIC and not _is_type_or_text(node.left, node.right):
                yield self._between("arithmetic", node.left, node.right, *ARITHMETIC[type(node.op)])
            case ast.AugAssign() if type(node.op) in ARITHMETIC:
                old, new = ARITHMETIC[type(node.op)]
                yield self._between("arithmetic", node.target, node.value, old + "=", new + "=")
                yield self._whole("deletion", node, "pass")
            case ast.Constant() if type(node.value) in (int, float, bool):
                yield from self._constant(node)
            case ast.UnaryOp(op=ast.Not()) if self._text(node).startswith("not "):
                yield ("not", node.lineno, node.col_offset, node.col_offset + 4, "")
            case ast.If() | ast.IfExp() if not isinstance(node.test, ast.UnaryOp):
                yield self._whole("condition", node.test, f"not ({self._text(node.test)})")
            case ast.Return(value=ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult(), left=left) as value):
                if (value.lineno, value.col_offset) == (left.lineno, left.col_offset):
                    yield ("term", value.lineno, left.end_col_offset or 0, value.end_col_offset or 0, "")
            case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
                yield self._whole("deletion", node, "pass")
            case ast.Expr(value=ast.Call()):
                yield self._whole("deletion", node, "pass")
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name) as func) if name in EXTREMES:
                end = func.end_col_offset or 0
                yield ("min/max", func.end_lineno or 0, end - len(name), end, EXTREMES[name])

    def _constant(self, node: ast.Constant) -> Iterator[Change | None]:
        value = node.value
        if isinstance(value, bool):
            yield self._whole("constant", node, str(not value))
        elif isinstance(value, int):
            yield self._whole("constant", node, str(value + 1))
        elif value == 0:
            yield self._whole("constant", node, "1.0")
        elif isinstance(value, float) and FLOATS[0] <= value <= FLOATS[1]:
            yield self._whole("constant", node, repr(2 * value))

    def _between(self, operator: str, a: ast.expr, b: ast.expr, old: str, new: str) -> Change | None:
        """Change the sign between two expressions; nothing can be changed where they end and begin on two lines."""
        if a.end_lineno != b.lineno:
            return None
        start = a.end_col_offset or 0
        between = self.lines[b.lineno - 1][start : b.col_offset]
        word = rb"\b" + old.encode().replace(b" ", rb"\s+") + rb"\b" if old[0].isalpha() else re.escape(old.encode())
        place = re.search(word, between)
        return (operator, b.lineno, start + place.start(), start + place.end(), new) if place else None

    def _whole(self, operator: str, node: ast.expr | ast.stmt, new: str) -> Change | None:
        if node.lineno != node.end_lineno:
            return None
        return (operator, node.lineno, node.col_offset, node.end_col_offset or 0, new)

    def _text(self, node: ast.expr) -> str:
        return self.lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode()


def _is_type_or_text(*operands: ast.expr) -> bool:
    """Tell whether an operand is None, a type or a text, of which sums and unions are no arithmetic."""
    return any(
        isinstance(item, ast.JoinedStr)
        or (isinstance(item, ast.Constant) and not isinstance(item.value, int | float))
        or (isinstance(item, ast.Name) and item.id[0].isupper() and not item.id.isupper())
        for item in operands
    )
