"""A FastAPI service under load: each request gathers a short sleep and a query in a thread.

`fastapi_load.py REQUESTS [--uvloop]`. The clients are a process of their own, which nobody profiles. Prints one line of
JSON, as the loads in Rust do, of what comes after a tenth of the requests for warming up.
"""

import asyncio
import http.client
import json
import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

CLIENTS = 8


def clients(port, requests):
    """Each asks as fast as it is answered."""
    latencies = []

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(requests // CLIENTS):
            started = time.monotonic_ns()
            connection.request("GET", "/orders/7")
            answer = connection.getresponse()
            body = answer.read()
            latencies.append(time.monotonic_ns() - started)
            assert (answer.status, body) == (200, b'{"id":7,"total":49}'), body

    with ThreadPoolExecutor(CLIENTS) as threads:
        for client in [threads.submit(ask) for _ in range(CLIENTS)]:
            client.result()
    latencies.sort()
    at = lambda share: latencies[int((len(latencies) - 1) * share)]
    print(json.dumps({"p50_ns": at(0.5), "p99_ns": at(0.99), "operations": len(latencies)}))


async def clients_of(port, requests):
    profilers = ("LD_PRELOAD", "ASYNCPROF_REGION")
    environment = {name: value for name, value in os.environ.items() if name not in profilers}
    command = [sys.executable, os.path.abspath(sys.argv[0]), "--clients", str(port), str(requests)]
    asking = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
    output, _ = await asking.communicate()
    assert asking.returncode == 0, "clients have failed"
    return json.loads(output)


def peak_kib():
    """Of this process: the system's own figure for it begins with what its parent had."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def serve(requests, loop_factory):
    import uvicorn
    from fastapi import FastAPI

    local = threading.local()
    app = FastAPI()

    def query(id):
        if not hasattr(local, "database"):
            local.database = sqlite3.connect(":memory:")
        return local.database.execute("select ? * ?", (id, id)).fetchone()[0]

    async def price():
        await asyncio.sleep(0.001)

    @app.get("/orders/{id}")
    async def order(id: int):
        total, _ = await asyncio.gather(asyncio.to_thread(query, id), price())
        return {"id": id, "total": total}

    async def main():
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        await clients_of(port, requests // 10)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        started = time.monotonic_ns()
        told = await clients_of(port, requests)
        wall_ns = time.monotonic_ns() - started
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime - usage.ru_utime - usage.ru_stime
        figures = {"wall_ns": wall_ns, "cpu_ns": int(cpu * 1e9), "peak_kib": peak_kib(), "recorded": 0, "bytes_written": 0}
        server.should_exit = True
        await serving
        return {**figures, **told}

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        print(json.dumps(runner.run(main())), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--clients":
        clients(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[2:] == ["--uvloop"]:
        import uvloop

        serve(int(sys.argv[1]), uvloop.new_event_loop)
    else:
        serve(int(sys.argv[1]), asyncio.new_event_loop)
