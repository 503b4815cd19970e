"""The figures of `coding.py` as Markdown tables."""

from collections.abc import Mapping, Sequence
from typing import Any


def print_tables(figures: Mapping[str, Any]) -> None:
    """Print sizes, accuracies and ablations of every network."""
    for name, figure in figures.items():
        points = figure["points"]
        print(f"\n## {name}: {figure['weights']:,} weights, bits a weight at equal squared error\n")
        heads = [f"{label} ({point['snr']:.2f} dB)" for label, point in points.items()]
        lossless = [[row, *([f"{bits:.3f}"] * len(heads))] for row, bits in figure["lossless"].items()]
        _table(["", *heads], lossless + _rows([point["rows"] for point in points.values()], "{:.3f}"))
        _notes(points)
        if any(point["gaps"] for point in points.values()):
            print("\nFile less Gaussian R(D) at the error of the file, bits a weight:\n")
            _table(["", *heads], _rows([point["gaps"] for point in points.values()], "{:.3f}"))
        if figure["test_error"] is not None:
            print(f"\nTest error, % (uncompressed {figure['test_error']:.2f}):\n")
            _table(["", *heads], _rows([point["test_error"] for point in points.values()], "{:.2f}"))
        if any(point["ablation"] for point in points.values()):
            print("\nDefault with one tool changed, bits a weight of the file:\n")
            whole = [{"default": {"bits": p["files"]["default"]["bits"]}, **p["ablation"]} for p in points.values()]
            _table(["", *heads], _rows([{k: v["bits"] for k, v in found.items()} for found in whole], "{:.3f}"))


def _notes(points: Mapping[str, Any]) -> None:
    """Print what qualifies the rows: what the fixed-rate quantizer reaches, and files that miss their error."""
    reached = [p["fixed_snr"] for p in points.values()]
    if None not in reached:
        print(f"\nWith clips down to 0.15 the fixed rate reaches {', '.join(f'{snr:.2f}' for snr in reached)} dB.")
    for label, point in points.items():
        for quality, file in point["files"].items():
            if not file["reached"]:
                print(f"\n{quality} at {label} misses the error: {file['snr']:.4f} dB.")


def _rows(columns: Sequence[Mapping[str, float]], form: str) -> list[list[str]]:
    """Return the rows of several columns, in the order of the first that has each; a gap where one lacks it."""
    names = dict.fromkeys(name for column in columns for name in column)
    return [[name, *(form.format(column[name]) if name in column else "" for column in columns)] for name in names]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table, the first column to the left."""
    print("| " + " | ".join(heads) + " |\n|---" + "|---:" * (len(heads) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
