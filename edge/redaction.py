"""What may be shown of settings and texts to people who may not know the gateway's secrets (pure)."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from edge.config import Command, Settings

HIDDEN = "••••"
SECRET_SETTINGS = frozenset({"uplink.username", "uplink.provision_key"})
SHORTEST_BYTES = 5
"""Shorter secrets are not looked for in texts: "1234" would be found in every figure."""


def _commands() -> Iterator[str]:
    [pattern] = Command.__metadata__      # type: ignore[attr-defined]  # what an Annotated alias holds
    for section, struct in get_type_hints(Settings).items():
        for key, hint in get_type_hints(struct, include_extras=True).items():
            if get_origin(hint) is Annotated and pattern in get_args(hint):
                yield f"{section}.{key}"


COMMANDS = frozenset(_commands())
"""Settings that are a command line: its arguments may be anything."""


def redacted(key: str, value: Any) -> Any:
    """Return what may be shown of the setting "section.key": of a command its program, of a user name nothing."""
    if key in SECRET_SETTINGS and value:
        return HIDDEN
    if key in COMMANDS and isinstance(value, str) and " " in value.strip():
        return f"{value.split()[0]} {HIDDEN}"
    return value


def redacted_settings(settings: Settings) -> Settings:
    """Return settings to be shown; not to be worked with."""
    return msgspec.structs.replace(settings, **{
        section: msgspec.structs.replace(struct, **{
            key: redacted(f"{section}.{key}", getattr(struct, key)) for key in struct.__struct_fields__})
        for section in settings.__struct_fields__ for struct in (getattr(settings, section),)})


class Scrubber:
    """Takes known secrets out of texts: the last net, below everything that leaves them out by itself."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        """`secrets` as they are used; each is also looked for in hexadecimal, in base64, and as JSON writes it."""
        forms = {form for secret in secrets if len(secret) >= SHORTEST_BYTES for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)      # no form is spoilt by a shorter one in it
        self.found = 0      # texts in which one was

    def clean(self, text: bytes) -> bytes:
        """Return `text` without them. A password of digits is not one where it is part of a longer number."""
        before = text
        for form in self._forms:
            if form in text:
                alone = rb"(?<![0-9.])%b(?![0-9.])" if form.isdigit() else rb"%b"
                text = re.sub(alone % re.escape(form), HIDDEN.encode(), text)
        self.found += text != before
        return text


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    spelt = secret.hex()
    yield from (spelt.encode(), spelt.upper().encode(), secret.hex(":").encode(), secret.hex(" ").encode())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret).rstrip(b"=")
    try:
        yield json.dumps(secret.decode())[1:-1].encode()
    except UnicodeDecodeError:      # no text, so no JSON either
        return
