"""`make bench`: prints every figure of docs/benchmarks.md, beside its aim and a floor measured in the same run."""

from __future__ import annotations

import argparse

from benchmarks import authorizer, contexts, delivery, imports, publisher, start, threads, turn

PARTS = {
    "imports": imports.measure,
    "authorizer": authorizer.measure,
    "delivery": delivery.measure,
    "publisher": publisher.measure,
    "threads": threads.measure,
    "turn": turn.measure,
    "contexts": contexts.measure,
    "start": start.measure,
}


def main() -> None:
    """Run the named parts, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure (default: all)")
    parser.add_argument("--against", metavar="REVISION", help="compare cold imports with another commit, and no more")
    given = parser.parse_args()
    if given.against:
        imports.compare(given.against)
        return
    for name in given.parts or PARTS:
        print(f"\n{name}", flush=True)
        PARTS[name]()


if __name__ == "__main__":
    main()
