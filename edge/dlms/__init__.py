"""DLMS/COSEM client without I/O: bytes and `now` in, bytes and events out. The only importer of dlms_cosem."""

import logging

# dlms_cosem writes passwords and whole APDUs into its log texts (decision 0002), so none of them may get anywhere.
_library = logging.getLogger("dlms_cosem")
_library.setLevel(logging.CRITICAL)
_library.propagate = False
_library.addHandler(logging.NullHandler())
