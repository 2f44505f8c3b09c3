"""The registry's tables and how an older file becomes the present one.

A migration is never edited once released: a new one comes at the end, and `PRAGMA user_version` counts those applied.
"""

import sqlite3

APPLICATION_ID = 0x48614C67     # "HaLg", so that a stranger's SQLite file is not taken for a registry

_METERS = """
CREATE TABLE meters (
    name            TEXT PRIMARY KEY NOT NULL CHECK (typeof(name) = 'text' AND length(name) BETWEEN 1 AND 64),
    host            TEXT NOT NULL CHECK (typeof(host) = 'text' AND length(host) BETWEEN 1 AND 253),
    port            INTEGER NOT NULL CHECK (typeof(port) = 'integer' AND port BETWEEN 1 AND 65535),
    profile         TEXT NOT NULL CHECK (typeof(profile) = 'text' AND length(profile) BETWEEN 1 AND 64),
    framing         TEXT CHECK (framing IN ('wrapper', 'hdlc')),
    client_sap      INTEGER CHECK (client_sap IS NULL
                                   OR (typeof(client_sap) = 'integer' AND client_sap BETWEEN 1 AND 65535)),
    server_logical  INTEGER CHECK (server_logical IS NULL
                                   OR (typeof(server_logical) = 'integer' AND server_logical BETWEEN 0 AND 65535)),
    server_physical INTEGER CHECK (server_physical IS NULL
                                   OR (typeof(server_physical) = 'integer' AND server_physical BETWEEN 0 AND 16383)),
    address_bytes   INTEGER CHECK (address_bytes IN (1, 2, 4)),
    authentication  TEXT CHECK (authentication IN ('none', 'lls')),
    interval_s      REAL CHECK (interval_s IS NULL OR (interval_s > 0 AND interval_s <= 86400)),
    paused          INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    mac             TEXT NOT NULL DEFAULT '' CHECK (length(mac) IN (0, 17))
) WITHOUT ROWID;
"""

# `secrets` stands apart so that no query for meters can bring a secret along. `change` counts what the operator
# changed, from whichever process; what the gateway learned by itself does not count.
_OTHERS = """
CREATE TABLE secrets (
    meter TEXT NOT NULL REFERENCES meters (name) ON DELETE CASCADE,
    kind  TEXT NOT NULL,
    value BLOB NOT NULL CHECK (typeof(value) = 'blob' AND length(value) BETWEEN 1 AND 64),
    PRIMARY KEY (meter, kind)
) WITHOUT ROWID;
CREATE TABLE learned (
    meter TEXT PRIMARY KEY NOT NULL REFERENCES meters (name) ON DELETE CASCADE,
    data  TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE change (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), version INTEGER NOT NULL);
INSERT INTO change VALUES (1, 1);
CREATE TRIGGER meter_added    AFTER INSERT ON meters  BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER meter_changed  AFTER UPDATE ON meters  BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER meter_removed  AFTER DELETE ON meters  BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER secret_added   AFTER INSERT ON secrets BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER secret_changed AFTER UPDATE ON secrets BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER secret_removed AFTER DELETE ON secrets BEGIN UPDATE change SET version = version + 1; END;
"""

# SQLite cannot widen a CHECK, so `meters` is made anew as `meters_2`, and this follows: the tables that point at it are
# made anew too, children first, because dropping a table deletes its rows, and that would cascade.
_SWAP = """
CREATE TABLE secrets_2 (
    meter TEXT NOT NULL REFERENCES meters_2 (name) ON DELETE CASCADE,
    kind  TEXT NOT NULL,
    value BLOB NOT NULL CHECK (typeof(value) = 'blob' AND length(value) BETWEEN 1 AND 64),
    PRIMARY KEY (meter, kind)
) WITHOUT ROWID;
INSERT INTO secrets_2 SELECT meter, kind, value FROM secrets;
CREATE TABLE learned_2 (
    meter TEXT PRIMARY KEY NOT NULL REFERENCES meters_2 (name) ON DELETE CASCADE,
    data  TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO learned_2 SELECT meter, data FROM learned;
DROP TABLE secrets;
DROP TABLE learned;
DROP TABLE meters;
ALTER TABLE meters_2 RENAME TO meters;
ALTER TABLE secrets_2 RENAME TO secrets;
ALTER TABLE learned_2 RENAME TO learned;
CREATE TRIGGER meter_added    AFTER INSERT ON meters  BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER meter_changed  AFTER UPDATE ON meters  BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER meter_removed  AFTER DELETE ON meters  BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER secret_added   AFTER INSERT ON secrets BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER secret_changed AFTER UPDATE ON secrets BEGIN UPDATE change SET version = version + 1; END;
CREATE TRIGGER secret_removed AFTER DELETE ON secrets BEGIN UPDATE change SET version = version + 1; END;
"""

# High-level security. Counters belong to a key (its digest), not to a meter: a meter that is removed and registered
# again with its key goes on counting, and meters that share a key never use a number twice.
# `gateway` holds the random part of this registry's own system title.
_SECURITY = """
CREATE TABLE meters_2 (
    name            TEXT PRIMARY KEY NOT NULL CHECK (typeof(name) = 'text' AND length(name) BETWEEN 1 AND 64),
    host            TEXT NOT NULL CHECK (typeof(host) = 'text' AND length(host) BETWEEN 1 AND 253),
    port            INTEGER NOT NULL CHECK (typeof(port) = 'integer' AND port BETWEEN 1 AND 65535),
    profile         TEXT NOT NULL CHECK (typeof(profile) = 'text' AND length(profile) BETWEEN 1 AND 64),
    framing         TEXT CHECK (framing IN ('wrapper', 'hdlc')),
    client_sap      INTEGER CHECK (client_sap IS NULL
                                   OR (typeof(client_sap) = 'integer' AND client_sap BETWEEN 1 AND 65535)),
    server_logical  INTEGER CHECK (server_logical IS NULL
                                   OR (typeof(server_logical) = 'integer' AND server_logical BETWEEN 0 AND 65535)),
    server_physical INTEGER CHECK (server_physical IS NULL
                                   OR (typeof(server_physical) = 'integer' AND server_physical BETWEEN 0 AND 16383)),
    address_bytes   INTEGER CHECK (address_bytes IN (1, 2, 4)),
    authentication  TEXT CHECK (authentication IN ('none', 'lls', 'hls-md5', 'hls-sha1', 'hls-gmac', 'hls-sha256')),
    interval_s      REAL CHECK (interval_s IS NULL OR (interval_s > 0 AND interval_s <= 86400)),
    paused          INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    mac             TEXT NOT NULL DEFAULT '' CHECK (length(mac) IN (0, 17)),
    security        TEXT CHECK (security IN ('none', 'authenticated', 'encrypted', 'both')),
    security_suite  INTEGER CHECK (security_suite IN (0, 1, 2)),
    ciphering       TEXT CHECK (ciphering IN ('general-glo', 'glo', 'general-ded', 'ded')),
    client_title    TEXT NOT NULL DEFAULT '' CHECK (length(client_title) IN (0, 16)),
    meter_title     TEXT NOT NULL DEFAULT '' CHECK (length(meter_title) IN (0, 16)),
    counter_obis    TEXT NOT NULL DEFAULT '' CHECK (length(counter_obis) <= 23)
) WITHOUT ROWID;
INSERT INTO meters_2 (name, host, port, profile, framing, client_sap, server_logical, server_physical, address_bytes,
                      authentication, interval_s, paused, mac)
    SELECT name, host, port, profile, framing, client_sap, server_logical, server_physical, address_bytes,
           authentication, interval_s, paused, mac FROM meters;
"""

_COUNTERS = """
CREATE TABLE counters (
    scope TEXT PRIMARY KEY NOT NULL,
    next  INTEGER NOT NULL CHECK (typeof(next) = 'integer' AND next BETWEEN 0 AND 4294967296)
) WITHOUT ROWID;
CREATE TABLE gateway (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    title    BLOB NOT NULL CHECK (typeof(title) = 'blob' AND length(title) = 5)
);
INSERT INTO gateway VALUES (1, randomblob(5));
"""

# What is permitted on a meter and how far its duties have come. No reference to `meters`, so that making that table
# anew takes nothing of it along; `Registry.remove` deletes it. Neither changes how a meter is polled: neither counts.
_DUTIES = """
CREATE TABLE permissions (
    meter TEXT NOT NULL,
    what  TEXT NOT NULL,
    PRIMARY KEY (meter, what)
) WITHOUT ROWID;
CREATE TABLE progress (
    meter    TEXT NOT NULL,
    duty     TEXT NOT NULL,
    identity TEXT NOT NULL,
    data     TEXT NOT NULL CHECK (length(data) <= 65536),
    PRIMARY KEY (meter, duty)
) WITHOUT ROWID;
"""

# Serial lines, which have no port, and the sign-on of mode E.
_SERIAL = """
CREATE TABLE meters_2 (
    name            TEXT PRIMARY KEY NOT NULL CHECK (typeof(name) = 'text' AND length(name) BETWEEN 1 AND 64),
    host            TEXT NOT NULL CHECK (typeof(host) = 'text' AND length(host) BETWEEN 1 AND 253),
    port            INTEGER NOT NULL CHECK (typeof(port) = 'integer' AND port BETWEEN 0 AND 65535
                                            AND (port = 0) = (host LIKE 'serial:%')),
    profile         TEXT NOT NULL CHECK (typeof(profile) = 'text' AND length(profile) BETWEEN 1 AND 64),
    framing         TEXT CHECK (framing IN ('wrapper', 'hdlc')),
    client_sap      INTEGER CHECK (client_sap IS NULL
                                   OR (typeof(client_sap) = 'integer' AND client_sap BETWEEN 1 AND 65535)),
    server_logical  INTEGER CHECK (server_logical IS NULL
                                   OR (typeof(server_logical) = 'integer' AND server_logical BETWEEN 0 AND 65535)),
    server_physical INTEGER CHECK (server_physical IS NULL
                                   OR (typeof(server_physical) = 'integer' AND server_physical BETWEEN 0 AND 16383)),
    address_bytes   INTEGER CHECK (address_bytes IN (1, 2, 4)),
    authentication  TEXT CHECK (authentication IN ('none', 'lls', 'hls-md5', 'hls-sha1', 'hls-gmac', 'hls-sha256')),
    interval_s      REAL CHECK (interval_s IS NULL OR (interval_s > 0 AND interval_s <= 86400)),
    paused          INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    mac             TEXT NOT NULL DEFAULT '' CHECK (length(mac) IN (0, 17)),
    security        TEXT CHECK (security IN ('none', 'authenticated', 'encrypted', 'both')),
    security_suite  INTEGER CHECK (security_suite IN (0, 1, 2)),
    ciphering       TEXT CHECK (ciphering IN ('general-glo', 'glo', 'general-ded', 'ded')),
    client_title    TEXT NOT NULL DEFAULT '' CHECK (length(client_title) IN (0, 16)),
    meter_title     TEXT NOT NULL DEFAULT '' CHECK (length(meter_title) IN (0, 16)),
    counter_obis    TEXT NOT NULL DEFAULT '' CHECK (length(counter_obis) <= 23),
    opening         TEXT CHECK (opening IN ('direct', 'mode-e')),
    device_address  TEXT NOT NULL DEFAULT '' CHECK (length(device_address) <= 32)
) WITHOUT ROWID;
INSERT INTO meters_2 (name, host, port, profile, framing, client_sap, server_logical, server_physical, address_bytes,
                      authentication, interval_s, paused, mac, security, security_suite, ciphering, client_title,
                      meter_title, counter_obis)
    SELECT name, host, port, profile, framing, client_sap, server_logical, server_physical, address_bytes,
           authentication, interval_s, paused, mac, security, security_suite, ciphering, client_title, meter_title,
           counter_obis FROM meters;
"""

# Alarms: no reference to `meters`, and no trigger: neither changes how a meter is polled.
_ALARMS = """
CREATE TABLE alarms_standing (data TEXT NOT NULL CHECK (length(data) <= 4096));
CREATE TABLE alarm_changes (number INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL CHECK (length(data) <= 4096));
"""

MIGRATIONS: tuple[str, ...] = (_METERS + _OTHERS, _SECURITY + _SWAP + _COUNTERS, _DUTIES,
                              _SERIAL + _SWAP, _ALARMS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an empty or older database to the present version, all or nothing.

    The caller holds the write lock (BEGIN IMMEDIATE) and commits. Raises sqlite3.Error.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _statements(script: str) -> list[str]:
    """Split a script; `executescript` would commit in between."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
