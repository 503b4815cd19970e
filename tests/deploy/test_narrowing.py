"""Edits: the same from and to JSON, and whatever a hostile file says of a network is refused with its name."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import laconic
from laconic.deploy.attention import NarrowAttention
from laconic.deploy.edits import Edits, loads
from laconic.deploy.narrowing import narrow
from laconic.errors import FormatError
from laconic.format import container
from laconic.format.lossless import lossless
from laconic.models.params import params_of, to_numpy

NAMES = st.text("abc.", min_size=1, max_size=6)
KEPT = st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True).map(tuple)
SIZES = st.integers(1, 1000)


@settings(max_examples=30)
@given(
    st.builds(
        Edits,
        st.dictionaries(NAMES, st.dictionaries(st.integers(0, 7), KEPT, max_size=2), max_size=3),
        st.dictionaries(NAMES, SIZES, max_size=2),
        st.dictionaries(NAMES, st.dictionaries(NAMES, SIZES, max_size=2), max_size=2),
        st.dictionaries(NAMES, KEPT, max_size=2),
        st.dictionaries(NAMES, st.tuples(st.sampled_from(["tucker", "canonical"]), SIZES, SIZES), max_size=2),
        st.dictionaries(NAMES, st.tuples(st.sampled_from(["separable", "pooled"]), SIZES), max_size=2),
    )
)
def test_edits_come_back_from_their_text(edits):
    assert loads(edits.dumps()) == edits


def fresh():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


HOSTILE = {
    "no JSON": ("{", "no JSON"),
    "deep": ("[" * 100_000, "no JSON"),
    "a list": ([], "a table expected"),
    "another table": ({"code": {}}, "tables of edits alone"),
    "no such tensor": ({"axes": {"9.weight": {"0": "0"}}}, "'9.weight', which this one has not"),
    "no such axis": ({"axes": {"0.weight": {"7": "0"}}}, "0.weight has shape"),
    "axis of letters": ({"axes": {"0.weight": {"a": "0"}}}, "an axis expected"),
    "past the end": ({"axes": {"0.weight": {"0": "0-9"}}}, "index 9 along axis 0"),
    "twice": ({"axes": {"0.weight": {"0": "0,0"}}}, "indices that differ"),
    "nothing left": ({"axes": {"0.weight": {"0": ""}}}, "indices such as"),
    "endless": ({"axes": {"0.weight": {"0": "0-900000000"}}}, "indices in all"),
    "numbers": ({"axes": {"0.weight": {"0": [0]}}}, "indices such as"),
    "groups of a linear layer": ({"axes": {"3.weight": {"0": "0"}}, "groups": {"3": 2}}, "3 has no groups"),
    "negative groups": ({"axes": {"0.weight": {"0": "0"}}, "groups": {"0": -1}}, "a size expected"),
    "a size it has not": ({"axes": {"0.weight": {"0": "0"}}, "attributes": {"0": {"kernel": 2}}}, "no size 'kernel'"),
    "private": ({"axes": {"0.weight": {"0": "0"}}, "attributes": {"": {"_version": 2}}}, "no size '_version'"),
    "a switch": ({"axes": {"0.weight": {"0": "0"}}, "attributes": {"0": {"training": 1}}}, "no size 'training'"),
    "no layer": ({"selected": {"1": "0-1"}}, "1 is no layer that can select"),
    "no product": ({"factored": {"0": ["spline", 2]}}, "'0' is no layer that is 'spline'"),
    "a product of a norm": ({"factored": {"1": ["out|in.kh.kw", 2]}}, "'1' is no layer"),
    "endless rank": ({"factored": {"0": ["out|in.kh.kw", 2000000000]}}, "'0' is no layer"),
    "rewritten as nothing": ({"rewritten": {"0": ["spline", 1]}}, "'0' is to be rewritten as 'spline'"),
    "rewritten beyond": ({"rewritten": {"0": ["separable", 5]}}, "rank 4 at most"),
    "rewritten norm": ({"rewritten": {"1": ["separable", 1]}}, "not a plain convolution"),
    "rewritten whole": ({"rewritten": {"": ["separable", 1]}}, "'' is to be rewritten"),
    "odd maps": ({"rewritten": {"3": ["pooled", 5]}}, "no maps of 5 positions"),
    "rewritten without a size": ({"rewritten": {"0": ["separable"]}}, "which this network has no layer for"),
    "ranks of letters": ({"factored": {"0": ["tucker", "a", "b"]}}, "a size expected"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_edits_are_refused_and_the_network_stays_as_it_was(what):
    edits, message = HOSTILE[what]
    module = fresh()
    before, sizes = copy.deepcopy(module.state_dict()), repr(module)
    with pytest.raises(FormatError, match=message):
        narrow(module, loads(edits if isinstance(edits, str) else json.dumps(edits)))
    assert repr(module) == sizes
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_file_with_hostile_edits_gives_its_tensors_but_fills_no_network(tmp_path):
    module = fresh()
    codes = {name: lossless(to_numpy(tensor)) for name, tensor in params_of(module).items()}
    container.write(tmp_path / "bad.lac", codes, {"shrunk": "{"})
    with pytest.raises(FormatError, match="no JSON"):
        laconic.load(tmp_path / "bad.lac", module)
    assert len(laconic.load(tmp_path / "bad.lac")) == len(codes)


def test_to_narrow_twice_is_to_narrow_once():
    edits = Edits({"0.weight": {0: (3, 1)}, "0.bias": {0: (3, 1)}}, selected={})
    module = nn.Sequential(nn.Linear(2, 4))
    weight = module[0].weight.detach().clone()
    once = narrow(module, edits)
    assert narrow(once, edits)[0].out_features == 2
    assert torch.equal(once[0].weight, weight[[3, 1]])
    assert isinstance(once[0].weight, nn.Parameter)


@pytest.mark.parametrize(("first", "batched", "weights"), [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_an_attention_that_has_all_of_its_heads_is_torchs_own(first, batched, weights):
    torch.manual_seed(0)
    own = nn.MultiheadAttention(12, 3, kdim=5 if weights else None, batch_first=bool(first)).eval()
    ours = copy.deepcopy(own)
    ours.__class__ = NarrowAttention
    sizes = [(2, 4), (2, 6)] if first else [(4, 2), (6, 2)]
    query, key, value = (torch.randn(*sizes[i > 0], n) for i, n in enumerate((12, 5 if weights else 12, 12)))
    padding = torch.tensor([[False] * 5 + [True], [False] * 6])
    masks = [None, torch.randn(4, 6), torch.rand(4, 6) < 0.3, torch.randn(2 * 3 if batched else 3, 4, 6)]
    if not batched:
        query, key, value = (part[0] if first else part[:, 0] for part in (query, key, value))
    for mask in masks:
        hidden = (padding if batched else padding[0]) if mask is None else None
        how = {"attn_mask": mask, "key_padding_mask": hidden, "need_weights": bool(weights)}
        for average in (True, False):
            with torch.no_grad():
                one = own(query, key, value, **how, average_attn_weights=average)
                two = ours(query, key, value, **how, average_attn_weights=average)
            torch.testing.assert_close(two, one)
