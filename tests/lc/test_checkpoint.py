"""An LC state on disk: exact, atomic, and refused when it is damaged or another run's."""

import math
from pathlib import Path

import pytest
import torch
from toys import classifier, normal, random_quadratic, same_state, trained

from laconic import AdaptiveCodebook, Joint, KeepLargest, Lossless, LowRank
from laconic.errors import DataError
from laconic.format import files
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.l_step import LearningStep
from laconic.lc.schedule import Adaptive, Progress
from laconic.lc.state import LCState
from laconic.lc.steps import run, start
from laconic.models.checkpoints import save_checkpoint
from laconic.plans.plan import Plan
from laconic.theory.metric import Diagonal
from laconic.training.optimization import Optimization

JOB = {"plan": "p.toml", "seed": "0", "threads": "2"}
SCHEDULE = Adaptive(0.02, steps=4)


def job() -> tuple[LCState, LearningStep]:
    """One codebook for two tensors, pruning of a third, importances on some, BatchNorm and dropout."""
    task = classifier(dropout=0.1)
    params = trained(task, 3)
    rows = {"0.weight": KeepLargest(0.1, values=AdaptiveCodebook(4)), "4.*": Joint(AdaptiveCodebook(3))}
    metrics = {"0.weight": Diagonal(normal(12, 64, seed=1).exp().float())}
    return start(params, Plan(rows, Lossless()), metrics), LearningStep(task, Optimization(1, 0.05), seed=5)


@pytest.fixture
def quadratic() -> LCState:
    return start(random_quadratic(6, seed=1).params, Plan({"w": AdaptiveCodebook(2)}))


def saved(path: Path, state: LCState) -> Path:
    save_state(path, state, JOB, [state.progress])
    return path


def test_a_run_resumed_from_disk_after_any_step_ends_with_the_same_bits(tmp_path: Path):
    first, l_step = job()
    whole = list(run(first, l_step, SCHEDULE))
    history: list[Progress] = []
    for stop, reached in enumerate(whole):
        history.append(reached.progress)
        save_state(tmp_path / "state", reached, JOB, history)
        loaded, past = load_state(tmp_path / "state", first, JOB)
        assert same_state(loaded, reached)
        assert repr(past) == repr(history)
        rest = list(run(loaded, l_step, SCHEDULE))
        assert all(same_state(a, b) for a, b in zip(rest, whole[stop:], strict=True))


def test_a_shared_codebook_is_shared_again(tmp_path: Path):
    first, _ = job()
    loaded, _ = load_state(saved(tmp_path / "s", first), first, JOB)
    assert loaded.codes["4.weight"].codebook is loaded.codes["4.bias"].codebook
    assert loaded.rows == first.rows


def test_every_kind_of_code_and_dtype_comes_back_bit_for_bit(tmp_path: Path):
    params = {
        "rank": normal(6, 5, seed=1).float(),
        "half": normal(7, 3, seed=2).bfloat16(),
        "double": normal(8, seed=3),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(2.5),
        "count": torch.tensor(7),
        "nan": torch.tensor([math.nan, -0.0, math.inf]),
        "strided": normal(5, 4, seed=4).T,
    }
    plan = Plan(
        {
            "rank": LowRank(2, left=AdaptiveCodebook(3)),
            "half, strided": KeepLargest(0.5),
            "double": AdaptiveCodebook(3),
        },
        rest=Lossless(),
    )
    first = start(params, plan)
    loaded, _ = load_state(saved(tmp_path / "s", first), first, JOB)
    assert same_state(loaded, first)
    assert all(tensor.is_contiguous() for tensor in (*first.weights.values(), *loaded.weights.values()))


@pytest.mark.parametrize("key", JOB)
def test_another_job_is_refused_by_the_key_that_differs(tmp_path: Path, quadratic: LCState, key: str):
    path = saved(tmp_path / "s", quadratic)
    with pytest.raises(DataError, match=f"{key} was {JOB[key]}, is other"):
        load_state(path, quadratic, {**JOB, key: "other"})
    missing = {name: value for name, value in JOB.items() if name != key}
    with pytest.raises(DataError, match=f"{key} was {JOB[key]}, is None"):
        load_state(path, quadratic, missing)
    with pytest.raises(DataError, match="batch was None, is 32"):
        load_state(path, quadratic, {**JOB, "batch": "32"})


def test_a_state_of_other_tensors_is_refused_by_their_names(tmp_path: Path, quadratic: LCState):
    other = start({"w": normal(6), "v": normal(3)}, Plan({"w": AdaptiveCodebook(2)}, Lossless()))
    with pytest.raises(DataError, match="v on one side only"):
        load_state(saved(tmp_path / "s", other), quadratic, JOB)


def test_a_state_of_another_metric_is_refused(tmp_path: Path, quadratic: LCState):
    weighted = start(quadratic.weights, Plan({"w": AdaptiveCodebook(2)}), {"w": Diagonal(torch.arange(6.0))})
    with pytest.raises(DataError, match="w on one side only"):
        load_state(saved(tmp_path / "s", weighted), quadratic, JOB)


def test_the_order_of_the_tensors_is_the_network_s_again(tmp_path: Path):
    """The file has an order of its own; a `.lac` file made of the loaded state must not have it."""
    first, _ = job()
    loaded, _ = load_state(saved(tmp_path / "s", first), first, JOB)
    assert list(loaded.weights) == list(first.weights) != sorted(first.weights)


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path, quadratic: LCState):
    whole = saved(tmp_path / "s", quadratic).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(DataError):
            load_state(tmp_path / "cut", quadratic, JOB)


def test_an_altered_byte_is_refused_wherever_it_is(tmp_path: Path, quadratic: LCState):
    whole = saved(tmp_path / "s", quadratic).read_bytes()
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1
        (tmp_path / "bad").write_bytes(altered)
        try:
            loaded, _ = load_state(tmp_path / "bad", quadratic, JOB)
        except DataError:
            continue
        assert same_state(loaded, quadratic), f"byte {place}"  # the padding of the header says nothing


def test_what_is_no_state_is_refused(tmp_path: Path, quadratic: LCState):
    with pytest.raises(DataError, match="no file"):
        load_state(tmp_path / "none", quadratic, JOB)
    save_checkpoint(tmp_path / "network", quadratic.weights, {})
    with pytest.raises(DataError, match="no checkpoint of the LC algorithm"):
        load_state(tmp_path / "network", quadratic, JOB)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="is no checkpoint"):
        load_state(tmp_path / "text", quadratic, JOB)


def test_a_state_is_replaced_all_at_once(tmp_path: Path, quadratic: LCState, monkeypatch: pytest.MonkeyPatch):
    """A process that dies while it writes leaves the state before, and no debris under the name."""
    path = saved(tmp_path / "s", quadratic)
    before = path.read_bytes()
    problem = random_quadratic(6, seed=1)
    later = list(run(quadratic, problem, SCHEDULE))[2]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(files.os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            save_state(path, later, JOB, [later.progress])
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]
    save_state(path, later, JOB, [quadratic.progress, later.progress])
    loaded, history = load_state(path, quadratic, JOB)
    assert same_state(loaded, later)
    assert len(history) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]
