"""The foreign client's own requests, and ours: the same bytes where counters and challenges are the same."""

import contextlib
import io
import itertools
from typing import Any

import pytest
from foreign_meter import CLIENT_TITLE, KEYS, METER_TITLE, SECRET, ForeignMeter
from gurux_dlms import GXByteBuffer, GXReplyData
from gurux_dlms.enums import Authentication, InterfaceType
from gurux_dlms.enums import Conformance as GuruxConformance
from gurux_dlms.enums import Security as GuruxSecurity
from gurux_dlms.objects import GXDLMSRegister
from gurux_dlms.objects.enums.SecuritySuite import SecuritySuite
from gurux_dlms.secure import GXDLMSSecureClient

from edge.dlms import wrapper
from edge.dlms.association import Association, AssociationSettings, Opened, Security
from edge.dlms.ciphering import Protection
from edge.dlms.cosem import Attribute, Obis
from edge.dlms.counter import InvocationCounters

CHALLENGE = b"CtoS of a client"
OBIS = "1.0.32.7.0.255"
VOLTAGE = Attribute(3, Obis.parse(OBIS), 2)
CONFORMANCE = 0x40121D
THEIRS = (GuruxConformance.GENERAL_PROTECTION | GuruxConformance.BLOCK_TRANSFER_WITH_GET_OR_READ | GuruxConformance.MULTIPLE_REFERENCES
          | GuruxConformance.GET | GuruxConformance.SET | GuruxConformance.SELECTIVE_ACCESS | GuruxConformance.ACTION)
MECHANISMS = {"hls-md5": Authentication.HIGH_MD5, "hls-sha1": Authentication.HIGH_SHA1, "hls-gmac": Authentication.HIGH_GMAC,
              "hls-sha256": Authentication.HIGH_SHA256}


def foreign(mechanism: str, suite: int, protection: int, counter: int) -> Any:
    client = GXDLMSSecureClient(True, 3, 1, MECHANISMS[mechanism], bytearray(SECRET), InterfaceType.WRAPPER)
    ciphering = client.ciphering
    ciphering.systemTitle = bytearray(CLIENT_TITLE)
    ciphering.blockCipherKey, ciphering.authenticationKey = map(bytearray, KEYS[suite])
    ciphering.securitySuite, ciphering.security = SecuritySuite(suite), GuruxSecurity(protection)
    ciphering.invocationCounter = counter
    client.proposedConformance, client.maxReceivePDUSize = THEIRS, 1024
    client.autoIncreaseInvokeID = True
    client.settings.useCustomChallenge, client.settings.ctoSChallenge = True, bytearray(CHALLENGE)
    return client


def ours(mechanism: str, suite: int, protection: int, counter: int) -> Association:
    security = Security(CLIENT_TITLE, *KEYS[suite], suite=suite, protection=Protection(protection))
    return Association(AssociationSettings("wrapper", 3, 1, authentication=mechanism, password=SECRET, security=security,
                                           challenge=CHALLENGE, conformance=CONFORMANCE), InvocationCounters(counter, 1_000))


@pytest.mark.parametrize(("mechanism", "suite", "protection"), [*itertools.product(MECHANISMS, (0, 1, 2), (0x10, 0x20, 0x30))])
def test_aarq_is_the_foreign_clients(mechanism: str, suite: int, protection: int) -> None:
    association = ours(mechanism, suite, protection, 77)
    association.open(0.0)
    assert association.data_to_send().hex() == bytes(foreign(mechanism, suite, protection, 77).aarqRequest()[0]).hex()


@pytest.mark.parametrize(("suite", "protection"), [*itertools.product((0, 2), (0x10, 0x20, 0x30))])
def test_a_whole_association_goes_on_alike(suite: int, protection: int) -> None:
    """Both clients open an association with a meter of the same state, and read: every request is the same."""
    client, association = foreign("hls-gmac", suite, protection, 5), ours("hls-gmac", suite, protection, 5)
    one, two = (ForeignMeter(suite=suite, protection=protection, conformance=CONFORMANCE) for _ in range(2))
    with contextlib.redirect_stdout(io.StringIO()):
        association.open(0.0)
        theirs = asked(client, one, client.aarqRequest())
        client.parseAareResponse(theirs.data)
        reply = asked(client, one, client.getApplicationAssociationRequest())
        client.parseApplicationAssociationResponse(reply.data)
        value = asked(client, one, client.read(GXDLMSRegister(OBIS), 2)).value
    carry(association, two)
    assert isinstance(association.next_event(), Opened)
    association.get([VOLTAGE], 1.0)
    carry(association, two)
    event: Any = association.next_event()
    assert value == event.results[0].data == 2301
    assert [message[3:] for message in one.heard] == [message[3:] for message in two.heard]      # invoke-ids aside
    assert client.settings.sourceSystemTitle == METER_TITLE


def asked(client: Any, meter: ForeignMeter, frames: Any) -> GXReplyData:
    reply = GXReplyData()
    for frame in frames:
        answer = meter.answer(bytes(frame)[8:])
        client.getData(GXByteBuffer(wrapper.encode(1, 3, answer)), reply)
    return reply


def carry(association: Association, meter: ForeignMeter) -> None:
    while sent := association.data_to_send():
        association.receive_data(wrapper.encode(1, 3, meter.answer(sent[8:])), 1.0)
