"""The public names of the package."""

import pytest

import scheduler


@pytest.mark.parametrize("name", scheduler.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(scheduler, name).__name__ == name


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'scheduler' has no attribute 'Scheduler'"):
        _ = scheduler.Scheduler  # type: ignore[attr-defined]  # that is what the test is about
