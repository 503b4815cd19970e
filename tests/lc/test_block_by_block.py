"""Blocks that are encoded in turn: what is encoded stays, the rest makes good, and the file is that of direct codes."""

from dataclasses import replace

import pytest
import torch
from toys import classifier, trained, training_loss

from laconic import FixedAssignments, Lossless, RandomVectors
from laconic.csteps.fixed_assignments import Hashed
from laconic.errors import PlanError
from laconic.format import container
from laconic.lc.block_by_block import BlockByBlock
from laconic.lc.steps import start
from laconic.models.params import decompress
from laconic.plans.plan import Plan
from laconic.training.optimization import Optimization, adam

HOW = Optimization(40, 1e-2, lambda share: 0.1**share, optimizer=adam)
ROWS = {
    "drawn": RandomVectors(3, index_bits=5),
    "hashed and drawn": FixedAssignments(Hashed(150), values=RandomVectors(2, index_bits=6)),
}


@pytest.mark.parametrize("kind", ROWS)
def test_the_others_make_good_what_a_block_loses(kind):
    task = classifier()
    params = trained(task, 3)
    plan = Plan({"0.weight": ROWS[kind], "4.weight": RandomVectors(2, index_bits=6)}, Lossless())
    direct = {**Lossless().project(params), **start(params, plan).codes}
    encoder, shares, held = BlockByBlock(task, params, direct), [], None
    for stage in encoder.stages(HOW, 0):
        now = {name: tensor.detach() for name, tensor in encoder.weights().items()}
        if held is not None:  # of a block that is encoded nothing moves any more
            same = {n: (held[n] == now[n]).float().mean() for n in ("0.weight", "4.weight")}
            assert all(share >= 0.9 * shares[-1] - 0.05 for share in same.values())
        held, shares = now, [*shares, stage.share]
    assert shares == sorted(shares)
    assert (shares[-1], len(shares)) == (1, 40)
    codes = encoder.codes()
    found = decompress(codes)
    assert all(torch.equal(found[name], now[name]) for name in codes), "what was trained is what the file stands for"
    assert abs(container.bits(codes) - container.bits(direct)) <= 8 * 16
    assert training_loss(task, found) < 0.7 * training_loss(task, decompress(direct))
    again = BlockByBlock(task, params, direct)
    assert [stage.loss for stage in again.stages(HOW, 0)][-1] == stage.loss


def test_without_drawn_blocks_or_epochs_there_is_nothing_to_do():
    task = classifier()
    params = trained(task, 1)
    with pytest.raises(PlanError, match="random_vectors = 20"):
        BlockByBlock(task, params, Lossless().project(params))
    codes = {**Lossless().project(params), **RandomVectors(3).project({"0.weight": params["0.weight"]})}
    with pytest.raises(PlanError, match="1 or more, not 0"):
        next(BlockByBlock(task, params, codes).stages(replace(HOW, epochs=0), 0))
