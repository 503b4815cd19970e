"""The account of a file: exact, and as the publications count."""

import math

import pytest
import torch

import laconic
from laconic import (
    AdaptiveCodebook,
    Additive,
    Canonical,
    Choice,
    FixedAssignments,
    FixedCodebook,
    GroupPenalty,
    Groups,
    Joint,
    KeepGroups,
    KeepLargest,
    KeepNOfM,
    L0Penalty,
    L1Ball,
    L1Penalty,
    LearnedRank,
    Lossless,
    LowRank,
    NuclearNorm,
    PricedPruning,
    RandomVectors,
    Tucker,
    UniformGrid,
    WithinBytes,
)
from laconic.csteps.catalogue import COMPRESSIONS
from laconic.csteps.fixed_assignments import Hashed
from laconic.format import container
from laconic.format.codes.counting import published_bits
from laconic.insight.ledger import REFERENCE_BYTES, ledger
from laconic.models import nets
from laconic.models.params import params_of
from laconic.plans.plan import Plan

COMPRESSED = {
    "lossless": Lossless(),
    "codebook": AdaptiveCodebook(4),
    "shared codebook": Joint(AdaptiveCodebook(16)),
    "keep": Joint(KeepLargest(0.05)),
    "keep and codebook": KeepLargest(0.1, values=AdaptiveCodebook(4)),
    "weights at a price": L0Penalty(1e-3),
    "sizes at a price": L1Penalty(1e-2),
    "sizes within a radius": L1Ball(radius=50.0),
    "bits at a price": PricedPruning(1e-5),
    "filters": KeepGroups(Groups("filters"), keep=0.5),
    "norms of blocks at a price": GroupPenalty(Groups("blocks", (4, 4)), 0.1),
    "2 of 4": KeepNOfM(2, 4),
    "rank": LowRank(7),
    "rank and more": LowRank(7, left=AdaptiveCodebook(8), right=KeepLargest(0.5)),
    "grid": UniformGrid(bits=2.5),
    "within": Joint(WithinBytes(20_000)),
    "shared grid": Joint(UniformGrid(step=0.02, rate=0.1)),
    "sum": Additive((AdaptiveCodebook(2), KeepLargest(0.01))),
    "given values": FixedCodebook((-1.0, 0.0, 1.0)),
    "hashed": FixedAssignments(Hashed(64)),
    "hashed codebook": Joint(FixedAssignments(Hashed(640), values=AdaptiveCodebook(16))),
    "random vectors": RandomVectors(40, index_bits=6),
    "learned rank": LearnedRank(1e-4),
    "nuclear norm": NuclearNorm(2.0),
    "core": Tucker(9, 8),
    "outer products": Canonical(3),
    "one of two": Choice((AdaptiveCodebook(4), Lossless()), 1e-4),
    "nothing": KeepLargest(count=0),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lenet():
    return params_of(nets.build("lenet300"))


def test_every_compression_is_accounted_for():
    used = {type(c) for c in COMPRESSED.values()} | {type(c.of) for c in COMPRESSED.values() if isinstance(c, Joint)}
    assert used == set(COMPRESSIONS)


@pytest.mark.parametrize("name", COMPRESSED)
def test_the_entries_are_the_file(name, tmp_path):
    result = laconic.compress(lenet(), COMPRESSED[name], metadata={"net": "lenet300"})
    path = result.save(tmp_path / "a.lac")
    with container.open(path) as file:
        account = ledger(file)
    size = path.stat().st_size
    assert account == result.ledger()
    assert sum(entry.bytes for entry in account.entries) == account.file_bytes == result.file_bytes == size
    assert math.isclose(sum(entry.share for entry in account.entries), 1)
    assert [entry.name for entry in account.entries] == [*lenet(), "(header)"]
    assert account.ratio == account.reference_bytes / size
    assert account.bits_per_weight == 8 * size / 266_200
    published = published_bits(result.codes)
    whole = lenet()
    for entry in account.entries[:-1]:
        weights = whole[entry.name]
        assert entry.shape == tuple(weights.shape)
        assert entry.dense_bits == 32 * weights.numel()
        assert entry.published_bits == published[entry.name]
        assert entry.dtype == "float32"
    header = account.entries[-1]
    assert header.bytes >= 32
    assert header.dense_bits == header.published_bits == header.entropy_bytes == 0
    assert account.published_ratio == 32 * 266_610 / sum(published.values())
    records = account.records()
    assert records["tensors"] == result.table()
    assert records["file_bytes"] == size


@pytest.mark.parametrize(("entries", "ratio"), [(2, 30.52), (4, 15.63), (8, 10.50)])
def test_published_ratios(entries, ratio):
    """LC papers, Part II: ρ of LeNet300."""
    account = laconic.compress(lenet(), AdaptiveCodebook(entries)).ledger()
    assert round(account.published_ratio, 2) == ratio


def test_a_joint_codebook_is_charged_once():
    account = laconic.compress(
        {"a": torch.randn(20, 10), "b": torch.randn(20, 10)}, Joint(AdaptiveCodebook(2))
    ).ledger()
    a, b, _ = account.entries
    assert a.published_bits == b.published_bits + 2 * 32


def test_coding_comes_close_to_the_entropy():
    account = laconic.compress(lenet(), AdaptiveCodebook(4)).ledger()
    for entry in account.entries:
        if entry.code.startswith("codebook"):
            assert entry.entropy_bytes <= entry.bytes <= 1.01 * entry.entropy_bytes + 16


def test_a_tensor_may_be_called_header():
    weights = {"(header)": torch.randn(30, 10), "b": torch.zeros(3)}
    account = laconic.compress(weights, AdaptiveCodebook(2)).ledger()
    assert [entry.name for entry in account.entries] == ["(header)", "b", "(header)"]
    assert [entry.dense_bits for entry in account.entries] == [9600, 96, 0]
    assert account.entries[0].published_bits == 300 + 64


def test_files_that_do_not_tell_their_reference():
    codes = laconic.compress({"b": torch.zeros(3)}, Plan({"b": Lossless()})).codes
    for metadata in ({}, {REFERENCE_BYTES: "many"}, {REFERENCE_BYTES: "²"}, {REFERENCE_BYTES: "-5"}):
        account = ledger(container.reader.LacFile(container.dumps(codes, metadata), "a file"))
        assert account.reference_bytes is None
        assert account.ratio is None
        assert account.bits_per_weight is None
    empty = ledger(container.reader.LacFile(container.dumps({}), "a file"))
    assert empty.published_ratio is None
    assert len(empty.entries) == 1


def test_two_values_a_weight_cost_no_more_than_their_entropy_and_a_little(tmp_path):
    """LeNet-300-100 with K = 2: at most 1.01 × (entropy of the codes + dense remainder) + 600 bytes, file and all."""
    result = laconic.compress(laconic.models.nets.build("lenet300"), laconic.AdaptiveCodebook(2))
    account = result.ledger()
    ideal = sum(entry.entropy_bytes for entry in account.entries)
    assert account.file_bytes == result.save(tmp_path / "net.lac").stat().st_size <= 1.01 * ideal + 600
