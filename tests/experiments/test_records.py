"""The recipes of the records: files are within their sizes, test images are read once a row, verdicts are of means."""

import json
from dataclasses import replace

import pytest

from laconic.errors import DataError
from laconic.experiments.recipes import recipe, records, reproduce
from laconic.experiments.recipes.records import subject
from laconic.experiments.recipes.records.page import _verdicts, page
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task

TINY = replace(
    subject.LENET300.small,
    reference=Optimization(2, 1e-3, optimizer=adam),
    sizes=(4_000,),
    learning=subject._learning(1, 1e-2, 1.1, 0.98, 1),
    seeds=2,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, read = tmp_path_factory.mktemp("records") / "run", []
    evaluate = Task.evaluate

    def counting(self, params, split):
        read.append(split)
        return evaluate(self, params, split)

    with pytest.MonkeyPatch.context() as patch:
        tiny = replace(subject.LENET300, small=TINY)
        patch.setattr(Task, "evaluate", counting)
        outcome = replace(recipe("records-lenet300"), run=lambda context: records._run(tiny, context))
        for _ in range(2):  # the second time everything is there
            reproduce(outcome, folder, lambda done, text: None)
    return folder, read


def test_a_run_has_a_reference_and_a_file_of_each_size_for_every_seed(whole):
    folder, read = whole
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert [(row["seed"], row["label"]) for row in record["rows"]] == [
        (seed, label) for seed in (0, 1) for label in ("uncompressed", "4000 bytes")
    ]
    files = [row for row in record["rows"] if "bytes" in row]
    assert all(3900 <= row["bytes"] <= 4000 for row in files)
    assert all(point["bytes"] <= 4000 for row in files for point in row["path"])
    assert read.count("test") == len(record["rows"]), "once a row, and not again where it is kept"
    assert record["settings"]["LC"]["steps"] == 1
    assert (folder / "records.png").stat().st_size > 10_000
    shown = (folder / "report.md").read_text(encoding="utf-8")
    assert "| 4000 bytes |" in shown
    assert "of MNIST, not of these" in shown


def rows(*errors):
    return [
        {"seed": seed, "label": label, "bytes": size, "validation": {"error": 1.0}, "test": {"error": error}}
        for label, size, of in errors
        for seed, error in enumerate(of)
    ]


def test_a_record_is_reached_by_the_mean_over_the_seeds():
    found = rows(("5000 bytes", 4_990, [1.8, 1.9, 1.85]), ("10000 bytes", 9_990, [1.6, 1.7, 1.5]))
    assert _verdicts(subject.LENET300, found) == [
        "- 5,000 bytes at 1.9 % or less: reached: 1.85 %.",
        "- 10,000 bytes at 1.6 % or less: reached: 1.60 %.",
    ]
    assert "missed: 2.00 %" in _verdicts(subject.LENET300, rows(("5000 bytes", 5_000, [2.0])))[0]
    assert "nothing was run" in _verdicts(subject.LENET5, rows(("9000 bytes", 9_000, [2.0])))[0]
    shown = page(subject.LENET300, "mnist", subject.LENET300.full, found, "a.png")
    assert "1.85 ± 0.05" in shown
    assert "EPR | 8,560 | 1.9" in shown


def test_a_network_that_digits_are_too_small_for_asks_for_mnist(tmp_path):
    with pytest.raises(DataError, match="records-lenet5 needs MNIST"):
        reproduce(recipe("records-lenet5"), tmp_path / "run", lambda done, text: None)
