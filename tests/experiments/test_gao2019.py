"""The experiments of Gao et al. 2019 in small: sizes as the paper counts, resumption, and what the pages say."""

import io
import json
import math
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from crossing import usually

from laconic import Compression
from laconic.cli import run
from laconic.errors import DataError, UnsupportedMetric
from laconic.experiments.recipes import RECIPES, Cache, Context, recipe, reproduce
from laconic.experiments.recipes.gao2019 import networks
from laconic.experiments.recipes.gao2019.experiment import CIFAR, MNIST, PANELS, PANELS100
from laconic.experiments.recipes.gao2019.methods import METHODS, metrics_of, refusal
from laconic.experiments.recipes.gao2019.page import page
from laconic.experiments.recipes.gao2019.points import TECHNIQUES, clustered_share, kept_share
from laconic.experiments.recipes.gao2019.study import CLAIMS, study
from laconic.experiments.recipes.gao2019.validation import choose
from laconic.models.data import Dataset
from laconic.theory.metric import Quartic

TINY = replace(
    MNIST,
    values={"pruning": (0.1, 0.4), "quantization": (2, 4)},
    anchors={"pruning": (0.2,), "quantization": (3,)},
    temperatures=(1, 4),
    added=(0.0, 0.1),
    samples=100,
    validation=50,
    test=80,
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.delenv("LACONIC_DATA", raising=False)
    monkeypatch.setattr(networks, "MNIST_FAST", TINY)
    monkeypatch.setattr(networks, "TRAINING_MLP", replace(networks.TRAINING_MLP, epochs=3))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nobody interrupted, and what was said meanwhile."""
    folder, said = tmp_path_factory.mktemp("gao") / "run", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "MNIST_FAST", TINY)
        patch.setattr(networks, "TRAINING_MLP", replace(networks.TRAINING_MLP, epochs=3))
        reproduce(recipe("gao2019-mnist"), folder, lambda done, text: said.append((done, text)), fast=True)
    return folder, said


def halfway(whole, folder, points):
    """The folder as it was after the first points of a run, the trained network among them."""
    shutil.copytree(whole[0], folder)
    (folder / "result.json").unlink()
    (folder / "report.md").unlink()
    lines = (folder / "points.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "points.jsonl").write_text("".join(lines[:points]), encoding="utf-8")
    return folder


def subject_of(whole, folder):
    cache = Cache(halfway(whole, folder, 1), json.loads((whole[0] / "job.json").read_text(encoding="utf-8")))
    (subject,) = networks.mnist(Context(cache, fast=True))
    return subject


# --- sizes -------------------------------------------------------------------------------------------


def test_pruning_is_counted_as_the_paper_counts():
    weights = {"a": torch.ones(4, 5), "b": torch.ones(2, 5)}
    made = {"a": torch.ones(4, 5).tril(), "b": torch.zeros(2, 5)}
    assert kept_share(weights, made) == 10 / 30


@pytest.mark.parametrize("clusters", [1, 2, 3, 7])
def test_quantization_is_counted_by_the_papers_formula(clusters):
    """r = m b / (m Σ_j (m_j/m) ⌈log2(m/m_j)⌉ + k b), transcribed for one tensor."""
    source, m, b = np.random.default_rng(clusters), 60, 32
    labels = source.permutation(np.concatenate([np.arange(clusters), source.integers(0, clusters, m - clusters)]))
    counts = np.bincount(labels, minlength=clusters)
    r = m * b / (m * sum(m_j / m * math.ceil(math.log2(m / m_j)) for m_j in counts) + clusters * b)
    made = torch.from_numpy(labels.reshape(6, 10) / 2)
    assert clustered_share({"w": torch.ones(6, 10)}, {"w": made}) == pytest.approx(1 / r)


def test_powers_of_two_have_whole_lengths():
    made = torch.tensor([1.0] * 4 + [2.0] * 2 + [3.0] * 2)
    assert clustered_share({"w": torch.ones(8)}, {"w": made}) == (4 * 1 + 4 * 2 + 3 * 32) / (8 * 32)


# --- a run -------------------------------------------------------------------------------------------


def test_a_run_has_everything(whole):
    folder, said = whole
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    (network,) = record["networks"]
    assert network["network"] == "mlp256 digits"
    assert network["of the paper"] is False
    drawn = {(curve["technique"], curve["method"]) for curve in network["curves"]}
    skipped = {(row["technique"], row["method"]) for row in network["skipped"]}
    assert drawn | skipped == {(technique, method) for technique in TECHNIQUES for method in METHODS}
    assert not drawn & skipped
    for curve in network["curves"]:
        assert [point["value"] for point in curve["points"]] == list(TINY.values[curve["technique"]])
        for point in curve["points"]:
            assert 0 < point["share"] < 1
            assert point["file_bytes"] > 500
            assert point["loss"] > 0
            assert 0 <= point["accuracy"] <= 1
    assert {(v["technique"], v["text"]) for v in network["verdicts"]} == {
        (t, c.text) for t in TECHNIQUES for c in CLAIMS
    }
    done = [share for share, _ in said]
    assert done == sorted(done)
    assert 0 <= done[0] < done[-1] <= 1


def test_choices_are_made_on_the_validation_split(whole):
    record = json.loads((whole[0] / "result.json").read_text(encoding="utf-8"))
    choices = {(c["technique"], c["method"]): c for c in record["networks"][0]["choices"]}
    assert set(choices) == {(t, m) for t in TECHNIQUES for m in ("proposed", "hessian")}
    for (technique, method), choice in choices.items():
        rows = {row["setting"]: row["accuracies"] for row in choice["validation"]}
        assert list(rows) == list(TINY.temperatures if method == "proposed" else TINY.added)
        assert set(choice["places"]) == {*TINY.anchors[technique], *TINY.values[technique]}
        assert [row["value"] for row in choice["chosen"]] == list(TINY.values[technique])
        for row in choice["chosen"]:
            place = choice["places"].index(row["value"])
            assert rows[row["setting"]][place] == max(accuracies[place] for accuracies in rows.values())


def test_one_choice_may_serve_all_points(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "MNIST_FAST", replace(TINY, each=False))
    subject = subject_of(whole, tmp_path / "run")
    for (technique, _), choice in choose(subject).items():
        assert choice.places == TINY.anchors[technique]
        assert list(choice.chosen) == list(TINY.values[technique])
        assert len(set(choice.chosen.values())) == 1


def test_the_page_has_the_numbers_and_the_figures(whole):
    folder, _ = whole
    record, page = json.loads((folder / "result.json").read_text()), (folder / "report.md").read_text(encoding="utf-8")
    for curve in record["networks"][0]["curves"]:
        for point in curve["points"]:
            assert (
                f"{point['accuracy']:.2%}, {point['loss']:.4f}; r {point['share']:.2%}, {point['file_bytes']:,} B"
                in page
            )
    for claim in CLAIMS:
        assert page.count(f"| {claim.text} |") == len(TECHNIQUES)
    assert "not the paper's network" in page
    for kind in (*PANELS, "sensitivity"):
        assert f"(mlp256-digits-{kind}.png)" in page
        assert (folder / f"mlp256-digits-{kind}.png").read_bytes().startswith(b"\x89PNG")


@usually("after", [], else_=[2, 6, 13])  # the command, which goes on, always
def test_an_interrupted_run_ends_the_same(whole, tmp_path, after):
    calls = []

    def interrupt(done, text):
        calls.append(text)
        if len(calls) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(recipe("gao2019-mnist"), tmp_path, interrupt, fast=True)
    assert not (tmp_path / "result.json").exists()
    reproduce(recipe("gao2019-mnist"), tmp_path, lambda done, text: None, fast=True)
    for name in ("result.json", "report.md"):
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes()
    keys = [json.loads(line)["key"] for line in (tmp_path / "points.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys)), "something was computed twice"


def test_temperature_and_added_change_the_metric(whole, tmp_path):
    subject = subject_of(whole, tmp_path / "run")
    soft, sharp = (metrics_of(subject, METHODS["proposed"], t) for t in (9.0, 1.0))
    assert not torch.equal(soft["fc1.weight"].importance, sharp["fc1.weight"].importance)
    plain, lifted = (metrics_of(subject, METHODS["hessian"], mu) for mu in (0.0, 0.25))
    for name in ("fc1.weight", "fc2.weight", "fc3.weight"):
        assert torch.equal(plain[name].importance + 0.25, lifted[name].importance)
        assert torch.allclose(plain[name].importance, sharp[name].importance), "Gauss-Newton is unsupervised at T = 1"
    both = metrics_of(subject, METHODS["gradient+hessian"], None)
    gradient = metrics_of(subject, METHODS["gradient"], None)
    assert isinstance(both["fc3.weight"], Quartic)
    assert torch.allclose(both["fc3.weight"].quadratic, gradient["fc3.weight"].importance)
    assert set(both) == {"fc1.weight", "fc2.weight", "fc3.weight"}
    assert metrics_of(subject, METHODS["baseline"], None) is None


def test_a_metric_that_is_refused_is_a_reason():
    class Refuses(Compression):
        def project(self, weights, metrics=None, warm=None):
            raise UnsupportedMetric("not this one")

    class Takes(Compression):
        def project(self, weights, metrics=None, warm=None):
            return {}

    assert refusal(Refuses(), METHODS["gradient+hessian"]) == "not this one"
    assert refusal(Takes(), METHODS["gradient+hessian"]) is None
    assert refusal(Refuses(), METHODS["hessian"]) is None


# --- the other networks ------------------------------------------------------------------------------


def noise(classes):
    generator = torch.Generator().manual_seed(0)
    sizes = {"train": 12, "validation": 6, "test": 6}
    splits = {
        name: (torch.randn(n, 3, 32, 32, generator=generator), torch.arange(n) % classes) for name, n in sizes.items()
    }
    return Dataset("cifar10", splits, classes, "imagenet")


FEW = replace(
    networks.SMALL,
    training=replace(networks.SMALL.training, epochs=2),
    batch=4,
    images=8,
    settings=replace(TINY, test=4),
)


@pytest.fixture
def on_a_processor(monkeypatch):
    """CIFAR's networks of the paper, on a few images of noise and for two epochs."""
    monkeypatch.setattr(networks.data, "load", lambda *_, **__: noise(10))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(networks, "SMALL", FEW)


def test_without_a_gpu_train_is_scale_small_on_conv5(tmp_path, on_a_processor):
    (subject,) = networks.cifar10(Context(Cache(tmp_path, {}), tmp_path, train=True))
    assert (subject.label, subject.published) == ("conv5-fc3 cifar10 small", False), "its sizes are ours"
    assert "Scale small: trained for 2 epochs of 8 training images, drawn anew, in batches of 4." in subject.note
    (measured,) = (batch[0] for batch in subject.task.batches("test", 0))
    assert torch.equal(measured, noise(10).splits["test"][0][:4])
    assert measured.is_contiguous(memory_format=torch.channels_last), "convolutions take half the time"
    assert subject.params["0.bn.running_mean"].any(), "it was trained"


@pytest.mark.parametrize(("scale", "batches", "epochs"), [(FEW, 2, 2), (replace(networks.FULL, batch=4), 3, 150)])
def test_a_scale_says_how_a_network_is_trained(tmp_path, monkeypatch, scale, batches, epochs):
    seen = []
    monkeypatch.setattr(networks, "trained", lambda context, key, task, how: seen.append((key, task, how)) or {})
    context = Context(Cache(tmp_path, {}), tmp_path)
    subject = networks._at_scale(context, "conv5-fc3", noise(10), scale, PANELS100)
    ((key, task, how),) = seen
    assert key == subject.label == f"conv5-fc3 cifar10 {scale.name}", "scales share no point of a folder"
    assert how.epochs == epochs
    drawn = [torch.cat([labels for _, labels in task.batches("train", seed)]) for seed in range(20)]
    assert {len(labels) for labels in drawn} == {4 * batches}
    assert set(torch.cat(drawn).tolist()) == set(range(10)), "over the epochs, all images come"
    assert subject.settings.panels == PANELS100


def test_the_small_scale_is_the_full_one_shortened():
    small, full = networks.SMALL, networks.FULL
    assert small.images == 10_000
    assert small.training.epochs <= 30
    assert replace(small.training, epochs=full.training.epochs) == full.training, "the rate falls at the same shares"
    for setting in ("values", "anchors", "temperatures", "added", "panels"):
        assert getattr(small.settings, setting) == getattr(full.settings, setting), setting


def test_training_at_the_small_scale_goes_on_at_an_epoch(tmp_path, on_a_processor):
    said = []

    def interrupt(done, text):
        said.append(text)
        if len(said) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(networks.cifar10(Context(Cache(tmp_path / "a", {}), tmp_path, train=True, say=interrupt)))
    (gone_on,) = networks.cifar10(Context(Cache(tmp_path / "a", {}), tmp_path, train=True, say=interrupt))
    assert [text.split(",")[0] for text in said] == [f"conv5-fc3 cifar10 small: epoch {n}/2" for n in (1, 2)]
    (straight,) = networks.cifar10(Context(Cache(tmp_path / "b", {}), tmp_path, train=True))
    assert all(torch.equal(gone_on.params[name], tensor) for name, tensor in straight.params.items())


def test_the_axes_are_those_of_the_papers_figures():
    """Figures 2 and 3 of the paper: 0 to 100 % of the weights kept, 4 to 12 % of the size."""
    values, weights = CIFAR.values, {"w": torch.randn(100, 100, generator=torch.Generator().manual_seed(0))}
    assert values["pruning"] == tuple(n / 10 for n in range(1, 10)), "the ends are known without a run"
    made = (TECHNIQUES["quantization"].compression(k).project(weights)["w"] for k in values["quantization"])
    shares = [clustered_share({"w": weights["w"]}, {"w": torch.from_numpy(code.decompress())}) for code in made]
    assert 0.04 < shares[0] < 0.05, "two clusters: nothing is smaller"
    assert shares[-1] > 0.12
    assert max(b - a for a, b in pairwise(shares)) < 0.025


def test_record_and_page_name_the_scale(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    cache = Cache(folder, json.loads((folder / "job.json").read_text(encoding="utf-8")))
    (subject,) = networks.mnist(Context(cache, fast=True))
    for scale in (None, FEW):
        studied = study(replace(subject, scale=scale))
        text = page("name", [studied], {subject.label: ()})
        assert studied.record().get("scale") == (scale and "small")
        assert ("a network of ours, at scale small" in text) == (scale is not None)
    assert studied.record()["training"] == {"epochs": 2, "images an epoch": 8, "batch": 4}


def test_without_a_gpu_cifar10_runs_on_the_published_network(tmp_path, monkeypatch):
    monkeypatch.setattr(networks.data, "load", lambda *_, **__: noise(10))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DataError, match=r"resnet20_cifar10\.safetensors, which is missing.*--train"):
        next(networks.cifar10(Context(Cache(tmp_path / "a", {}), tmp_path)))


@pytest.mark.parametrize(("name", "missing"), [("cifar100", r"train\.bin"), ("cifar10-conv7", r"data_batch_1\.bin")])
def test_conv7_says_what_is_missing(tmp_path, monkeypatch, name, missing):
    run = RECIPES[f"gao2019-{name}"].run
    context = Context(Cache(tmp_path / "a", {}), tmp_path)
    with pytest.raises(DataError, match=f"no file {missing}"):
        run(context)
    monkeypatch.setattr(networks.data, "load", lambda *_, **__: noise(10))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DataError, match=f"gao2019-{name} trains .* needs a GPU, or --train"):
        run(context)


# --- the command -------------------------------------------------------------------------------------


def called(*arguments):
    printed, before = io.StringIO(), torch.get_num_threads()
    try:
        with redirect_stdout(printed):
            code = run(["reproduce", *map(str, arguments)])
    finally:
        torch.set_num_threads(before)
    return code, printed.getvalue()


def test_the_command_lists_the_recipes(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, shown = called()
    assert code == 0
    assert all(name in shown for name in RECIPES)
    listed = json.loads(called("--json")[1])["recipes"]
    assert [row["name"] for row in listed] == list(RECIPES)


def test_the_command_runs_one_and_goes_on(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = len((whole[0] / "points.jsonl").read_text().splitlines())
    halfway(whole, tmp_path / "reproduce-gao2019-mnist", made - 3)
    code, shown = called("gao2019-mnist", "--fast", "--json", "--threads", 1)
    assert code == 0
    assert json.loads(shown) == json.loads((tmp_path / "reproduce-gao2019-mnist" / "result.json").read_text())
    assert json.loads(shown) == json.loads((whole[0] / "result.json").read_text())
    monkeypatch.setattr(
        "laconic.experiments.recipes.gao2019.points.compress", lambda *_, **__: pytest.fail("it was finished")
    )
    assert called("gao2019-mnist", "--fast", "--quiet", "--threads", 1) == (0, "")


def test_the_command_refuses(tmp_path, capsys):
    for arguments, message in (
        (["gao2019-mnits"], "did you mean 'gao2019-mnist'"),
        (["gao2019-cifar10", "--data-dir", tmp_path, "-o", tmp_path / "a"], "cifar10: no file data_batch_1.bin"),
    ):
        assert called(*arguments)[0] == 1
        assert message in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(whole, tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("laconic.experiments.recipes.gao2019.points.compress", interrupt)
    folder = halfway(whole, tmp_path / "run", 1)
    assert called("gao2019-mnist", "--fast", "-o", folder, "--threads", 1)[0] == 130
    assert f"{folder}: the same command goes on" in " ".join(capsys.readouterr().err.split())
