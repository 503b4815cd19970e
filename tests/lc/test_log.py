"""A path on disk, and what it says in words."""

import math
from dataclasses import replace

import pytest

from laconic.errors import DataError
from laconic.lc.diagnosis import diagnosis
from laconic.lc.log import append_to_log, read_log, write_log
from laconic.lc.schedule import Progress


def path(gaps, losses=None, changed=0.01, errors=None):
    """Steps with these gaps, from direct compression on."""
    losses, errors = losses or [0.1] * len(gaps), errors or [None] * len(gaps)
    return [
        Progress(
            step, 1e-3 * 1.1**step if step else 0.0, loss if step else math.nan, gap, changed if step else None, None,
            file_bytes=1000, validation=None if error is None else {"loss": 0.1, "error": error},
        )
        for step, (gap, loss, error) in enumerate(zip(gaps, losses, errors, strict=True))
    ]  # fmt: skip


def test_a_log_gives_back_its_steps_while_it_is_written_and_after(tmp_path):
    file, steps = tmp_path / "run.jsonl", path([0.5, 0.4, 0.3], errors=[9.0, 8.0, 7.0])
    write_log(file, steps[:2])
    append_to_log(file, steps[2])
    assert repr(read_log(file)) == repr(steps), "NaN and all"
    with file.open("a") as stream:
        stream.write('{"step": 3, "mu"')
    assert len(read_log(file)) == 3, "a line that is being written"


SOUND_LINE = '{"step": 1, "mu": 1, "loss": 1, "gap": 1, "last_gap": null, "changed": null, "returned": null'


@pytest.mark.parametrize(
    "text",
    ["{}\n", "[1]\n", "no\n", '{"step": 1, "wild": 2}\n', '{"step": "a"}\n', "[" * 100_000 + "\n"]
    + [SOUND_LINE.replace('"gap": 1', f'"gap": {value}') + "}\n" for value in ("true", '"x"')]
    + [
        f"{SOUND_LINE}, {more}}}\n"
        for more in ('"validation": 7', '"validation": {"error": "x"}', '"file_bytes": "x"', '"met": 1', '"kept": 7')
    ],
)
def test_what_is_no_log_is_refused_and_the_line_named(tmp_path, text):
    file = tmp_path / "a.jsonl"
    write_log(file, path([0.5]))
    file.write_text(file.read_text() + text)
    with pytest.raises(DataError, match="line 2: not a step"):
        read_log(file)


def test_what_is_not_finite_is_null_and_comes_back(tmp_path):
    file = tmp_path / "a.jsonl"
    (step,) = path([0.5], errors=[math.inf])
    write_log(file, [step])
    assert "Infinity" not in file.read_text()
    assert math.isnan(read_log(file)[0].validation["error"])


def test_no_file_and_no_step_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_log(tmp_path / "none")
    (tmp_path / "empty").write_text("")
    with pytest.raises(DataError, match="has no step"):
        read_log(tmp_path / "empty")


SOUND = [0.7 * 0.9**step for step in range(40)]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (path([0.5, 0.4]), "nothing can be told yet"),
        (path([0.04] * 20, changed=1e-4), "stayed at direct compression"),
        (path([0.5] * 20), "has not arrived"),
        (path([0.5] * 20, losses=[0.1] * 10 + [0.5] * 10), "diverges"),
        (path([0.5] * 20, losses=[0.1] * 19 + [math.nan]), "diverges"),
        (path([0.3] + [0.01] * 30), "gap has been closed"),
        (path(SOUND, errors=[5.0] * 10 + [2.0] + [3.0] * 29), "risen to 3.00 %"),
    ],
)
def test_what_stands_out_is_said(steps, words):
    assert any(words in one for one in diagnosis(steps)), diagnosis(steps)


def test_of_a_sound_path_only_its_best_point_is_said():
    assert diagnosis(path(SOUND)) == []
    assert diagnosis(path(SOUND, errors=[5.0 - 0.05 * step for step in range(40)])) == [
        "The best point on the validation split is step 39, with an error of 3.05 %."
    ]


def test_paths_of_several_sizes_are_told_by_what_they_have_met():
    steps = path([0.5, 0.4, 0.3, 0.5, 0.4], errors=[9.0, 8.0, 7.0, 9.0, 8.0])
    met = [False, True, True, False, False]
    sizes = [replace(one, mu=0.0 if one.step in (0, 3) else one.mu, met=is_met, file_bytes=900 - one.step)
             for one, is_met in zip(steps, met, strict=True)]  # fmt: skip
    (said,) = diagnosis(sizes)
    assert "Of 2 sizes tried with 5 steps, 2 steps meet" in said
    assert "step 2, of 898 bytes" in said
    (said,) = diagnosis([replace(one, met=False) for one in sizes])
    assert "none has a step that meets" in said
