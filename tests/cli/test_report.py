"""`laconic report` and `laconic compare`: the record, the page, rows that mend, and what is refused."""

import html
import json
import shlex
import sys
from types import SimpleNamespace

import pytest
import torch

import laconic
from laconic.cli import run
from laconic.lc.log import write_log
from laconic.lc.schedule import Progress
from laconic.models import nets
from laconic.models.checkpoints import load_checkpoint, save_checkpoint

from .commands import parsed

DIGITS = ["--data", "digits", "--samples", "300"]


@pytest.fixture(scope="module")
def files(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    asked = {"bits": ["--bits", "1.6"], "keep": ["--keep", "0.1"]}
    for name, arguments in asked.items():
        assert run(["compress", str(net), "-o", str(folder / f"{name}.lac"), *arguments, "--quiet"]) == 0
    return {name: folder / f"{name}.lac" for name in asked}


@pytest.fixture(scope="module")
def report(net, files, tmp_path_factory):
    """The record of a file with data, and the plan that mends it."""
    folder = tmp_path_factory.mktemp("report")
    page, plan = folder / "page.html", folder / "mend.toml"
    command = [
        "report",
        str(files["bits"]),
        "-o",
        str(page),
        "--against",
        str(net),
        *DIGITS,
        "--plan",
        str(plan),
        "--time",
    ]
    assert run([*command, "--quiet"]) == 0
    text = page.read_text(encoding="utf-8")
    return text, plan


def test_a_file_alone_needs_nothing_else(call, files):
    record = parsed(call("report", files["keep"], "--json"))
    page = files["keep"].with_name("keep.lac.html")
    assert record["page"] == str(page)
    assert record["file_bytes"] == files["keep"].stat().st_size
    assert "Where the bytes are" in page.read_text(encoding="utf-8")
    assert set(record["missing"]) == {"error", "weights", "damage", "costs", "run"}
    assert parsed(call("report", files["keep"], "--json", "--force")) == record
    account = parsed(call("inspect", files["keep"], "--json"))
    assert [one["bytes"] for one in record["tensors"]] == [one["bytes"] for one in account["tensors"][:-1]]


def test_rows_that_mend_give_the_bytes_and_less_distance(call, net, files, report, tmp_path):
    """Each row, and all together: `compress --plan` of it makes what the page tells."""
    _, plan = report
    told = parsed(call("report", files["bits"], "--against", net, *DIGITS, "-o", tmp_path / "a.html", "--json"))
    damage = told["damage"]
    assert damage["command"].endswith(f"--plan mend.toml --size {damage['together'][0]}")
    assert [row["row"] for row in damage["mends"]] == plan.read_text().split("\n\n")[0].splitlines()[1:]
    cases = [(f"[tensors]\n{row['row']}\n", row["bytes"], row["distance"]) for row in damage["mends"]]
    for text, size, far in [*cases[:1], (plan.read_text(), *damage["together"])]:
        (tmp_path / "mend.toml").write_text(text)
        mended = tmp_path / "mended.lac"
        call("compress", net, "-o", mended, "--plan", tmp_path / "mend.toml", "--size", size, "--force")
        assert 0.98 * size <= mended.stat().st_size <= size
        (found,) = parsed(call("compare", mended, "--against", net, *DIGITS, "--json"))["files"]
        assert found["damage"]["distance"] < damage["distance"]
        assert found["damage"]["distance"] < 1.5 * far


def test_the_page_has_all_parts(net, files, report):
    text, _ = report
    for part in (
        "Where the bytes are",
        "Tensor by tensor",
        "What was lost",
        "What would mend it",
        "What it takes to run",
    ):
        assert part in text
    assert text.count('<p class="empty">') == 1, "no run was given"
    original, back = load_checkpoint(net)[0], laconic.load(files["bits"])
    pairs = [(original[name], back[name]) for name in back if back[name].ndim > 1]
    energy = sum(float(w.double().square().sum()) for w, _ in pairs)
    error = sum(float((w - v).double().square().sum()) for w, v in pairs)
    assert f"{10 * torch.log10(torch.tensor(energy / error)):.2f} dB"[:4] in text


def test_a_file_in_which_nothing_has_changed_has_a_page(call, tmp_path):
    page, reference = tmp_path / "a.html", tmp_path / "a.safetensors"
    save_checkpoint(reference, dict(torch.nn.LSTM(5, 3).state_dict()), {})
    call("compress", reference, "-o", tmp_path / "a.lac", "--recode")
    told = parsed(call("report", tmp_path / "a.lac", "--against", reference, "-o", page, "--json"))
    assert all(one["error"] == 0 for one in told["changes"])
    assert "All tensors are what they are in the checkpoint." in page.read_text(encoding="utf-8")


def test_a_checkpoint_of_nan_is_named_and_a_mask_of_infinities_is_none(call, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = torch.nn.Linear(60, 30)
    module.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))
    data = [(torch.randn(20, 60), torch.randint(30, (20,))) for _ in range(3)]
    task = laconic.Task(module, data, loss=torch.nn.functional.cross_entropy, validation=data[:1])
    monkeypatch.setitem(sys.modules, "masked", SimpleNamespace(task=lambda: task))
    params = dict(module.state_dict())
    save_checkpoint(tmp_path / "a.safetensors", params, {})
    call("compress", "a.safetensors", "-o", "a.lac", "--bits", "4")
    asked = ["--task", "masked:task", "--samples", "40"]
    told = parsed(call("report", "a.lac", "--against", "a.safetensors", *asked, "--json"))
    assert told["damage"]["distance"] > 0
    save_checkpoint(tmp_path / "nan.safetensors", {**params, "bias": params["bias"] * torch.nan}, {})
    assert run(["report", "a.lac", "--against", "nan.safetensors", *asked, "-o", "b.html"]) == 1
    assert "NaN in bias" in capsys.readouterr().err
    assert not (tmp_path / "b.html").exists()


def test_a_command_of_the_page_can_be_typed_and_is_for_files_that_it_makes(call, net, files, tmp_path):
    """Grids have rows; of pruned weights and calibrated ones there are none, however small the file is."""
    other, plan = tmp_path / "my net.safetensors", tmp_path / "my plan.toml"
    other.write_bytes(net.read_bytes())
    asked = ["--against", other, *DIGITS, "--json", "-o"]
    damage = parsed(call("report", files["bits"], *asked, tmp_path / "a.html", "--plan", plan))["damage"]
    words = shlex.split(damage["command"])
    assert str(other) in words
    assert words[words.index("--plan") + 1] == str(plan)
    assert plan.read_text() == damage["plan"]
    assert html.escape(damage["plan"].strip()) in (tmp_path / "a.html").read_text(encoding="utf-8")
    damage = parsed(call("report", files["keep"], *asked, tmp_path / "b.html"))["damage"]
    assert (damage["mends"], damage["command"]) == ([], "")
    assert "pruned, factored or shared" in (tmp_path / "b.html").read_text(encoding="utf-8")
    small = ["--bits", "0.5", "--effort", "calibrate", "--quality", "fast", "--data", "digits", "--samples", "100"]
    call("compress", other, "-o", tmp_path / "c.lac", *small)
    damage = parsed(call("report", tmp_path / "c.lac", *asked, tmp_path / "c.html"))["damage"]
    assert damage["mends"] == []
    assert "--effort calibrate --data digits" in damage["command"]


def test_a_network_that_takes_no_single_input_has_a_page_without_what_that_costs(call, tmp_path, monkeypatch):
    def alone(module, batch):
        if len(batch[0]) < 2:
            raise ValueError("expected more than 1 value")
        return module(batch[0])

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = torch.nn.Linear(60, 30)
    data = [(torch.randn(20, 60), torch.randint(30, (20,))) for _ in range(3)]
    loss = torch.nn.functional.cross_entropy
    task = laconic.Task(module, data, loss=loss, forward=alone, validation=data[:1])
    monkeypatch.setitem(sys.modules, "couples", SimpleNamespace(task=lambda: task))
    save_checkpoint(tmp_path / "a.safetensors", dict(module.state_dict()), {})
    call("compress", "a.safetensors", "-o", "a.lac", "--bits", "3")
    asked = ["--task", "couples:task", "--samples", "40", "--time", "--json"]
    told = parsed(call("report", "a.lac", "--against", "a.safetensors", *asked))
    assert [one["what"] for one in told["costs"]] == ["bytes"]
    assert "expected more than 1 value" in told["missing"]["times"]
    assert told["damage"]["distance"] > 0


def test_calls_are_timed_where_that_is_asked(call, net, files, tmp_path):
    page = tmp_path / "a.html"
    asked = ["--against", net, *DIGITS, "-o", page, "--time", "--json"]
    told = parsed(call("report", files["keep"], *asked))
    times = [one for one in told["costs"] if one["what"].startswith("milliseconds")]
    assert [one["what"] for one in times] == ["milliseconds, a call of 1", "milliseconds, a call of 32"]
    adds = [one for one in told["costs"] if one["what"] == "multiply-adds of what is timed, one input"]
    assert all(one["after"] < one["before"] and one["how"] for one in adds)
    assert all(one["before"] > 0 < one["after"] and "by turns" in one["how"] for one in times)
    assert "times" not in told["missing"]
    told = parsed(call("report", files["keep"], *asked[:-2], "--json", "--force"))
    assert "--time" in told["missing"]["times"]
    assert "<code>--time</code>" in page.read_text(encoding="utf-8")


def test_the_log_and_the_frontier_fill_their_parts(call, net, files, tmp_path):
    log, folder = tmp_path / "run.jsonl", tmp_path / "curve"
    write_log(log, [Progress(number, 0.1 * number, 0.5, 0.3, None, None) for number in range(7)])
    folder.mkdir()
    known = {"asked": 2, "bits_per_weight": 2.0, "distance": 0.1}
    (folder / "frontier.json").write_text(json.dumps({"files": [known], "curve": [[1, 0.1]], "unit": "KL"}))
    out = tmp_path / "a.html"
    given = ["--run", log, "--frontier", folder, "-o", out]
    record = parsed(call("report", files["keep"], *given, "--json"))
    assert len(record["path"]["steps"]) == 7
    assert record["path"]["diagnosis"]
    assert record["planes"][0]["dots"][0]["x"] == 2.0
    assert "Loss and gap" in out.read_text(encoding="utf-8")


def test_node_data_are_for_the_nodes_that_torch_export_makes(call, net, files, tmp_path, capsys):
    """Of a graph of the very network, and the numbers are those of the record."""
    folder, module = tmp_path / "nodes", nets.build("lenet300", (1, 8, 8), 10, 0)
    asked = ["--against", net, *DIGITS, "-o", tmp_path / "a.html", "--overlays", folder]
    told = parsed(call("report", files["bits"], *asked, "--json"))
    written = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    nodes = {node.name for node in torch.export.export(module, (torch.zeros(1, 1, 8, 8),)).graph.nodes}
    for one in told["tensors"]:
        (node,) = nodes & {"p_" + one["name"].replace(".", "_")}
        assert written["bytes"]["results"][node] == written["bytes"]["results"][one["name"]] == {"value": one["bytes"]}
    shares = written["damage"]["results"]
    assert {name: one["value"] for name, one in shares.items() if not name.startswith("p_")} == {
        name: harm["share"] for harm in told["damage"]["harms"] for name in harm["names"]
    }
    assert set(written) == {"bytes", "bits", "zeros", "error", "damage"}
    for place, words in ((folder, "bytes.json exists"), (net, "name a folder")):
        assert run(["report", str(files["bits"]), "-o", str(tmp_path / "b.html"), "--overlays", str(place)]) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "b.html").exists()


def test_events_are_handed_on_where_tensorboard_is(net, files, tmp_path, monkeypatch, capsys):
    said = {}

    class Writer:
        def __init__(self, folder):
            said["folder"] = folder

        def __enter__(self):
            return self

        def __exit__(self, *_):
            said["closed"] = True

        def add_scalar(self, tag, value, step):
            said[tag, step] = value

        def add_histogram_raw(self, tag, low, high, number, total, squares, limits, counts, step):
            assert number == sum(counts)
            assert low < limits[0] <= limits[-1] == pytest.approx(high)
            said[tag, step] = total / number, squares / number

    write_log(tmp_path / "run.jsonl", [Progress(0, 0.0, 0.5, 0.9, None, None), Progress(1, 1e-3, 0.4, 0.5, 0.1, 0.0)])
    command = ["report", str(files["bits"]), "-o", str(tmp_path / "a.html"), "--against", str(net), "--quiet"]
    command += ["--run", str(tmp_path / "run.jsonl"), "--tensorboard", str(tmp_path / "events")]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(command) == 1
    assert "pip install tensorboard" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    assert run([*command, "--force"]) == 0
    weight = load_checkpoint(net)[0]["fc1.weight"]
    assert said["file/bytes", 0] == files["bits"].stat().st_size
    assert said["loss", 1] == 0.4
    assert said["fc1.weight/before", 0][1] == pytest.approx(float(weight.square().mean()), rel=0.05)
    assert said["closed"]


def test_files_stand_side_by_side(call, net, files, tmp_path):
    page = tmp_path / "page.html"
    record = parsed(call("compare", *files.values(), "--against", net, "-o", page, "--json"))
    assert [one["file"] for one in record["files"]] == ["bits.lac", "keep.lac"]
    assert record["files"][0]["snr"] > record["files"][1]["snr"]
    assert page.read_text(encoding="utf-8").count('class="treemap always"') == 2
    shown = call("compare", *files.values())
    assert "bits.lac" in shown
    assert "SNR" not in shown
    copy = tmp_path / "bits.lac"
    copy.write_bytes(files["bits"].read_bytes())
    names = [one["file"] for one in parsed(call("compare", files["bits"], copy, "--json"))["files"]]
    assert names == [str(files["bits"]), str(copy)]


def test_tied_tensors_are_one(call, tmp_path):
    weight = torch.randn(30, 20)
    save_checkpoint(tmp_path / "a.safetensors", {"a.weight": weight, "b.weight": weight.clone()}, {})
    call("compress", tmp_path / "a.safetensors", "-o", tmp_path / "a.lac", "--bits", "3")
    record = parsed(call("report", tmp_path / "a.lac", "--against", tmp_path / "a.safetensors", "--json"))
    assert [one["name"] for one in record["tensors"]] == ["a.weight"]
    assert [one["name"] for one in record["changes"]] == ["a.weight"]
    assert "tied once" in [one["name"] for one in record["stages"]]


def test_bad_input_is_refused_and_nothing_is_written(net, published, files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = str(files["bits"])
    (tmp_path / "broken.lac").write_bytes(files["bits"].read_bytes()[:-9])
    (tmp_path / "there.html").write_text("mine")
    refused = {
        ("report", "broken.lac"): "broken.lac",
        ("report", "missing.lac"): "no file missing.lac",
        ("report", str(net)): "net.safetensors",
        ("report", file, "-o", "there.html"): "--force",
        ("report", file, "--data", "digits"): "--data: goes with --against",
        ("report", file, "--against", str(published), "-o", "a.html"): "of another shape",
        ("report", file, "--against", str(net), "--plan", "a.toml", "-o", "a.html"): "name --net and --data",
        ("report", file, "--frontier", ".", "-o", "a.html"): "frontier.json is not what laconic frontier writes",
        ("report", file, "--run", file, "-o", "a.html"): "cannot be read",
        ("compare", file, "broken.lac", "-o", "a.html"): "broken.lac",
        ("report", file, "--key", "ema"): "--key: goes with --against",
        ("report", file, "--against", str(net), *DIGITS, "--plan", "./a.html", "-o", "a.html"): "the page goes",
        ("report", file, "--overlays", f"{file}/x", "-o", "a.html"): "lies below one",
        ("report", file, "--against", str(net), "--time", "-o", "a.html"): "calls want inputs: name --net and --data",
        ("compare", file, "--samples", "9"): "--samples: goes with --against",
    }
    for command, said in refused.items():
        assert run([*command]) == 1, command
        assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.lac", "there.html"]
    assert (tmp_path / "there.html").read_text() == "mine"


@pytest.mark.slow
def test_rows_mend_resnet20(call, data_dir, cifar10, tmp_path):
    """At 1.6 bits, with 1,280 images of CIFAR-10: five rows, and the file of `compress --plan`."""
    reference = data_dir / "models" / "resnet20_cifar10.safetensors"
    if not reference.is_file():
        pytest.skip(f"no trained network {reference}")
    data = ["--net", "resnet20", "--data", "cifar10", "--data-dir", data_dir]
    call("compress", reference, "-o", tmp_path / "a.lac", "--bits", "1.6")
    told = parsed(
        call("report", tmp_path / "a.lac", "--against", reference, *data, "--plan", tmp_path / "m.toml", "--json")
    )
    damage, (size, far) = told["damage"], told["damage"]["together"]
    assert len(damage["mends"]) == 5
    assert all(row["distance"] < damage["distance"] for row in damage["mends"])
    call("compress", reference, "-o", tmp_path / "b.lac", "--plan", tmp_path / "m.toml", "--size", size)
    assert 0.98 * size <= (tmp_path / "b.lac").stat().st_size <= size
    (found,) = parsed(call("compare", tmp_path / "b.lac", "--against", reference, *data, "--json"))["files"]
    assert found["damage"]["distance"] < damage["distance"]
    assert found["damage"]["distance"] == pytest.approx(far, rel=0.2)
