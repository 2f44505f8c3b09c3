"""CPU of ciphering one poll of nine values: request sealed, answer opened; three ways, without any network.

    python benchmarks/ciphering.py [--rounds 15]

"ours" is edge.dlms's channel, "library" dlms_cosem.security as pinned (a cipher object per call), "gurux" the
gurux-dlms client's. Authenticated and encrypted, suite 0. Rounds alternate; medians. Exit status 1 when ours needs more
than half of gurux's.
"""

import argparse
import contextlib
import io
import itertools
import statistics
import sys
import time
from collections.abc import Callable

from dlms_cosem import security as library
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.enums import Security as GuruxSecurity
from gurux_dlms.GXByteBuffer import GXByteBuffer
from gurux_dlms.GXDLMSChippering import GXDLMSChippering
from gurux_dlms.GXDLMSSettings import GXDLMSSettings

from edge.dlms.channel import SecureChannel
from edge.dlms.ciphering import Cipher, Protection
from edge.dlms.counter import InvocationCounters
from edge.dlms.settings import Security

EK, AK, CLIENT, METER = bytes(range(16)), bytes(range(0xD0, 0xE0)), b"HGWclnt1", b"FRNmetr7"
REQUEST, ANSWER = bytes(94), bytes(46)      # GET-with-list of nine, and its answer
CALLS = 200


def ours() -> Callable[[], object]:
    """Seal and open as an association does."""
    channel = SecureChannel(Security(CLIENT, EK, AK, meter_title=METER), InvocationCounters(0, 1 << 31))
    numbers = itertools.count()
    cipher = Cipher(0, EK, AK)
    answers = [b"\xdb\x08" + METER + bytes((len(sealed),)) + sealed for sealed in (
        cipher.seal(Protection.BOTH, METER, number, ANSWER) for number in range(1_000_000 // 50))]

    def poll() -> object:
        channel.seal(REQUEST)
        number = next(numbers) % len(answers)
        if not number:
            channel._heard.clear()
        return channel.open(answers[number])
    return poll


def pinned() -> Callable[[], object]:
    """The same two with the library's functions, without its APDU classes."""
    control = library.SecurityControlField(0, authenticated=True, encrypted=True)
    answer = library.encrypt(control, METER, 1, EK, ANSWER, AK)

    def poll() -> object:
        library.encrypt(control, CLIENT, 1, EK, REQUEST, AK)
        return library.decrypt(control, METER, 1, EK, answer, AK)
    return poll


def gurux() -> Callable[[], object]:
    """The same two with gurux's AES in Python, without its client."""
    def parameters(title: bytes) -> AesGcmParameter:
        made = AesGcmParameter(0xDB, bytearray(title), bytearray(EK), bytearray(AK))
        made.security, made.invocationCounter = GuruxSecurity.AUTHENTICATION_ENCRYPTION, 1
        return made

    settings = GXDLMSSettings(False, None)
    answer = bytes(GXDLMSChippering.encryptAesGcm(parameters(METER), bytearray(ANSWER)))

    def poll() -> object:
        GXDLMSChippering.encryptAesGcm(parameters(CLIENT), bytearray(REQUEST))
        return GXDLMSChippering.decryptAesGcm(settings, parameters(METER), GXByteBuffer(answer))
    return poll


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    variants = {"ours": ours(), "library": pinned(), "gurux": gurux()}
    figures: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, poll in variants.items():
            with contextlib.redirect_stdout(io.StringIO()):
                began = time.process_time()
                for _ in range(CALLS):
                    poll()
                figures[name].append((time.process_time() - began) / CALLS * 1e6)
    medians = {name: statistics.median(each) for name, each in figures.items()}
    for name, microseconds in medians.items():
        print(f"{name:8} {microseconds:9.1f} us CPU per poll")
    return 1 if medians["ours"] > medians["gurux"] / 2 else 0


if __name__ == "__main__":
    sys.exit(main())
