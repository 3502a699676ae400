"""The PyPI package `websockets` and Python's own HTTP client against testbed and chatroom.

    .venv/bin/python websockets_client.py TESTBED [CHATROOM]        (each HOST:PORT)
"""
import asyncio
import http.client
import sys

import websockets
from websockets.asyncio.client import connect
from websockets.frames import Close, CloseCode

CHECKS = []
HOST, PORT = "127.0.0.1", 0
CHAT = None


def check(name, seconds=10):
    def register(function):
        CHECKS.append((name, seconds, function))
        return function
    return register


def same(came, expected, what="came back"):
    if type(came) is not type(expected) or came != expected:
        raise AssertionError(f"{what}: {str(came)[:80]!r} instead of {str(expected)[:80]!r}")


def open_ws(path="/ws", address=None, **options):
    options.setdefault("compression", None)
    options.setdefault("max_size", 65 << 20)
    options.setdefault("close_timeout", 3)
    return connect(f"ws://{address or f'{HOST}:{PORT}'}{path}", proxy=None, **options)


# ------------------------------------------------------------------ messages
def echo_check(name, message):
    @check(f"websockets: {name}", 20)
    async def run():
        async with open_ws() as ws:
            await ws.send(message)
            same(await ws.recv(), message)


echo_check("text", "hello")
echo_check("text in many scripts", "Grüße, Ἰλιάς, 日本語, 🌪️")
echo_check("binary", bytes(range(256)))
echo_check("empty text", "")
echo_check("empty binary", b"")
echo_check("1 MiB text", "0123456789abcdef" * 65536)
echo_check("1 MiB binary", bytes(range(256)) * 4096)
echo_check("8 MiB binary", bytes(range(256)) * 32768)


@check("websockets: fragments of text make one message")
async def text_fragments():
    async with open_ws() as ws:
        await ws.send(["one ", "", "two ", "three"])
        same(await ws.recv(), "one two three")


@check("websockets: fragments of bytes make one message")
async def binary_fragments():
    async with open_ws() as ws:
        await ws.send([b"\x00", b"", b"\xff" * 70000])
        same(await ws.recv(), b"\x00" + b"\xff" * 70000)


@check("websockets: ping and pong")
async def ping():
    async with open_ws(ping_interval=None) as ws:
        for payload in (b"", b"are you there?", b"x" * 125):
            await (await ws.ping(payload))


@check("websockets: one pong may answer several pings")
async def pings():
    async with open_ws(ping_interval=None) as ws:
        waiters = [await ws.ping(f"ping {i}") for i in range(50)]
        await asyncio.gather(*waiters)
        await ws.send("still here")
        same(await ws.recv(), "still here")


@check("websockets: 200 messages in order")
async def in_order():
    async with open_ws() as ws:
        messages = [f"message {i}" if i % 2 else b"message %d" % i for i in range(200)]
        for message in messages:
            await ws.send(message)
        for message in messages:
            same(await ws.recv(), message)


# ------------------------------------------------------------------ closing
def close_check(code, reason):
    @check(f"websockets: close with {code} is answered with it")
    async def run():
        async with open_ws() as ws:
            await ws.close(code, reason)
            same(ws.close_code, code, "close code")
            if ws.protocol.close_rcvd is None:
                raise AssertionError("no close frame came")


close_check(1000, "bye")
close_check(1001, "")
close_check(3999, "mine")
close_check(4000, "ü" * 61)


@check("websockets: the server closes TCP after the closing handshake")
async def server_closes_first():
    async with open_ws(close_timeout=5) as ws:
        begun = asyncio.get_running_loop().time()
        await ws.close()
        if asyncio.get_running_loop().time() - begun > 2:
            raise AssertionError("it took more than 2 s")


@check("websockets: invalid UTF-8 closes with 1007")
async def bad_text():
    async with open_ws() as ws:
        await ws.send(b"\xc0\xaf", text=True)
        try:
            await ws.recv()
        except websockets.ConnectionClosedError as error:
            same(error.rcvd.code if error.rcvd else None, 1007, "close code")
        else:
            raise AssertionError("it came back")


@check("websockets: a fault of one connection leaves the others alone")
async def bad_neighbour():
    async with open_ws() as good, open_ws() as bad:
        bad.transport.write(b"\xff\xff\xff\xff")
        try:
            await bad.recv()
        except websockets.ConnectionClosed as error:
            same(error.rcvd, Close(CloseCode.PROTOCOL_ERROR, error.rcvd.reason if error.rcvd else ""), "close")
        await good.send("not disturbed")
        same(await good.recv(), "not disturbed")


@check("websockets: cut off without a close frame")
async def abrupt():
    async with open_ws() as ws:
        await ws.send("x" * 100000)
        ws.transport.abort()
    async with open_ws() as ws:
        await ws.send("next")
        same(await ws.recv(), "next")


# ------------------------------------------------------------------ many, and the handshake
@check("websockets: 200 connections", 30)
async def many():
    async def one(number):
        async with open_ws() as ws:
            for turn in range(5):
                await ws.send(f"{number}.{turn}")
                same(await ws.recv(), f"{number}.{turn}")
    await asyncio.gather(*(one(number) for number in range(200)))


@check("websockets: compression is offered and not taken")
async def no_deflate():
    async with open_ws(compression="deflate") as ws:
        same(list(ws.protocol.extensions), [], "extensions")
        await ws.send("plain")
        same(await ws.recv(), "plain")


@check("websockets: no subprotocol is chosen")
async def no_subprotocol():
    async with open_ws(subprotocols=["chat", "superchat"]) as ws:
        same(ws.subprotocol, None, "subprotocol")


@check("websockets: a path without a route is refused")
async def refused():
    try:
        async with open_ws("/nowhere"):
            raise AssertionError("it was accepted")
    except websockets.InvalidStatus as error:
        same(error.response.status_code, 404, "status")


# ------------------------------------------------------------------ http.client
def talk(*requests):
    """Requests on one kept connection; answers (status, headers, body) of each."""
    conn = http.client.HTTPConnection(HOST, PORT, timeout=8)
    answers = []
    try:
        conn.connect()
        socket = conn.sock
        for method, path, body, chunked in requests:
            conn.request(method, path, body=body, encode_chunked=chunked,
                         headers={"Transfer-Encoding": "chunked"} if chunked else {})
            answer = conn.getresponse()
            answers.append((answer.status, answer.headers, answer.read()))
            if conn.sock is not socket:
                raise AssertionError(f"{method} {path}: the connection was not kept")
    finally:
        conn.close()
    return answers


@check("http.client: GET, HEAD, GET on one connection")
async def get_head():
    first, head, second = await asyncio.to_thread(
        talk, ("GET", "/", None, False), ("HEAD", "/", None, False), ("GET", "/", None, False))
    same([first[0], head[0], second[0]], [200] * 3, "status")
    same(head[2], b"", "body of HEAD")
    same(head[1]["Content-Length"], str(len(first[2])), "length")
    same(second[2], first[2], "second page")


@check("http.client: POST and PUT echo")
async def post():
    body = bytes(range(256)) * 1000
    for status, _, came in await asyncio.to_thread(
            talk, ("POST", "/", body, False), ("PUT", "/", b"", False), ("PUT", "/", body, False)):
        same(status, 200, "status")
        if came not in (body, b""):
            raise AssertionError(f"{len(came)} other bytes")


@check("http.client: a chunked upload")
async def chunked():
    parts = [b"%d," % i * (i + 1) for i in range(200)]
    answers = await asyncio.to_thread(talk, ("POST", "/", iter(parts), True), ("POST", "/", iter([b"x"]), True))
    same(answers[0][2], b"".join(parts))
    same(answers[1][2], b"x")


@check("http.client: 404 keeps the connection")
async def not_found():
    missing, page = await asyncio.to_thread(talk, ("GET", "/nowhere", None, False), ("GET", "/", None, False))
    same([missing[0], page[0]], [404, 200], "status")


# ------------------------------------------------------------------ the chat room
async def hear(ws, *parts):
    while True:
        line = await ws.recv()
        if all(part in line for part in parts):
            return line


@check("chat: joined, said, left")
async def chat():
    if CHAT is None:
        return
    async with open_ws("/chat", CHAT) as yan:
        await yan.send("Yan")  # the first line is the name
        await hear(yan, "Yan", "joined")
        async with open_ws("/chat", CHAT) as zoe:
            await zoe.send("Zoe")
            await hear(yan, "Zoe", "joined")
            await hear(zoe, "Zoe", "joined")
            await zoe.send("Ἰλιάς")
            await hear(yan, "Zoe", "Ἰλιάς")
        await hear(yan, "Zoe", "left")


async def main():
    failed = 0
    checks = [one for one in CHECKS if CHAT or not one[0].startswith("chat:")]
    for name, seconds, function in checks:
        try:
            await asyncio.wait_for(function(), seconds)
            print("ok", name, flush=True)
        except asyncio.TimeoutError:
            failed += 1
            print(f"not ok {name}: not done after {seconds} s", flush=True)
        except Exception as error:  # whatever it is, the next check must run
            failed += 1
            why = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"not ok {name}: {why[:300]}", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    HOST, PORT = sys.argv[1].rsplit(":", 1)
    PORT = int(PORT)
    CHAT = sys.argv[2] if len(sys.argv) == 3 else None
    sys.exit(asyncio.run(main()))
