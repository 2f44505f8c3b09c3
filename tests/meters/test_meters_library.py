"""Meter types of the operator's own beside the shipped ones: added, replaced, wrong, changed while the gateway runs."""

import os
from pathlib import Path

import pytest

from edge.config import GatewaySettings
from edge.errors import ConfigError
from edge.meters.library import Library, own_directory
from edge.meters.profile import load_profiles

GOOD = 'name = "{name}"\nvendor = "{vendor}"\nsource = "a test"\n[[objects]]\nkey = "active_energy"\nobis = "1-0:1.8.0"\nunit = "Wh"\n'


def written(directory: Path, name: str, text: str = GOOD, vendor: str = "Example") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.toml"
    path.write_text(text.format(name=name, vendor=vendor))
    return path


def test_without_a_directory_there_are_the_shipped_ones(tmp_path: Path) -> None:
    library = Library(tmp_path / "none")
    assert dict(library) == load_profiles()
    assert (dict(library.problems), library.generation) == ({}, 1)
    library.refresh()
    assert library.generation == 1


def test_own_files_add_and_replace(tmp_path: Path) -> None:
    written(tmp_path, "mine")
    written(tmp_path, "microstar", vendor="Somebody else")
    library = Library(tmp_path)
    assert set(library) == {*load_profiles(), "mine"}
    assert library.find("microstar").vendor == "Somebody else"
    assert len(library) == len(load_profiles()) + 1


def test_a_wrong_file_hides_its_type_and_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "microstar", GOOD.replace("Wh", "kWh"))
    library = Library(tmp_path)
    assert set(library) == set(load_profiles()) - {"microstar"}
    with pytest.raises(ConfigError, match=r"no meter profile is named 'microstar'; .*microstar\.toml: objects\[0\]\.unit: 'kWh'"):
        library.find("microstar")
    with pytest.raises(ConfigError, match=rf"named 'other'; there are {', '.join(sorted(set(load_profiles()) - {'microstar'}))}$"):
        library.find("other")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    os.utime(path, ns=(1, 1))
    library.refresh()
    assert len(caplog.records) == 1, "the same fault is told once"
    written(tmp_path, "microstar")
    library.refresh()
    assert library.find("microstar").vendor == "Example"
    assert not library.problems


def test_changes_are_seen_and_counted(tmp_path: Path) -> None:
    library = Library(tmp_path / "profiles")
    path = written(tmp_path / "profiles", "mine")
    library.refresh()
    assert (library.find("mine").vendor, library.generation) == ("Example", 2)
    path.unlink()
    library.refresh()
    assert (set(library), library.generation) == (set(load_profiles()), 3)


def test_a_path_that_is_no_directory_is_told(tmp_path: Path) -> None:
    file = tmp_path / "profiles"
    file.write_text("")
    library = Library(file)
    assert set(library) == set(load_profiles())
    assert list(library.problems.values()) == [f"{file}: cannot be read: Not a directory"]


def test_more_files_than_anybody_needs_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.meters.library.MOST_FILES", 2)
    for name in ("a", "b", "c"):
        written(tmp_path, name)
    library = Library(tmp_path)
    assert {"a", "b"} < set(library)
    assert "c" not in library
    assert "3 files" in library.problems[""]


def test_where_they_are(tmp_path: Path) -> None:
    assert own_directory(GatewaySettings(state_dir="/s")) == Path("/s/profiles")
    assert own_directory(GatewaySettings(state_dir="/s", profiles_dir="/p")) == Path("/p")
