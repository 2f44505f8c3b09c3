"""Fuzz the decoders: every target, its share of the executions, a table, and each finding saved as a file.

    python tests/fuzz/fuzz_run.py [--executions 2000000] [--seed N] [--engine own|atheris] [TARGET ...]

Findings are made small and written to tests/fuzz/crashers/TARGET/, where `make test` plays them from then on. Exit
status 1 if there is one. The engine of this folder needs nothing; `atheris` (coverage-guided, libFuzzer) is used where it
is installed and asked for.
"""

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fuzz_atheris
from fuzz_engine import Fuzzer, Report, minimised, save
from fuzz_targets import TARGETS, WHOLE_RUN

CRASHERS = Path(__file__).parent / "crashers"
HEAD = f"{'target':16} {'executions':>10} {'corpus':>7} {'coverage':>9} {'worst ms':>9} {'peak KiB':>9} {'RSS + KiB':>9} {'CPU s':>7}  findings"


def run_one(name: str, executions: int, seed: int) -> Report:
    """Run one target in this process; make its findings small and save them."""
    target = TARGETS[name]
    report = Fuzzer(target, seed).run(executions)
    for finding in report.findings:
        small = minimised(target, finding)
        print(f"{name}: {small.what}: {save(small, name, CRASHERS)}", flush=True)
    return report


def line(report: Report) -> str:
    """One row of the table. Coverage: different things that happened, or edges where the engine counts them."""
    return (f"{report.target:16} {report.executions:>10,} {report.corpus:>7,} {report.coverage:>9,} {report.worst_s * 1e3:>9.1f} "
            f"{report.peak_bytes / 1024:>9,.0f} {report.rss_growth_bytes / 1024:>9,.0f} {report.took_s:>7.0f}  {len(report.findings)}")


def main() -> int:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--executions", type=int, default=WHOLE_RUN, help="of all targets together, shared out as the table says")
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same cases; default: another one each time")
    parser.add_argument("--engine", choices=["own", "atheris"], default="own")
    options = parser.parse_args()
    if strange := set(options.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(strange))}")
    wanted = options.targets or list(TARGETS)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    work = fuzz_atheris.run_one if options.engine == "atheris" else run_one
    share = options.executions / sum(TARGETS[name].executions for name in wanted)
    print(f"engine {options.engine}, seed {seed}, {options.executions:,} executions of {len(wanted)} targets\n{HEAD}")
    reports = []
    for name in wanted:
        reports.append(apart(work, name, max(1, round(TARGETS[name].executions * share)), seed))
        print(line(reports[-1]), flush=True)
    findings = sum(len(report.findings) for report in reports)
    print(f"{sum(report.executions for report in reports):,} executions, {findings} findings, worst case "
          f"{max(report.worst_s for report in reports) * 1e3:.1f} ms of processor time; {time.process_time():.0f} s")
    return 1 if findings else 0


def apart(work: Callable[[str, int, int], Report], name: str, executions: int, seed: int) -> Report:
    """Run a target in a process of its own, so that its memory is measured alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (name, executions, seed))


if __name__ == "__main__":
    sys.exit(main())
