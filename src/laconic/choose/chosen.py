"""What a choice has come to: the plan, why each tensor got what it has, and the files that were measured."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from laconic.choose.ground import Candidate, File
from laconic.choose.limits import Limit
from laconic.csteps.compression import Compression
from laconic.errors import PlanError
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan
from laconic.plans.toml import in_toml, plan_table, to_toml

Record = dict[str, Any]
"""A choice as JSON and TOML say it."""


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """A plan and its file.

    Args:
        label: names the plan.
        picks: of the tensors.
        file: of it.
        thorough: whether the file was made as well as can be.
    """

    label: str
    picks: Mapping[str, Candidate]
    file: File
    thorough: bool

    @property
    def is_single(self) -> bool:
        """Whether one technique has all tensors."""
        return len({pick.technique for pick in self.picks.values()}) <= 1

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {"plan": self.label, "bytes": self.file.file_bytes, "damage": self.file.distance,
                "again": self.thorough}  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class Pick:
    """What one tensor got.

    Args:
        name: of the tensor, as the file has it.
        candidate: what it got; its bytes and damage by itself.
        row: of the plan; None for the grid of the budget.
        second: the best candidate of another technique, if there is one.
        value: damage + price · cost of the candidate, in the unit of damages.
        second_value: of the other.
    """

    name: str
    candidate: Candidate
    row: Compression | None
    second: Candidate | None
    value: float
    second_value: float | None

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {
            "tensor": self.name, "technique": self.candidate.technique, "strength": _strength(self.candidate),
            "bytes": self.candidate.bytes, "damage": self.candidate.lost, "value": self.value,
            "second": None if self.second is None else {
                "technique": self.second.technique, "strength": _strength(self.second), "bytes": self.second.bytes,
                "damage": self.second.lost, "value": self.second_value,
            },
        }  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class Chosen:
    """What was chosen, and why.

    Args:
        best: the plan whose file is nearest to the original, as far as the samples can tell.
        files: every plan that is within the budgets.
        failed: label of each other plan → why it is not.
        picks: of each tensor.
        measures: what a damage is, in words.
        limits: that hold beside, or in place of, the bytes.
        nearest: the plan with several techniques whose file is nearer, but not clearly so; else None.
    """

    best: Measured
    files: tuple[Measured, ...]
    failed: Mapping[str, str]
    picks: tuple[Pick, ...]
    measures: str
    limits: tuple[Limit, ...]
    nearest: Measured | None = None

    def plan(self, beside: Plan | None = None) -> Plan:
        """Return the rows that were chosen, after those of another plan; what they do not name is the budget's."""
        rows = {fnmatch_escape(pick.name): pick.row for pick in self.picks if pick.row is not None}
        beside = beside or Plan({})
        return replace(beside, tensors={**beside.tensors, **rows})

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        return {
            "chosen": self.best.label, "again": self.best.thorough, "measures": self.measures,
            "tensors": [pick.record() for pick in self.picks],
            "files": [file.record() for file in self.files], "failed": dict(self.failed),
            "limits": [{"cost": one.name, "most": one.most, "reached": one.total(self.best.file.codes)}
                       for one in self.limits],
            **({} if self.nearest is None else {"nearest": self.nearest.label}),
        }  # fmt: skip

    def toml(self, beside: Plan | None = None) -> str:
        """Return the plan as TOML, and under it a table with the record, which `laconic analyze` shows."""
        record = json.loads(json.dumps(self.record()))
        return f"{to_toml(self.plan(beside))}\n[choice]\n{''.join(map(_line, record, record.values()))}"


def told(path: Path) -> Record:
    """Return the record of a choice that a plan has.

    Raises:
        PlanError: where the plan cannot be read, tells of no choice, or what it tells is not as `Chosen.toml` has it.
    """
    record = plan_table(path).get("choice")
    if not isinstance(record, dict):
        raise PlanError(f"{path} tells of no choice: plans of laconic compress --choose --write-plan do")
    if problem := _problem("choice", record, _FORM):
        raise PlanError(f"{path}: the table [choice] is not as --write-plan has written it: {problem}")
    return record


_NUMBER, _SIZE = "a number", "a finite number from 0"
_CANDIDATE: Record = {"technique": str, "strength?": _NUMBER, "bytes": _SIZE, "damage": _NUMBER, "value": _NUMBER}
_FORM: Record = {
    "chosen": str,
    "again?": bool,
    "measures": str,
    "tensors": [{"tensor": str, **_CANDIDATE, "second?": _CANDIDATE}],
    "files": [{"plan": str, "bytes": _SIZE, "damage": _NUMBER, "again": bool}],
    "failed": {"*": str},
    "limits": [{"cost": str, "most": _NUMBER, "reached": _NUMBER}],
    "nearest?": str,
}
"""What a record is made of; names that may be missing end in a question mark, and a star is any name."""


def _problem(name: str, value: object, form: Any) -> str:
    """Return how a value is not of a form, in words; nothing where it is."""
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{name} is a list, not {value!r}"
        return next(filter(None, (_problem(f"{name}[{at}]", one, form[0]) for at, one in enumerate(value))), "")
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return f"{name} is a table, not {value!r}"
        known = {key.removesuffix("?"): one for key, one in form.items()}
        if missing := [key for key in form if key != "*" and not key.endswith("?") and key not in value]:
            return f"{name} has no {missing[0]}"
        forms = {key: known.get(key, known.get("*")) for key in value}
        return next(filter(None, (_problem(f"{name}.{key}", value[key], one) for key, one in forms.items() if one)), "")
    if form not in (_NUMBER, _SIZE):
        return "" if isinstance(value, form) else f"{name} is {_WORDS[form]}, not {value!r}"
    number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return "" if number and (form == _NUMBER or 0 <= value < math.inf) else f"{name} is {form}, not {value!r}"  # type: ignore[operator]


_WORDS: Mapping[Any, str] = {str: "a string", bool: "true or false"}


def sentences(record: Record) -> list[str]:
    """Return what there is to say of a choice, in sentences."""
    measured = sorted(record["files"], key=lambda one: one["damage"])
    twice = {one["plan"] for one in measured if not one["again"]}  # the others' only try was the careful one
    shown = dict.fromkeys(
        f"{one['plan']} {one['damage']:.4g} in {one['bytes']:,} B"
        + (" (once more, with more care)" if one["again"] and one["plan"] in twice else "")
        for one in measured
    )
    found = [f"chose {record['chosen']}: {_why(record, len(measured))} ({record['measures']})"]
    found += ["measured: " + "; ".join(shown)]
    found += [f"{one['cost']}: {one['reached']:,.6g} of {one['most']:,.6g}" for one in record["limits"]]
    return found + [f"not met by {label}: {why}" for label, why in record["failed"].items()]


def _why(record: Record, files: int) -> str:
    """Return why this file was chosen among so many."""
    if nearer := record.get("nearest"):
        return (
            f"of {files} files measured its plan has the nearest with one technique; {nearer} is nearer by less than "
            "two standard errors, which so few samples cannot tell"
        )
    return f"of {files} files measured its plan has the nearest"


def _line(key: str, value: Any) -> str:
    """Return a line of TOML, of a list one for each entry."""
    if isinstance(value, list):
        return f"{key} = [\n" + "".join(f"  {in_toml(_given(one))},\n" for one in value) + "]\n"
    return f"{key} = {in_toml(value)}\n"


def _given(row: Record) -> Record:
    """Return a row without what it has not, for which TOML has no word."""
    return {key: _given(one) if isinstance(one, dict) else one for key, one in row.items() if one is not None}


def _strength(candidate: Candidate) -> float | None:
    """Return the strength; None of the grid."""
    return None if candidate.offer is None else candidate.offer.strength
