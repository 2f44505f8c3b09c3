"""The conformance block: which services a side offers (IEC 62056-5-3 clause 9.4.6.1)."""

from enum import IntFlag


class Conformance(IntFlag):
    """Conformance block: which services a side offers. Bit 0 of the standard is the highest of 24."""

    GENERAL_PROTECTION = 0x40_00_00
    GENERAL_BLOCK_TRANSFER = 0x20_00_00
    ATTRIBUTE_0_GET = 0x00_20_00
    BLOCK_TRANSFER_WITH_GET = 0x00_10_00
    BLOCK_TRANSFER_WITH_SET = 0x00_08_00
    BLOCK_TRANSFER_WITH_ACTION = 0x00_04_00
    MULTIPLE_REFERENCES = 0x00_02_00
    DATA_NOTIFICATION = 0x00_00_80
    ACCESS = 0x00_00_40
    GET = 0x00_00_10
    SET = 0x00_00_08
    SELECTIVE_ACCESS = 0x00_00_04
    EVENT_NOTIFICATION = 0x00_00_02
    ACTION = 0x00_00_01


OFFERED = (Conformance.GET | Conformance.BLOCK_TRANSFER_WITH_GET | Conformance.MULTIPLE_REFERENCES
           | Conformance.SELECTIVE_ACCESS | Conformance.SET | Conformance.BLOCK_TRANSFER_WITH_SET | Conformance.ACTION
           | Conformance.BLOCK_TRANSFER_WITH_ACTION)
"""What this client does with every meter. Never offer a service whose answers it cannot read.

ATTRIBUTE_0_GET, GENERAL_BLOCK_TRANSFER, ACCESS and GENERAL_PROTECTION are implemented too, and offered where a meter's
profile or its security asks for them: meters exist that go wrong where these are merely offered.
"""
