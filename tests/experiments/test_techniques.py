"""The recipe that compares techniques: none is forgotten, files have the sizes that they say, statements are judged."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from laconic import Joint, Lossless
from laconic.api import compress
from laconic.errors import DataError
from laconic.experiments.recipes import Cache, Context, equal_sizes, recipe, reproduce
from laconic.experiments.recipes.equal_sizes import claims, figure, kmeans_starts, measurements, subject
from laconic.experiments.recipes.equal_sizes.settings import COMPARED, SETTINGS, Setting
from laconic.experiments.recipes.equal_sizes.strength import NEAR, halved, labels, nearest, sought
from laconic.format import container
from laconic.models.params import decompress
from laconic.plans.techniques import TECHNIQUES, technique_of
from laconic.plans.toml import parse_compression
from laconic.training.optimization import Optimization

NAMES = ("lossless", "codebook", "ternary", "keep", "rank after nuclear norm", "two_components")
FEW = tuple(setting for setting in SETTINGS if setting.label in NAMES)
TARGET = 6_000
TINY = replace(
    subject.DIGITS,
    images=300,
    targets=(TARGET,),
    learning=subject.learning(1, 3, 1),
    tuning=subject.tuning(1),
    tries=2,
    values=(3,),
    prices=(1e-3, 3e-2),
)


def shrunk(patch):
    patch.setattr(equal_sizes, "COMPARED", FEW)
    patch.setattr(subject, "DIGITS", TINY)
    patch.setattr(subject, "TRAINING_DIGITS", Optimization(epochs=3, lr=0.05))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    shrunk(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nobody interrupted, and what was said meanwhile."""
    folder, said = tmp_path_factory.mktemp("techniques") / "run", []
    with pytest.MonkeyPatch.context() as patch:
        shrunk(patch)
        reproduce(recipe("techniques"), folder, lambda done, text: said.append((done, text)))
    return folder, said


def found(whole):
    return json.loads((whole[0] / "result.json").read_text(encoding="utf-8"))


# --- the settings ------------------------------------------------------------------------------------


def test_every_technique_is_compared():
    assert {setting.technique for setting in SETTINGS} == set(TECHNIQUES)
    assert len({setting.label for setting in SETTINGS}) == len(SETTINGS)
    assert {setting.family for setting in COMPARED} <= set(figure.COLOURS)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.label)
def test_a_setting_is_a_row_of_its_technique_at_every_strength(setting):
    for place in (0.0, 0.3, 1.0):
        row = dict(setting.row(setting.at(place)))
        assert technique_of(row, TECHNIQUES).key == setting.technique
        compression = parse_compression(row, "row")
        inner = compression.of if isinstance(compression, Joint) else compression
        assert isinstance(inner, TECHNIQUES[setting.technique].compression)
    if setting.span is not None:
        assert (setting.at(0), setting.at(1)) == setting.span
    priced = parse_compression(dict(setting.row(setting.at(0.3))), "row")
    assert setting.priced == (priced.scaled(3.0) != priced)


def test_statements_are_about_settings_that_there_are():
    known = {setting.label for setting in COMPARED}
    for contest in claims.CONTESTS:
        assert known >= {*contest.better, *contest.worse}
        assert contest.better
        assert contest.worse
        assert not {*contest.better} & {*contest.worse}
    assert "keep" in labels(SETTINGS, "pruning")


# --- the search --------------------------------------------------------------------------------------

SHARES = Setting("keep", "keep", "pruning", "share", dict, (1e-4, 1.0))
RANKS = Setting("rank", "rank", "low rank", "rank", dict, (1, 256), whole=True)


@pytest.mark.parametrize("target", [900, 1_500, 2_345, 9_000, 30_000, 50_000])
def test_a_size_is_met_from_below_as_well_as_integers_can(target):
    def size(rank):
        return 400 + 130 * rank

    best = max((size(rank) for rank in range(1, 257) if size(rank) <= target), default=size(1))
    made = halved(RANKS, size, target)
    assert made.size == best == size(made.strength)
    assert made.reaches(target) == (NEAR * target <= best <= target)


def test_a_size_that_jumps_over_the_target_is_not_reached():
    made = halved(SHARES, lambda share: 1_000 if share < 0.1 else 20_000, 16_000)
    assert (made.size, made.reaches(16_000)) == (20_000, False), "the nearest, which is above"
    assert halved(SHARES, lambda share: 1_000 if share < 0.1 else 20_000, 1_200).reaches(1_200)
    assert not halved(SHARES, lambda share: 50_000, 1_000).reaches(1_000)


def test_a_strength_that_is_refused_is_an_error_of_the_search():
    with pytest.raises(ZeroDivisionError):
        halved(SHARES, lambda share: 1 // 0, 1_000)


@pytest.mark.parametrize("offset", [-0.2, -0.05, 0.0, 0.05, 0.2])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_few_files_are_enough_near_the_start(offset, factor):
    asked = []

    def size(share):
        asked.append(share)
        return round(factor * 100_000 * share**1.2)

    start = halved(SHARES, lambda share: round(100_000 * share), 5_000)
    made, known = sought(SHARES, size, 5_000, {}, start.place + offset, start.slope, 5)
    assert made.reaches(5_000)
    assert [SHARES.at(place) for place in known] == asked
    again = sought(SHARES, lambda share: pytest.fail("it is known"), 5_000, known, 0.0, 1.0, 5)
    assert (again[0].place, again[0].size, again[1]) == (made.place, made.size, known)
    assert len(asked) == len(set(asked)) <= 5
    assert made.size == round(factor * 100_000 * made.strength**1.2)


@pytest.mark.parametrize("target", [2_000, 9_000, 30_000])
def test_what_other_sizes_have_shown_is_used(target):
    def size(share):
        return round(60_000 * share**0.6)

    known, asked = {place: size(SHARES.at(place)) for place in (0.5, 0.9)}, []
    made, _ = sought(SHARES, lambda share: asked.append(share) or size(share), target, known, 0.0, 5.0, 5)
    assert made.reaches(target)
    assert len(asked) <= 2


def test_a_size_that_falls_where_it_should_rise_misleads_nobody():
    known = {0.2: 900, 0.4: 2_000, 0.6: 950, 0.8: 3_000}
    asked = []
    sought(SHARES, lambda share: asked.append(share) or 990, 1_000, known, 0.0, 5.0, 1)
    assert SHARES.at(0.2) < asked[0] < SHARES.at(0.4)


def test_the_search_stops_where_it_cannot_move():
    asked = []
    made, _ = sought(RANKS, lambda rank: asked.append(rank) or 50_000, 1_000, {}, 0.0, 5.0, 9)
    assert (made.strength, asked) == (1, [1])


def test_the_nearest_size():
    assert nearest({0.0: 70, 0.5: 81, 0.6: 99, 1.0: 101}, 100) == 0.6
    assert nearest({0.0: 100}, 100) == 0.0
    assert nearest({0.0: 10, 1.0: 500}, 100) == 1.0
    assert nearest({0.0: 50, 1.0: 500}, 100) == 0.0


# --- a run -------------------------------------------------------------------------------------------


def test_a_run_has_a_row_for_each_technique_and_method(whole):
    record = found(whole)
    assert record["network"] == "lenet300-tanh digits"
    assert [(row["setting"], row["target"], row["method"]) for row in record["rows"]] == [
        (setting.label, TARGET, method) for setting in FEW for method in claims.METHODS
    ]
    for row in record["rows"]:
        if "reason" not in row:
            assert row["reached"] == (NEAR * TARGET <= row["bytes"] <= TARGET)
            assert 0 <= row["error"] <= 100
            assert list(row["kept"]) == ["fc1.weight", "fc2.weight", "fc3.weight"]
    done = [share for share, _ in whole[1]]
    assert done == sorted(done)
    assert 0 <= done[0] < done[-1] <= 1


def test_rows_that_there_are_not_say_why(whole):
    reasons = {(row["setting"], row["method"]): row.get("reason", "") for row in found(whole)["rows"]}
    assert "nothing is constrained" in reasons["lossless", "LC"]
    assert "takes four axes" in reasons["two_components", "direct"] == reasons["two_components", "LC"]
    assert "does not reach" in reasons["codebook", "LC"]
    assert not reasons["keep", "LC"]


def test_files_are_what_the_rows_say(whole, tmp_path):
    """The row of a plan makes the file again; the file that LC made is in the cache, byte for byte."""
    made = subject.prepare(Context(Cache(tmp_path, {})))
    by = {setting.label: setting for setting in FEW}
    kept = {
        json.loads(line)["key"]: json.loads(line)["figures"]
        for line in (whole[0] / "points.jsonl").read_text().splitlines()
    }
    cache = Cache(whole[0], json.loads((whole[0] / "job.json").read_text()))
    for row in found(whole)["rows"]:
        if "reason" in row or by[row["setting"]].trained:
            continue
        plan = by[row["setting"]].plan(row["strength"], made.params)
        assert isinstance(plan.rest, Lossless)
        if row["method"] == "direct":
            params = compress(made.params, plan, metadata=made.task.metadata)
            assert params.file_bytes == row["bytes"]
            params = params.params
        else:
            key = f"{row['setting']}/LC/{row['strength']}"
            file = cache.point(key, lambda: pytest.fail("it is there"))[1]["file"].numpy().tobytes()
            assert len(file) == row["bytes"] == kept[key]["bytes"]
            params = decompress(container.loads(file).codes)
        for split, error in (("test", "error"), ("validation", "validation")):
            assert made.task.evaluate(params, split)["error"] == pytest.approx(row[error], abs=1e-3)
        assert row["kept"] == measurements.kept(params)


def test_rows_after_training_are_of_the_price_that_validation_images_choose(whole, tmp_path):
    """The trained network is in the cache, and its truncation makes the file again; fine-tuning changes its numbers."""
    made, setting = subject.prepare(Context(Cache(tmp_path, {}))), next(s for s in FEW if s.trained)
    cache = Cache(whole[0], json.loads((whole[0] / "job.json").read_text()))
    direct, tuned = (row for row in found(whole)["rows"] if row["setting"] == setting.label)
    for row in (direct, tuned):
        tried = dict(map(tuple, row["validation by price"]))
        assert list(tried) == list(TINY.prices)
        assert tried[row["price"]] == row["validation"] == min(tried.values())
        assert row["reached"]
    key = f"{setting.label}, price {direct['price']:g}/network/reference"
    params = cache.point(key, lambda: pytest.fail("it is there"))[1]
    assert not all(torch.equal(params[name], made.params[name]) for name in params)
    again = compress(params, setting.plan(direct["strength"], params), metadata=made.task.metadata)
    assert again.file_bytes == direct["bytes"]
    assert made.task.evaluate(again.params, "test")["error"] == pytest.approx(direct["error"], abs=1e-3)
    assert tuned["validation"] != direct["validation"]


def test_the_page_has_the_numbers_and_the_figure(whole):
    record, page = found(whole), (whole[0] / "report.md").read_text(encoding="utf-8")
    for row in record["rows"]:
        if "reason" in row:
            assert f"- {row['setting']}, {row['method']}: {row['reason']}" in page
        else:
            size = f"{row['bytes']:,}" if row["reached"] else f"({row['bytes']:,})"
            assert f"| `{row['row']}` | {size} | {row['error']:.2f} |" in page
    for verdict in record["verdicts"]:
        assert f"| {verdict['text']} | {verdict['method']} | **{verdict['answer']}** |" in page
    assert (whole[0] / "techniques.png").read_bytes().startswith(b"\x89PNG")
    assert "(techniques.png)" in page


@pytest.mark.parametrize("after", [9])
def test_an_interrupted_run_ends_the_same(whole, tmp_path, after):
    calls = []

    def interrupt(done, text):
        calls.append(text)
        if len(calls) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(recipe("techniques"), tmp_path, interrupt)
    reproduce(recipe("techniques"), tmp_path, lambda done, text: None)
    ended = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert timeless(ended) == timeless(found(whole))
    keys = [json.loads(line)["key"] for line in (tmp_path / "points.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys)), "something was computed twice"


def timeless(record):
    for row in record["rows"]:
        row.pop("seconds", None)
    return record


@pytest.mark.full
def test_fast_trains_what_statements_name(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "DIGITS_FAST", TINY)
    monkeypatch.setattr(equal_sizes, "COMPARED", tuple(s for s in SETTINGS if s.label in ("keep", "l1_share")))
    reproduce(recipe("techniques"), tmp_path, lambda done, text: None, fast=True)
    made = [(row["setting"], row["method"]) for row in found((tmp_path, None))["rows"]]
    assert made == [("keep", "direct"), ("keep", "LC"), ("l1_share", "direct")]


def test_mnist_without_its_network_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").touch()
    ready = subject.data.load("digits", None, "pixels/16")
    monkeypatch.setattr(subject.data, "load", lambda *_: ready)
    with pytest.raises(DataError, match=r"lenet300_mnist\.safetensors, which is missing"):
        subject.prepare(Context(Cache(Path(tmp_path) / "run", {}), tmp_path))


# --- statements --------------------------------------------------------------------------------------


def row(label, target, method, share, validation, *, reached=True, kept=(0.1, 0.5)):
    """A row whose errors are a share of 400 images: not the same ones for all labels."""
    setting = next(setting for setting in SETTINGS if setting.label == label)
    errors = (np.random.default_rng(len(label)).permutation(400) < 400 * share).astype(float)
    figures = {"reached": reached, "validation": validation, "kept": dict(zip("ab", kept, strict=True))}
    return measurements.Measurement(setting, target, method, figures, errors)


def verdict_on(made, text, method):
    return next(one for one in made if one.text.startswith(text) and one.method == method)


def test_a_contest_is_between_the_best_on_the_validation_split():
    table = [
        row("codebook", 10, "direct", 0.5, 3.0),
        row("priced_codebook", 10, "direct", 0.1, 2.0),
        row("kmeans", 10, "direct", 0.0, 1.0, reached=False),
        row("binary", 10, "direct", 0.4, 5.0),
        row("ternary", 10, "direct", 0.3, 6.0),
        row("codebook", 20, "direct", 0.1, 3.0),
        row("binary", 20, "LC", 0.1, 3.0),
    ]
    made = claims.contests(table, 0)
    one = verdict_on(made, "in as many bytes of a file: adaptive", "direct")
    assert one.pairs == (("priced_codebook", "binary"),)
    assert (one.verdict.answer, one.verdict.below, one.verdict.above) == ("holds", 1, 0)
    assert one.verdict.gaps == (pytest.approx(-0.3),)
    assert one.verdict.shares == (10.0,)
    assert verdict_on(made, "in as many bytes of a file: adaptive", "LC").verdict.answer == "not measured"
    assert len(made) == 2 * len(claims.CONTESTS)


def test_sizes_are_compared_one_by_one():
    table = [
        row(label, target, "LC", share, 1.0)
        for target, keep, both in ((10, 0.1, 0.4), (20, 0.4, 0.1), (30, 0.4, 0.1))
        for label, share in (("keep", keep), ("low rank + sparse", both))
    ]
    verdict = verdict_on(
        claims.contests(table, 0), "additive beats its parts: low rank + sparse against pr", "LC"
    ).verdict
    assert (verdict.answer, verdict.below, verdict.above) == ("holds", 2, 1)
    assert verdict.gaps == pytest.approx((0.3, -0.3, -0.3))


def test_the_last_layer_is_counted():
    table = [
        row("keep", 10, "direct", 0.1, 1.0, kept=(0.1, 0.6)),
        row("keep", 10, "LC", 0.1, 1.0, kept=(0.1, 0.5)),
        row("keep", 20, "direct", 0.1, 1.0, kept=(0.1, 0.6)),
        row("keep", 20, "LC", 0.1, 1.0, kept=(0.1, 0.6)),
        row("keep by importance", 20, "direct", 0.1, 1.0, kept=(0.1, 0.7)),
        row("keep", 30, "LC", 0.1, 1.0, kept=(0.1, 0.9)),
    ]
    learned, weighed = (one.verdict for one in claims.last_layer(table))
    assert (learned.answer, learned.below, learned.above, learned.gaps) == ("holds", 1, 0, (-0.1, 0.0))
    assert (weighed.answer, weighed.below, weighed.above, weighed.shares) == ("does not hold", 0, 1, (20.0,))
    assert [one.verdict.answer for one in claims.last_layer([])] == ["not measured", "not measured"]


def test_starts_are_compared_with_linear():
    low, high = np.zeros(400), np.r_[np.ones(200), np.zeros(200)]
    made = [
        kmeans_starts.Start(k, name, method, 100.0, low if name == "linear" else high)
        for k in (4, 8)
        for name in ("linear", "random")
        for method in ("direct", "tuned")
    ]
    judged = claims.starts(made, 0)
    assert [(one.text, one.method, one.verdict.answer) for one in judged] == [
        ("linear initialisation of k-means is best: against random", method, "holds") for method in ("direct", "tuned")
    ]
    assert judged[0].verdict.shares == (4.0, 8.0)


def test_every_start_is_in_the_record(whole):
    made = [(row["values"], row["start"], row["method"]) for row in found(whole)["starts"]]
    assert made == [(3, start, method) for start in kmeans_starts.STARTS for method in ("direct", "tuned")]
