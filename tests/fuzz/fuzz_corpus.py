"""Good bytes to begin with: what meters said in tests/captures, cut into the pieces that a target takes."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_mutation import Case

from edge.dlms import hdlc, wrapper

CAPTURES = Path(__file__).parent.parent / "captures"
HOSTILE = ("hostile", "hostile_sequences")


@cache
def scripts() -> tuple[dict[str, Any], ...]:
    """Every recorded conversation, and every altered one."""
    recorded = [json.loads(path.read_text()) for path in sorted(CAPTURES.glob("*.json")) if path.stem not in HOSTILE]
    return (*recorded, *json.loads((CAPTURES / "hostile_sequences.json").read_text())["sequences"])


def streams(framing: str) -> list[Case]:
    """What the meter sent at the beginning and end of each conversation of a framing: one piece for each frame; and all
    hostile streams.
    """
    heard = [tuple(bytes.fromhex(entry["hex"]) for entry in script["exchange"] if entry["dir"] == "rx")
             for script in scripts() if script["framing"] == framing]
    return list(dict.fromkeys([part for case in heard if case for part in (case[:5], case[-3:])] + hostile(framing)))


def hostile(layer: str) -> list[Case]:
    """The recorded hostile inputs of a layer, each in one piece."""
    return [(bytes.fromhex(item["hex"]),) for item in json.loads((CAPTURES / "hostile.json").read_text())["inputs"]
            if item["layer"] == layer]


@cache
def conversations() -> tuple[Case, ...]:
    """The APDUs, in clear, that the meter sent in each conversation."""
    return tuple(filter(None, (tuple(_apdus(script)) for script in scripts())))


def answers(tag: int, invoke_id: int = 1) -> list[Case]:
    """All different APDUs with this tag, each a case, and each run of blocks as one; with this invoke-id."""
    cases: list[Case] = []
    for case in (*conversations(), *hostile("apdu")):
        run: list[bytes] = []
        for apdu in case:
            if apdu[:1] != bytes((tag,)):
                continue
            fitting = apdu[:2] + bytes((apdu[2] & 0xF0 | invoke_id,)) + apdu[3:] if len(apdu) > 2 else apdu
            cases.append((fitting,))
            if apdu[1:2] == b"\x02":
                run.append(fitting)
        if run:
            cases.append(tuple(run[:12]))
    return list(dict.fromkeys(cases))


def data() -> list[bytes]:
    """Every A-XDR value that a recorded GET brought, and those of the hostile inputs."""
    found = [apdu[4:] for case in conversations() for apdu in case if apdu[:2] == b"\xc4\x01" and apdu[3:4] == b"\x00"]
    found += [bytes.fromhex(expected["data"]) for script in scripts() for expected in _items(script) if "data" in expected]
    return list(dict.fromkeys([*found, *(piece for (piece,) in hostile("axdr"))]))


def _items(script: dict[str, Any]) -> Iterator[dict[str, Any]]:
    expected: Sequence[dict[str, Any]] = script["expected"] if isinstance(script["expected"], list) else ()
    for result in expected:
        yield result
        yield from result.get("items", ())


def _apdus(script: dict[str, Any]) -> Iterator[bytes]:
    if "deciphered_answers" in script:
        yield from (bytes.fromhex(answer["apdu"]) for answer in script["deciphered_answers"])
        return
    information = b""
    for entry in script["exchange"]:
        if entry["dir"] != "rx":
            continue
        octets = bytes.fromhex(entry["hex"])
        if script["framing"] == "wrapper":
            if len(octets) > wrapper.HEADER_BYTES:
                yield octets[wrapper.HEADER_BYTES:]
            continue
        for frame in hdlc.Deframer().feed(octets):
            information += frame.information
            if not frame.segmented:
                if information[:3] == b"\xe6\xe7\x00" and information[3:]:
                    yield information[3:]
                information = b""
