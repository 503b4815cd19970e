"""A plan as TOML, and back.

    [tensors]                                    Plan({
    "conv*" = { codebook = 4 }                       "conv*": AdaptiveCodebook(4),
    "fc1.*, fc2.*" = { keep = 0.05, joint = true }   "fc1.*, fc2.*": Joint(KeepLargest(0.05)),
    "class:Embedding" = { grid_bits = 3 }            nn.Embedding: UniformGrid(bits=3),
                                                 })
    [rest]
    lossless = true

TOML may begin with ``importance = "unsupervised"``, or ``importance = { name = "unsupervised", samples = 1000 }``.
It is ``Plan(..., importance=Importance("unsupervised", samples=1000))``: errors count as much as the weights matter.
So may ``distillation = { temperature = 4 }``, which is ``Plan(..., distillation=Distillation(temperature=4))``: while
the network is trained, it learns from what its original says, too.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laconic.csteps.compression import Compression
from laconic.csteps.joint import Joint
from laconic.csteps.lossless import Lossless
from laconic.errors import PlanError
from laconic.plans.plan import Plan
from laconic.plans.techniques import TECHNIQUES, row_of
from laconic.teachers.softening import Distillation
from laconic.theory.importance import Importance


def load_plan(path: str | Path) -> Plan:
    """Read a plan from TOML.

    Raises:
        PlanError: when the file is missing, is no TOML, or says something that no plan can say.
    """
    return parse_plan(plan_table(path))


def plan_table(path: str | Path) -> dict[str, Any]:
    """Return the TOML document of a plan; errors are those of `load_plan`, but for what it says."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"the plan {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"the plan {path} is not TOML: {error}") from error


def inline_table(text: str, who: str) -> dict[str, Any]:
    """Return the table that stands between braces in a plan.

    >>> inline_table('kind = "tensors", size = []', "--row")
    {'kind': 'tensors', 'size': []}

    Raises:
        PlanError: when it is none; ``who`` is whose fault that is.
    """
    try:
        table = tomllib.loads(f"table = {{ {text} }}")
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f'{who}: options such as kind = "tensors" expected, not {text!r}: {error}') from error
    if table.keys() != {"table"}:
        raise PlanError(f"{who}: options on one line expected, not {text!r}")
    options: dict[str, Any] = table["table"]
    return options


def parse_plan(table: Mapping[str, Any]) -> Plan:
    """Return the plan that a TOML document stands for; how it was chosen, which a table ``choice`` may say, is no part.

    >>> parse_plan({"tensors": {"fc*": {"keep": 0.05, "values": {"codebook": 16}}}, "rest": {"lossless": True}})
    Plan(tensors={'fc*': KeepLargest(keep=0.05, ...)}, rest=Lossless(), ...)

    Raises:
        PlanError: for a key or a value that no plan can have; it names the row.
    """
    strange = sorted(table.keys() - {"tensors", "rest", "importance", "distillation", "choice"})
    if strange or not isinstance(table.get("tensors", {}), Mapping):
        raise PlanError(
            "a plan has the tables [tensors] and [rest], and perhaps an importance or a distillation, "
            f"not {', '.join(strange) or 'tensors = ...'}"
        )
    rows = {pattern: parse_compression(row, pattern) for pattern, row in table.get("tensors", {}).items()}
    rest = parse_compression(table["rest"], "rest") if "rest" in table else Lossless()
    importance = parse_importance(table["importance"]) if "importance" in table else None
    return Plan(rows, rest, importance, parse_distillation(table["distillation"]) if "distillation" in table else None)


def parse_importance(value: object) -> Importance:
    """Return what a name or a table with the name and its options stands for.

    >>> parse_importance("gradient"), parse_importance({"name": "unsupervised", "temperature": 2})
    (Importance(name='gradient', ...), Importance(name='unsupervised', temperature=2, ...))
    """
    options = {"name": value} if isinstance(value, str) else value
    if not isinstance(options, Mapping) or "name" not in options:
        raise PlanError(f'importance: a name, or a table such as {{ name = "unsupervised" }}, expected, got {value!r}')
    _require_options("importance", options, _IMPORTANCE)
    return Importance(**options)


def parse_distillation(value: object) -> Distillation:
    """Return what a table of its options stands for.

    >>> parse_distillation({"temperature": 2, "alpha": 0.5})
    Distillation(alpha=0.5, beta=0.9, temperature=2, squared=True, mean='outputs', divergence=False, logits=False)
    """
    if not isinstance(value, Mapping):
        raise PlanError(f"distillation: a table such as {{ temperature = 4 }} expected, got {value!r}")
    _require_options("distillation", value, _DISTILLATION)
    return Distillation(**value)


def _require_options(what: str, given: Mapping[str, Any], options: Mapping[str, type]) -> None:
    """Check that a table has options of these names and types alone."""
    for key, value in given.items():
        kind = options.get(key)
        if kind is None:
            raise PlanError(f"{what} takes {', '.join(options)}, not {key!r}")
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, (int, float) if kind is float else kind):
            raise PlanError(f"{what}: {key} = {value!r} should be {_NAMES[kind]}")


def to_toml(plan: Plan) -> str:
    """Return the TOML document that stands for ``plan``: `load_plan` of it is the plan again.

    >>> from laconic import KeepLargest
    >>> print(to_toml(Plan({"fc*": Joint(KeepLargest(0.05))}, rest=Lossless())), end="")
    [tensors]
    "fc*" = { keep = 0.05, joint = true }
    <BLANKLINE>
    [rest]
    lossless = true

    Raises:
        PlanError: for a compression that no row stands for.
    """
    lines = [] if plan.importance is None else [f"importance = {in_toml(_said(plan.importance))}"]
    if plan.distillation is not None:
        lines.append(f"distillation = {in_toml({key: getattr(plan.distillation, key) for key in _DISTILLATION})}")
    lines += ["", "[tensors]"] if lines else ["[tensors]"]
    for pattern, compression in plan.tensors.items():
        lines.append(f"{in_toml(pattern)} = {in_toml(row_of(compression, TECHNIQUES.values()))}")
    row = row_of(plan.rest, TECHNIQUES.values())
    lines += ["", "[rest]", *(f"{key} = {in_toml(value)}" for key, value in row.items())]
    return "\n".join(lines) + "\n"


def _said(importance: Importance) -> dict[str, Any]:
    """Return the options of an importance that are not the default."""
    given = {key: getattr(importance, key) for key in _IMPORTANCE}
    return {key: value for key, value in given.items() if value is not None}


def in_toml(value: Any) -> str:
    """Return a value of a row as TOML writes it on one line.

    >>> in_toml({"sum": [{"codebook": 2}, {"keep": 1e-05}], "joint": True})
    '{ sum = [{ codebook = 2 }, { keep = 1e-05 }], joint = true }'
    """
    if isinstance(value, Mapping):
        keys = {key: key if key.replace("_", "a").isalnum() and key.isascii() else in_toml(key) for key in value}
        return "{ " + ", ".join(f"{keys[key]} = {in_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(in_toml, value)) + "]"
    if isinstance(value, str):  # JSON escapes what TOML does, but for one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def parse_compression(row: object, where: str) -> Compression:
    """Return the compression that a table such as ``{codebook = 4}`` stands for; ``where`` names it in errors."""
    if not isinstance(row, Mapping):
        raise PlanError(f"{where}: expected a table such as {{ codebook = 4 }}, got {row!r}")
    options = dict(row)
    joint = options.pop("joint", False)
    keys = [key for key in TECHNIQUES if key in options]
    if len(keys) != 1 or not isinstance(joint, bool):
        raise PlanError(
            f"{where}: one of {', '.join(TECHNIQUES)} (and joint = true or false) expected, got {dict(row)}"
        )
    technique = TECHNIQUES[keys[0]]
    for key, value in options.items():
        if key not in technique.options:
            raise PlanError(f"{where}: {technique.key} takes {', '.join(technique.options)}, not {key!r}")
        options[key] = _parse_value(value, technique.options[key].kind, where, key)
    if options[technique.key] is False:
        raise PlanError(f"{where}: {technique.key} is true or absent; name the compression instead")
    try:
        compression = technique.build(options)
    except PlanError as error:
        raise PlanError(f"{where}: {error}") from error
    return Joint(compression) if joint else compression


def _parse_value(value: Any, kind: type, where: str, key: str) -> Any:
    """Return what the value of an option stands for."""
    if kind is Compression:
        return parse_compression(value, f"{where}: {key}")
    expected: Any = {float: (int, float), tuple: (list,)}.get(kind, (kind,))
    if not isinstance(value, expected) or isinstance(value, bool) != (kind is bool):
        raise PlanError(f"{where}: {key} = {value!r} should be {_NAMES[kind]}")
    if kind is tuple:
        return tuple(parse_compression(part, f"{where}: {key}: part {j}") for j, part in enumerate(value, 1))
    return value


_IMPORTANCE: Mapping[str, type] = {"name": str, "temperature": float, "samples": int, "kind": str}
"""Options of an importance, and their types."""

_DISTILLATION: Mapping[str, type] = {
    "temperature": float, "alpha": float, "beta": float, "squared": bool, "mean": str, "divergence": bool,
    "logits": bool,
}  # fmt: skip
"""Options of a distillation from one teacher, and their types."""

_NAMES: Mapping[type, str] = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    list: "a list of numbers",
    tuple: "a list of tables such as { codebook = 4 }",
}
"""What a person calls a type."""
