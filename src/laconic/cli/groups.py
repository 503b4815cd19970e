"""Options that belong together are one value: a frozen dataclass whose fields are options, in a panel of the help."""

import shlex
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

WHAT, WHICH, MATTERS, DATA, TRAINING, TEACHERS, WORKERS, RUN = (
    "What to make", "Which weights", "What matters", "Network and data", "Training", "Teachers and peers",
    "Several workers", "Run",
)  # fmt: skip
"""The panels, in the order of the help."""


def grouped(handler: Callable[..., None]) -> Callable[..., None]:
    """Return the command with an option for each field of those parameters of ``handler`` that are groups.

    A group is a dataclass with fields ``Annotated[kind, typer.Option(...)]``, and ``panel``, where the help has them.
    """
    groups: dict[str, Any] = {name: kind for name, kind in get_type_hints(handler).items() if is_dataclass(kind)}
    options: list[Parameter] = []
    for parameter in signature(handler).parameters.values():
        group = groups.get(parameter.name)
        options += _options(group) if group else [parameter.replace(kind=Parameter.KEYWORD_ONLY)]

    @wraps(handler)
    def command(**typed: Any) -> None:
        for name, group in groups.items():
            typed[name] = group(**{option: typed.pop(option) for option in names(group)})
        handler(**typed)

    command.__signature__ = Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command


def names(*groups: Any) -> tuple[str, ...]:
    """Return the options of groups, by the names of their fields."""
    return tuple(field.name for group in groups for field in fields(group))


def name_of(option: str) -> str:
    """Return an option as it is typed.

    >>> name_of("lr_decay")
    '--lr-decay'
    """
    return "--" + option.replace("_", "-")


def values(group: Any) -> dict[str, Any]:
    """Return the values of a group by its options as they are typed."""
    return {name_of(option): getattr(group, option) for option in names(group)}


def given(context: typer.Context, options: Iterable[str]) -> list[str]:
    """Return those of ``options`` that stand on the command line, as they are typed."""
    sources = {option: context.get_parameter_source(option) for option in options}
    return [name_of(option) for option, source in sources.items() if source and source.name == "COMMANDLINE"]


def command_line(context: typer.Context) -> str:
    """Return what was typed, for somebody to type again: of paths the names alone."""
    words = ["laconic", str(context.info_name)]
    for option in context.command.params:
        source, value = context.get_parameter_source(str(option.name)), context.params.get(str(option.name))
        if source is None or source.name != "COMMANDLINE" or value is None or value is False:
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            text = one.name if isinstance(one, Path) else str(getattr(one, "value", one))
            words += [*([option.opts[0]] if option.param_type_name == "option" else []), *([text] * (one is not True))]
    return shlex.join(words)


def _options(group: Any) -> list[Parameter]:
    """Return the fields of a group as parameters of a command, in its panel."""
    parameters, kinds = [], get_type_hints(group, include_extras=True)
    for field in fields(group):
        kind, option = get_args(kinds[field.name])
        option = copy(option)
        option.rich_help_panel = group.panel
        default = Parameter.empty if field.default is MISSING else field.default
        annotation = Annotated[kind, option]  # type: ignore[valid-type]
        parameters.append(Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation))
    return parameters
