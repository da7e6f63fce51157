"""Estimates on paper, by hand."""

import pytest

from docs.tools.estimates import BATCH, CORES, DISK, LINK, NETWORK, RATE, Step, estimate, ring


def test_a_ring_sends_its_data_twice_but_for_its_own_share():
    assert [ring(1), ring(2), ring(8)] == [0, 1, 1.75]


def test_a_step_by_hand():
    """64 devices are 8 hosts of 8: a ring in each, and one of the hosts."""
    found = estimate(64, operations=RATE / 100, gradients=NETWORK / 7, episode_bytes=DISK / 640, loaded=640 / CORES)
    assert found.compute == pytest.approx(BATCH / 100)
    assert found.network == pytest.approx(0.25 + 0.25 * NETWORK / LINK)
    assert (found.loader, found.disk) == (pytest.approx(0.1), pytest.approx(0.1))
    assert estimate(1, RATE, NETWORK, 0, 1).network == 0


@pytest.mark.parametrize(
    ("parts", "seconds", "limit"),
    [
        ((3, 1, 3.5, 2), 4, "the devices"),
        ((1, 3, 3.5, 2), 4, "the network"),
        ((3, 1, 5, 2), 5, "the loader"),
        ((3, 1, 5, 6), 6, "the disk"),
    ],
)
def test_what_is_read_ahead_costs_time_only_where_it_takes_longer(parts, seconds, limit):
    step = Step(*parts)
    assert (step.seconds, step.limit) == (seconds, limit)
