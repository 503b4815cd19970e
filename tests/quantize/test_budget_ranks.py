"""A budget on several ranks: the file of one, byte by byte, while each reads its own tensors."""

from collections.abc import Mapping
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from ranks import on_ranks

from laconic.errors import WorkersError
from laconic.format import container
from laconic.lc.budgeted import within
from laconic.lc.ranks import write
from laconic.machines.sharing import Sharing
from laconic.models.params import to_torch
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.quantize.budget import QUALITIES, Budget, fit, network
from laconic.quantize.budget.tuning import TUNED


class Asked(Mapping):
    """Tensors, and who has been asked for the numbers of which."""

    def __init__(self, tensors):
        self.tensors, self.names = tensors, []

    def __getitem__(self, name):
        self.names.append(name)
        return self.tensors[name]

    def __iter__(self):
        return iter(self.tensors)

    def __len__(self):
        return len(self.tensors)


def tensors(**more):
    """Of several sizes and types, with an outlier, one that fills 8 bits, and two that are the same."""
    rng = np.random.default_rng(0)
    some = {f"{n}.weight": rng.normal(size=(30 + n, 24)).astype(np.float32) * (1 + n) / 100 for n in range(4)}
    some["kernels"] = rng.laplace(size=(12, 8, 3, 3)).astype(np.float16)
    some["far"] = rng.normal(size=(40, 20)).astype(np.float32)
    some["far"][3, 4] = 1e4
    full = rng.normal(size=(32, 32))
    some["full"] = (full / np.abs(full).max() * 440).astype(ml_dtypes.float8_e4m3fn)
    some["tied"], some["bias"] = some["1.weight"].copy(), rng.normal(size=50).astype(np.float32)
    return {**some, **more}


def sharing(wires, given):
    return Sharing.of({name: array.nbytes for name, array in given.items()}, wires)


@pytest.mark.parametrize(
    ("budget", "quality", "count"),
    [(Budget(bits=3), "default", 2), (Budget(bits=1.5), "fast", 3), (Budget(snr=15), "default", 2)],
)
def test_ranks_write_the_file_of_one_process_byte_by_byte(tmp_path, budget, quality, count):
    params = {name: to_torch(array) for name, array in tensors().items()}
    whole = Untied(params, {name: name for name in params})
    how = budget, Plan({}), QUALITIES[quality], {"net": "toy"}
    alone = within(whole, *how, threads=1)

    def work(wires):
        own = Sharing.of({name: tensor.nbytes for name, tensor in params.items()}, wires)
        fitted = within(whole, *how, threads=1, sharing=own)
        write(tmp_path / "a.lac", fitted.codes, {"net": "toy"}, own, force=not own.leads)
        return fitted.file_bytes, fitted.snr, fitted.step, fitted.passes, fitted.lossless, fitted.signals

    said = alone.file_bytes, alone.snr, alone.step, alone.passes, alone.lossless, alone.signals
    assert on_ranks(count, work) == [said] * count
    assert (tmp_path / "a.lac").read_bytes() == container.dumps(alone.codes, {"net": "toy"})
    assert alone.codes["tied"] is alone.codes["1.weight"]


def test_each_rank_of_a_large_network_reads_its_own_tensors_and_no_others_are_written_by_it(monkeypatch):
    monkeypatch.setattr(network, "KEPT", 1000)
    given, tuning = tensors(), replace(TUNED, large=4000, rehearsed=1000, least=2000, most=2000)
    del given["far"], given["tied"]  # the places of outliers are looked up by all
    alone = fit(given, Budget(bits=3), threads=1, tuning=tuning)

    def work(wires):
        own, asked = sharing(wires, given), Asked(given)
        fitted = fit(asked, Budget(bits=3), threads=1, tuning=tuning, ranks=own)
        assert set(asked.names) == {name for name in given if own.is_own(name)} | {"bias"}
        with pytest.raises(AssertionError, match="on another machine"):
            container.dumps(fitted.codes)
        return fitted.file_bytes, fitted.step, fitted.passes, container.bits(fitted.codes) // 8

    assert on_ranks(2, work) == [(alone.file_bytes, alone.step, alone.passes, alone.file_bytes)] * 2


def test_a_weight_that_is_nan_on_one_rank_is_an_error_on_all_that_names_the_tensor():
    given = tensors(broken=np.full((9, 9), np.nan, np.float32))
    for error in on_ranks(2, lambda wires: fit(given, Budget(bits=3), ranks=sharing(wires, given))):
        assert isinstance(error, WorkersError)
        assert "broken: 81 of 81 weights are NaN" in str(error)
