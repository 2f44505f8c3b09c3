"""What can be wrong with a radio. Every text is one line: what, where, what to do."""

from enum import StrEnum


class AbsentReason(StrEnum):
    """Why there is no radio to look at. Stored and sent upstream, so a name is never changed or reused."""

    NO_NL80211 = "no_nl80211"              # the kernel has no Wi-Fi support loaded at all
    NO_INTERFACE = "no_interface"          # no wireless interface, or none that matches
    AMBIGUOUS = "ambiguous"                # several match
    INTERFACE_GONE = "interface_gone"      # it was there and went away: driver reload, firmware death, unplugged
    NOT_PERMITTED = "not_permitted"        # the kernel refuses the question to this user
    NO_ANSWER = "no_answer"                # the kernel or the driver does not answer in time
    NO_TRACE = "no_trace"                  # a simulated radio without a readable trace
    SWITCHED_OFF = "switched_off"          # a simulated radio that plays absent
    FAULT = "fault"                        # any other error of the system, named in the text


class RadioAbsent(Exception):
    """There is no radio to look at now. A stated condition, not a crash: try again later."""

    def __init__(self, reason: AbsentReason, text: str) -> None:
        """Keep the typed reason beside the one line for people."""
        super().__init__(text)
        self.reason = reason
