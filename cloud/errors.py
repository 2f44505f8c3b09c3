"""Every error of the cloud side that is meant for a person. Its text is one line: what, where, why, what to do.

    CloudError
    ├── FleetError        ours to refuse: the fleet file, or a file that it names
    ├── Unreachable       no connection to the server, or no answer
    └── ServerError       the server said no: status, its own words, and which object it was about
        └── LoginRefused      user or password, or both

No text holds a password, a token or a device's credentials.
"""


class CloudError(Exception):
    """Base of all of them."""


class FleetError(CloudError):
    """A file of the operator's is wrong; the text names the file, the place in it and the value."""


class Unreachable(CloudError):
    """The server cannot be reached, or broke off."""


class ServerError(CloudError):
    """The server refused a request. `status` is HTTP's, `code` ThingsBoard's own (ThingsboardErrorCode), 0 if none."""

    def __init__(self, text: str, *, status: int, code: int = 0) -> None:
        """`text` says what was asked, and the server's words."""
        super().__init__(text)
        self.status = status
        self.code = code


class LoginRefused(ServerError):
    """The login was refused."""
