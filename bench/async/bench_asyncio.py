"""bench_asyncio.py NAME...: the same as bench_async, by Python's asyncio and concurrent.futures.

Prints a line "NAME VALUE" each: nanoseconds an operation, for asyncio.parked.* see bench_async.
"""

import asyncio
import concurrent.futures
import os
import sys
import time

MEASURE_NS = 250_000_000
BATCH = 1000
IN_FLIGHT = 64
THREADS = 4
PARKED = 100_000
REPLY = bytes(64)
SMALL, LARGE = bytes(64), bytes(100 * 1024)


async def measure(work):
    """Nanoseconds an operation; the number of operations grows until they take long enough."""
    n = 1
    while True:
        start = time.monotonic_ns()
        done = await work(n)
        took = time.monotonic_ns() - start
        if took >= MEASURE_NS:
            return took / done
        n = min(8 * n, done * MEASURE_NS * 5 // 4 // max(took, 1) + 1)


async def one_by_one(n, start):
    for _ in range(n):
        await start()
    return n


async def batches(n, start):
    n = -(-n // BATCH) * BATCH
    for _ in range(n // BATCH):
        for running in [start() for _ in range(BATCH)]:
            await running
    return n


async def keep_in_flight(n, start):
    """Never more than IN_FLIGHT at a time."""
    left = n

    async def lane():
        nonlocal left
        while left > 0:
            left -= 1
            await start()

    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    return n


async def nothing():
    pass


def idle():
    pass


def answer(request):
    request.count(1)  # reads all of it
    return REPLY


def start_task():
    return asyncio.get_running_loop().create_task(nothing())


def executor_start(pool, *call):
    loop = asyncio.get_running_loop()
    return lambda: loop.run_in_executor(pool, *call)


async def by_threads(how):
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        return await measure(lambda n: how(n, executor_start(pool, idle)))


async def by_processes(how, workers, request):
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        return await measure(lambda n: how(n, executor_start(pool, answer, request)))


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def wait_for(gate):
    await gate


async def parked():
    loop = asyncio.get_running_loop()
    gate = loop.create_future()
    resident, start = resident_bytes(), time.monotonic_ns()
    tasks = [loop.create_task(wait_for(gate)) for _ in range(PARKED)]
    await asyncio.sleep(0)  # each has run, and waits
    print(f"asyncio.parked.start_ns {(time.monotonic_ns() - start) / PARKED:.1f}")
    print(f"asyncio.parked.rss_bytes {(resident_bytes() - resident) / PARKED:.1f}")

    start = time.monotonic_ns()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(f"asyncio.parked.cancel_ns {(time.monotonic_ns() - start) / PARKED:.1f}")


CPUS = os.cpu_count() or 1
MEASUREMENTS = {
    "asyncio.one": lambda: measure(lambda n: one_by_one(n, start_task)),
    "asyncio.batch": lambda: measure(lambda n: batches(n, start_task)),
    "asyncio.thread_one": lambda: by_threads(one_by_one),
    "asyncio.thread_batch": lambda: by_threads(batches),
    "asyncio.process_small": lambda: by_processes(one_by_one, 1, SMALL),
    "asyncio.process_large": lambda: by_processes(one_by_one, 1, LARGE),
    "asyncio.processes_small": lambda: by_processes(keep_in_flight, CPUS, SMALL),
    "asyncio.processes_large": lambda: by_processes(keep_in_flight, CPUS, LARGE),
}


def main():
    for name in sys.argv[1:]:
        if name == "asyncio.parked":
            asyncio.run(parked())
        else:
            print(f"{name} {asyncio.run(MEASUREMENTS[name]()):.1f}")


if __name__ == "__main__":
    main()
