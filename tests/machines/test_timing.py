"""The model of the time of a step, against its formula by hand."""

import pytest

from laconic.errors import PlanError
from laconic.machines.timing import Measured, Network, step_seconds

LINK = Network(bandwidth=1e6, latency=0.001)


def test_what_adds_up_moves_twice_the_message_at_most_and_is_decoded_once():
    sums = Measured(1.0, 0.1, 0.2, 1e6, adds_up=True)
    assert step_seconds(sums, LINK, 2) == pytest.approx(1.0 + 0.1 + 0.2 + 1.0 + 0.001)
    assert step_seconds(sums, LINK, 8) == pytest.approx(1.0 + 0.1 + 0.2 + 1.75 + 0.003)
    assert step_seconds(sums, LINK, 512) < 1.3 + 2 + 0.009


def test_what_is_gathered_moves_and_is_decoded_once_for_each_worker():
    gathered = Measured(1.0, 0.1, 0.2, 1e4, adds_up=False)
    assert step_seconds(gathered, LINK, 2) == pytest.approx(1.0 + 0.1 + 0.4 + 0.01 + 0.001)
    assert step_seconds(gathered, LINK, 100) == pytest.approx(1.0 + 0.1 + 20 + 0.99 + 0.007)


def test_one_worker_codes_and_moves_nothing():
    assert step_seconds(Measured(1.0, 9.0, 9.0, 9e9, adds_up=False), LINK, 1) == 1.0


@pytest.mark.parametrize(("workers", "bandwidth"), [(0, 1.0), (2, 0.0), (2, float("nan"))])
def test_nothing_cannot_be_asked_of_it(workers, bandwidth):
    with pytest.raises(PlanError):
        step_seconds(Measured(1.0, 0.0, 0.0, 1.0, adds_up=True), Network(bandwidth), workers)
