"""What a person types for an attribute or a method: `[CLASS/]OBIS[@NUMBER]` (pure).

The class may be left out where the meter's profile says it, or where the OBIS code allows only one (IEC 62056-6-1).
"""

import re

from edge.dlms.cosem import Attribute, Obis
from edge.meters.profile import Profile

_TARGET = re.compile(r"(?:(\d{1,5})/)?([^/@]+)(?:@(\d{1,3}))?")

_BY_CODE: tuple[tuple[re.Pattern[str], int], ...] = tuple((re.compile(pattern), class_id) for pattern, class_id in (
    (r"0-\d+:1\.0\.\d+\.255", 8),              # clock
    (r"0-\d+:96\.3\.10\.255", 70),             # disconnect control
    (r"0-\d+:44\.0\.0\.255", 18),              # image transfer
    (r"0-\d+:40\.0\.\d+\.255", 15),            # association
    (r"0-\d+:41\.0\.0\.255", 17),              # SAP assignment
    (r"0-\d+:42\.0\.0\.255", 1),               # COSEM logical device name
    (r"0-\d+:25\.9\.\d+\.255", 40),            # push setup
    (r"[01]-\d+:(98|99)\.\d+\.\d+\.\d+", 7),   # profiles, event logs
    (r"0-\d+:9[67]\.\d+\.\d+\.\d+", 1),        # identifiers, states, error and alarm registers
    (r"1-\d+:\d+\.7\.\d+\.255", 3),            # instantaneous values
    (r"1-\d+:\d+\.8\.\d+\.\d+", 3),            # energies
))


def target(text: str, profile: Profile | None, number: int | None = 2) -> Attribute:
    """Read one; `number` is the attribute where none is given, None asks for it. ValueError says what is missing."""
    found = _TARGET.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:60]!r}: write [CLASS/]OBIS[@NUMBER], like 3/1-0:1.8.0@2")
    obis = Obis.parse(found[2])
    class_id = int(found[1]) if found[1] else _class_of(obis, profile)
    if class_id is None or not 1 <= class_id <= 0xFFFF:
        raise ValueError(f"{text[:60]!r}: of which class? Write CLASS/{obis}")
    wanted = int(found[3]) if found[3] else number
    if wanted is None or not 1 <= wanted <= 127:
        raise ValueError(f"{text[:60]!r}: write the number, 1 to 127, behind an @")
    return Attribute(class_id, obis, wanted)


def _class_of(obis: Obis, profile: Profile | None) -> int | None:
    for spec in profile.objects if profile is not None else ():
        if spec.target.obis == obis:
            return spec.class_id
    return next((class_id for pattern, class_id in _BY_CODE if pattern.fullmatch(str(obis))), None)
