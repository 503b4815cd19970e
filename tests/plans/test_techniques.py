"""The table of techniques keeps its word: what it says of metrics and exactness is so, and rows go both ways."""

import dataclasses
import tomllib

import pytest
import torch
from cases import CASES, normal

from laconic import Additive, Compression, FixedCodebook, Joint, KeepLargest, LowRank, UniformGrid
from laconic.csteps.joint import project
from laconic.errors import PlanError, UnsupportedMetric
from laconic.plans.plan import Plan
from laconic.plans.techniques import TECHNIQUES, Technique, row_of, technique_of
from laconic.plans.toml import parse_compression, parse_plan, to_toml
from laconic.theory.importance import Importance
from laconic.theory.metric import Diagonal, Kronecker, Metric, Quartic, Unit

WEIGHTS = {"w": normal(12, 16)}
METRICS: dict[type[Metric], Metric] = {
    Unit: Unit(),
    Diagonal: Diagonal(normal(12, 16, seed=1).square()),
    Quartic: Quartic(normal(12, 16, seed=2).square(), normal(12, 16, seed=3).square()),
    Kronecker: Kronecker(torch.eye(12), torch.eye(16)),
}
KERNEL_METRICS = METRICS | {
    Diagonal: Diagonal(normal(12, 4, 2, 2, seed=1).square()),
    Quartic: Quartic(normal(12, 4, 2, 2, seed=2).square(), normal(12, 4, 2, 2, seed=3).square()),
}
each = pytest.mark.parametrize("technique", TECHNIQUES.values(), ids=lambda technique: technique.key)


def test_every_metric_is_tried():
    assert {kind for kind in Metric.__subclasses__() if kind.__module__ == "laconic.theory.metric"} == set(METRICS)


@each
@pytest.mark.parametrize("kind", METRICS, ids=lambda kind: kind.__name__)
def test_the_metrics_of_the_table_are_honoured_and_no_others(technique: Technique, kind: type[Metric]):
    compression = parse_compression(technique.example, technique.key)
    if technique.key == "two_components":  # of kernels alone
        weights, metrics = {"w": WEIGHTS["w"].reshape(12, 4, 2, 2)}, KERNEL_METRICS
    else:
        weights, metrics = WEIGHTS, METRICS
    if kind in technique.metrics or technique.key == "lossless":
        codes = project(compression, weights, {"w": metrics[kind]})
        assert codes["w"].shape == weights["w"].shape
    else:
        with pytest.raises(UnsupportedMetric, match=f"w: .*{kind.__name__}"):
            project(compression, weights, {"w": metrics[kind]})


def plain(compression: Compression) -> bool:
    """Whether nothing is compressed within it but what is left alone."""
    inner = [getattr(compression, field.name) for field in dataclasses.fields(compression)]
    lossless = parse_compression({"lossless": True}, "")
    priced = isinstance(compression, FixedCodebook) and compression.price > 0  # its option says so
    return not priced and all(part == lossless for part in inner if isinstance(part, Compression))


@pytest.mark.parametrize("exact", [True, False])
def test_what_the_cases_hold_to_be_exact_is_what_the_table_says(exact: bool):
    named = {technique.compression for technique in TECHNIQUES.values() if technique.exact is exact}
    other = {technique.compression for technique in TECHNIQUES.values() if technique.exact is not exact}
    for case in CASES:
        inner = case.compression.of if isinstance(case.compression, Joint) else case.compression
        hard = {kind for t in TECHNIQUES.values() if t.compression is type(inner) for kind in t.approximate}
        if hard & {type(metric) for metric in case.metrics.values()}:
            assert not case.exact, case.name
        elif type(inner) in named - other and plain(inner):
            assert case.exact is exact, case.name


@each
def test_a_row_goes_both_ways(technique: Technique):
    for compression in (
        parse_compression(technique.example, "row"),
        parse_compression({**technique.example, "joint": True}, "row"),
    ):
        row = row_of(compression, TECHNIQUES.values())
        assert parse_compression(row, "row") == compression
        assert technique_of(row, TECHNIQUES).compression is technique.compression
        plan = Plan({"a*": compression, 'odd "name"\x7f\n, größe': compression}, rest=compression)
        assert parse_plan(tomllib.loads(to_toml(plan))) == plan


@pytest.mark.parametrize(
    "row",
    [
        {"keep": 0.05, "values": {"codebook": 16, "joint": True}, "joint": True},
        {"count": 7},
        {"rank": 3, "view": "out.kh|in.kw", "left": {"codebook": 8}, "right": {"keep": 0.5}},
        {"grid": 1e-05, "rate": 0.1, "states": 8},
        {"grid_bits": 3, "rows": True},
        {"sum": [{"rank": 2}, {"sum": [{"codebook": 2}, {"count": 3}], "sweeps": 4}]},
    ],
    ids=str,
)
def test_rows_say_what_is_not_the_default_in_the_order_of_the_options(row: dict[str, object]):
    compression = parse_compression(row, "row")
    assert row_of(compression, TECHNIQUES.values()) == row
    assert parse_plan(tomllib.loads(to_toml(Plan({"w": compression})))) == Plan({"w": compression})


def test_what_no_row_stands_for_is_refused():
    with pytest.raises(PlanError, match="no row of a plan stands for Joint"):
        row_of(Joint(Joint(KeepLargest(0.1))), TECHNIQUES.values())

    @dataclasses.dataclass(frozen=True)
    class Own(Compression):
        def project(self, weights, metrics=None, warm=None):
            return {}

    with pytest.raises(PlanError, match=r"no row of a plan stands for .*Own"):
        to_toml(Plan({"w": Additive((LowRank(1), Own()))}))
    with pytest.raises(PlanError, match="no row of a plan stands for"):
        to_toml(Plan({}, rest=Own()))


def test_an_empty_plan_and_one_without_rest():
    weighed = Plan({}, importance=Importance("unsupervised", temperature=2.5))
    for plan in (
        weighed,
        Plan({}, importance=Importance("gradient")),
        Plan({}),
        Plan({"w": UniformGrid(step=0.5)}),
        Plan({}, rest=UniformGrid(bits=2.5)),
    ):
        assert parse_plan(tomllib.loads(to_toml(plan))) == plan
