"""Launches that share a folder: what is written and read, and what is said of a peer that is wrong, or gone."""

import os
from dataclasses import replace
from itertools import count

import pytest
import torch
from teaching_nets import Thin, task_of
from torch.nn import functional as F

from laconic.errors import DataError, OutputExists
from laconic.models.params import params_of
from laconic.models.states import job_text, read_state, write_state
from laconic.teachers.peers import Meeting, Place, among_peers
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization


def meeting(folder, number, said, **how):
    task = task_of(Thin(3, seed=number))
    options = {"every": 1, "same": {"net": "thin"}, **how}
    return task, Meeting(Place(folder, number, 2), task, say=said.append, **options)


def write(folder, number=1, **how):
    """What another launch has written."""
    task, other = meeting(folder, number, [], **how)
    other.write(params_of(task.module), finished=False)
    return task, other


def test_the_term_is_psi_of_what_the_newest_weights_say_and_only_in_training(tmp_path):
    said = []
    task, own = meeting(tmp_path, 0, said)
    among, params = among_peers(task, own, weight=2.0), params_of(task.module)
    batch = next(task.batches("train", 0))

    def loss_of(training=True):
        task.module.train(training)
        with torch.set_grad_enabled(training):
            leaves = {name: tensor.clone().requires_grad_(training) for name, tensor in params.items()}
            return (among.minimised if training else among.loss)(among.outputs(leaves, batch), batch)

    plain = task.loss(task.outputs(params, batch), batch)
    torch.testing.assert_close(loss_of().detach(), plain)
    tensors, facts = read_state(own.place.path(0), "weights of a peer 0", "checkpoint")
    assert all(torch.equal(tensors[name], tensor) for name, tensor in params.items())
    assert (facts["step"], facts["finished"]) == ("0", "False")
    for shift in (0.0, 0.5):  # the peer writes, and writes again
        peer, other = meeting(tmp_path, 1, [])
        other.write({name: tensor + shift for name, tensor in params_of(peer.module).items()}, finished=False)
        os.utime(own.place.path(1), ns=(1, round(1e9 * (1 + shift))))
        theirs = {name: tensor + shift for name, tensor in params_of(peer.module).items()}
        meant = task.outputs(theirs, batch).softmax(1).detach()
        outputs = task.outputs(params, batch)
        psi = F.kl_div(outputs.log_softmax(1), meant, reduction="batchmean")
        torch.testing.assert_close(loss_of().detach(), (plain + 2 * psi).detach())
    torch.testing.assert_close(loss_of(training=False), plain)
    assert not said


def test_two_that_take_turns_become_alike(tmp_path):
    """Epochs by turns stand for launches at once; without the folder they would not know of each other."""
    apart = {}
    for weight in (0.0, 2.0):
        pair = [meeting(tmp_path / str(weight), number, [], every=3) for number in (0, 1)]
        params = [params_of(task.module) for task, _ in pair]
        for epoch in range(6):
            for i, (task, own) in enumerate(pair):
                how = Optimization(1, 0.01)
                params[i], _ = minimise(among_peers(task, own, weight), params[i], how, seed=epoch)
        batch = next(pair[0][0].batches("train", 0))
        first, second = (task.outputs(p, batch).softmax(1) for (task, _), p in zip(pair, params, strict=True))
        apart[weight] = float((first - second).detach().abs().sum())
    assert apart[2.0] < 0.7 * apart[0.0]


def test_burn_in_counts_the_steps_that_lie_behind_a_resumed_run(tmp_path):
    write(tmp_path)
    for begun, learned in ((0, [False, False, False, True]), (2, [False, True, True, True])):
        task, own = meeting(tmp_path, 0, [], burn_in=3, step=begun)
        batch, found = next(task.batches("train", 0)), []
        for _ in range(4):
            own.meet(lambda of=task: params_of(of.module))
            found.append(bool(own.said(batch)))
        assert found == learned


def test_weights_are_exchanged_every_so_many_steps(tmp_path, monkeypatch):
    task, own = meeting(tmp_path, 0, [], every=3)
    written = []
    monkeypatch.setattr(Meeting, "write", lambda self, params, *, finished: written.append(self.step))
    for _ in range(8):
        own.meet(lambda: params_of(task.module))
    assert written == [0, 3, 6]


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-20] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("harm", [cut, flip])
def test_a_damaged_file_is_named_once_and_training_goes_on(tmp_path, harm):
    peer, other = write(tmp_path)
    said = []
    _, own = meeting(tmp_path, 0, said)
    own.read()
    kept, stamps = own.peers[1].teacher, count(1)
    for _ in range(2):
        harm(own.place.path(1))
        os.utime(own.place.path(1), ns=(1, next(stamps)))
        own.read()
        other.write(params_of(peer.module), finished=False)
    assert own.peers[1].teacher is kept, "as it was last"
    assert said
    assert all(sentence.startswith("peer 1 cannot be read, and is left out until") for sentence in said)
    assert len(set(said)) == len(said)


def test_weights_that_are_not_finite_are_left_out(tmp_path):
    task, other = meeting(tmp_path, 1, [])
    other.write({name: tensor * float("nan") for name, tensor in params_of(task.module).items()}, finished=False)
    said = []
    _, own = meeting(tmp_path, 0, said)
    own.read()
    assert not own.peers
    assert "peer 1 has weights that are NaN or infinite" in said[0]


def test_another_network_is_an_error_that_names_peer_and_cause(tmp_path):
    _, own = meeting(tmp_path, 0, [])
    facts = {"step": "0", "finished": "False", "of": "2"}
    wide = params_of(Thin(4))
    for tensors, labels, cause in [
        (wide, {"net": "thin"}, r"peer 1 .*another network: first.bias is \(4,\) there, \(3,\) here"),
        (params_of(Thin(3)), {"net": "thick"}, "peer 1: .*net was thick, is thin"),
    ]:
        write_state(own.place.path(1), "weights of a peer 0", tensors, {**facts, "same": job_text(labels)})
        with pytest.raises(DataError, match=cause):
            own.read()
    task, _ = write(tmp_path)
    three = Meeting(Place(tmp_path, 0, 3), task, 1, {"net": "thin"}, [].append)
    with pytest.raises(DataError, match=r"peer 1 is one of 2 launches .* this is one of 3"):
        three.read()


def test_a_foreign_newcomer_leaves_nothing_and_one_that_has_come_in_is_named_once(tmp_path):
    said = []
    task, own = meeting(tmp_path, 0, said)
    own.meet(lambda: params_of(task.module))
    three = Meeting(Place(tmp_path, 1, 3), task, 1, {"net": "thin"}, [].append)
    for enter in (lambda: three.meet(lambda: params_of(task.module)), three.begun(over=False).__enter__):
        with pytest.raises(DataError, match=r"peer 0 is one of 2 launches .* this is one of 3"):
            enter()
    assert not three.place.path(1).exists()
    assert not three.place.claim.exists()
    three.write(params_of(task.module), finished=False)  # both began at once
    for _ in range(3):
        os.utime(own.place.path(1), ns=(1, own.step))
        own.meet(lambda: params_of(task.module))
    (sentence,) = said
    assert "peer 1 is one of 3 launches" in sentence
    assert sentence.endswith("It is not learned from")
    assert not own.peers


def test_of_two_launches_of_one_number_one_goes_on(tmp_path):
    """Whether they begin at once, or the second takes the number; after a kill the file is there, and can be taken."""
    task, own = meeting(tmp_path, 0, [])
    params = params_of(task.module)
    with own.begun(over=False):
        own.write(params, finished=False)
        _, second = meeting(tmp_path, 0, [])
        with pytest.raises(OutputExists, match=r"another launch of this number runs.* --force"):
            second.begun(over=False).__enter__()
        own.write(params, finished=False)
        with second.begun(over=True):
            second.write(params, finished=False)
            left = own.place.path(0).read_bytes()
            own.step = 9
            with pytest.raises(DataError, match="another launch has taken the number of this one"):
                own.write(params, finished=True)
            assert own.place.path(0).read_bytes() == left
    assert not own.place.claim.exists()
    with meeting(tmp_path, 0, [])[1].begun(over=False):
        pass


def test_what_became_of_each_peer_is_told(tmp_path):
    said = []
    _, own = meeting(tmp_path, 0, said)
    assert own.told() == [f"peer 1 was never seen in {tmp_path}: nothing was learned from it"]
    peer, other = write(tmp_path, step=7)
    (sentence,) = own.told()
    assert sentence.startswith("peer 1 has not finished: it wrote last at step 7, 0 s ago")
    os.utime(own.place.path(1), (1, 1))
    own.read()
    own.read()
    assert len(said) == 1
    assert "peer 1 has written nothing for 60 s" in said[0]
    other.write(params_of(peer.module), finished=True)
    assert own.told() == ["peer 1 has finished, at step 7"]


def test_a_process_of_another_rank_reads_and_does_not_write(tmp_path, monkeypatch):
    for name, value in (("is_initialized", True), ("get_rank", 1)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    task, own = meeting(tmp_path, 0, [])
    own.write(params_of(task.module), finished=False)
    assert not own.place.path(0).exists()


def test_places_and_what_cannot_meet_are_refused(tmp_path):
    for number, total in ((2, 2), (-1, 2), (0, 1)):
        with pytest.raises(DataError, match=f"{number}/{total} is none"):
            Place(tmp_path, number, total)
    task, own = write(tmp_path)
    with pytest.raises(OutputExists, match="--resume goes on"):
        own.place.require_free()
    with pytest.raises(DataError, match="of a kind"):
        among_peers(replace(task, kind=None, loss=lambda outputs, _: outputs.mean()), own)
    with pytest.raises(DataError, match="1 or more"):
        meeting(tmp_path, 0, [], every=0)
