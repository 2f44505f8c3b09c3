"""Recordings of exchanges with a meter, free of secrets, in the format of tests/captures (see its README)."""
