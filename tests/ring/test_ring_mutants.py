"""The state machine is worth something: it catches the ring with a guard taken away (all of them: `make crash`)."""

import pytest
from ring_mutants import COVERED, GUARDED, MUTANTS, PAIRS, caught

QUICK = ("no_sync", "no_resync", "no_header_crc", "no_uid_seed+no_copy_rule")


@pytest.mark.parametrize("name", [*QUICK, *GUARDED])
def test_a_ring_without_this_guard_is_caught(name: str) -> None:
    found, last = caught(name, 300, fixed=True)
    assert found, f"{name} survived: {last}"


def test_the_names_are_those_of_mutants() -> None:
    assert {*QUICK, *GUARDED, *COVERED} <= {*MUTANTS, *PAIRS}
    assert all(name in MUTANTS for pair in PAIRS for name in pair.split("+"))
