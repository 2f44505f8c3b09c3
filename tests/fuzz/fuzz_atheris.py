"""The same targets under atheris (Google's coverage-guided fuzzer on libFuzzer), where it is installed: `pip install atheris`.

`run_one` starts this file as a process, because libFuzzer never returns. Seeds are the target's own; a case is one string
of octets by `packed` and `unpacked`. Coverage is in edges; memory is the peak of the whole process, whole seconds are the
finest time of a case.
"""

import re
import resource
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from fuzz_engine import HANG_S, Finding, Report, minimised, save
from fuzz_mutation import MAX_CASE_BYTES, packed, unpacked

_STATUS = re.compile(r"cov: (\d+) ft: \d+ corp: (\d+)/")


def run_one(name: str, executions: int, seed: int) -> Report:
    """Fuzz one target with so many executions; raises SystemExit where atheris is missing."""
    if find_spec("atheris") is None:
        raise SystemExit("atheris is not installed: pip install atheris, or use the engine of this folder")
    from fuzz_run import CRASHERS
    from fuzz_targets import TARGETS

    target = TARGETS[name]
    report = Report(name, executions=executions)
    with tempfile.TemporaryDirectory() as folder:
        corpus, found = Path(folder) / "corpus", Path(folder) / "found"
        corpus.mkdir()
        found.mkdir()
        for number, case in enumerate(target.seeds()):
            (corpus / f"{number:04}").write_bytes(packed(case))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, __file__, name, str(corpus), f"-runs={executions}", f"-seed={seed % (1 << 31) or 1}", f"-max_len={MAX_CASE_BYTES}",
             f"-timeout={4 * HANG_S:.0f}", f"-artifact_prefix={found}/", "-rss_limit_mb=1024", "-print_final_stats=1"],
            capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        for path in sorted(found.iterdir()):
            small = minimised(target, Finding(_what(done.stderr), unpacked(path.read_bytes())))
            print(f"{name}: {small.what}: {save(small, name, CRASHERS)}", flush=True)
            report.findings.append(small)
        if done.returncode and not report.findings:
            raise SystemExit(f"{name}: atheris ended with {done.returncode}: {done.stderr[-600:]}")
    status = _STATUS.findall(done.stderr)
    report.coverage, report.corpus = map(int, status[-1]) if status else (0, 0)
    report.took_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    report.worst_s = _stat(done.stderr, "slowest_unit_time_sec")
    report.peak_bytes = 1024 * 1024 * int(_stat(done.stderr, "peak_rss_mb"))
    return report


def _stat(text: str, name: str) -> float:
    found = re.search(rf"stat::{name}:\s+(\d+)", text)
    return float(found[1]) if found else 0.0


def _what(text: str) -> str:
    found = re.search(r"^([\w.]+(?:Error|Exception|Hang)[^\n]*)$", text, re.MULTILINE)
    return found[1][:120] if found else "libFuzzer stopped"


def _be_fuzzed(name: str) -> None:
    """The process of one target: everything of edge that is imported from here on is instrumented."""
    import atheris

    with atheris.instrument_imports(include=["edge.dlms", "edge.meters"]):
        from fuzz_targets import TARGETS
    run = TARGETS[name].run

    def once(octets: bytes) -> None:
        run(unpacked(octets))

    atheris.Setup([sys.argv[0], *sys.argv[2:]], once)
    atheris.Fuzz()


if __name__ == "__main__":
    _be_fuzzed(sys.argv[1])
