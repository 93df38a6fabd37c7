"""The demo's shop for Python: `shop.py SECONDS ORDERS_PER_SECOND SLOWER_UPSTREAM_MS`.

A FastAPI service like any other. For an order it asks a slow upstream for the price and SQLite, in a thread, for the
stock, both at once. Its customers and the upstream live in the same process for want of a second one, but on plain
threads: they are no tasks.
"""

import asyncio
import http.client
import json
import math
import signal
import sqlite3
import sys
import threading
import time
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import uvicorn
from fastapi import FastAPI

SECONDS, RATE, SLOWER_MS = (float(word) for word in sys.argv[1:4])
ITEMS = 200
MOVEMENTS = 20_000


class Warehouse:
    """A database in memory; its one query has to read every row. SQLite lets go of the interpreter's lock meanwhile."""

    def __init__(self):
        self.database = sqlite3.connect(":memory:", check_same_thread=False)
        self.database.execute("CREATE TABLE movement (item TEXT, pieces INTEGER)")
        rows = ((f"item {number % ITEMS}", number % 7 - 2) for number in range(MOVEMENTS))
        self.database.executemany("INSERT INTO movement VALUES (?, ?)", rows)

    def query_stock(self, item):
        query = "SELECT sum(pieces) FROM movement WHERE item LIKE ?"
        return self.database.execute(query, [f"%m {item}"]).fetchone()[0]


@asynccontextmanager
async def lifespan(app):
    app.state.warehouse = Warehouse()
    async with httpx.AsyncClient(trust_env=False) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


async def fetch_price(item):
    answer = await app.state.client.get(f"{upstream_url}/quotes/{item}")
    return answer.raise_for_status().json()["cents"]


async def load_stock(item):
    return await asyncio.to_thread(app.state.warehouse.query_stock, item)


@app.get("/orders/{number}")
async def get_order(number: int):
    item = number % ITEMS
    price, stock = await asyncio.gather(fetch_price(item), load_stock(item))
    return {"order": number, "item": item, "price_cents": price, "in_stock": stock}


class Upstream(BaseHTTPRequestHandler):
    """Somebody else's price service: correct, and slow."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        item = int(self.path.rsplit("/", 1)[1])
        time.sleep((35 + item * 7919 % 100 / 10 + SLOWER_MS) / 1000)
        body = json.dumps({"cents": 100 + item * 7}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def ask(port, number):
    """One order as a customer sees it: how long until the right answer was there; None if it was not."""
    start = time.monotonic()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", f"/orders/{number}")
        answer = connection.getresponse()
        order = json.loads(answer.read())
        connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    is_right = answer.status == 200 and (order["order"], order["price_cents"]) == (number, 100 + number % ITEMS * 7)
    return time.monotonic() - start if is_right else None


def send_orders(port):
    """Orders at a steady rate, however long each answer takes, until the time is over or somebody interrupts."""
    answers, customers, start = [], [], time.monotonic()
    try:
        for number in range(round(SECONDS * RATE)):
            time.sleep(max(0, start + number / RATE - time.monotonic()))
            # No pool's threads: the customers are not what is looked at.
            customer = threading.Thread(target=lambda number=number: answers.append(ask(port, number)))
            customer.start()
            customers.append(customer)
    except KeyboardInterrupt:
        pass
    for customer in customers:
        customer.join()
    return answers


def summary(answers):
    times = sorted(answer * 1e3 for answer in answers if answer is not None)
    failed = len(answers) - len(times)

    def percentile(share):
        return times[max(math.ceil(len(times) * share), 1) - 1] if times else 0

    median, p99 = percentile(0.5), percentile(0.99)
    return f"{len(answers)} requests ({failed} failed), median {median:.1f} ms, p99 {p99:.1f} ms", failed


upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
upstream_url = f"http://127.0.0.1:{upstream.server_port}"
threading.Thread(target=upstream.serve_forever, daemon=True).start()

# Beside the main thread, which gets the signals.
server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
shop = threading.Thread(target=server.run)
shop.start()
while shop.is_alive() and not server.started:
    time.sleep(0.01)
signal.signal(signal.SIGTERM, signal.default_int_handler)
answers = send_orders(server.servers[0].sockets[0].getsockname()[1]) if server.started else [None]
server.should_exit = True
shop.join()
said, failed = summary(answers)
print(said)
sys.exit(1 if failed else 0)
