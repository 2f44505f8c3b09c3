"""The meter types that this gateway knows: the shipped ones and the operator's own (I/O edge: reads files).

    edge/meters/profiles/*.toml        shipped
    <state_dir>/profiles/*.toml        the operator's own; one of the same name stands in place of a shipped one

A file of the operator's that is wrong stops only the meters of its type. Their type is unknown then even where a
shipped one has its name: whoever wrote the file meant another table, and none is better than the wrong one.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge.config import GatewaySettings
from edge.errors import ConfigError
from edge.meters.profile import Profile, load_profile, load_profiles

log = logging.getLogger(__name__)

MOST_FILES = 256
"""Of a directory of profiles: each is read when any of them changes."""

Fingerprint = tuple[tuple[str, int, int], ...]


def own_directory(settings: GatewaySettings) -> Path:
    """Return where the operator's own profiles are; it need not exist."""
    return Path(settings.profiles_dir or f"{settings.state_dir}/profiles")


class Library(Mapping[str, Profile]):
    """Profiles by name. `refresh` may run in another thread than those who read."""

    def __init__(self, directory: Path) -> None:
        """Load everything. What is wrong with the operator's own files is in `problems`, not raised."""
        self.directory = directory
        self.problems: Mapping[str, str] = {}      # name -> one line that names the file
        self.generation = 0                        # grows when something has changed
        self._profiles: Mapping[str, Profile] = {}
        self._print: Fingerprint | None = None
        self.refresh()

    def refresh(self) -> None:
        """Load the operator's own files again if any has changed since the last time."""
        try:
            found = _fingerprint(self.directory)
        except OSError as error:
            found, problems = (), {"": f"{self.directory}: cannot be read: {error.strerror}"}
        else:
            problems = {}
        if found == self._print and self.problems.get("") == problems.get(""):
            return
        profiles = load_profiles()
        for name, _, _ in found[:MOST_FILES]:
            path = self.directory / name
            try:
                profiles[path.stem] = load_profile(path)
            except ConfigError as error:
                problems[path.stem] = str(error)
                profiles.pop(path.stem, None)
        if len(found) > MOST_FILES:
            problems[""] = f"{self.directory}: {len(found)} files; those after the first {MOST_FILES} are not read"
        for text in problems.values():
            if text not in self.problems.values():
                log.error("%s", text)
        self._profiles, self.problems, self._print = profiles, problems, found
        self.generation += 1

    def find(self, name: str) -> Profile:
        """Return a profile. Raises ConfigError that names the ones there are, or what is wrong with its file."""
        found = self._profiles.get(name)
        if found is None:
            why = self.problems.get(name) or f"there are {', '.join(sorted(self._profiles))}"
            raise ConfigError(f"no meter profile is named {name!r}; {why}")
        return found

    def __getitem__(self, name: str) -> Profile:
        """Return a profile; KeyError without one."""
        return self._profiles[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._profiles)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._profiles)


def _fingerprint(directory: Path) -> Fingerprint:
    """Return name, time of change and size of each file; () where there is no directory."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(".toml"))
    except FileNotFoundError:
        return ()
    return tuple((path.name, (state := path.stat()).st_mtime_ns, state.st_size) for path in paths)
