"""DLMS/COSEM client without I/O: bytes and `now` in, bytes and events out. The only importer of dlms_cosem."""
