"""The demonstration: its files are there, its table is what they are, and its claim holds."""

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import replace

import pytest
import torch

import laconic
from laconic.cli import run
from laconic.experiments import demo as shown
from laconic.experiments.demo import PLANS
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import params_of
from laconic.training.task import classification

SHORT = {
    "REFERENCE": replace(shown.REFERENCE, epochs=20),
    "LC": replace(
        shown.LC,
        steps=10,
        l_step=replace(shown.LC.l_step, epochs=1),
        growth=1.5,
        finetune=replace(shown.LC.finetune, epochs=5),
    ),
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory, request):
    """The folder, and what was printed; of a shorter training than the demonstration's own, unless all is asked for."""
    folder = tmp_path_factory.mktemp("demo") / "deep" / "demo"
    printed = io.StringIO()
    before = torch.get_num_threads()
    try:
        with redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
            for name, short in SHORT.items() if not request.config.getoption("--all") else ():
                patch.setattr(shown, name, short)
            assert run(["demo", "--seeds", "1", "--json", "--threads", "1", "-o", str(folder)]) == 0
    finally:
        torch.set_num_threads(before)
    return folder, json.loads(printed.getvalue())


def of(record, plan, method):
    (found,) = [o for o in record["outcomes"] if (o["plan"], o["method"]) == (plan, method)]
    return found


def name_of(plan, method):
    return "-".join(re.findall(r"\w+", plan)) + f"-{method.lower()}.lac"


def test_everything_is_there(demo):
    folder, record = demo
    files = {path.name for path in folder.iterdir()}
    lac = {name_of(plan, method) for plan in PLANS for method in ("direct", "LC")}
    assert files == {"reference.safetensors", "report.md", "report.html", "figure.png", *lac}
    assert len(lac) == 6
    assert record["folder"] == str(folder)
    assert len(record["outcomes"]) == 7
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_is_what_the_files_are(demo):
    folder, record = demo
    ready = data.load("digits", None, "pixels/16")
    task = classification(nets.build("lenet300", ready.shape), ready)
    reference = load_checkpoint(folder / "reference.safetensors")[0]
    assert task.evaluate(reference, "test")["error"] == of(record, "reference", "reference")["error"]
    size = (folder / "reference.safetensors").stat().st_size
    for plan in PLANS:
        for method in ("direct", "LC"):
            path, outcome = folder / name_of(plan, method), of(record, plan, method)
            found = task.evaluate(laconic.load(path), "test")
            assert (outcome["loss"], outcome["error"]) == (found["loss"], found["error"])
            assert outcome["bytes"] == path.stat().st_size
            assert outcome["ratio"] == size / path.stat().st_size
            with laconic.open(path) as file:
                assert file.metadata["reference_bytes"] == str(size), "inspect tells the same ratio"
                assert set(file) == set(params_of(task.module))


def test_files_say_what_they_are(demo, capsys):
    folder, record = demo
    assert run(["evaluate", str(folder / name_of("codebook 2", "LC")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["error"] == of(record, "codebook 2", "LC")["error"]


def test_the_plans_are_kept(demo):
    folder, _ = demo
    for method in ("direct", "LC"):
        for entries in (4, 2):
            weights = laconic.load(folder / name_of(f"codebook {entries}", method))
            assert all(len(w.unique()) <= entries for w in weights.values() if w.ndim == 2)
        matrices = [w for w in laconic.load(folder / name_of("keep 5 %, codebook 4", method)).values() if w.ndim == 2]
        assert sum(int(w.count_nonzero()) for w in matrices) <= round(0.05 * sum(w.numel() for w in matrices))
        assert all(len(w.unique()) <= 5 for w in matrices)


def test_lc_is_never_above_direct_and_below_where_it_is_hard(demo):
    _, record = demo
    pairs = [(of(record, plan, "direct"), of(record, plan, "LC")) for plan in PLANS]
    assert all(lc["error"] <= direct["error"] for direct, lc in pairs)
    direct, lc = max(pairs, key=lambda pair: pair[1]["ratio"])
    assert lc["error"] < direct["error"]
    assert lc["ratio"] > 20


def test_the_report_has_the_numbers(demo):
    folder, record = demo
    page = (folder / "report.md").read_text(encoding="utf-8")
    for plan in PLANS:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {plan} |")]
        lc, direct = of(record, plan, "LC"), of(record, plan, "direct")
        assert f"{lc['bytes']:,}" in row
        assert f"{lc['error']:.2f}" in row
        assert f"{direct['error']:.2f}" in row
        assert f"{lc['ratio']:.1f}" in row
    assert "(figure.png)" in page
