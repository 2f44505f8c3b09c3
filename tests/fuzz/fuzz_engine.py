"""Runs targets on mutated cases and watches: exceptions, hangs, growth. Deterministic for a seed; no tools needed.

Guidance without tracing: a target returns a word for what happened (the kind of error and its text without the numbers,
or what came out). A case that makes something happen which no case made before joins the corpus.
"""

import gc
import hashlib
import random
import re
import resource
import signal
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from fuzz_mutation import Case, Mutator

from edge.errors import EdgeError, LocalStateError

HANG_S = 5.0                   # processor time after which an execution is taken for one that never ends
SLOW_S = 0.5                   # most processor time that one case of up to 64 KiB may take
PEAK_BYTES = 24 * 1024 * 1024  # most memory in use at once for one case
LOOK_EVERY = 512               # executions between two looks at that memory; new behaviour is always looked at
MAX_TEXT = 300                 # characters of an error's text
MAX_CORPUS = 1_500             # cases kept beside the seeds: one for each thing that happened
MAX_BROKEN = 100               # cases that may break a rule before the target is given up; a hang counts for half of them
SETTLING = 3                   # times the whole corpus is played at the end, to see that nothing is kept
KEPT_BLOCKS = 0.02             # objects per execution that may be kept in that phase: noise of the interpreter
ENDLESS = "an execution that does not end"
_VARYING = re.compile(r"'.*'|(0x)?[0-9a-f]*[0-9][0-9a-f]*")      # numbers, octets, what a bridge says


@dataclass(frozen=True)
class Target:
    """One entrance for hostile bytes. `run` plays a case and returns a word for what happened; whatever it raises is a
    finding. Its docstring states what must hold. `executions` is its share of a whole run.
    """

    run: Callable[[Case], str]
    seeds: Callable[[], Sequence[Case]]
    executions: int

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.run.__name__


@dataclass(frozen=True)
class Finding:
    """A case that broke a rule; `what` is the same for cases that broke it in the same place."""

    what: str
    case: Case


@dataclass
class Report:
    """What one run of one target showed."""

    target: str
    executions: int = 0
    corpus: int = 0
    coverage: int = 0              # different things that happened; edges, where an engine counts them
    worst_s: float = 0.0           # processor time of the slowest case
    peak_bytes: int = 0
    kept_blocks: float = 0.0       # objects kept per execution, once everything had happened before
    rss_growth_bytes: int = 0
    took_s: float = 0.0
    findings: list[Finding] = field(default_factory=list)


class Hang(BaseException):
    """An execution did not end. No Exception, so that nothing under test can swallow it."""


def ending(work: Callable[[], str]) -> str:
    """Return what `work` returns, or a word for the error of the tree that it raises, whose text must be one short line."""
    try:
        return work()
    except LocalStateError:
        raise                      # ours: bytes from outside must never bring it about
    except EdgeError as fault:
        text = str(fault)
        assert "\n" not in text, f"an error's text is one line, not {text!r}"
        assert 0 < len(text) <= MAX_TEXT, f"an error's text is short, not {text!r}"
        return f"{type(fault).__name__}: {_VARYING.sub('#', text)[:120]}"


class Fuzzer:
    """Works on one target. The corpus begins with the target's seeds."""

    def __init__(self, target: Target, seed: int) -> None:
        """`seed` and the target's name decide every case."""
        self.target = target
        self.report = Report(target.name)
        self._rng = random.Random(f"{target.name}/{seed}")
        self._mutator = Mutator(self._rng)
        self._corpus: list[Case] = []
        self._words: set[str] = set()
        self._seen: set[str] = set()
        self._broken = 0

    def run(self, executions: int) -> Report:
        """Play all seeds, then mutated cases, then the corpus again and again; `executions` in all."""
        report, began = self.report, time.process_time()
        with _alarm():
            for seed in self.target.seeds():
                self._try(seed, keep=True)
            before = _rss_bytes()
            while report.executions + max(SETTLING * len(self._corpus), executions // 10) < executions and self._broken < MAX_BROKEN:
                one, two, other = (self._rng.choice(self._corpus) for _ in range(3))
                case = min(one, two, key=_size)      # small ones break as much, in less time
                self._try(self._mutator.mutate(case, other), keep=False)
            report.rss_growth_bytes = max(0, _rss_bytes() - before)
            if not report.findings:
                self._settle(executions - report.executions)
        report.corpus, report.coverage = len(self._corpus), len(self._words)
        report.took_s = time.process_time() - began
        return report

    def _try(self, case: Case, *, keep: bool) -> None:
        self.report.executions += 1
        looked = self.report.executions % LOOK_EVERY == 0
        word = self._looked(case) if looked else self._timed(case)
        if word is not None and word not in self._words and len(self._words) < MAX_CORPUS:
            self._words.add(word)
            self._looked(case)
            keep = True
        if keep:
            self._corpus.append(case)

    def _timed(self, case: Case) -> str | None:
        word, took = self._play(case)
        self.report.worst_s = max(self.report.worst_s, took)
        if took > SLOW_S and min(self._play(case)[1] for _ in range(2)) > SLOW_S:      # not just a busy machine
            self._found("more time than a case may take", case)
        return word

    def _looked(self, case: Case) -> str | None:
        """Play with an eye on memory; several times slower, so that the time says nothing."""
        tracemalloc.start()
        try:
            word, _ = self._play(case)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.report.peak_bytes = max(self.report.peak_bytes, peak)
        if peak > PEAK_BYTES:
            self._found("more memory than a case may take", case)
        return word

    def _play(self, case: Case) -> tuple[str | None, float]:
        """Return the word for what happened, None if it is a finding, and the processor time."""
        signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
        began = time.process_time()
        word: str | None = None
        try:
            word = self.target.run(case)
        except (Exception, Hang) as fault:      # noqa: BLE001 - to find whatever comes out is what this is for
            self._found(_place_of(fault), case)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        return word, time.process_time() - began

    def _found(self, what: str, case: Case) -> None:
        self._broken += MAX_BROKEN // 2 if what == ENDLESS else 1
        if what not in self._seen:
            self._seen.add(what)
            self.report.findings.append(Finding(what, case))

    def _settle(self, executions: int) -> None:
        """Play what is known again: nothing new happens, so nothing more may be kept."""
        cases = self._corpus[:max(1, executions // SETTLING)]
        for case in cases:
            self.target.run(case)
        gc.collect()
        blocks, rest = sys.getallocatedblocks(), max(1, executions - len(cases))
        for case in islice(cycle(cases), rest):
            self.target.run(case)
        gc.collect()
        self.report.executions += len(cases) + rest
        self.report.kept_blocks = max(0, sys.getallocatedblocks() - blocks) / rest
        if self.report.kept_blocks > KEPT_BLOCKS + 20 / rest:
            self._found("growth: something is kept of each execution", cases[0])


def minimised(target: Target, finding: Finding, tries: int = 600) -> Finding:
    """Return a smaller case that breaks the same rule in the same place, if there is one."""
    case = finding.case
    with _alarm():
        while True:
            for smaller in _smaller(case):
                tries -= 1
                if tries < 0:
                    return Finding(finding.what, case)
                if _what_breaks(target, smaller) == finding.what:
                    case = smaller
                    break
            else:
                return Finding(finding.what, case)


def save(finding: Finding, target: str, folder: Path) -> Path:
    """Write a finding as text: what broke, then each piece in hexadecimal on a line of its own."""
    name = hashlib.sha256(repr(finding.case).encode()).hexdigest()[:12]
    path = folder / target / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# {finding.what}\n" + "".join(f"{piece.hex() or '-'}\n" for piece in finding.case))
    return path


def load(path: Path) -> Case:
    """Read what `save` wrote."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return tuple(b"" if line == "-" else bytes.fromhex(line) for line in lines)


def _smaller(case: Case) -> Iterator[Case]:
    for place in range(len(case)):
        if len(case) > 1:
            yield case[:place] + case[place + 1:]
    for place, piece in enumerate(case):
        size = len(piece) // 2
        while size:
            for at in range(0, len(piece), size):
                yield (*case[:place], piece[:at] + piece[at + size:], *case[place + 1:])
            size //= 2


def _what_breaks(target: Target, case: Case) -> str:
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        target.run(case)
    except (Exception, Hang) as fault:      # noqa: BLE001 - as above
        return _place_of(fault)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
    return ""


def _place_of(fault: BaseException) -> str:
    """Name an exception by its type and the line that raised it; a hang by nothing more: it stops anywhere."""
    if isinstance(fault, Hang):
        return ENDLESS
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_frame.f_code.co_name}" if trace else "?"
    return f"{type(fault).__name__} in {where}"


def _size(case: Case) -> int:
    return sum(map(len, case))


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(_number: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGVTALRM, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGVTALRM, before)
