"""Plans: the same thing in Python and in TOML, and every mistake is named."""

import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from laconic import AdaptiveCodebook, Additive, Joint, KeepLargest, Lossless, LowRank, UniformGrid
from laconic.errors import PlanError
from laconic.lc.steps import start
from laconic.models.params import params_of
from laconic.models.ties import untied
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan, Row, weights_only
from laconic.plans.toml import load_plan, parse_plan, to_toml
from laconic.teachers.softening import Distillation
from laconic.theory.importance import Importance

PARAMS = {
    "conv.weight": torch.zeros(4, 3, 2, 2),
    "conv.bias": torch.zeros(4),
    "norm.weight": torch.ones(4),
    "norm.count": torch.tensor(3),
    "table": torch.zeros(3, 2, dtype=torch.int64),
    "fc1.weight": torch.zeros(5, 16),
    "fc2.weight": torch.zeros(2, 5),
}

# TOML

DOCUMENT = """
[tensors]
"conv*" = { codebook = 4 }
"fc1.*, fc2.*" = { keep = 0.05, joint = true }
"a" = { keep = 0.1, values = { codebook = 16, joint = true } }
"b" = { count = 7 }
"c" = { rank = 3 }
"d" = { rank = 3, view = "out.kh|in.kw", left = { codebook = 8 }, right = { keep = 0.5, values = { codebook = 2 } } }
"e" = { lossless = true }
"f" = { keep = 1 }
"g" = { grid = 0.01, rate = 0.1 }
"h" = { grid_bits = 3, joint = true }
"i" = { sum = [{ codebook = 2, joint = true }, { keep = 0.01 }], sweeps = 5, joint = true }
"j" = { sum = [{ rank = 2 }, { sum = [{ codebook = 2 }, { count = 3 }], tolerance = 0.1 }] }

[rest]
lossless = true
"""

PLAN = Plan(
    {
        "conv*": AdaptiveCodebook(4),
        "fc1.*, fc2.*": Joint(KeepLargest(0.05)),
        "a": KeepLargest(0.1, values=Joint(AdaptiveCodebook(16))),
        "b": KeepLargest(count=7),
        "c": LowRank(3),
        "d": LowRank(3, "out.kh|in.kw", left=AdaptiveCodebook(8), right=KeepLargest(0.5, values=AdaptiveCodebook(2))),
        "e": Lossless(),
        "f": KeepLargest(1),
        "g": UniformGrid(0.01, rate=0.1),
        "h": Joint(UniformGrid(bits=3)),
        "i": Joint(Additive((Joint(AdaptiveCodebook(2)), KeepLargest(0.01)), sweeps=5)),
        "j": Additive((LowRank(2), Additive((AdaptiveCodebook(2), KeepLargest(count=3)), tolerance=0.1))),
    },
    rest=Lossless(),
)


def test_a_plan_in_toml_is_the_plan_in_python(tmp_path: Path):
    path = tmp_path / "plan.toml"
    path.write_text(DOCUMENT)
    assert load_plan(path) == PLAN == parse_plan(tomllib.loads(DOCUMENT))


def test_toml_is_utf8_wherever_it_is_read(tmp_path: Path):
    path = tmp_path / "plan.toml"
    path.write_bytes('[tensors]\n"größe*" = { codebook = 2 }\n'.encode())
    assert load_plan(path) == Plan({"größe*": AdaptiveCodebook(2)})


def test_a_plan_may_lack_rest_and_may_be_rest_alone():
    assert parse_plan({"tensors": {"w": {"codebook": 2}}}) == Plan({"w": AdaptiveCodebook(2)}, rest=Lossless())
    assert parse_plan({"rest": {"codebook": 2}}) == Plan({}, rest=AdaptiveCodebook(2))
    assert parse_plan({}) == Plan({})


MISTAKES = {
    "w: one of .*expected": {},
    "w: expected a table": 4,
    "w: one of .*codebook.*rank": {"codebook": 4, "rank": 2},
    "w: one of .*keep.*count": {"keep": 0.1, "count": 5},
    "w: codebook takes codebook, rows, group, not 'size'": {"codebook": 4, "size": 3},
    "w: codebook takes codebook, rows, group, not 'keeep'": {"codebook": 4, "keeep": 3},
    "w: one of .*colour": {"colour": 4},
    "w: codebook = 2.5 should be an integer": {"codebook": 2.5},
    "w: codebook = True should be an integer": {"codebook": True},
    "w: codebook = '4' should be an integer": {"codebook": "4"},
    "w: keep = '5%' should be a number": {"keep": "5%"},
    "w: keep = True should be a number": {"keep": True},
    "w: count = 0.5 should be an integer": {"count": 0.5},
    "w: rank = 1.0 should be an integer": {"rank": 1.0},
    "w: view = 2 should be a string": {"rank": 1, "view": 2},
    "w: lossless = 1 should be true": {"lossless": 1},
    "w: lossless is true or absent": {"lossless": False},
    "w: .*joint = true or false": {"codebook": 4, "joint": "yes"},
    "w: joint.*expected|w: one of": {"joint": True},
    "w: values: expected a table": {"keep": 0.1, "values": 16},
    "w: values: codebook = 'x' should be": {"keep": 0.1, "values": {"codebook": "x"}},
    "w: left: right: codebook takes": {"rank": 1, "left": {"rank": 1, "right": {"codebook": 2, "z": 1}}},
    "w: entries must be at least 1": {"codebook": 0},
    "w: keep is the share": {"keep": 5},
    "w: keep is the share .* nan": {"keep": float("nan")},
    "w: count is the number": {"count": -1},
    "w: rank must be 0 or more": {"rank": -1},
    "w: view must be one of": {"rank": 1, "view": "in|out"},
    "w: step is the width": {"grid": 0},
    "w: bits per weight are": {"grid_bits": -1},
    "w: rate is the price": {"grid": 1, "rate": -1},
    "w: grid_bits takes grid_bits, .*, not 'rate'": {"grid_bits": 1, "rate": 1},
    "w: states are one of 1, 4, 8": {"grid_bits": 1, "states": 5},
    "w: cosine = 1 should be true or false": {"grid": 1, "cosine": 1},
    "w: sum = 3 should be a list of tables": {"sum": 3},
    r"w: sum = \{'codebook': 2\} should be a list": {"sum": {"codebook": 2}},
    "w: parts of a sum are 2 to 8, not 1": {"sum": [{"codebook": 2}]},
    "w: sum: part 2: expected a table such as .*, got 0.01": {"sum": [{"codebook": 2}, 0.01]},
    "w: sum: part 1: codebook = 'x' should be": {"sum": [{"codebook": "x"}, {"keep": 0.1}]},
    "w: sum: part 2: values: codebook takes": {"sum": [{"rank": 1}, {"keep": 1, "values": {"codebook": 2, "z": 1}}]},
    "w: sweeps are 0 or more": {"sum": [{"codebook": 2}, {"keep": 0.1}], "sweeps": -1},
    "w: tolerance is a relative gain": {"sum": [{"codebook": 2}, {"keep": 0.1}], "tolerance": -1},
    "w: values: entries must be": {"keep": 0.1, "values": {"codebook": -2}},
}


@pytest.mark.parametrize(("message", "row"), MISTAKES.items(), ids=map(str, MISTAKES.values()))
def test_every_mistake_in_a_row_is_named_with_its_row(message: str, row: object):
    with pytest.raises(PlanError, match=message):
        parse_plan({"tensors": {"w": row}})
    with pytest.raises(PlanError, match=message.replace("w: ", "rest: ")):
        parse_plan({"rest": row})


def test_a_document_with_other_tables_is_refused_by_their_names():
    with pytest.raises(PlanError, match=r"not layers, tensor\b"):
        parse_plan({"tensor": {"w": {"codebook": 2}}, "layers": {}})
    with pytest.raises(PlanError, match="tables \\[tensors\\] and \\[rest\\]"):
        parse_plan({"tensors": 3})


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path):
    with pytest.raises(PlanError, match=r"none\.toml cannot be read: No such file"):
        load_plan(tmp_path / "none.toml")
    with pytest.raises(PlanError, match="cannot be read: Is a directory"):
        load_plan(tmp_path)
    (tmp_path / "bad.toml").write_text("tensors = {}\ntensors = {}")
    with pytest.raises(PlanError, match=r"bad\.toml is not TOML: ."):
        load_plan(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match=r"binary\.toml is not TOML"):
        load_plan(tmp_path / "binary.toml")


# Patterns


def names_of(plan: Plan, params=PARAMS) -> list[tuple[str, ...]]:
    return [row.names for row in plan.resolve(params)]


def test_each_row_gets_its_tensors_in_the_order_of_the_network_and_the_rest_the_others():
    plan = Plan({"fc2.*,conv.weight": AdaptiveCodebook(2), "fc1.weight": LowRank(1)}, rest=Lossless())
    assert plan.resolve(PARAMS) == (
        Row(("conv.weight", "fc2.weight"), AdaptiveCodebook(2)),
        Row(("fc1.weight",), LowRank(1)),
        Row(("conv.bias", "norm.weight", "norm.count", "table"), Lossless()),
    )


def test_patterns_take_wildcards_and_heed_case():
    assert names_of(Plan({"fc?.weight": Lossless()}, Lossless()))[0] == ("fc1.weight", "fc2.weight")
    assert names_of(Plan({"fc[2-9].*": Lossless()}, Lossless()))[0] == ("fc2.weight",)
    assert names_of(Plan({"fc[!2].*": Lossless()}, Lossless()))[0] == ("fc1.weight",)
    with pytest.raises(PlanError, match="'FC1"):
        Plan({"FC1.weight": Lossless()}, Lossless()).resolve(PARAMS)


def test_no_rest_row_where_nothing_is_left():
    assert names_of(Plan({"*": Lossless()}, rest=AdaptiveCodebook(2))) == [tuple(PARAMS)]
    assert names_of(Plan({}, rest=Lossless()), {}) == []


def test_a_dead_pattern_is_named():
    with pytest.raises(PlanError, match=r"pattern 'fc3\.\*' matches no tensor.*The tensors are conv\.weight, "):
        Plan({"fc3.*": AdaptiveCodebook(2)}, rest=Lossless()).resolve(PARAMS)


def test_a_dead_glob_beside_live_ones_is_named():
    with pytest.raises(PlanError, match=r"pattern 'fc3\.\*' matches no tensor"):
        Plan({"fc1.*, fc3.*": AdaptiveCodebook(2)}, rest=Lossless()).resolve(PARAMS)


def test_a_comma_too_many_does_no_harm_but_an_empty_pattern_is_dead():
    assert names_of(Plan({"fc1.*, ": Lossless()}, Lossless()))[0] == ("fc1.weight",)
    for empty in ("", " ", ","):
        with pytest.raises(PlanError, match="matches no tensor"):
            Plan({empty: Lossless()}, Lossless()).resolve(PARAMS)


def test_tensors_on_no_row_stay_lossless():
    rows = Plan({"*.weight, n*": AdaptiveCodebook(2)}).resolve(PARAMS)
    assert rows[-1].compression == Lossless()
    assert {"conv.bias", "table"} <= set(rows[-1].names)


def test_tensors_on_two_rows_are_named_with_both():
    with pytest.raises(PlanError, match=r"fc1\.weight is on the rows \['fc\*', '\*\.weight'\]"):
        Plan({"fc*": Lossless(), "*.weight": AdaptiveCodebook(2)}, rest=Lossless()).resolve(PARAMS)


def test_all_problems_come_at_once():
    with pytest.raises(PlanError) as caught:
        Plan({"fc*": Lossless(), "fc1*": Lossless(), "typo": Lossless()}).resolve(PARAMS)
    for part in ("pattern 'typo'", "fc1.weight is on the rows"):
        assert part in str(caught.value)


def test_a_joint_row_acts_on_its_tensors_together_and_another_on_each():
    params = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([30.0, 40.0])}
    together = start(params, Plan({"*": Joint(AdaptiveCodebook(2))})).codes
    alone = start(params, Plan({"*": AdaptiveCodebook(2)})).codes
    assert together["a"].decompress().tolist() + together["b"].decompress().tolist() in (
        [1.5, 1.5, 35, 35],
        [11, 11, 11, 40],
    )
    assert together["a"].codebook is together["b"].codebook
    assert alone["a"].decompress().tolist() + alone["b"].decompress().tolist() == [1, 2, 30, 40]
    assert alone["a"].codebook is not alone["b"].codebook
    kept = start(params, Plan({"*": Joint(KeepLargest(0.5))})).codes
    assert [kept[name].decompress().tolist() for name in "ab"] == [[0, 0], [30, 40]]
    kept = start(params, Plan({"*": KeepLargest(0.5)})).codes
    assert [kept[name].decompress().tolist() for name in "ab"] == [[0, 2], [0, 40]]


# Weights only


def test_weights_only_leaves_biases_norms_counts_and_integers_alone():
    rows = weights_only(AdaptiveCodebook(2), PARAMS).resolve(PARAMS)
    assert rows == (
        Row(("conv.weight", "fc1.weight", "fc2.weight"), AdaptiveCodebook(2)),
        Row(("conv.bias", "norm.weight", "norm.count", "table"), Lossless()),
    )


def test_weights_only_needs_a_weight():
    with pytest.raises(PlanError, match="no floating-point tensor with two or more axes"):
        weights_only(AdaptiveCodebook(2), {"bias": torch.zeros(3), "table": PARAMS["table"]})


def test_names_with_the_characters_of_patterns_are_taken_as_they_are():
    params = {name: torch.zeros(2, 2) for name in ("a*", "ab", "a[1]", "a1", "what?", "whats", "[!x]", "x]y", "y")}
    for name in params:
        assert names_of(Plan({fnmatch_escape(name): Lossless()}, Lossless()), params)[0] == (name,)
    some = {name: tensor if name != "ab" else torch.zeros(2) for name, tensor in params.items()}
    assert set(names_of(weights_only(AdaptiveCodebook(2), some), some)[0]) == params.keys() - {"ab"}


def test_names_with_commas_are_taken_as_they_are():
    params = {"a,b": torch.zeros(2, 2), "a": torch.zeros(2), "b": torch.zeros(2), " c": torch.zeros(1, 1)}
    assert names_of(weights_only(AdaptiveCodebook(2), params), params) == [("a,b", " c"), ("a", "b")]
    assert names_of(Plan({"a[,;]b": Lossless()}, Lossless()), params)[0] == ("a,b",)
    assert names_of(Plan({"a, [!a]": Lossless()}, Lossless()), params)[0] == ("a", "b")


# importance


def test_an_importance_in_toml_is_that_in_python():
    assert parse_plan({"importance": "gradient"}) == Plan({}, importance=Importance("gradient"))
    table = {"name": "unsupervised", "temperature": 3, "samples": 10, "kind": "regression"}
    assert parse_plan({"importance": table}).importance == Importance("unsupervised", 3, 10, "regression")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (4, "importance: a name, or a table"),
        ({"samples": 4}, "importance: a name, or a table"),
        ("vibes", "importance must be one of unsupervised, .*not 'vibes'"),
        ({"name": "gradient", "draws": 4}, "importance takes name, temperature, samples, kind, not 'draws'"),
        ({"name": "gradient", "temperature": 2}, "gradient takes the options .*, not temperature"),
        ({"name": "unsupervised", "temperature": "hot"}, "importance: temperature = 'hot' should be a number"),
        ({"name": "unsupervised", "temperature": 0}, "temperature must be above 0 and finite, not 0"),
        ({"name": "unsupervised", "samples": True}, "importance: samples = True should be an integer"),
        ({"name": "unsupervised", "samples": 0}, "samples must be at least 1, not 0"),
    ],
)
def test_what_no_importance_can_be_is_named(value, words):
    with pytest.raises(PlanError, match=words):
        parse_plan({"importance": value})


# distillation


def test_a_distillation_in_toml_is_that_in_python_and_stays_with_a_plan_that_is_settled():
    plan = parse_plan({"tensors": {"w": {"codebook": 2}}, "distillation": {"temperature": 2, "mean": "logits"}})
    assert plan == Plan({"w": AdaptiveCodebook(2)}, distillation=Distillation(temperature=2, mean="logits"))
    assert plan.settled(untied({"w": torch.ones(2, 2)}), alike=False)[0].distillation == plan.distillation
    assert parse_plan(tomllib.loads(to_toml(plan))) == plan


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "distillation: a table such as { temperature = 4 } expected, got True"),
        ({"tau": 4}, "distillation takes temperature, alpha, .*, not 'tau'"),
        ({"squared": 1}, "distillation: squared = 1 should be true or false"),
        ({"temperature": True}, "distillation: temperature = True should be a number"),
        ({"temperature": 0}, "temperature is a number above 0, not 0"),
    ],
)
def test_what_no_distillation_can_be_is_named(value, words):
    with pytest.raises(PlanError, match=words):
        parse_plan({"distillation": value})


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.twin, self.fc = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3), nn.Linear(4, 4)
        self.norm = nn.BatchNorm2d(3)


def test_a_class_of_modules_stands_for_their_weights():
    plan, net = Plan({nn.Conv2d: KeepLargest(0.1), "fc.*": Lossless()}), Branches()
    assert (
        parse_plan(tomllib.loads(to_toml(plan))) == plan == Plan({"class:Conv2d": KeepLargest(0.1), "fc.*": Lossless()})
    )
    first, second, rest = plan.on(net).resolve(params_of(net))
    assert first.names == ("conv.weight", "twin.weight")
    assert second.names == ("fc.weight", "fc.bias")
    assert "norm.weight" in rest.names
    with pytest.raises(PlanError, match="class:Conv2d: classes are those of a module"):
        plan.resolve(params_of(net))
    with pytest.raises(
        PlanError, match="'class:LSTM' matches no weight; the classes with weights are class:Conv2d, class:Linear"
    ):
        Plan({nn.LSTM: Lossless()}).on(net)
    own = Plan({Branches: Lossless()})
    assert list(own.tensors) == [f"class:{__name__}.Branches"]
    with pytest.raises(PlanError, match="two rows are for the same tensors"):
        Plan({nn.Linear: Lossless(), "class:Linear": AdaptiveCodebook(2)})


def test_a_class_has_all_weights_that_its_modules_have_themselves():
    """Recurrent and attention layers, and what `weight_norm` and pruning make a weight of."""

    def named(kind: type[nn.Module], part: nn.Module) -> tuple[str, ...]:
        net = nn.Sequential(part)
        return Plan({kind: KeepLargest(0.5)}).on(net).resolve(params_of(net))[0].names

    assert named(nn.LSTM, nn.LSTM(3, 4)) == ("0.weight_ih_l0", "0.weight_hh_l0")
    assert named(nn.MultiheadAttention, nn.MultiheadAttention(4, 2)) == ("0.in_proj_weight",)
    assert named(nn.Linear, nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))) == (
        "0.parametrizations.weight.original1",
    )
    assert named(nn.Linear, prune.l1_unstructured(nn.Linear(3, 4), "weight", 0.5)) == ("0.weight_orig",)
    with pytest.raises(PlanError, match="the classes with weights are class:Linear"):
        Plan({nn.Conv2d: Lossless()}).on(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)))


def test_an_importance_goes_by_its_name():
    assert Plan({}, importance="hessian") == Plan({}, importance=Importance("hessian"))
