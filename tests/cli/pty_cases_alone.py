"""What a person does with each command where no gateway runs: right and wrong."""

from pty_site import Case

ADD = "meter add m1 10.0.0.1 --mac 02:00:00:00:00:01"
NO_GATEWAY = r"control.sock: no gateway is running here; start it with `halow-gateway run`"
NO_METER = r"no meter is named 'm9'; `halow-gateway meter list` shows the registered ones"
NO_SUCH_OPTION = "No such option"
MISSING = "Missing argument"
KEY = "00112233445566778899aabbccddeeff"

ALONE: dict[str, tuple[Case, ...]] = {
    "init": (
        Case("init", ("^made   device key: device.key, P-256", "^This gateway is gate-7")),
        Case("init --token {tmp}/none", ("^BAD    access token: .*/none: cannot be read: No such file",), 1, by_output=True),
        Case("init now", ("Got unexpected extra argument",), 2)),
    "run": (Case("run faster", ("Got unexpected extra argument",), 2),
            Case("-c {tmp}/wrong.toml run", (r"poll.at_once = 0: must be",), 78, files={"wrong.toml": "[poll]\nat_once = 0\n"})),
    "check": (
        Case("check", ("^ok    settings:", "^note  gateway: not running"), first=(ADD, "meter edit m1 --authentication none"), reads=True),
        Case("check --json", ('"level": "good"',), reads=True),
        Case("check", ("^BAD   meter m1: no password; halow-gateway meter set-password m1",), 1, first=(ADD,), by_output=True, reads=True),
        Case("check everything", ("Got unexpected extra argument",), 2)),
    "status": (Case("status", (NO_GATEWAY,), 1, reads=True), Case("status --jason", ("No such option '--jason'. Did you mean '--json'",), 2)),
    "meter add": (
        Case(ADD, ("^Added m1. No gateway is running", "^It wants a password: halow-gateway meter set-password m1")),
        Case(ADD, ("the meter m1 is registered already; `meter edit` changes it",), 1, first=(ADD,), reads=True),
        Case("meter add m1 10.0.0.1 --password-file -", ("^Password: *$", "^Added m1"),
             typed=(("Password:", "hunter2-9f\n"), ("Repeat for confirmation:", "hunter2-9f\n"))),
        Case("meter add m1", (f"{MISSING} 'HOST'",), 2),
        Case("meter add m1 10.0.0.1 --interval soon", ("Invalid value for '--interval': 'soon' is not a valid float",), 2),
        Case("meter add m1 10.0.0.1 --profile zenner", ("no meter profile is named .zenner.; there are generic-three-phase, microstar",), 1, reads=True)),
    "meter list": (
        Case("meter list", ("^NAME +HOST", r"^m1 +10\.0\.0\.1 +4059 "), first=(ADD,), reads=True),
        Case("meter list --json", ('"name": "m1"',), first=(ADD,), reads=True),
        Case("meter list", ("^No meters yet.",), reads=True), Case("meter list m1", ("Got unexpected extra argument",), 2)),
    "meter show": (
        Case("meter show m1", (r"^host +10\.0\.0\.1", "^password +not set"), first=(ADD,), reads=True),
        Case("meter show m1 --json", ('"password_set": false',), first=(ADD,), reads=True),
        Case("meter show m9", (NO_METER,), 1, first=(ADD,), reads=True), Case("meter show", (MISSING,), 2)),
    "meter edit": (
        Case("meter edit m1 --interval 30", ("^Changed m1.",), first=(ADD,)),
        Case("meter edit m1", ("nothing to change",), 2, first=(ADD,)),
        Case("meter edit m9 --port 1", (NO_METER,), 1, first=(ADD,), reads=True),
        Case("meter edit m1 --port 99999", ("port",), 1, first=(ADD,), reads=True)),
    "meter remove": (
        Case("meter remove m1", ("^Removed m1.",), first=(ADD,), typed=(("Remove m1 and its password? [y/N]:", "y\n"),)),
        Case("meter remove m1", ("interrupted",), 130, first=(ADD,), typed=(("[y/N]:", "n\n"),)),
        Case("meter remove m9 --yes", (NO_METER,), 1, first=(ADD,), reads=True), Case("meter remove", (MISSING,), 2)),
    "meter pause": (Case("meter pause m1", ("^m1 is paused.",), first=(ADD,)),
                    Case("meter pause m1", ("^m1 was paused already.",), first=(ADD, "meter pause m1"), reads=True),
                    Case("meter pause m9", (NO_METER,), 1, first=(ADD,), reads=True), Case("meter pause", (MISSING,), 2)),
    "meter resume": (Case("meter resume m1", ("^m1 is active.",), first=(ADD, "meter pause m1")),
                     Case("meter resume m9", (NO_METER,), 1, first=(ADD,), reads=True), Case("meter resume", (MISSING,), 2)),
    "meter set-password": (
        Case("meter set-password m1", ("^Set the password of m1.",), first=(ADD,),
             typed=(("Password of m1:", "hunter2-9f\n"), ("Repeat for confirmation:", "hunter2-9f\n"))),
        Case("meter set-password m1", ("Error: The two entered values do not match", "interrupted"), 130, first=(ADD,),
             typed=(("Password of m1:", "hunter2-9f\n"), ("Repeat for confirmation:", "hunter\n"), ("not match.\nPassword of m1:", "\x03"))),
        Case("meter set-password m9 --clear", (NO_METER,), 1, first=(ADD,), reads=True),
        Case("meter set-password m1 --clear --password-file x", ("exclude each other",), 2, first=(ADD,))),
    "meter set-key": (
        Case("meter set-key m1 encryption", ("^Set the encryption key of m1.",), first=(ADD,),
             typed=(("hexadecimal digits:", f"{KEY}\n"), ("Repeat for confirmation:", f"{KEY}\n"))),
        Case("meter set-key m1 encryption --file {tmp}/key", ("this is no key: it must be 32 hexadecimal digits",), 1, first=(ADD,),
             files={"key": "0011"}, reads=True),
        Case("meter set-key m1 master", ("Invalid value for '.*'", "'master' is not one of"), 2)),
    "meter permit": (Case("meter permit m1 relay", ("^m1: relay is permitted.", r"\[relay\] allow = true"), first=(ADD,)),
                     Case("meter permit m9 relay", (NO_METER,), 1, first=(ADD,), reads=True), Case("meter permit m1 all", ("'all' is not",), 2)),
    "meter forbid": (Case("meter forbid m1 relay", ("^m1: relay is forbidden already.",), first=(ADD,), reads=True),
                     Case("meter forbid m9 relay", (NO_METER,), 1, first=(ADD,), reads=True), Case("meter forbid m1", (MISSING,), 2)),
    "meter import": (
        Case("meter import {tmp}/meters.csv", ("^Added 1, updated 0.",), files={"meters.csv": "name,host,port\nm1,10.0.0.1,4059\n"}),
        Case("meter import {tmp}/meters.csv", ("line 2: ",), 1, files={"meters.csv": "name,host,port\nm1,10.0.0.1,0\n"}, reads=True),
        Case("meter import {tmp}/none.csv", ("none.csv: cannot be read: No such file",), 1, reads=True), Case("meter import", (MISSING,), 2)),
    "meter export": (Case("meter export", ("^name,host,port", r"^m1,10\.0\.0\.1,4059"), first=(ADD,), reads=True),
                     Case("meter export meters.csv", ("Got unexpected extra argument",), 2)),
    "meter discover": (Case("meter discover", ("give ADDRESS, or --as NAME",), 2),
                       Case("meter discover 127.0.0.1:99999", ("a port is a number from 1 to 65535",), 2),
                       Case("meter discover --as m9", (NO_METER,), 1, first=(ADD,), reads=True)),
    "meter scan": (Case("meter scan", (MISSING,), 2), Case("meter scan 10.0.0.0/8", ("",), 2), Case("meter scan house", ("house",), 2)),
    "meter relay": (Case("meter relay m1 explode", ("'explode' is not one of",), 2),
                    Case("meter relay m9 status", (NO_METER,), 1, first=(ADD,), reads=True)),
    "meter get": (Case("meter get m1", (MISSING,), 2), Case("meter get m9 1-0:1.8.0", (NO_METER,), 1, first=(ADD,), reads=True)),
    "meter set": (Case("meter set m1 70/0-0:96.3.10@4", (MISSING,), 2),
                  Case("meter set m9 70/0-0:96.3.10@4 enum:4", (NO_METER,), 1, first=(ADD,), reads=True)),
    "meter action": (Case("meter action m1", (MISSING,), 2),
                     Case("meter action m9 7/1-0:99.1.0@1 i8:0", (NO_METER,), 1, first=(ADD,), reads=True)),
    "meter image": (Case("meter image m1", (NO_GATEWAY,), 1, first=(ADD,), reads=True),
                    Case("meter image m1 --file x", ("--file needs --identifier",), 2)),
    "backfill status": (Case("backfill status", (NO_GATEWAY,), 1, reads=True), Case("backfill status a b", ("unexpected extra",), 2)),
    "backfill again": (Case("backfill again m1 --from yesterday --to now", ("--from yesterday: is no time; write it as",), 1, reads=True),
                       Case("backfill again m1", ("Missing option '--from'",), 2)),
    "read": (Case("read", (r"which meter\? Give a registered name, or --host",), 2), Case("read m9", (NO_METER,), 1, first=(ADD,), reads=True),
             Case("read --host 127.0.0.1 --port 1", ("ad-hoc at 127.0.0.1:1: unreachable",), 1, typed=(("Password for 127.0.0.1:", "x1\n"),))),
    "ring status": (Case("ring status", ("^STREAM +SLOTS", "^storage "), first=("init",), reads=True),
                    Case("ring status --json", ('"streams"',), first=("init",), reads=True),
                    Case("ring status", ("there is no ring here",), 1, reads=True), Case("ring status now", ("unexpected extra",), 2)),
    "ring ls": (Case("ring ls", ("^STREAM +SLOT +SIZE",), first=("init",), reads=True), Case("ring ls --json", ('"slots"',), first=("init",), reads=True),
                Case("ring ls", ("there is no ring here",), 1, reads=True), Case("ring ls --long", (NO_SUCH_OPTION,), 2)),
    "ring verify": (Case("ring verify", ("0 segments with damage",), first=("init",), reads=True),
                    Case("ring verify", ("there is no ring here",), 1, reads=True), Case("ring verify it", ("unexpected extra",), 2)),
    "ring dump": (Case("ring dump", ("",), first=("init",), reads=True), Case("ring dump", ("there is no ring here",), 1, reads=True),
                  Case("ring dump --stream values", ("'values' is not one of",), 2)),
    "ring salvage": (Case("ring salvage {state}/ring", ("0 records of 0 segments, 0 rings; 0 things damaged",), 1, first=("init",), by_output=True, reads=True),
                     Case("ring salvage", (MISSING,), 2)),
    "alarms list": (Case("alarms list", (NO_GATEWAY,), 1, reads=True), Case("alarms list --old", (NO_SUCH_OPTION,), 2)),
    "alarms ack": (Case("alarms ack over_voltage", (NO_GATEWAY,), 1, reads=True), Case("alarms ack", (MISSING,), 2)),
    "link show": (
        Case("link show", ("02:00:00:00:00:01 +", "-71"), reads=True), Case("link show --json", ('"peers"',), reads=True),
        Case("link show --simulated {tmp}/none.csv", ("^radio: none \\(no_trace\\): .*none.csv",), 1, by_output=True, reads=True), Case("link show wlan0", ("unexpected extra",), 2)),
    "link watch": (
        Case("link watch --count 2 --interval 0.2", ("^[0-9:]{{8}}  02:00:00:00:00:01 +",), reads=True),
        Case("link watch --interval 0.2", ("interrupted",), 130, typed=(("02:00:00:00:00:01", "\x03"),)),
        Case("link watch --interval 0", ("'--interval': 0.0 is not in the range",), 2)),
    "link info": (Case("link info", ("kernel",), reads=True), Case("link info --json", ('"inventory"',), reads=True),
                  Case("link info wlan0", ("unexpected extra",), 2)),
    "link config": (
        Case("link config ap --country US --ssid yard --passphrase-file {tmp}/pass", ("ssid",), files={"pass": "correct horse battery\n"}, reads=True),
        Case("link config ap --country ZZ --ssid yard --security owe", ("ZZ",), 1, reads=True),
        Case("link config mesh --country US --ssid yard", ("'mesh' is not one of 'ap', 'sta'",), 2)),
    "link plan": (
        Case("link plan --meters 30 --interval 60", ("^30 meters, 30.0 polls a minute", "^It fits"), reads=True),
        Case("link plan --meters 30 --interval 60 --json", ('"fits": true',), reads=True),
        Case("link plan --meters 300 --interval 0.1", ("^It does not fit",), 1, by_output=True, reads=True),
        Case("link plan", ("no meter is registered; say how many",), 2)),
    "link survey": (
        Case("link survey 02:00:00:00:00:01 --seconds 1", (r"^[0-9:]{{8}}  -71\.0 dBm",), reads=True),
        Case("link survey 02:00:00:00:00:99 --seconds 1", ("02:00:00:00:00:99 is not there: 1 other peers are",), 1, by_output=True),
        Case("link survey m9", (NO_METER,), 1, first=(ADD,), reads=True), Case("link survey", (MISSING,), 2)),
    "page code": (Case("page code", (NO_GATEWAY,), 1, reads=True), Case("page code 1234", ("unexpected extra",), 2)),
    "page token list": (Case("page token list", (NO_GATEWAY,), 1, reads=True), Case("page token list x", ("unexpected extra",), 2)),
    "page token add": (Case("page token add s1", (NO_GATEWAY,), 1, reads=True), Case("page token add s1 --role root", ("'root' is not one of",), 2)),
    "page token remove": (Case("page token remove s1", (NO_GATEWAY,), 1, reads=True), Case("page token remove", (MISSING,), 2)),
    "csr": (Case("csr", ("^-----BEGIN CERTIFICATE REQUEST-----$",), first=("init",), reads=True), Case("csr", ("device.key",), 1, reads=True),
            Case("csr me", ("unexpected extra",), 2)),
    "credentials rotate": (
        Case("credentials rotate --drop", ("^There are no new credentials.",), reads=True),
        Case("credentials rotate --from {tmp}/none", ("none: cannot be read: No such file",), 1, reads=True),
        Case("credentials rotate", ("one of --from FILE and --drop",), 2)),
    "claim": (Case("claim", (NO_GATEWAY,), 1, reads=True), Case("claim --minutes -1", ("'--minutes': -1.0 is not in the range",), 2)),
    "ota": (Case("ota", (NO_GATEWAY,), 1, reads=True), Case("ota now", ("unexpected extra",), 2)),
    "bundle": (
        Case("bundle {tmp}/out.tar.gz", ("^{tmp}/out.tar.gz: [0-9.]+ KiB, SHA-256 [0-9a-f]{{64}}$", "^Missing: status.json: .* no gateway is running")),
        Case("bundle {tmp}/there.tar.gz", ("there.tar.gz: is there already; an archive replaces nothing",), 1, files={"there.tar.gz": ""}, reads=True),
        Case("bundle a b", ("unexpected extra",), 2)),
    "config show": (Case("config show", ("^# from /.*gateway.toml", r"^\[gateway\]$"), reads=True), Case("config show --json", ('"gateway"',), reads=True),
                    Case("-c {tmp}/none.toml config show", ("none.toml: cannot be read",), 78, reads=True), Case("config show poll", ("unexpected extra",), 2)),
    "config default": (Case("config default", (r"^\[gateway\]$",), reads=True), Case("config default poll", ("unexpected extra",), 2)),
    "config check": (
        Case("config check", ("gateway.toml: good",), reads=True), Case("config check {tmp}/none.toml", ("none.toml: cannot be read",), 78, reads=True),
        Case("config check {tmp}/wrong.toml", (r"\[uplnik\]|uplnik.*did you mean uplink\?",), 78, files={"wrong.toml": "[uplnik]\n"}, reads=True),
        Case("config check a b", ("unexpected extra",), 2)),
    "config get": (Case("config get gateway.name ring.size_mib", ("^gate-7$", "^8$"), reads=True),
                   Case("config get gateway.nmae", ("there is no setting 'gateway.nmae'",), 1, reads=True), Case("config get", ("Missing argument",), 2)),
    "config reload": (Case("config reload", ("no gateway is running here",), 1), Case("config reload now", ("unexpected extra",), 2)),
    "config history": (Case("config history", ("^No setting has been changed while the gateway ran.",), reads=True),
                       Case("config history --json", (r"^\[\]",), reads=True), Case("config history 3", ("unexpected extra",), 2)),
    "simulate": (Case("simulate --meters 2 --port-base 0 --for 0.1", (r"^sim-0001  127\.0\.0\.1:\d+", "^2 meters; stop with Ctrl-C", "^all +0")),
                 Case("simulate --meters 2 --port-base 0", ("^all +0",), typed=(("stop with Ctrl-C", "\x03"),)),
                 Case("simulate --meters 0", ("0 is not in the range",), 2)),
    "demo": (Case("demo --fast", (NO_SUCH_OPTION,), 2),),      # the whole of it runs in tests/system/test_system_demo.py
}
