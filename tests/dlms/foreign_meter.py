"""A meter's side of ciphered associations whose cryptography is gurux-dlms's (tests only): nothing in common with edge.dlms.

    meter = ForeignMeter(suite=0, protection=0x30, form="general-glo", mechanism="hls-gmac")
    meter.answer(apdu) -> apdu        one APDU in, one out; a GET brings 2301, a GET of a list of n n such values
"""

import contextlib
import io
from dataclasses import dataclass, field
from typing import Any

from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.enums import Authentication, Security
from gurux_dlms.GXByteBuffer import GXByteBuffer
from gurux_dlms.GXCiphering import GXCiphering
from gurux_dlms.GXDLMSChippering import GXDLMSChippering
from gurux_dlms.GXDLMSSettings import GXDLMSSettings
from gurux_dlms.GXSecure import GXSecure
from gurux_dlms.objects.enums.SecuritySuite import SecuritySuite

CLIENT_TITLE, METER_TITLE = b"HGWclnt1", b"FRNmetr7"
KEYS = {0: (bytes(range(16)), bytes(range(0xD0, 0xE0))), 1: (bytes(range(16)), bytes(range(0xD0, 0xE0))),
        2: (bytes(range(32)), bytes(range(0xC0, 0xE0)))}
SECRET = b"a secret of HLS"
STOC = b"StoC of a meter!"
VALUE = bytes.fromhex("1208fd")
MECHANISMS = {"none": 0, "lls": 1, "hls-md5": 3, "hls-sha1": 4, "hls-gmac": 5, "hls-sha256": 6}
_GURUX = {"hls-md5": Authentication.HIGH_MD5, "hls-sha1": Authentication.HIGH_SHA1,
          "hls-gmac": Authentication.HIGH_GMAC, "hls-sha256": Authentication.HIGH_SHA256}
_GENERAL = {"general-glo": 0xDB, "general-ded": 0xDC}


@dataclass
class ForeignMeter:
    """What it is like; counters and what it heard are public."""

    suite: int = 0
    protection: int = 0x30
    form: str = "general-glo"
    mechanism: str = "hls-gmac"
    max_pdu: int = 1024
    conformance: int = 0x7E3E5D
    counter: int = 0
    dedicated_key: bytes = b""
    client_challenge: bytes = b""
    heard: list[bytes] = field(default_factory=list)
    heard_counters: list[int] = field(default_factory=list)
    wrong_proof: bool = False

    def answer(self, message: bytes) -> bytes:
        """Serve one APDU."""
        if message[0] == 0x60:
            return self._aare(message)
        if self.protection:
            message = self.opened(message)
        self.heard.append(message)
        return self.sealed(self._served(message)) if self.protection else self._served(message)

    # -- ciphering: gurux's -----------------------------------------------------------------------------------------------

    def _parameters(self, title: bytes, key: bytes, tag: int = 0, counter: int = 0) -> AesGcmParameter:
        made = AesGcmParameter(tag, bytearray(title), bytearray(key), bytearray(KEYS[self.suite][1]))
        made.security, made.securitySuite = Security(self.protection), SecuritySuite(self.suite)
        made.invocationCounter = counter
        return made

    def opened(self, message: bytes) -> bytes:
        """Decipher what a client sent; gurux raises ValueError for a wrong tag."""
        dedicated = message[0] == 0xDC or 0xD0 <= message[0] <= 0xD7
        parameters = self._parameters(CLIENT_TITLE, self.dedicated_key if dedicated else KEYS[self.suite][0])
        with contextlib.redirect_stdout(io.StringIO()):
            plain = GXDLMSChippering.decryptAesGcm(GXDLMSSettings(True, None), parameters, GXByteBuffer(message))
        assert parameters.security == self.protection
        self.heard_counters.append(parameters.invocationCounter)
        return bytes(plain)

    def sealed(self, plain: bytes, form: str | None = None) -> bytes:
        """Cipher an answer in the meter's form."""
        form = form or self.form
        dedicated = form in ("ded", "general-ded")
        tag = _GENERAL.get(form) or plain[0] + (0x10 if dedicated else 0x08)
        parameters = self._parameters(METER_TITLE, self.dedicated_key if dedicated else KEYS[self.suite][0], tag, self.counter)
        self.counter += 1
        return bytes(GXDLMSChippering.encryptAesGcm(parameters, bytearray(plain)))

    # -- association ------------------------------------------------------------------------------------------------------

    def _aare(self, message: bytes) -> bytes:
        fields, at = {}, 2 if message[1] < 0x80 else 3
        assert message[at - 1] == len(message) - at
        while at < len(message):
            fields[message[at]] = message[at + 2:at + 2 + message[at + 1]]
            at += 2 + message[at + 1]
        initiate = fields[0xBE][2:]
        assert (initiate[0] == 0x21) == bool(self.protection)
        assert fields[0xA1].endswith(b"\x03" if self.protection else b"\x01")
        if self.protection:
            initiate = self.opened(initiate)
        if initiate[1]:
            self.dedicated_key = initiate[3:3 + initiate[2]]
        high = self.mechanism.startswith("hls")
        if MECHANISMS[self.mechanism]:
            assert fields[0x8B][-1] == MECHANISMS[self.mechanism]
            self.client_challenge = fields[0xAC][2:]
        if self.protection or high:
            assert fields[0xA6] == b"\x04\x08" + CLIENT_TITLE
        response = b"\x08\x00\x06\x5f\x1f\x04\x00" + self.conformance.to_bytes(3, "big") + self.max_pdu.to_bytes(2, "big") + b"\0\x07"
        if self.protection:
            parameters = self._parameters(METER_TITLE, KEYS[self.suite][0], 0x28, self.counter)
            self.counter += 1
            response = bytes(GXDLMSChippering.encryptAesGcm(parameters, bytearray(response)))
        body = bytes.fromhex("a109060760857405080103a203020100a305a103020100")
        if not self.protection:
            body = body.replace(b"\x08\x01\x03", b"\x08\x01\x01")
        if high:
            body = body[:-1] + b"\x0e"
        if self.protection or high:
            body += b"\xa4\x0a\x04\x08" + METER_TITLE
        if high:
            body += b"\x88\x02\x07\x80" + bytes.fromhex("8907608574050802") + bytes((MECHANISMS[self.mechanism],))
            body += bytes((0xAA, len(STOC) + 2, 0x80, len(STOC))) + STOC
        body += bytes((0xBE, len(response) + 2, 4, len(response))) + response
        return b"\x61" + (bytes((len(body),)) if len(body) < 0x80 else bytes((0x81, len(body)))) + body

    def proof(self, title: bytes, challenge: bytes, counter: int, *, ours: bool) -> bytes:
        """F(challenge) by gurux: of the meter itself (`ours`) or of its client."""
        settings: Any = GXDLMSSettings(True, None)
        settings.authentication = _GURUX[self.mechanism]
        cipher = GXCiphering(title)
        cipher.blockCipherKey, cipher.authenticationKey = map(bytearray, KEYS[self.suite])
        cipher.securitySuite = SecuritySuite(self.suite)
        secret = SECRET
        if self.mechanism == "hls-gmac":
            secret = title
        elif self.mechanism == "hls-sha256":
            titles = (METER_TITLE, CLIENT_TITLE) if ours else (CLIENT_TITLE, METER_TITLE)
            challenges = (self.client_challenge, STOC) if ours else (STOC, self.client_challenge)
            secret = b"".join((SECRET, *titles, *challenges))
        return bytes(GXSecure.secure(settings, cipher, counter, bytearray(challenge), bytearray(secret)))

    def _served(self, message: bytes) -> bytes:
        invoke_id = message[2]
        if message[:2] == b"\xc0\x01":
            return b"\xc4\x01" + bytes((invoke_id, 0)) + VALUE
        if message[:2] == b"\xc0\x03":
            return b"\xc4\x03" + bytes((invoke_id, message[3])) + (b"\x00" + VALUE) * message[3]
        if message[:2] == b"\xc1\x01":
            return b"\xc5\x01" + bytes((invoke_id, 0))
        assert message[:2] == b"\xc3\x01"
        assert message[3:12] == bytes.fromhex("000f0000280000ff01")
        given = message[15:]
        assert message[12:15] == bytes((1, 9, len(given)))
        counter = int.from_bytes(given[1:5], "big") if self.mechanism == "hls-gmac" else 0
        if given != self.proof(CLIENT_TITLE, STOC, counter, ours=False):
            return b"\xc7\x01" + bytes((invoke_id, 3, 0))
        if self.mechanism == "hls-gmac":
            self.heard_counters.append(counter)
        own = self.proof(METER_TITLE, self.client_challenge, self.counter, ours=True)
        self.counter += 1
        if self.wrong_proof:
            own = own[:-1] + bytes((own[-1] ^ 1,))
        return b"\xc7\x01" + bytes((invoke_id, 0, 1, 0, 9, len(own))) + own
