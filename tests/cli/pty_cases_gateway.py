"""What a person does with each command beside a running gateway with simulated meters: right and wrong.

The gateway polls sim-0001 and sim-0004; sim-0002 and sim-0003 are paused, sim-0003 is no more registered. Each case leaves
what the others need as it was.
"""

from pty_site import Case

NO_METER = "no meter is named 'sim-9'"

BESIDE: dict[str, tuple[Case, ...]] = {
    "run": (Case("run", ("ring .* is open in another process; stop it first",), 1),),
    "init": (Case("init", ("^left   ring: the running gateway has it open",), reads=True),),
    "check": (Case("check", ("^ok    gateway: running",), reads=True),),
    "status": (
        Case("status", ("^gateway   name gate-7 ", r"^meters \(3\)$", "^sim-0001  reading  "), reads=True),
        Case("status --json", ('"name": "sim-0001"',), reads=True)),
    "meter add": (Case("meter add new 127.0.0.1 --paused", ("^Added new. The running gateway has taken it up.",)),),
    "meter remove": (Case("meter remove new --yes", ("^Removed new. The running gateway has taken it up.",)),),
    "meter pause": (Case("meter pause sim-0004", ("^sim-0004 is paused.", "^The running gateway has taken it up.")),),
    "meter resume": (Case("meter resume sim-0004", ("^sim-0004 is active.", "^The running gateway has taken it up.")),),
    "meter discover": (
        Case("meter discover {free} --answer 0.3 --gap 0", ("^{free}: a meter: wrapper", "^  type generic-three-phase  9 of 9 objects"), reads=True),
        Case("meter discover --as sim-0002 --answer 0.3 --gap 0 --json", ('"verdict"|"door"',)),
        Case("meter discover --as sim-0001", ("the running gateway polls sim-0001 there, and it serves one client",), 1, reads=True)),
    "meter scan": (
        Case("meter scan {host} --port {free_port} --answer 0.3 --gap 0", ("^{free} +meter",)),
        Case("meter scan {host} --port 1 --answer 0.3 --gap 0", ("^Nothing answers there.",), 1, by_output=True, reads=True)),
    "meter relay": (
        Case("meter relay sim-0001 status", (r"^sim-0001: connected \(control mode 4\)",), reads=True),
        Case("meter relay sim-0001 off", ("relay off of sim-0001: .*this meter may not be switched",), 1,
             typed=(("Type the meter's name to switch its supply off:", "sim-0001\n"),)),
        Case("meter relay sim-0001 on", ("",), first=("meter permit sim-0001 relay",),
             typed=(("Type the meter's name to switch its supply on:", "sim-0001\n"),))),
    "meter forbid": (Case("meter forbid sim-0001 relay", ("^sim-0001: relay is forbidden.",)),),
    "meter get": (
        Case("meter get sim-0001 1-0:1.8.0", (r"^3/1-0:1\.8\.0\.255@2  double-long-unsigned \d+  = \d+ Wh",), reads=True),
        Case("meter get sim-0001 1-0:1.8.0 --json", ('"unit": "Wh"',), reads=True),
        Case("meter get sim-0001 1-0:99.99.0", ("not read: ", "sim-0001: nothing could be read"), 1, reads=True),
        Case("meter get sim-0001 one", ("'one'",), 1, reads=True), Case("meter get sim-9 1-0:1.8.0", (NO_METER,), 1, reads=True)),
    "meter set": (
        Case("meter set sim-0001 70/0-0:96.3.10@4 enum:4", ("^sim-0001: the meter has taken it",)),
        Case("meter set sim-0001 1-0:1.8.0 litres:4", ("'litres:4': write TYPE:VALUE; types are null, bool, i8",), 1, reads=True)),
    "meter action": (
        Case("meter action sim-0001 7/1-0:99.1.0@1 i8:0", ("^sim-0001: ",)),
        Case("meter action sim-0001 70/0-0:96.3.10@1 i8:0", ("relay",), 1, reads=True)),
    "meter image": (
        Case("meter image sim-0001", ("^sim-0001: no image was sent to it",), reads=True),
        Case("meter image sim-0001 --abort", ("no image is under way to this meter",), 1, reads=True),
        Case("meter image sim-0001 --file {tmp}/none --identifier x", ("none: cannot be read",), 1, reads=True)),
    "backfill status": (Case("backfill status", ("^METER +STATE +EXPECTED", "^sim-0001 +"), reads=True),
                        Case("backfill status sim-0001 --json", ('"meters"',), reads=True), Case("backfill status sim-9", ("there is no backfill for a meter 'sim-9': it is not registered",), 1, reads=True)),
    "backfill again": (
        Case("backfill again sim-0001 --from 2026-03-01T00:00Z --to 2026-03-02T00:00Z", (r"^\d+ intervals of sim-0001 are read again.",)),
        Case("backfill again sim-9 --from 2026-03-01 --to 2026-03-02", ("there is no backfill for a meter 'sim-9'",), 1, reads=True)),
    "read": (
        Case("read sim-0002", (r"^sim-0002 at {host}:\d+, HGW\d+: ", r"^voltage_l1 +\d+\.\d  V "), reads=True),
        Case("read sim-0002 --json", ('"unit": "Wh"',), reads=True),
        Case("read sim-0002 --trace", ("^.*[0-9a-f]{{2}} [0-9a-f]{{2}} ",), reads=True),
        Case("read --host {host} --port {free_port}", ("^ad-hoc at {free}",), typed=(("Password for {host}:", "{free_password}\n"),)),
        Case("read sim-0002 --adopt --host {host}", ("--adopt is for a registered meter",), 2)),
    "ring status": (Case("ring status", ("^alarm +2 ",), reads=True),),
    "ring dump": (Case("ring dump --stream alarm --limit 1", ('"event": "gateway_started"',), reads=True),),
    "ring salvage": (Case("ring salvage {state}/ring", ('"event": "gateway_started"', r"1 rings; 0 things damaged"), reads=True),),
    "backup": (Case("backup {tmp}/b --without-secrets", ("^{tmp}/b: [23] meters, .* without secrets, not encrypted.",)),),
    "restore": (Case("restore {tmp}/b --yes", ("the gateway runs: ring .* is open in another process; stop it first",), 1,
                     first=("backup {tmp}/b --without-secrets",)),),
    "bundle": (Case("bundle {tmp}/out.tar.gz", ("^{tmp}/out.tar.gz: ", "^No secrets are in it")),
               Case("bundle {tmp}/json.tar.gz --json", ('"sha256": "[0-9a-f]{{64}}"',))),
    "logs": (Case("logs", (r"Z INFO    edge.app: halow-gateway .* runs as gate-7",), reads=True),
             Case("logs --json --level info", ('"source":"edge.app"',), reads=True)),
    "metrics": (Case("metrics", ("^# TYPE halow_meter_polls_total counter", '^halow_meter_reading{{meter="sim-0001"}} 1'), reads=True),),
    "log level": (Case("log level debug --for 10m", ("^log level debug, info again in 10 min",), reads=True),
                  Case("log level info --keep", ("^log level info$",), reads=True)),
    "alarms list": (
        Case("alarms list", (r"^DEVICE +ALARM +SEVERITY +SINCE \(UTC\) +STATE", "^sim-0001 +voltage_there +minor +20"), reads=True),
        Case("alarms list --json", ('"standing"',), reads=True), Case("alarms list --history", ("voltage_there +minor .* raised",), reads=True)),
    "alarms ack": (
        Case("alarms ack voltage_there --meter sim-0001 --by Ana", ("^voltage_there: acknowledged",)),
        Case("alarms ack voltage_there --meter sim-0001", ("^voltage_there: was acknowledged already",), reads=True),
        Case("alarms ack flood", ("no alarm 'flood' stands at the gateway; `halow-gateway alarms list` shows which do",), 1, reads=True)),
    "config reload": (Case("config reload", ("^Nothing else is in force than before.",), reads=True), Case("config reload --json", ('"needs_restart"',), reads=True)),
    "page code": (Case("page code", ("give this code, within 15 minutes:", "^    [A-Z0-9]{{5}}-[A-Z0-9]{{5}}$")), Case("page code --json", ('"code"',), reads=True)),
    "page token add": (Case("page token add s1", ("^[A-Za-z0-9_-]{{40,}}$",)), Case("page token add s1", ("a token is named s1 already",), 1, reads=True)),
    "page token list": (Case("page token list", ("^NAME  ROLE$", "^s1    view$"), reads=True), Case("page token list --json", ('"role": "view"',), reads=True)),
    "page token remove": (Case("page token remove s1", ("^Removed the token s1.",)), Case("page token remove s1", ("no token is named s1",), 1, reads=True)),
    "credentials rotate": (Case("credentials rotate --from {tmp}/empty", ("holds no access token",), 1, files={"empty": "\n"}, reads=True),),
    "claim": (Case("claim", ("the gateway is not connected to the server now; try again when it is",), 1, reads=True),),
    "ota": (Case("ota", ("^No update since the gateway's start.",), reads=True), Case("ota --json", (r"^\{{\}}",), reads=True)),
}
