"""Every error the gateway raises on purpose. Anything else that escapes a worker is a bug in the gateway.

    EdgeError
    ├── ConfigError         ours to refuse: a profile file, a command's arguments, a token, a CA
    │   └── SettingsError       the settings file: only the operator can mend it, so the status is EX_CONFIG
    ├── RegistryError       ours to refuse: the meter registry on flash
    ├── RingError           ours to refuse: a record too large, a ring that cannot be written
    │   ├── RingBusy            another process has the ring open
    │   └── RingLocked          the key of an encrypted ring is missing, or another one
    ├── LocalStateError     ours: a caller used a protocol object out of order
    ├── OrderRefused        theirs or ours: an operator's order was not carried out, and this is why
    ├── WorkerFailed        ours: a vital worker kept failing; ends the program with status 1
    ├── MeterError          theirs: one poll failed, and this is why (`reason`)
    │   ├── Unreachable         no TCP connection came about
    │   ├── ConnectionLost      the connection ended under an exchange
    │   ├── NoAnswer            a deadline passed in silence
    │   ├── Refused             the meter answered, and the answer is no
    │   │   └── CounterTooLow   the meter takes only higher invocation counters
    │   ├── Violation           bytes that the standard does not allow
    │   │   └── NotGenuine      not from the meter that has the keys, altered, repeated, or not protected as agreed
    │   ├── CounterUnavailable  no invocation counter could be reserved: nothing was sent
    │   ├── WrongMeter          another meter than the registered one answers
    │   └── BridgeBusy          a serial bridge spoke instead of the meter
    └── UplinkError         theirs: the broker
        ├── Retryable           try again later
        └── Rejected            this payload or this login will never be taken

An error's text is one line: what, where, what to do. It never holds a password, a key or a whole frame.
"""

from enum import StrEnum


class FailReason(StrEnum):
    """Why a poll has no values. Stored in the ring and sent upstream, so a name is never changed or reused."""

    UNREACHABLE = "unreachable"                # no TCP connection: refused, no route, time-out
    CONNECTION_LOST = "connection_lost"        # reset or closed in the middle of an exchange
    NO_ANSWER = "no_answer"                    # the deadline passed; over HDLC also: wrong address
    ASSOCIATION_REFUSED = "association_refused"  # AARE rejected: password, client SAP, context
    ACCESS_REFUSED = "access_refused"          # every object refused by the meter
    EXCEPTION_RESPONSE = "exception_response"  # the meter answered with an exception-response
    PROTOCOL_VIOLATION = "protocol_violation"  # undecodable, out of sequence, answer to another question
    SECURITY = "security"                      # wrong key or secret, altered, repeated or unprotected answer, counter
    BRIDGE_BUSY = "bridge_busy"                # the serial bridge serves another client, or spoke itself
    WRONG_METER = "wrong_meter"                # another meter answers at this address
    CIRCUIT_OPEN = "circuit_open"              # not tried: the breaker is open
    INTERNAL = "internal"                      # a fault in the gateway, logged with its traceback


class EdgeError(Exception):
    """Base of all of them."""


class ConfigError(EdgeError):
    """Settings or a data file are wrong; the text names the file, the key path and the value."""


class SettingsError(ConfigError):
    """The settings file is wrong: no restart and no reboot mends it, an editor does."""


class RegistryError(EdgeError):
    """The meter registry cannot be read or written, or refuses a change."""


class RingError(EdgeError):
    """The ring refuses a record, or its storage cannot be written."""


class RingBusy(RingError):
    """Another process has the ring open: the gateway runs."""


class RingLocked(RingError):
    """The ring is encrypted, and its key is not there or another one. Nothing of it was touched."""


class LocalStateError(EdgeError):
    """A protocol object was used out of order. A bug on this side."""


class OrderRefused(EdgeError):
    """An operator's order to a meter was not carried out. The meter answered soundly, or was never asked."""


class WorkerFailed(EdgeError):
    """A vital worker kept failing. Ends the program, so that systemd starts it anew."""


class MeterError(EdgeError):
    """One exchange with a meter failed. `reason` is what the failed reading will say."""

    reason: FailReason = FailReason.INTERNAL


class Unreachable(MeterError):
    """No TCP connection came about."""

    reason = FailReason.UNREACHABLE


class ConnectionLost(MeterError):
    """The other side closed or reset the connection under an exchange."""

    reason = FailReason.CONNECTION_LOST


class NoAnswer(MeterError):
    """The deadline of an exchange passed."""

    reason = FailReason.NO_ANSWER


class Refused(MeterError):
    """The meter understood and said no. `temporary` is True where the meter itself says that trying again may help."""

    reason = FailReason.ASSOCIATION_REFUSED

    def __init__(self, text: str, *, reason: FailReason, temporary: bool = False) -> None:
        """Keep the typed reason beside the text."""
        super().__init__(text)
        self.reason = reason
        self.temporary = temporary


class CounterTooLow(Refused):
    """The meter takes no invocation counter below `lowest`. It says so in clear, so `lowest` is a claim, not a fact."""

    def __init__(self, text: str, lowest: int) -> None:
        """Keep the number beside the text."""
        super().__init__(text, reason=FailReason.SECURITY, temporary=True)
        self.lowest = lowest


class Violation(MeterError):
    """Bytes from the meter that the standard does not allow here. Always ends the connection."""

    reason = FailReason.PROTOCOL_VIOLATION


class NotGenuine(Violation):
    """A protected association got what its keys did not make: altered, repeated, unprotected, or a wrong proof."""

    reason = FailReason.SECURITY


class CounterUnavailable(MeterError):
    """No invocation counter could be set aside durably, so nothing was sent: the registry's fault, not the meter's."""

    reason = FailReason.INTERNAL


class WrongMeter(MeterError):
    """The meter that answers is not the one that was learned under this name."""

    reason = FailReason.WRONG_METER


class BridgeBusy(MeterError):
    """A serial bridge spoke plain text instead of passing the meter's answer on."""

    reason = FailReason.BRIDGE_BUSY


class UplinkError(EdgeError):
    """The uplink failed."""


class Retryable(UplinkError):
    """A fault that passes: the network, a restart, a rate limit."""


class Rejected(UplinkError):
    """The server will never take this payload, or this login."""
