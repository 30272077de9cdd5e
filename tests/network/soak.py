"""What takes too long for the tests, as a table: `python -m tests.network.soak [TRANSFERS]`, as root; `make soak` calls it."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.network.bulk import MANY, MEASURES, measured
from tests.network.lab import Lab, Loss, Wire
from tests.network.transferring import KERNEL, ROLES, Plan, Transfers, by_a_kernel, by_our_client, goodput, on_a_bad_path

MEGABYTE = 1_000_000
BATCH = 100
LEAST = 0.8
"""Of a kernel's goodput."""


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def transfers(count: int) -> None:
    """*count* transfers in each role, in batches that a capture can hold."""
    for role in ROLES:
        total: dict[str, int] = {}
        for _ in range(0, count, BATCH):
            with Lab() as lab, TemporaryDirectory() as home:
                for name, value in on_a_bad_path(lab, Path(home), role, Plan(min(BATCH, count), 25, MEGABYTE, MEGABYTE)).items():
                    total[name] = total.get(name, 0) + value
        say(f"{role}: 1 MB each way at 3 % loss each way, 20 ms, all right:", total)


def losses(percent: int, rounds: int = 6) -> bool:
    """Goodput at 20 ms, of our client and of a kernel's CUBIC in turns on one path."""
    good = True
    plans = {"sending": Plan(20, 4, MEGABYTE, 0), "receiving": Plan(20, 4, 0, MEGABYTE)}
    with Lab() as lab:
        ours, middle, theirs = lab.distant(f"{KERNEL}/24")
        for namespace in (ours, theirs):
            namespace.sysctl(net__ipv4__tcp_early_retrans=3)
        Wire(middle, 0.01)
        Loss(middle, f"numgen random mod 100 < {percent}")
        for name, plan in plans.items():
            done: dict[str, list[Transfers]] = {"kernel": [], "engine": []}
            for _ in range(rounds):
                done["kernel"].append(by_a_kernel(ours, theirs, plan))
                done["engine"].append(by_our_client(ours, theirs, plan))
            assert not any(each.wrong for both in done.values() for each in both)
            engine, kernel = goodput(done["engine"], MEGABYTE), goodput(done["kernel"], MEGABYTE)
            good &= told(f"{percent} % loss each way, {name}", engine, kernel)
    return good


def told(what: str, engine: float, kernel: float) -> bool:
    enough = engine >= LEAST * kernel
    say(
        f"{what}: {engine / 1e6:.3f} MB/s, kernel {kernel / 1e6:.3f} MB/s, ratio {engine / kernel:.2f}",
        "" if enough else "TOO SLOW",
    )
    return enough


def main(count: str = "1000") -> int:
    transfers(int(count))
    good = [losses(1), losses(3)]
    for name in MEASURES:
        good.append(told(f"bulk, clean, {name}", *measured(name, 2 * MANY, rounds=9)))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
