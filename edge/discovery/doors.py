"""Under which addresses a meter may answer, and in which order they are tried (pure).

An HDLC server meets a wrong address with silence (IEC 62056-46), so that there is no other way than to try. The order:

1. The public client (SAP 16, IEC 62056-5-3, reserved addresses): no password can be wrong, and every meter must let it
   read the logical device name. The management client (SAP 1) is knocked at as well where only a link is set up, which
   takes no password.
2. The management logical device, 1: every physical device has it (IEC 62056-6-2, 4.1.8).
3. Of HDLC's address forms, one octet first: short, the handbooks' first example, and what a meter in service was found
   to answer. Then 1/17 in four and in two octets: 17 stands in a maker's example frames. 16 and 17 are the first free
   lower addresses (below 16 is reserved), 1 is what meters in the field have all the same.
4. With a serial number at hand, its last four digits as lower address come right after the short form: several makers
   set it so at the factory.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from edge.dlms.hdlc import address_text, decode_address, encode_address
from edge.dlms.settings import AssociationSettings
from edge.errors import Violation
from edge.poll.counter_object import PUBLIC_CLIENT

MANAGEMENT_CLIENT, MANAGEMENT_DEVICE = 1, 1
DLMS_PORT = 4059                     # IANA: dlms/cosem
SERIAL_LINE = 0                      # the port of a meter on a line of this board, where there is no wrapper
LIKELY = 3                           # HDLC doors before the wrapper has its turn on a port of unknown use
MOST_PHYSICAL = 128
"""Lower addresses in one search. Each may cost its time of silence on a serial line that others wait for."""

Framing = Literal["wrapper", "hdlc"]
AddressBytes = Literal[1, 2, 4]
_FORMS: tuple[AddressBytes, ...] = (4, 2)
_Address = tuple[int, int | None, AddressBytes]


class Door(NamedTuple):
    """One way to reach one logical device. `physical` and `address_bytes` are HDLC's, as in `AssociationSettings`."""

    framing: Framing
    client_sap: int
    logical: int
    physical: int | None = None
    address_bytes: AddressBytes = 1

    @property
    def address(self) -> str:
        """The address as people write it."""
        if self.framing == "wrapper":
            return f"logical device {self.logical}"
        return f"address {address_text(encode_address(self.logical, self.physical, self.address_bytes))}"

    def __str__(self) -> str:
        """Return framing, address and client."""
        name = "HDLC" if self.framing == "hdlc" else "wrapper"
        return f"{name}, {self.address}, client {self.client_sap}"


class Search(NamedTuple):
    """What the operator knows already. Empty means: try what is usual."""

    framings: tuple[Framing, ...] = ()
    client_sap: int = PUBLIC_CLIENT
    logical: int = MANAGEMENT_DEVICE
    physical: tuple[int, ...] = ()
    serial: str = ""
    quick: bool = False               # a scan: the likeliest doors only


def stages(search: Search, port: int) -> list[list[Door]]:
    """Return the doors to knock at, likeliest first, in stages of one framing each.

    Either framing does the other's meter no harm: an AARQ of the public client holds no flag octet, so that no HDLC
    meter behind a bridge takes a part of it for a frame, and 7E A0 is no version of the wrapper.
    """
    wanted = search.framings or (("hdlc",) if port == SERIAL_LINE else ("wrapper", "hdlc"))
    wrapper = wrapper_doors(search) if "wrapper" in wanted else []
    hdlc = hdlc_doors(search) if "hdlc" in wanted else []
    if port == DLMS_PORT:
        order = [wrapper, hdlc]
    elif search.physical:
        order = [hdlc, wrapper]
    else:
        order = [hdlc[:LIKELY], wrapper, hdlc[LIKELY:]]
    return [stage for stage in order if stage]


def wrapper_doors(search: Search) -> list[Door]:
    """Return where to knock with the wrapper. A wrapper server answers from whichever logical device is there."""
    others = () if search.quick or search.logical != MANAGEMENT_DEVICE else (16, 17)
    return [Door("wrapper", search.client_sap, logical) for logical in (search.logical, *others)]


def hdlc_doors(search: Search) -> list[Door]:
    """Return where to knock with HDLC; SNRM only, so that the management client may be tried beside the public one."""
    clients = [search.client_sap]
    if search.client_sap == PUBLIC_CLIENT and not search.quick:
        clients.append(MANAGEMENT_CLIENT)
    return [Door("hdlc", client, logical, physical, size)
            for client in clients for logical, physical, size in _addresses(search)]


def _addresses(search: Search) -> Iterable[_Address]:
    device, forms = search.logical, _FORMS
    if search.physical:
        told: list[_Address] = [(device, lower, size) for lower in search.physical[:MOST_PHYSICAL] for size in forms]
        return filter(_fits, told)
    tail = search.serial[-4:]
    by_serial: list[_Address] = [(device, int(tail), 4)] if tail.isascii() and tail.isdigit() and int(tail) else []
    lowers = (17,) if search.quick else (17, 16, 1)
    usual: list[_Address] = [(device, lower, size) for lower in lowers for size in forms]
    others: list[_Address] = [] if search.quick or device != MANAGEMENT_DEVICE else [(16, None, 1), (17, None, 1)]
    return filter(_fits, dict.fromkeys([(device, None, 1), *by_serial, *usual, *others]))


def _fits(address: _Address) -> bool:
    logical, physical, size = address
    return max(logical, physical or 0) <= (0x3FFF if size == 4 else 0x7F)


def door_of(source: bytes, client_sap: int) -> Door | None:
    """Return the door that an HDLC frame came from; None for an address that is none."""
    try:
        logical, physical = decode_address(source)
    except Violation:
        return None
    size: AddressBytes = 1 if len(source) == 1 else 2 if len(source) == 2 else 4
    return Door("hdlc", client_sap, logical, physical, size)


def public_settings(door: Door, *, opening_s: float, exchange_s: float) -> AssociationSettings:
    """Return the settings of an association without authentication."""
    return AssociationSettings(
        framing=door.framing, client_sap=door.client_sap, server_logical=door.logical, server_physical=door.physical,
        address_bytes=door.address_bytes, association_timeout_s=opening_s, exchange_timeout_s=exchange_s)
