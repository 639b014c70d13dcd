"""The delays between attempts."""

from agentsocket_client.backoff import Backoff


def delays(random: float, *, count: int) -> list[float]:
    backoff = Backoff(0.25, 30.0, lambda: random)
    return [backoff.next() for _ in range(count)]


def test_the_ceiling_doubles_up_to_its_cap() -> None:
    """D3."""
    assert delays(1.0, count=9) == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_the_jitter_is_full_it_reaches_down_to_zero() -> None:
    """D3."""
    assert delays(0.0, count=3) == [0, 0, 0]
    assert delays(0.5, count=3) == [0.125, 0.25, 0.5]


def test_it_never_gives_up_and_never_overflows() -> None:
    """D3."""
    assert delays(1.0, count=5000)[-1] == 30


def test_success_starts_over() -> None:
    backoff = Backoff(0.25, 30.0, lambda: 1.0)
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert backoff.next() == 0.25
