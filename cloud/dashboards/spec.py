"""What boards.toml and states/*.toml may say, and where they are read (files -> Board)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from cloud.errors import CloudError

HERE = Path(__file__).parent
_Kind = TypeVar("_Kind", bound=msgspec.Struct)
Style = Literal["", "active", "grade", "age_s", "ago", "percent", "none_is_good", "mebibytes", "received_of_expected"]
Alias = Literal["Gateways", "Meters", "This gateway", "This meter", "Its meters"]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key of a widget: of telemetry, counted telemetry, an attribute, or a field of the entity."""

    label: str
    key: str = ""
    count: str = ""
    attribute: str = ""
    field: str = ""
    unit: str = ""
    decimals: int | None = None
    style: Style = ""

    def __post_init__(self) -> None:
        """One subject."""
        if sum(map(bool, (self.key, self.count, self.attribute, self.field))) != 1:
            raise ValueError(f"{self.label}: a column has one of key, count, attribute, field")


class Widget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One widget. `at`: column, row, width, height on a grid of 24 columns; `opens`: where a click leads to."""

    kind: Literal["table", "counts", "chart", "intervals", "daily", "states", "map", "alarms", "history"]
    title: str
    alias: Alias
    at: tuple[
        Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=1)]
    ]
    columns: tuple[Column, ...] = ()
    opens: str = ""
    levels: tuple[str, ...] = ()  # "states": texts from bottom to top
    expected: str = ""  # "daily": the attribute of how many there should be


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One page of a dashboard."""

    name: str
    aliases: tuple[Alias, ...]
    widget: tuple[Widget, ...]


class BoardEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dashboard, as boards.toml has it."""

    file: Annotated[str, Meta(pattern=r"^[a-z]+$")]
    title: str
    description: str
    states: Annotated[tuple[str, ...], Meta(min_length=1)]


class Boards(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of boards.toml."""

    board: tuple[BoardEntry, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard with its pages, the first of which it opens with."""

    file: str
    title: str
    description: str
    states: Mapping[str, State]


def load(folder: Path = HERE) -> list[Board]:
    """Read the files. Raises CloudError, with the file's name."""
    boards = _read(folder / "boards.toml", Boards)
    return [
        Board(
            one.file,
            one.title,
            one.description,
            {name: _read(folder / f"states/{name}.toml", State) for name in one.states},
        )
        for one in boards.board
    ]


def _read(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), kind)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CloudError(f"{path}: {error}") from None
