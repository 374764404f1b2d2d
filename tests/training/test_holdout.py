"""Which photos are held out is a matter of the name alone."""

from __future__ import annotations

import hashlib

import pytest

from training.mini.holdout import held_out


@pytest.mark.parametrize("name", ["000000000009.jpg", "00001.jpg", "raccoon-1.jpg"])
def test_the_rule_is_the_parity_of_the_first_byte_of_the_hash(name: str) -> None:
    first = int(hashlib.sha256(name.encode()).hexdigest()[:2], 16)
    assert held_out(name) == (first % 2 == 0)


def test_folders_do_not_matter() -> None:
    for name in (f"{n:05}.jpg" for n in range(50)):
        assert held_out(f"images/train/{name}") == held_out(f"C:\\photos\\{name}") == held_out(name)


def test_about_half_is_held_out() -> None:
    share = sum(held_out(f"{n}.jpg") for n in range(2000)) / 2000
    assert 0.46 < share < 0.54
