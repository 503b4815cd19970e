"""The command line: parse, call, print. The only reader of arguments and environment."""

import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from inspect import cleandoc
from typing import Annotated

import typer

from laconic import __version__, interrupts
from laconic.cli.console import EXIT_ERROR, Interrupted, explain, forgive, settle
from laconic.errors import LaconicError

COMMANDS = {
    "demo": "Train, compress, read back and evaluate a small network: the whole story in a few minutes.",
    "reproduce": "Run a published experiment again, or list the experiments there are.",
    "train": "Train a reference network.",
    "tickets": "Find lottery tickets: sparse networks trained from their first weights.",
    "scratch": "Train a network of the widths that pruning has found, from fresh weights.",
    "techniques": "List what a plan can ask for.",
    "plan": "Show what each tensor of a checkpoint will get.",
    "compress": "Compress a checkpoint to a .lac file.",
    "log": "Show the path of a run of compression by training.",
    "select": "Select how much compression, by validation.",
    "frontier": "Compress to several sizes and show what each is worth.",
    "analyze": "Rank weights by what compressing each does to the outputs.",
    "evaluate": "Measure loss and error of a checkpoint or a .lac file.",
    "rewrite": "Rewrite a network as a compact one: depthwise and pointwise layers.",
    "shrink": "Make the network itself smaller: what is empty is cut out.",
    "export": "Turn a .lac file into a graph of ONNX that has been tried and timed.",
    "decompress": "Turn a .lac file back into a checkpoint.",
    "inspect": "Show where the bytes of a .lac file are.",
    "report": "Show where the bytes of a .lac file are, and why quality fell, as a page.",
    "compare": "Show several .lac files side by side.",
    "bound": "Show how far .lac files are from the least size at their error.",
    "profile": "Measure what this machine takes for the layers of networks.",
    "version": "Print the versions of laconic and of what it runs on.",
}
"""Sub-commands in the order of the help; each lives in the module of its name, which is imported when it is called."""

EXTRAS = {
    "jaxtyping": "torch", "torch": "torch", "matplotlib": "demo", "sklearn": "demo", "onnx": "onnx",
    "onnxruntime": "onnx", "onnxscript": "onnx", "transformers": "hf", "tokenizers": "hf",
}  # fmt: skip
"""Module → the extra that it comes with: what sub-commands need beyond what the decoder needs."""

SPINS = 10_000
"""Times that a thread of torch looks for the others before it sleeps: a thirtieth of GNU OpenMP's default.

Every small operation waits for all threads; where a core has other work too, one of them does not run, and the others
spin until it does.
"""

_INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl-C, by the custom of shells."""


def application(wanted: str | None) -> typer.Typer:
    """Return the application with the module of the sub-command ``wanted`` imported, and of no other."""
    app = typer.Typer(
        name="laconic",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_top,
    )
    for name, summary in COMMANDS.items():
        if name == wanted:
            command = import_module(f"laconic.cli.{name}").command
            app.command(name, help=_flowing(command.__doc__ or summary))(command)
        else:
            app.command(name, help=summary)(lambda: None)
    return app


def _tell_version(wanted: bool) -> None:
    """Print the version and end, if it is asked for."""
    if wanted:
        typer.echo(f"laconic {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version.")
    ] = False,
) -> None:
    """Turn a trained network into the smallest file that still does the job."""


def _flowing(text: str) -> str:
    """Return a docstring whose paragraphs are lines, to be broken where a terminal ends; indented lines stay."""
    return re.sub(r"(?<=\S)\n(?=\S)", " ", cleandoc(text))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0, 1 (an error of ours), 2 (usage), 130 (Ctrl-C) or 143 (SIGTERM)."""
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        command = application(wanted)
        with interrupts.raising():
            command(list(arguments), prog_name="laconic")
    except BaseException as error:
        return _ended(error, wanted)
    return 0


def _ended(error: BaseException, wanted: str | None) -> int:
    """Say what has ended the command, and return its exit code; raise again what is a mistake of ours.

    Whatever comes out after a signal is what the signal has become where it arrived.
    """
    number = interrupts.taken()
    code = error.code if isinstance(error, SystemExit) else None
    if number or isinstance(error, (KeyboardInterrupt, Interrupted)) or code == _INTERRUPTED:
        explain(f"interrupted. {error if isinstance(error, Interrupted) else ''}".removesuffix(". "))
        return 128 + number if number else _INTERRUPTED
    if isinstance(error, SystemExit):  # typer shows errors of usage itself: their classes have no public name
        return code if isinstance(code, int) else EXIT_ERROR
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        explain(f"error: {wanted} needs {error.name}: pip install 'laconic[{EXTRAS[error.name]}]'")
        return EXIT_ERROR
    if isinstance(error, FileNotFoundError) and error.filename:
        explain(f"error: no file {error.filename}")
        return EXIT_ERROR
    if isinstance(error, (LaconicError, OSError)):
        explain(f"error: {error}")
        return EXIT_ERROR
    raise error


def main() -> None:
    """Run the command that the process was started with."""
    if "OMP_WAIT_POLICY" not in os.environ:  # read when torch is imported
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    forgive()
    code = run(sys.argv[1:])
    settle()
    if code > 128:
        interrupts.leave(code)
    sys.exit(code)
