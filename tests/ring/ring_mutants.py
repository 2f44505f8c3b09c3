"""The contract's guards, each taken away: `python tests/ring/ring_mutants.py [NAME ...]` shows which the machine catches.

A mutant that survives alone stands behind a second guard and is caught in a pair. `make crash` runs all of them; a few
are part of every test run (test_ring_mutants.py). Status 1 when one is not what it ought to be.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

PYTEST = ("-q", "-x", "--timeout=0", "-p", "no:cacheprovider", "--no-header", "--tb=line")

MUTANTS = {
    "none": "",
    "no_sync": "import ring_sim; ring_sim.SimulatedFs.sync = lambda self, path: self._call('sync', path)",
    "no_header_barrier": """
from edge.ring import turnover
def write(self, slot, header):
    self.pool.fs.pwrite(slot.path, 0, turnover.encode_header(header, self._pack) * 2)
turnover.Turnover._write_header = write""",
    "no_crc": """
from edge.ring import frame, segment, view
def opened(head, data, uid):
    payload = bytes(data[24:24 + head.length])
    return frame.Frame(head.type, head.flags, head.records, head.first_seq, payload) if len(payload) == head.length else None
segment.open_frame = view.open_frame = opened""",
    "no_uid_seed": """
from edge.ring import frame, log, segment, view
encode, opened = frame.encode_frame, frame.open_frame
log.encode_frame = lambda one, uid: encode(one, 0)
segment.open_frame = view.open_frame = lambda head, data, uid: opened(head, data, 0)""",
    "no_header_crc": """
import zlib
from edge.ring import layout, slots
real = layout.decode_header
def decode(page):
    page = bytes(page)
    return real(page[:4092] + zlib.crc32(page[:4092]).to_bytes(4, 'little')) if len(page) == 4096 else None
slots.decode_header = decode""",
    "refused_forgotten": "from edge.ring import engine; engine.Engine._deposit = lambda self, alarms: None",
    "loss_uncounted": "from edge.ring.losses import Losses; Losses.add = lambda self, *a: None",
    "ack_jumps_floor": """
from edge.ring.ackset import AckSet
real = AckSet.add
AckSet.add = lambda self, first, last: real(self, 0, last)""",
    "ack_state_ahead": """
from edge.ring.ackset import AckSet
real = AckSet.encode
AckSet.encode = lambda self, limit: [max([self.floor, *self._last]), *([])]""",
    "no_resync": """
from edge.ring import segment
real = segment._frames
def frames(read, seg):
    expected = 2
    for page, pages, frame in real(read, seg):
        if page != expected:
            return
        expected = page + pages
        yield page, pages, frame
segment._frames = frames""",
    "same_epoch": """
from edge.ring import engine
real = engine.StreamView.__init__
def init(self, *a, **k):
    real(self, *a, **k)
    self.epoch = max(0, self.epoch - 1)
engine.StreamView.__init__ = init""",
    "no_epoch_rule": """
from edge.ring import segment
real = segment.Segment.take
def take(self, frame, *where, **how):
    if frame.first_seq >> 40 < self.epoch:
        self.epoch = frame.first_seq >> 40
    real(self, frame, *where, **how)
segment.Segment.take = take""",
    "no_ghost_cut": """
from edge.ring import segment
real = segment.Segment._open
def opened(self, epoch, ordinal, row):
    real(self, epoch, max(ordinal, self.next_ordinal), row)
segment.Segment._open = opened""",
    "no_copy_rule": """
from edge.ring import segment
real = segment.Segment._data
def data(self, frame, page, pages):
    kept, self.next_ordinal = self.next_ordinal, 0
    real(self, frame, page, pages)
    self.next_ordinal = max(kept, self.next_ordinal)
segment.Segment._data = data""",
    "no_claims": """
from edge.ring import segment
segment.WITHOUT_RECORDS = ()""",
    "dictionary_once": """
from edge.ring import log
class Once(log.StreamLog):
    pass
real = log.StreamLog._prelude
log.StreamLog._prelude = lambda self, *of: list(dict.fromkeys(real(self, *of)))""",
    "opening_once": """
from edge.ring import log
real = log.StreamLog._write
log.StreamLog._write = lambda self, frames, commit: real(self, list(dict.fromkeys(frames)), commit)""",
    "one_header_copy": """
from edge.ring import slots
real = slots.decode_header
seen = []
def look(fs, slot, stream, real=slots._look):
    class One:
        def pread(self, path, offset, length):
            return fs.pread(path, 0, length)
    real(One(), slot, stream)
slots._look = look""",
    "torn_tail_uncounted": "from edge.ring import segment; segment.Segment.miss = lambda self, head, page: None",
    "dictionary_not_repeated": """
from edge.ring import log
real = log.StreamLog._rotate
def rotate(self, *of):
    kept = self._entries_written
    real(self, *of)
    self._entries_written = kept
log.StreamLog._rotate = rotate""",
    "page_written_twice": """
from edge.ring import segment
real = segment.scan
def scan(*a):
    found = real(*a)
    found.next_page = max(2, found.next_page - 1)
    return found
from edge.ring import view
view.scan = scan""",
    "holes_uncounted": "from edge.ring import view; view.StreamView.count_holes = lambda self, slot, segment: None",
    "no_eviction_loss": """
from edge.ring import view
real = view.StreamView.lose
def lose(self, first, last, reason, state=None):
    if reason != 'evicted':
        real(self, first, last, reason, state)
view.StreamView.lose = lose""",
    "dated_anew": """
from edge.ring import engine
def keep(self, stream_log, anchor):
    stream_log.view.timebase.add(anchor)
engine.Engine._keep = keep""",
    "evicts_what_it_keeps": """
from edge.ring import pool
class Never(Exception):
    pass
real = pool.SlotPool.next
def following(self, view):
    self.keeps = False
    return real(self, view)
pool.SlotPool.next = following""",
    "elided_unsaid": """
from edge.ring import log
real = log.data_frames
log.data_frames = lambda commit, epoch, state, written, *page: [
    frame._replace(flags=frame.flags & ~2, payload=frame.payload[len(state):]) if frame.flags & 2 else frame
    for frame in real(commit, epoch, state, written, *page)]""",
    "prelude_claims_elided": """
from edge.ring import log
real = log.StreamLog._prelude
def prelude(self, commit, anchors):
    return [frame._replace(first_seq=self._seq(self.view.next_ordinal)) for frame in real(self, commit, anchors)]
log.StreamLog._prelude = prelude""",
    "last_anchor_not_in_header": """
from edge.ring import timebase
real = timebase.Timebase.summary
timebase.Timebase.summary = lambda self, *of: real(self, *of)[:1]""",
    "only_the_last_anchor_in_header": """
from edge.ring import timebase
real = timebase.Timebase.summary
timebase.Timebase.summary = lambda self, limit, newest, since_ms=None: real(self, limit, newest)""",
}

COVERED = {"no_uid_seed": "what a slot's former tenant left has lower numbers, too"}
"""Survives alone, and why; caught in a pair."""

GUARDED = {
    **dict.fromkeys(("no_ghost_cut", "no_claims", "torn_tail_uncounted"), "test_ring_guards.py"),
    "only_the_last_anchor_in_header": "test_ring_anchors.py",
    "refused_forgotten": "test_ring_full.py",
}
"""No history of the machine was found that needs these, or hardly ever one: these files have the pages that do."""

PAIRS = ("no_uid_seed+no_copy_rule",)


def caught(name: str, examples: int, *, fixed: bool = False) -> tuple[bool, str]:
    """Run the machine (of GUARDED: their tests) against the mutant, or those joined by "+"; return whether it failed, and on what.

    `fixed`: the same histories every time.
    """
    body = "\n".join(MUTANTS[one] for one in name.split("+"))
    code = f"{body}\nimport sys, pytest\nsys.exit(pytest.main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent.parent}", "RING_EXAMPLES": str(examples),
                   "RING_FIXED": "1" if fixed else ""}
    tests = HERE / GUARDED.get(name, "test_ring_machine.py")
    done = subprocess.run([sys.executable, "-c", code, *PYTEST, str(tests)], capture_output=True, text=True, check=False,
                          cwd=HERE.parent.parent, env=environment)
    last = next((line for line in done.stdout.splitlines() if "Error" in line or "assert" in line), done.stderr[-110:])
    # a mutant that has fallen behind the code it spoils proves nothing
    broken = last.startswith("E   ") and any(error in last for error in ("TypeError", "AttributeError", "NameError"))
    return done.returncode != 0 and not broken, last


def main() -> int:
    examples, wrong = int(os.environ.get("RING_EXAMPLES", "400")), 0
    for name in sys.argv[1:] or [*MUTANTS, *PAIRS]:
        found, last = caught(name, examples)
        expected = name != "none" and name not in COVERED
        wrong += found != expected and name not in COVERED
        print(f"{name:26} {'caught' if found else 'survived':9} {last[:110]}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
