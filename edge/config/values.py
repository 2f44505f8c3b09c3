"""The types of settings' values: what may stand behind a key, and how that is said to who writes the file."""

from typing import Annotated, Literal

from msgspec import Meta

MIB = 1_048_576
IDENTITY = "{id}"
IDENTITY_LIMIT = 32

Period = Annotated[float, Meta(gt=0, le=86_400)]
Rest = Annotated[float, Meta(ge=0, le=2_678_400)]
Window = Annotated[float, Meta(ge=0, le=60)]
Order = Literal["oldest", "newest", "live+backfill"]
Credentials = Literal["access_token", "mqtt_basic", "x509"]
MqttVersion = Literal["auto", "5", "3.1.1"]
WhenFull = Literal["drop_oldest", "drop_newest", "block"]
Share = Annotated[float, Meta(gt=0, lt=1)]
Directory = Annotated[str, Meta(pattern=r"^/[^\x00-\x1f\x7f]*\Z", description="an absolute path")]
File = Annotated[str, Meta(pattern=r"^(/[^\x00-\x1f\x7f]*)?\Z", description='an absolute path, or ""')]
Text = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{0,255}\Z", description="up to 255 characters on one line")]
Mac = Annotated[str, Meta(pattern=r"^(([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})?\Z",
                          description='six hexadecimal pairs with colons, or ""')]
Name = Annotated[str, Meta(pattern=r"^([A-Za-z0-9]|\{id\})(([A-Za-z0-9 ._-]|\{id\}){0,62}([A-Za-z0-9._-]|\{id\}))?\Z",
                           description="1 to 64 letters, digits, spaces, dots, dashes or underscores; also {id}")]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_:%-][A-Za-z0-9._:%-]{0,252}\Z",
                           description="a host name or an IP address")]
Command = Annotated[str, Meta(pattern=r"^(/[^\x00-\x1f\x7f]{0,500})?\Z",
                              description='a command that begins with an absolute path, or ""')]
Address = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,15})?\Z", description="an IP address")]
Zone = Annotated[str, Meta(pattern=r"^([+-](0[0-9]|1[0-4]):[0-5][0-9]( eu)?)?\Z",
                           description='like "+01:00", "-05:00", "+01:00 eu" with European daylight saving, or ""')]
PathName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,15}\Z",
                               description="1 to 16 letters, digits, dashes or underscores")]
Interface = Annotated[str, Meta(pattern=r"^[^\x00-\x20\x7f/:]{0,15}\Z", description='a network interface, or ""')]
AnyHost = Annotated[str, Meta(pattern=r"^([A-Za-z0-9_:%-][A-Za-z0-9._:%-]{0,252})?\Z",
                              description='a host name, an IP address, or ""')]
BacklogHours = Annotated[str, Meta(
    pattern=r"^(always|never|([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9])\Z",
    description='"always", "never", or hours like "22:00-06:00"')]
NamedZone = Annotated[str, Meta(
    pattern=r"^(UTC|[+-](0[0-9]|1[0-4]):[0-5][0-9]( eu)?|[A-Z][A-Za-z_]{1,30}(/[A-Za-z0-9_+-]{1,30}){1,2})\Z",
    description='"UTC", an offset like "-05:00", "+01:00 eu", or a name like "America/Bogota"')]
