"""The contract's guards, each taken away: `python tests/ring/ring_mutants.py [NAME ...]` shows which the machine catches.

A mutant that survives alone stands behind a second guard. Takes about half a minute each; not part of the quick suite.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

PYTEST = ("-q", "-x", "-p", "no:cacheprovider", str(HERE / "test_ring_machine.py"), "--no-header", "--tb=line")

MUTANTS = {
    "none": "",
    "no_sync": "import ring_sim; ring_sim.SimulatedFs.sync = lambda self, path: self._call('sync', path)",
    "no_header_barrier": """
from edge.ring import log
def write(self, slot, header):
    self.pool.fs.pwrite(slot.path, 0, log.encode_header(header, self._pack) * 2)
log.StreamLog._write_header = write""",
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
def take(self, frame, page, pages):
    if frame.first_seq >> 40 < self.epoch:
        self.epoch = frame.first_seq >> 40
    real(self, frame, page, pages)
segment.Segment.take = take""",
    "no_ghost_cut": """
from edge.ring import segment
real = segment.Segment._open
def opened(self, epoch, ordinal, row):
    real(self, epoch, max(ordinal, self.next_ordinal), row)
segment.Segment._open = opened""",
    "dictionary_not_repeated": """
from edge.ring import log
real = log.StreamLog._begin_segment
def begin(self, *a):
    kept = self._entries_written
    real(self, *a)
    self._entries_written = kept
log.StreamLog._begin_segment = begin""",
    "page_written_twice": """
from edge.ring import segment
real = segment.scan
def scan(*a):
    found = real(*a)
    found.next_page = max(2, found.next_page - 1)
    return found
from edge.ring import view
view.scan = scan""",
    "holes_uncounted": "from edge.ring import view; view.StreamView._count_holes = lambda self, slot, segment: None",
    "no_eviction_loss": """
from edge.ring import view
real = view.StreamView.lose
def lose(self, first, last, reason, state=None):
    if reason != 'evicted':
        real(self, first, last, reason, state)
view.StreamView.lose = lose""",
}


def main() -> None:
    examples = os.environ.get("RING_EXAMPLES", "60")
    for name in sys.argv[1:] or MUTANTS:
        code = f"{MUTANTS[name]}\nimport sys, pytest\nsys.exit(pytest.main(sys.argv[1:]))"
        environment = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent.parent}", "RING_EXAMPLES": examples,
                       "RING_NO_SHRINK": "1"}
        done = subprocess.run([sys.executable, "-c", code, *PYTEST], capture_output=True, text=True, check=False,
                              cwd=HERE.parent.parent, env=environment)
        last = next((line for line in done.stdout.splitlines() if "Error" in line or "assert" in line), "")
        print(f"{name:26} {'caught' if done.returncode else 'survived':9} {last[:110]}", flush=True)


if __name__ == "__main__":
    main()
