"""A FastAPI service under load: each request gathers a short sleep and a query in a thread. `fastapi_load.py REQUESTS`

The clients are a process of their own, which nobody profiles. Prints one line of JSON, as the loads in Rust do.
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

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies.sort()
    at = lambda share: latencies[int((len(latencies) - 1) * share)]
    print(json.dumps({"p50_ns": at(0.5), "p99_ns": at(0.99), "operations": len(latencies)}))


def serve(requests):
    import uvicorn
    from fastapi import FastAPI

    database = sqlite3.connect(":memory:", check_same_thread=False)
    app = FastAPI()

    def query(id):
        return database.execute("select ? * ?", (id, id)).fetchone()[0]

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
        environment = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "ASYNCPROF_REGION")}
        usage = resource.getrusage(resource.RUSAGE_SELF)
        started = time.monotonic_ns()
        command = [sys.executable, os.path.abspath(sys.argv[0]), "--clients", str(port), str(requests)]
        asking = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
        output, _ = await asking.communicate()
        wall_ns = time.monotonic_ns() - started
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime - usage.ru_utime - usage.ru_stime
        figures = {"wall_ns": wall_ns, "cpu_ns": int(cpu * 1e9), "peak_kib": used.ru_maxrss, "recorded": 0, "bytes_written": 0}
        server.should_exit = True
        await serving
        return {**figures, **json.loads(output)}

    print(json.dumps(asyncio.run(main())), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--clients":
        clients(int(sys.argv[2]), int(sys.argv[3]))
    else:
        serve(int(sys.argv[1]))
