"""What the tests notice: small faults put into the sources one at a time, and which files of tests find them.

    python benchmarks/mutants.py --make MUTANTS.json [--count 100] [--seed 0]
    python benchmarks/mutants.py --mutants MUTANTS.json --reach REACH.json [--jobs 2]
    python benchmarks/mutants.py --mutants MUTANTS.json --reach REACH.json --run RESULTS.json [--jobs 2] [--seconds 180]
    python benchmarks/mutants.py --compare BEFORE.json AFTER.json

A list made in one tree is looked up in another by file, function and line, so that two suites meet the same mutants.
Every mutant gets the files of tests that reach it, the quickest first, until one fails or the CPU seconds are used up;
a mutant that is still running then counts as survived. Runs go on where they were interrupted.

None of the kept tools fits: mutmut 3 leaves out functions with a decorator, which all kernels have, and switches
mutants as Python runs, where Numba has compiled them, and cosmic-ray 8 has one test command for all mutants.
"""

import argparse
import json
import math
import queue
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mutant_list import GROUPS, KERNEL, Mutant, digest, make, read, relocate, write
from mutant_reach import reach
from mutant_trees import Place, parallel, place, warm
from record import environment, save, say

BATCH, FILES = 60.0, 12
"""CPU seconds and files of tests that share a process: every process imports torch."""

HERE = Path(__file__).resolve().parents[1]


def batches(mutant: Mutant, units: Mapping[str, Any]) -> list[list[str]]:
    """Return the units that reach a mutant, the quickest first, process by process."""
    own = [(found["cpu"], unit) for unit, found in units.items() if mutant.id in found["mutants"]]
    found: list[list[str]] = []
    used = math.inf
    for cpu, unit in sorted((cpu, unit) for cpu, unit in own if units[unit]["state"] != "broken"):
        if used + cpu > BATCH or len(found[-1]) == FILES:
            found.append([])
            used = 0.0
        found[-1].append(unit)
        used += cpu
    return found


def test(mutant: Mutant, own: Place, start: Place, units: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Run the tests that reach a mutant, in a place that is afterwards as it was, and return what became of it."""
    file = own.tree / mutant.file
    source = file.read_text(encoding="utf-8")
    plan, used = batches(mutant, units), 0.0
    warm(start, own)
    try:
        file.write_text(mutant.apply(source), encoding="utf-8")
        for batch in plan:
            known = [f"--deselect={test}" for unit in batch for test in units[unit]["failed"]]
            outcome = own.pytest(batch, "-x", *known, seconds=seconds - used)
            used += outcome.cpu
            if outcome.late or used >= seconds:
                return _result("out of time", used)
            if not outcome.passed:
                by = outcome.failed[0] if outcome.failed else f"exit status {outcome.code}: {outcome.tail}"
                return _result("killed", used, by)
    finally:
        file.write_text(source, encoding="utf-8")
    return _result("survived" if plan else "not reached", used)


def run(args: argparse.Namespace, mutants: Sequence[Mutant], gone: Sequence[Mutant]) -> dict[str, Any]:
    """Test every mutant that the results lack."""
    start = place(args.tree, args.work, "start")
    units = reach(start, mutants, args.reach, args.jobs)["units"]
    record: dict[str, Any] = json.loads(args.run.read_text(encoding="utf-8")) if args.run.exists() else {}
    if record.get("mutants") != digest(mutants):
        record = {"environment": environment(0), "seconds": args.seconds, "mutants": digest(mutants), "results": {}}
    record["gone"] = [str(mutant) for mutant in gone]
    places: queue.Queue[Place] = queue.Queue()
    for number in range(args.jobs):
        places.put(place(args.tree, args.work, f"worker{number}"))

    def one(mutant: Mutant) -> dict[str, Any]:
        own = places.get()
        try:
            return test(mutant, own, start, units, args.seconds)
        finally:
            places.put(own)

    waiting = [mutant for mutant in mutants if str(mutant.id) not in record["results"]]
    begun = time.monotonic()
    for count, (mutant, result) in enumerate(parallel(one, waiting, args.jobs), 1):
        record["results"][str(mutant.id)] = {**result, "group": mutant.group, "mutant": str(mutant)}
        save(args.run, record)
        left = (time.monotonic() - begun) / count * (len(waiting) - count) / 60
        say(f"{count}/{len(waiting)} {result['fate']} {result['cpu']:.0f} s, {left:.0f} min left: {mutant}")
    return record


def print_results(record: Mapping[str, Any]) -> None:
    """Print how many of each group were killed, and the others one by one."""
    results = list(record["results"].values())
    print("| group | mutants | killed | survived | out of time | not reached |\n|---|---:|---:|---:|---:|---:|")
    for group in [KERNEL, *GROUPS, "all"]:
        fates = [result["fate"] for result in results if group in (result["group"], "all")]
        columns = (fates.count(fate) for fate in ("killed", "survived", "out of time", "not reached"))
        print(f"| {group} | {len(fates)} | {' | '.join(map(str, columns))} |")
    print(f"\n{sum(result['cpu'] for result in results) / 60:.0f} CPU minutes; not in this tree: {len(record['gone'])}")
    for result in sorted((r for r in results if r["fate"] != "killed"), key=lambda r: (r["fate"], r["mutant"])):
        print(f"- {result['fate']}: {result['mutant']}")
    for mutant in record["gone"]:
        print(f"- not in this tree: {mutant}")


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """Print what two suites kill of the mutants that both have, and return how many the second loses."""
    a, b = before["results"], after["results"]
    both = [number for number in a if number in b]
    killed = [sum(record[number]["fate"] == "killed" for number in both) for record in (a, b)]
    for name, count, record in zip(("before", "after"), killed, (a, b), strict=True):
        minutes = sum(record[number]["cpu"] for number in both) / 60
        print(
            f"{name}: {count} of {len(both)} killed, {100 * count / max(1, len(both)):.1f} %, {minutes:.0f} CPU minutes"
        )
    lost = [number for number in both if a[number]["fate"] == "killed" != b[number]["fate"]]
    gained = [number for number in both if b[number]["fate"] == "killed" != a[number]["fate"]]
    for number in lost:
        print(f"- lost ({b[number]['fate']}): {b[number]['mutant']}, killed before by {a[number]['by']}")
    for number in gained:
        print(f"- gained: {b[number]['mutant']}, killed now by {b[number]['by']}")
    return len(lost)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", type=Path, metavar="FILE", help="draw mutants, and write the list")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutants", type=Path, metavar="FILE", help="the list")
    parser.add_argument("--reach", type=Path, metavar="FILE", help="which tests reach which mutants")
    parser.add_argument("--run", type=Path, metavar="FILE", help="what became of the mutants")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="FILE", help="results of two suites")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=180.0, help="of CPU, for one mutant")
    parser.add_argument("--tree", type=Path, default=HERE, help="the checkout whose sources and tests are meant")
    parser.add_argument("--work", type=Path, help="folder of copies and caches; build/mutants of the tree")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if args.compare:
        return min(1, compare(*(json.loads(path.read_text(encoding="utf-8")) for path in args.compare)))
    if args.make:
        write(args.make, make(args.tree, args.count, args.seed))
        return 0
    if not args.mutants or not args.reach:
        parser.error("--mutants and --reach, or --make, or --compare")
    args.tree, args.work = args.tree.resolve(), (args.work or args.tree / "build" / "mutants").resolve()
    mutants, gone = relocate(read(args.mutants), args.tree)
    for mutant in gone:
        say(f"not in this tree: {mutant}")
    if args.run:
        print_results(run(args, mutants, gone))
    else:
        reach(place(args.tree, args.work, "start"), mutants, args.reach, args.jobs)
    return 0


def _result(fate: str, cpu: float, by: str = "") -> dict[str, Any]:
    return {"fate": fate, "cpu": round(cpu, 1), "by": by}


if __name__ == "__main__":
    sys.exit(main())
