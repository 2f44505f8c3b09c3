"""Invocation counters heard from meters: only ever raised, kept together, apart from the client's own."""

from pathlib import Path

from edge.store.registry import FILE_NAME, Registry

A, B = "a" * 64, "b" * 64


def test_they_outlive_the_process_and_only_rise(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with Registry.open(path) as registry:
        assert registry.heard() == {}
        registry.keep_heard({A: 7, B: 0})
        registry.keep_heard({A: 5, B: 0xFFFFFFFF})
        registry.keep_heard({})
    with Registry.open(path) as registry:
        assert registry.heard() == {A: 7, B: 0xFFFFFFFF}


def test_they_are_none_of_the_clients(tmp_path: Path) -> None:
    with Registry.open(tmp_path / FILE_NAME) as registry:
        assert registry.reserve_counters(A, 100) == 0
        registry.keep_heard({A: 7})
        assert registry.reserve_counters(A, 100) == 100
        assert registry.heard() == {A: 7}


def test_keeping_them_is_no_change_of_a_meter(tmp_path: Path) -> None:
    """Or every push would have all meters read anew."""
    with Registry.open(tmp_path / FILE_NAME) as registry:
        before = registry.data_version()
        registry.keep_heard({A: 7})
        assert registry.data_version() == before
