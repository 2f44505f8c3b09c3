"""Meters as CSV (pure): RFC 4180, UTF-8, one header line, one meter per line.

Columns are the fields of `Meter`; `name`, `host` and `port` must be there, an empty cell means "as the profile says".
A meter on a serial line has no port: 0, or an empty cell.
A `password` column is taken on the way in; there is none on the way out. Spreadsheets that save with semicolons, tabs,
a line `sep=;` or a byte order mark are understood.
"""

import csv
import dataclasses
import difflib
import io
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from edge.endpoint import is_serial, normal_host
from edge.errors import RegistryError
from edge.model import Meter
from edge.store.validate import PASSWORD_LIMIT_BYTES, normal_mac, problems

COLUMNS = tuple(field.name for field in dataclasses.fields(Meter))
REQUIRED = ("name", "host", "port")
PASSWORD = "password"        # noqa: S105 - the name of a column
TEXT_LIMIT_CHARS = 4_194_304

_INTEGERS = {"port", "client_sap", "server_logical", "server_physical", "address_bytes", "security_suite"}
_KEYS = re.compile(r"(encryption|authentication|dedicated|global|unicast|master|block_cipher)?_?key|guek|gak|ek|ak|kek|"
                   r"(hls_?)?secret")
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}


class Row(NamedTuple):
    """One meter of a file; `password` is None where the file says nothing about it."""

    line: int
    meter: Meter
    password: bytes | None

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"Row(line={self.line}, meter={self.meter!r})"


def parse(text: str, profiles: Collection[str] | None = None) -> list[Row]:
    """Read a whole file; `profiles` are the meter types that exist, None to take any.

    Raises RegistryError with every problem found, one line each, headed by its line number.
    """
    if len(text) > TEXT_LIMIT_CHARS:
        raise RegistryError(f"larger than {TEXT_LIMIT_CHARS} characters; import it in parts")
    text = text.removeprefix("\ufeff")
    delimiter, said = _delimiter(text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: dict[str, Row] = {}      # by name
    found: list[str] = []
    try:
        if said:
            next(reader)
        header = [cell.strip().lower() for cell in next(reader, [])]
        found += _header_problems(1 + said, header)
        if not found:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    found += _cells(reader.line_num, header, cells, rows, profiles)
    except csv.Error as error:
        found.append(f"line {reader.line_num}: not CSV: {error}")
    if not found and not rows:
        found.append("line 2: no meter in the file")
    if found:
        raise RegistryError("\n".join(found))
    return list(rows.values())


def render(meters: Iterable[Meter]) -> str:
    """Write meters as CSV, without any secret."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for meter in meters:
        writer.writerow([_cell(getattr(meter, column)) for column in COLUMNS])
    return out.getvalue()


def _delimiter(first_line: str) -> tuple[str, bool]:
    """Return what parts the cells, and whether the line said so (`sep=;`, as spreadsheets take it) and is no header."""
    told = re.fullmatch(r'(?i)"?sep=([,;|\t])"?', first_line.rstrip("\r"))
    if told:
        return told[1], True
    return next((mark for mark in (",", ";", "\t") if mark in first_line), ","), False


def _header_problems(line: int, header: list[str]) -> list[str]:
    if not any(header):
        return [f"line {line}: the header is missing: {','.join(COLUMNS)}"]
    known = (*COLUMNS, PASSWORD)
    found = [f"line {line}: the column {name} is missing" for name in REQUIRED if name not in header]
    for number, name in enumerate(header):
        if _KEYS.fullmatch(name):
            found.append(f"line 1: the column {name[:40]!r}: CSV takes no keys; `halow-gateway meter set-key` does")
        elif name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            found.append(f"line {line}: unknown column {name[:40]!r}; {hint}")
        elif name in header[:number]:
            found.append(f"line {line}: the column {name} stands there twice")
    return found


def _cells(
    line: int, header: list[str], cells: list[str], rows: dict[str, Row], profiles: Collection[str] | None,
) -> Iterable[str]:
    if len(cells) != len(header):      # cells may be shifted, so none is named: one of them may be the password
        return [f"line {line}: {len(cells)} cells where the header has {len(header)}"]
    return _row(line, dict(zip(header, cells, strict=True)), rows, profiles)


def _row(line: int, cells: dict[str, str], rows: dict[str, Row], profiles: Collection[str] | None) -> Iterator[str]:
    """Add one meter to `rows`, or yield what is wrong with it. A password's cell is never part of a text."""
    password = (cells.pop(PASSWORD, None) or "").encode()
    fields: dict[str, Any] = {}
    if is_serial(cells.get("host", "").strip()):
        cells["port"] = cells.get("port", "").strip() or "0"
    for column, cell in cells.items():
        try:
            value = _value(column, cell.strip())
        except ValueError as error:
            yield f"line {line}: {column} = {cell.strip()[:60]!r}: {error}"
        else:
            fields |= {} if value is None else {column: value}
    if len(password) > PASSWORD_LIMIT_BYTES:
        yield f"line {line}: password: has {len(password)} bytes; at most {PASSWORD_LIMIT_BYTES}"
    if not set(REQUIRED) <= set(fields):
        return
    try:
        meter = msgspec.convert(fields | {"host": normal_host(fields["host"])}, Meter)
    except msgspec.ValidationError as error:
        yield f"line {line}: {str(error).replace('`', '').replace(' - at $.', ': ')}"
        return
    yield from (f"line {line}: {problem}" for problem in problems(meter))
    if profiles is not None and meter.profile not in profiles:
        yield f"line {line}: profile = {meter.profile!r}: no such profile; there are {', '.join(sorted(profiles))}"
    if meter.name in rows:
        yield f"line {line}: name = {meter.name!r}: has line {rows[meter.name].line} already"
    rows.setdefault(meter.name, Row(line, meter, password or None))


def _value(column: str, cell: str) -> str | int | float | bool | None:
    """Read one cell; None leaves the default. Raises ValueError with what is allowed."""
    if column == "paused":
        if cell.lower() not in _YES_NO:
            raise ValueError("must be yes or no")
        return _YES_NO[cell.lower()]
    if not cell:
        if column in REQUIRED:
            raise ValueError("must not be empty")
        return None
    if column in _INTEGERS:
        if not (cell.isascii() and cell.isdigit() and len(cell) <= 9):
            raise ValueError("must be a whole number")
        return int(cell)
    if column == "interval_s":
        try:
            return float(cell.replace(",", "."))
        except ValueError:
            raise ValueError("must be a number of seconds") from None
    if column in ("client_title", "meter_title"):
        return cell.lower()
    return normal_mac(cell) if column == "mac" else cell


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
