"""Recipes of students: searched, distilled, and taught by three ways; on a few digits, for verdicts that follow."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import laconic
from laconic.errors import DataError
from laconic.experiments.recipes import distillation, n2n, recipe, reproduce, transfer
from laconic.experiments.recipes.distillation import running as distilling
from laconic.experiments.recipes.distillation.running import WAYS, Row
from laconic.experiments.recipes.enlarged import enlarged
from laconic.experiments.recipes.n2n import searching
from laconic.experiments.recipes.n2n.page import judged, rewards
from laconic.experiments.recipes.n2n.searching import Found, Teacher
from laconic.experiments.recipes.transfer import running as transferring
from laconic.models.data import Dataset, read_digits
from laconic.teachers.students.architecture import perceptron
from laconic.teachers.students.search import Effort
from laconic.teachers.synthetic import Making
from laconic.training.optimization import Optimization, adam
from laconic.training.passes import in_batches
from laconic.training.task import classification


def silent(done: float, text: str) -> None:
    pass


def test_larger_digits_are_the_same_digits():
    large, small = enlarged(32, 3), read_digits()
    assert large.train[0].shape[1:] == (3, 32, 32)
    assert torch.equal(large.test[1], small.test[1])
    means = large.test[0].float().unfold(2, 4, 4).unfold(3, 4, 4).mean((1, 4, 5)) * (16 / 255)
    assert (means - small.test[0][:, 0]).abs().mean() < 1.2, "of 16"


def test_an_epoch_of_so_many_batches_has_samples_as_often_as_one_another():
    labels = torch.arange(10)
    data = Dataset("ten", {"train": (labels[:, None].float(), labels)})
    of = in_batches(classification(torch.nn.Linear(1, 10), data, batch=4), 6)
    batches = list(of.batches("train", 3))
    assert len(batches) == of.count("train") == 6
    assert set(torch.cat([targets for _, targets in batches]).bincount(minlength=10).tolist()) == {2}
    first, second = (torch.cat([targets for _, targets in part]) for part in (batches[:3], batches[3:]))
    assert not torch.equal(first, second), "each pass has another order"
    assert torch.equal(first[:4], next(in_batches(of, 1).batches("train", 3))[1])


@pytest.fixture
def tiny(monkeypatch):
    budget = n2n.subject.Budget(Effort(4, 3, 2), 1, 64, 32, Optimization(1, 1e-3, optimizer=adam), 50)
    subject = replace(
        n2n.LENET5, fast=budget, reference=Optimization(1, 1e-3, optimizer=adam),
        rows=lambda shape: perceptron(shape, (20, 10, 10)),
    )  # fmt: skip
    run = replace(recipe("n2n"), run=lambda context: n2n._run(subject, context))
    monkeypatch.setattr(searching.nets, "build", lambda net, shape, classes, seed: _built(shape, seed))
    return run


def _built(shape, seed):
    return perceptron(shape, (20, 10, 10)).build(torch.Generator().manual_seed(seed))


def test_a_search_that_is_killed_ends_as_one_that_is_not_and_reads_the_test_split_once_a_search(
    tiny, tmp_path, monkeypatch
):
    whole, save, saved, read = reproduce(tiny, tmp_path / "whole", silent), searching.save_search, [], []

    def dying(*given):
        save(*given)
        saved.append(given)
        if len(saved) == 5:
            raise KeyboardInterrupt

    def counting(*given):
        read.append(given[2])
        return judge(*given)

    judge = searching.sample_by_sample
    monkeypatch.setattr(searching, "sample_by_sample", counting)
    monkeypatch.setattr(searching, "save_search", dying)
    with pytest.raises(KeyboardInterrupt):
        reproduce(tiny, tmp_path / "killed", silent)
    outcome = reproduce(tiny, tmp_path / "killed", silent)
    assert json.loads(json.dumps(outcome.record)) == json.loads(json.dumps(whole.record))
    assert read == ["test"] * 3, "of the teacher, and of the best of each search"
    assert [(one["method"], len(one["tried"])) for one in outcome.record["searches"]] == [("policy", 7), ("random", 7)]
    assert not list((tmp_path / "killed" / "kept").glob("*state*"))
    text = (tmp_path / "killed" / "report.md").read_text("utf-8")
    assert "14 students of 896 images in all" in text


def test_a_policy_beats_random_search_where_its_students_are_worth_more_beyond_chance():
    source = np.random.default_rng(0)
    of = Teacher(perceptron((1, 8, 8), (30, 10)), None, None, 0.95, (source.random(500) < 0.05) * 1.0)

    def every(right, seeds):
        found = []
        for seed in range(seeds):
            for method, share in right.items():
                errors = (source.random(500) >= share) * 1.0
                found.append(Found(method, seed, (), (), "", of.rows.parameters // 2, errors))
        return found

    better = judged(of, every({"policy": 0.9, "random": 0.6}, 3), 0)
    assert [one.answer for one in better] == ["holds"]
    assert [one.answer for one in judged(of, every({"policy": 0.6, "random": 0.9}, 1), 0)] == ["does not hold"]
    assert [one.answer for one in judged(of, every({"policy": 0.8, "random": 0.8}, 3), 0)] == ["undecided"]
    (one,) = every({"policy": 0.8}, 1)
    assert rewards(of, one).mean() == pytest.approx(0.75 * (1 - one.errors.mean()) / (1 - of.errors.mean()))


def test_every_student_is_trained_three_ways_and_only_those_alone_have_dropout(tmp_path, monkeypatch):
    tiny = replace(distillation.DIGITS, teacher="polino-0.1m", epochs=1, images=50)
    monkeypatch.setattr(distillation, "DIGITS", tiny)
    train, seen = distilling.trained, []

    def watched(context, key, task, how):
        seen.append([part.p for part in task.module.modules() if "Dropout" in type(part).__name__])
        return train(context, key, task, how)

    monkeypatch.setattr(distilling, "trained", watched)
    monkeypatch.setattr(distilling, "BITS", (1.5,))
    chosen = recipe("distillation-cifar10")
    outcome = reproduce(chosen, tmp_path, silent, fast=True)
    assert [row["way"] for row in outcome.record["rows"]] == ["teacher", *WAYS]
    assert [row["MB"] for row in outcome.record["rows"]] == [0.4477] * 4
    assert seen[1:] == [[0.2, 0.3, 0.4], [0.0] * 3, [0.0] * 3]
    assert all(row["files"][0]["bytes"] < 111_935 * 1.5 / 8 * 1.05 for row in outcome.record["rows"][1:])
    assert "71.6" not in outcome.page
    assert "28.4" in outcome.page
    for name in ("distillation-cifar10", "distillation-cifar10-resnet32"):
        with pytest.raises(DataError, match="needs CIFAR-10"):
            reproduce(recipe(name), tmp_path / name, silent)


def test_a_student_is_better_distilled_where_fewer_test_images_are_wrong_beyond_chance():
    source = np.random.default_rng(0)

    def row(way, share):
        return Row("polino-0.1m", way, 1, (source.random(2000) < share) * 1.0)

    rows = [row("teacher", 0.1), row(WAYS[0], 0.4), row(WAYS[1], 0.3), row(WAYS[2], 0.3)]
    answers = [one.answer for one in distillation.judged(rows, 0)]
    assert answers == ["holds", "undecided"]


def test_files_of_all_ways_are_within_the_size_and_other_data_bring_no_labels(tmp_path, monkeypatch):
    short = Optimization(1, 1e-3, optimizer=adam)
    budget = replace(
        transfer.FAST, reference=short, teaching=short, batches=3, made=64, noise=50,
        making=Making(64, 60, tolerance=0.5),
    )  # fmt: skip
    monkeypatch.setattr(transfer, "FAST", budget)
    lessons = []

    def quick(size, params, task, *rest):
        batch = next(task.batches("train", 0))
        (teacher,) = task.objective.teachers
        lessons.append((task.objective.how.alpha, bool((batch[1] == teacher.says(batch).argmax(1)).all())))
        return laconic.compress(params, size=size)

    monkeypatch.setattr(transferring, "resumed_within", quick)
    outcome = reproduce(recipe("transfer-schemes"), tmp_path, silent)
    ways = ["network transfer", "knowledge transfer", "data transfer, generated", "data transfer, noise"]
    assert [row["way"] for row in outcome.record["rows"]] == ways
    assert all(9_900 <= row["bytes"] <= 10_000 for row in outcome.record["rows"])
    labels, choice = (0.1, False), (0.0, True)
    assert lessons == [labels, labels, choice, choice], "of other data targets are what the teacher chooses"
    assert outcome.record["apart"] <= 0.5
    assert len(outcome.record["verdicts"]) == 4
    assert (tmp_path / "transfer-data.png").exists()
    assert reproduce(recipe("transfer-schemes"), tmp_path, silent).record == outcome.record
    assert len(lessons) == 4, "what is finished is not done again"
