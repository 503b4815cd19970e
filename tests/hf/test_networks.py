"""Networks as transformers writes them: which weights are calibrated, and that it helps."""

import pytest

pytest.importorskip("transformers")

import torch

import laconic
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.models.params import all_params_of
from laconic.models.ties import untied
from laconic.training.judges import distance

from .small import bert, gpt2, llama, mixtral, sentences, sharp

MATRICES = {llama: 8, gpt2: 5, bert: 6, mixtral: 8}
"""Of each network, embeddings that are not the output layer left out."""


@pytest.mark.parametrize("make", MATRICES, ids=lambda make: make.__name__)
def test_all_matrices_of_a_family_are_calibrated(make):
    torch.manual_seed(0)
    network = sharp(make())
    ready = Ready.of(untied(all_params_of(network), network), Calibration.of(network, sentences()))
    assert len(ready.layers) == MATRICES[make]
    assert all("embedding" in why for why in ready.alone.values())


def test_outputs_are_nearer_than_by_weights_alone():
    torch.manual_seed(0)
    network = sharp(gpt2())
    ours = laconic.compress(network, bits=5, effort="calibrate", calibration=sentences(), quality="fast")
    plain = laconic.compress(network, size=ours.file_bytes)
    new = Calibration.of(network, sentences(30)[2:])
    own = all_params_of(network)
    before, *after = (new.outputs({**own, **of}, new.seen[0]) for of in ({}, ours.params, plain.params))
    near, far = (distance(before, one, ours.calibration.kind) for one in after)
    assert near < 0.8 * far
    assert ours.calibration.tokens == 16 * 12 - 8 * 3
    assert ours.calibration.fidelity is not None
