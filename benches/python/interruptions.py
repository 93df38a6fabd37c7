"""What it costs a busy thread to be interrupted: CPU time of the same work, left alone and sent signals whose handler does
next to nothing, in interleaved rounds.

`interruptions.py [HZ [ROUNDS]]`. Prints the ratio: the median, and the quarters around it.
"""

import ctypes
import os
import resource
import signal
import statistics
import subprocess
import sys
import time


def work():
    """Counts, and prints the CPU seconds that it took. The handler is the C library's `getpid`: Python knows nothing of it."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal(signal.SIGURG, ctypes.cast(libc.getpid, ctypes.c_void_p))
    print(flush=True)
    total = 0
    for number in range(20_000_000):
        total += number
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(usage.ru_utime + usage.ru_stime)


def cpu_seconds(hz):
    process = subprocess.Popen([sys.executable, __file__, "--work"], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    while hz and process.poll() is None:
        time.sleep(1 / hz)
        os.kill(process.pid, signal.SIGURG)
    return float(process.communicate()[0])


def compare(hz=1000, rounds=10):
    ratios = []
    for round in range(rounds):
        # Every other round backwards, so that what drifts hits both alike.
        seconds = {at: cpu_seconds(at) for at in ([0, hz] if round % 2 == 0 else [hz, 0])}
        ratios.append(seconds[hz] / seconds[0])
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"{hz} signals a second: {median:.2f} ({low:.2f}-{high:.2f}) of the CPU time without")


if __name__ == "__main__":
    if sys.argv[1:] == ["--work"]:
        work()
    else:
        compare(*map(int, sys.argv[1:]))
