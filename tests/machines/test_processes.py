"""Two processes: they end with the bits of one that plays both, and what goes wrong on one ends both.

Processes meet through a file, or by a port that the system gives. On a busy machine half a second of work may take a
minute and more: timeouts of the group are longer than the patience of the tests, so that slow is never gone.
"""

import json
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import forked
import pytest
from ranks import commands

from laconic.cli import run
from laconic.cli.jobs import workers as jobs
from laconic.cli.schedule import Machines
from laconic.machines.catalogue import SCHEMES, scheme_of
from laconic.machines.exact import Exact
from laconic.machines.exchange import warm_up
from laconic.machines.wires import InOneProcess
from laconic.models.checkpoints import load_checkpoint

TRAIN = ["train", "--net", "lenet300", "--data", "digits", "--epochs", "3", "--lr", "0.05", "--threads", "1"]

JOINED = """
import sys
from datetime import timedelta
import torch, torch.distributed as dist
from torch import nn
from laconic.errors import LaconicError
rank, folder = int(sys.argv[1]), sys.argv[2]
limit = timedelta(seconds=600)  # forked.PATIENCE ends what has come to a standstill
dist.init_process_group("gloo", f"file://{folder}/meeting", world_size=2, rank=rank, timeout=limit)
sys.path.insert(0, sys.argv[3])
"""

WORKERS = (
    JOINED
    + """
from machines.test_workers import small, network, task_of, trained, same
from laconic.machines.exchange import Exchange, Share
from laconic.machines.processes import Processes
from laconic.machines.wires import InOneProcess
from laconic.machines.workers import Workers
module = network(batchnorm=True)
task, shapes = task_of(module, (16, 8)), {name: tuple(leaf.shape) for name, leaf in module.named_parameters()}
buffers = {name for name, _ in module.named_buffers()}
for name in ("float32", "terngrad", "topk"):
    for server in (False, True):
        together = Workers(Exchange(small(name), Processes(), shapes, 5, server))
        alone = Workers(Exchange(small(name), InOneProcess(2), shapes, 5, server))
        weights = together.settled(trained(task, together, 1).weights, buffers)
        assert same(weights, trained(task, alone, 1).weights), (name, server)
        assert server or together.bytes_a_step == alone.bytes_a_step
        kept = together.memories()
        assert (kept is None) if rank else same(kept, alone.memories())
wrong = torch.full((2,), float("nan") if rank else 1.0)
for share, said in (
    (Share({"w": wrong}), "worker 1: the gradient of w is NaN"),
    (Share({"w": torch.ones(2)}, failure="OSError: disk" if rank else None), "worker 1: OSError: disk"),
    (Share({"w": torch.ones(2)}, mark=rank), "different batches"),
):
    for server in (False, True):
        try:
            Exchange(small("terngrad"), Processes(), {"w": (2,)}, 0, server)(["w"], [share], [{}], 0)
        except LaconicError as error:
            assert said in str(error), error
        else:
            raise AssertionError(said)
try:
    together.require_same({"w": torch.tensor([float(rank)])})
except LaconicError as error:
    assert "different weights" in str(error)
else:
    raise AssertionError
print("done")
"""
)

HOOKS = (
    JOINED
    + """
import contextlib
from torch.nn.parallel import DistributedDataParallel
from laconic import compress_gradients
from laconic.machines.catalogue import scheme_of
from laconic.machines.processes import Processes
from machines.test_workers import small

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.unused = nn.Linear(20, 300), nn.Linear(300, 5), nn.Linear(7, 7)
    def forward(self, x):
        return self.second(self.first(x).relu())

draw = torch.Generator().manual_seed(rank)
data = [(torch.randn(8, 20, generator=draw), torch.randint(0, 5, (8,), generator=draw)) for _ in range(6)]

def trained(how, autocast=False, state=None, steps=6, **options):
    net = Net()
    buckets = {"bucket_cap_mb": 0.005, "find_unused_parameters": True, **options}
    if not buckets["find_unused_parameters"]:
        net.unused = None
    ddp = DistributedDataParallel(net, **buckets)
    hook = None if how is None else compress_gradients(ddp, how)
    if state:
        hook.load_state_dict(state)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for number, (inputs, targets) in enumerate(data[:steps]):
        waits = number % 3 == 1
        with ddp.no_sync() if waits else contextlib.nullcontext(), torch.autocast("cpu", enabled=autocast):
            loss = nn.functional.cross_entropy(ddp(inputs), targets)
        with ddp.no_sync() if waits else contextlib.nullcontext():
            loss.backward()
        if waits:
            continue
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    weights = torch.cat([p.detach().float().reshape(-1) for p in net.parameters()])
    both = [torch.empty_like(weights) for _ in range(2)]
    dist.all_gather(both, weights)
    assert torch.equal(*both), how
    return weights, hook

plain, _ = trained(None)
floats, hook = trained("float32")
assert torch.allclose(plain, floats, atol=1e-6)
assert hook.step == 4 and hook.pushed > 4 * 4 * (6300 + 1505) > 0.9 * hook.pushed
for how in ("terngrad", "dgc:0.1", "bfloat16"):
    got, hook = trained(small(how) if how[0] in "td" else how)
    assert 0 < float((got - plain).norm()) < 0.3 * float(plain.norm()), how
    assert 0 < hook.pushed < 4 * 4 * 7805 and hook.step == 4, (how, hook.pushed)
trained(small("terngrad"), autocast=True, gradient_as_bucket_view=True)
for buckets in ({"find_unused_parameters": False}, {}, {"bucket_cap_mb": 25, "find_unused_parameters": False}):
    _, hook = trained("powersgd:2", **buckets)
    assert 4 * 7805 < hook.pushed < 3 * 4 * 7805 and hook.step == 4, hook.pushed  # the first two steps are whole
whole, _ = trained(small("topk:0.1"), steps=3)
part, hook = trained(small("topk:0.1"), steps=3)
kept = hook.state_dict()
assert len(kept) > 1 and int(kept["step"]) == 2
again, other = trained(small("topk:0.1"), state=kept, steps=1)
assert other.step == 3
for state, said in (
    ({}, "it has no step"),
    ({"residual/first.weight": torch.zeros(3), "step": torch.tensor(1)}, "of another network"),
    ({**kept, "workers": torch.tensor(3)}, "one of 3 workers has kept of its gradients, and here are 2"),
    ({**kept, "worker": torch.tensor(1 - rank)}, "takes up its own"),
):
    try:
        other.load_state_dict(state)
    except LaconicError as error:
        assert said in str(error), error
        continue
    raise AssertionError(said)
other.load_state_dict({"step": torch.tensor(7), "worker": torch.tensor(5), "workers": torch.tensor(9)})
assert other.step == 7
for how, said in (
    ("powersgd:no", "rank of 1 or more"), ("powersgd: 2", "rank of 1 or more"), ("powerSGD", "did you mean 'powersgd'"),
):
    try:
        trained(how)
    except LaconicError as error:
        assert said in str(error), error
    else:
        raise AssertionError(how)
net = Net()
for asked, said in ((["signs", "qsgd"][rank], "worker 1 'qsgd 0 False'"), ("signs", "turned: gradients of complex")):
    if asked == "signs" and "turned" in said:
        net.turned = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    try:
        compress_gradients(DistributedDataParallel(net), asked)
    except LaconicError as error:
        assert said in str(error), error
    else:
        raise AssertionError(said)
try:
    compress_gradients(Net(), "terngrad")
except LaconicError as error:
    assert "not in a Net: FSDP" in str(error)
data = [(torch.full((8, 20), float("nan")) if rank else data[0][0], data[0][1])]
try:
    trained("terngrad")
except LaconicError as error:
    assert "worker 1" in str(error) and "NaN" in str(error), error
else:
    raise AssertionError
print("done")
"""
)


def two(code, folder, *arguments):
    """Run code in two processes that get their rank; return what the first has said."""
    tests = Path(__file__).parents[1]
    both = [forked.Forked.start(code, [rank, folder, tests, *arguments], folder / str(rank)) for rank in range(2)]
    ends = [one.wait() for one in both]
    assert [code for code, _, _ in ends] == [0, 0], "\n---\n".join(err for _, _, err in ends)
    return ends[0][1]


def test_two_processes_end_with_the_bits_of_one_that_plays_both_and_fail_together(tmp_path):
    assert two(WORKERS, tmp_path) == "done\n"


def test_a_hook_of_ddp_works_with_buckets_no_sync_unused_parameters_clipping_and_autocast(tmp_path):
    assert "done\n" in two(HOOKS, tmp_path)


def test_a_worker_that_dies_ends_the_other_and_the_run_goes_on_from_the_checkpoint(tmp_path, capsys):
    output, whole = tmp_path / "net.safetensors", tmp_path / "whole.safetensors"
    checkpoint = output.with_name("net.safetensors.checkpoint")
    how = [*TRAIN, "--gradients", "topk:0.05"]
    arguments = [*how, "-o", output]  # a connection that is closed is news at once, whatever the timeout
    (code, out, err), (killed, *_) = commands(tmp_path, arguments, dies=3)
    assert (code, out, killed) == (1, "", -signal.SIGKILL)
    assert "a worker is gone" in err
    assert not output.exists()
    tensors, notes = load_checkpoint(checkpoint)
    assert notes["epoch"] == "2"
    assert {name.split("/")[1] for name in tensors if name.startswith("worker/")} == {"0", "1"}

    assert run([str(a) for a in [*how, "-o", output, "--resume", "--simulate-workers", "3"]]) == 1
    assert "workers was 2, is 3" in capsys.readouterr().err
    assert run([str(a) for a in [*how, "-o", whole, "--simulate-workers", "2"]]) == 0
    assert "2 workers, gradients as topk:0.05" in capsys.readouterr().out
    (code, out, err), (other, silent, _) = commands(tmp_path, [*arguments, "--resume"])
    assert (code, other, silent) == (0, 0, ""), err
    assert "wrote" in out
    assert output.read_bytes() == whole.read_bytes()
    assert not checkpoint.exists()


@pytest.mark.slow
def test_torchrun_starts_it(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "laconic"]
    output = tmp_path / "net.safetensors"
    done = subprocess.run(
        [*command, *TRAIN, "--gradients", "terngrad", "-o", str(output), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["workers"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gradients", "terngrad"], "--gradients is for several workers"),
        (["--server"], "--server is for several workers"),
        (["--simulate-workers", "2", "--gradients", "ternary"], "did you mean 'terngrad'"),
        (["--simulate-workers", "2", "--gradients", "dgc", "--weight-decay", "0.1"], "leave out --weight-decay"),
        (["--simulate-workers", "2", "--regularize", "nuclear", "--price", "0.1"], "goes with one worker"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, capsys, arguments, said):
    assert run([*TRAIN, "-o", str(tmp_path / "net.safetensors"), *arguments]) == 1
    assert said in capsys.readouterr().err


def test_kernels_are_compiled_before_the_clock_of_the_group_starts(monkeypatch):
    told, options = [], Machines(gradients="terngrad", timeout=5.0)
    for name, number in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, number)
    monkeypatch.setattr(jobs, "warm_up", lambda scheme, server: told.append(type(scheme.codec).__name__))
    monkeypatch.setattr(jobs, "joined", lambda join: told.append("joined") or nullcontext(InOneProcess(1)))
    with jobs.connected(options):
        assert told == ["Ternary", "joined"]


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_compiled_is_what_a_step_uses(name, monkeypatch):
    """Whatever the first step calls of the coder has been called before."""
    called = set()

    def heard(kind, method):
        def call(self, *given, **named):
            called.add((kind.__name__, method.__name__))
            return method(self, *given, **named)

        return call

    codec = type(scheme_of(name).codec)
    for kind in (codec, Exact):
        for method in (kind.encode, kind.decode):
            monkeypatch.setattr(kind, method.__name__, heard(kind, method))
    warm_up(scheme_of(name), server=True)
    assert {(codec.__name__, "encode"), (codec.__name__, "decode"), ("Exact", "encode"), ("Exact", "decode")} <= called
