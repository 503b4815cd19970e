"""What `laconic techniques` prints."""

from typing import Any

from laconic.cli.console import Output, table
from laconic.csteps.compression import Compression
from laconic.errors import PlanError
from laconic.plans.techniques import TECHNIQUES, Technique
from laconic.plans.toml import in_toml

KINDS = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "true or false",
    list: "list of numbers",
    tuple: "list of rows",
    Compression: "row",
}
"""What the kinds of options are called."""


def show(say: Output, name: str | None) -> None:
    """Print all techniques, or one with its parameters."""
    if name is not None and name not in TECHNIQUES:
        raise PlanError(f"there is no technique {name!r}; there are {', '.join(TECHNIQUES)}")
    if name is not None:
        one = TECHNIQUES[name]
        columns = {"parameter": "left", "kind": "left", "is": "left"}
        parameters = [(key, KINDS[option.kind], option.unit) for key, option in one.options.items()]
        shown = table(f"{name}: {one.line}", columns, parameters)
        about = f"{_exactness(one)}; metrics: {_metrics(one)}"
        say.result(_record(one), shown, about, f"example: {_example(one)}")
        return
    lines = [
        f"{t.key}: {t.line}\n    {_exactness(t)}; metrics {_metrics(t)}; {_example(t)}" for t in TECHNIQUES.values()
    ]
    say.result({"techniques": [_record(technique) for technique in TECHNIQUES.values()]}, *lines)


def _record(technique: Technique) -> dict[str, Any]:
    """Return a technique as plain values, for JSON."""
    parameters = {key: {"kind": KINDS[o.kind], "unit": o.unit} for key, o in technique.options.items()}
    return {
        "key": technique.key,
        "line": technique.line,
        "exact": technique.exact,
        "approximate_for": [metric.__name__.lower() for metric in technique.approximate],
        "metrics": [metric.__name__.lower() for metric in technique.metrics],
        "parameters": parameters,
        "example": dict(technique.example),
    }


def _exactness(technique: Technique) -> str:
    """Return what the table says of exactness."""
    hard = "/".join(metric.__name__.lower() for metric in technique.approximate)
    return "approximate" if not technique.exact else f"exact, but for {hard}" if hard else "exact"


def _metrics(technique: Technique) -> str:
    """Return the metrics, as words."""
    return ", ".join(metric.__name__.lower() for metric in technique.metrics)


def _example(technique: Technique) -> str:
    """Return the example as a plan has it."""
    return in_toml(technique.example)
