"""Whose handlers are in force: the command line's while it works, and nobody else's ever."""

import signal

import numpy as np
import pytest
import torch

import laconic
from laconic import interrupts
from laconic.cli import run


def handlers():
    return [signal.getsignal(number) for number in interrupts.SIGNALS]


@pytest.fixture
def _restored():
    before = handlers()
    yield
    for number, handler in zip(interrupts.SIGNALS, before, strict=True):
        signal.signal(number, handler)


def test_compress_in_a_program_touches_no_handler(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("a handler was set"))
    laconic.compress({"w": torch.eye(4)}, laconic.AdaptiveCodebook(2))


def test_a_command_gives_handlers_back():
    before = handlers()
    assert run(["version", "--quiet"]) == 0
    assert handlers() == before


@pytest.mark.usefixtures("_restored")
def test_a_signal_that_was_ignored_stays_ignored():
    """As SIGINT is in a background job of a shell without job control."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts.raising():
        signal.raise_signal(signal.SIGINT)
        interrupts.check()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def dropped(number):
    """Send a signal whose exception goes no further, as in a callback of C."""
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_what_has_been_dropped_is_raised_at_the_next_look_and_at_the_end():
    with interrupts.raising():
        dropped(signal.SIGTERM)
        for look in (interrupts.check, interrupts.finish):
            with pytest.raises(interrupts.Stop):
                look()
        signal.raise_signal(signal.SIGTERM)  # too late
    assert interrupts.taken() == signal.SIGTERM
    interrupts.check()


def test_whatever_else_comes_out_is_the_interruption(monkeypatch, capsys, tmp_path):
    def broken(*_):
        dropped(signal.SIGTERM)
        raise RuntimeError("no compiled object yet")

    run(["inspect", "--help"])
    path = laconic.compress({"w": torch.from_numpy(np.eye(4))}, laconic.AdaptiveCodebook(2)).save(tmp_path / "a.lac")
    monkeypatch.setattr("laconic.cli.jobs.inspect.ledger", broken)
    capsys.readouterr()
    assert run(["inspect", str(path)]) == 143
    assert capsys.readouterr() == ("", "interrupted\n")
    interrupts.check()
