"""The recorded dialogues of Socket.IO 0.6, replayed against a server.

    python3 replay_socketio06.py ADDRESS [--data FOLDER] [--flash-policy ADDRESS] [SCENARIO...]        (HOST:PORT)

All of tests/data/socketio-0.6, or the scenarios named; those about the policy of Flash need to know where that is. What
comes is compared by its meaning: answers by status, type and what the protocol says of their bodies; messages one by
one, in the order of their session, whichever transport, poll, part or frame brings them. The first message of a session
is its id. Heartbeats may come whenever they like, but are numbered from 1 on. Where the server deliberately does
something else, a table below says what, and why.
"""
import base64
import hashlib
import json
import re
import select
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from replay import (QUIET, Answer, Bytes, Chunk, Conn, Digest, End, Fault, Frame, Mismatch, Parser, Skipped, brief,
                    described, options, policy, requests_in, run)

LATE = 10.0  # what has not come by then will not come

# Which mount is like the server that was recorded: the first part of a scenario's name.
MOUNTS = {
    "client-0.6.3": "/tornadio",
    "node": "/node06",
    "node-fast": "/node06-fast",
    "sockettornadio": "/tornadio",
    "tornadio": "/tornadio",
    "tornadio-fast": "/tornadio-fast",
    "tornadio-t24": "/tornadio",
}

# How lengths are counted: in bytes by TornadIO, in characters by SocketTornad.IO, in UTF-16 units by all others.
CODECS = {"sockettornadio": "utf-32-le", "tornadio": "utf-8", "tornadio-fast": "utf-8", "tornadio-t24": "utf-8"}
OURS = "utf-16-le"
WIDTHS = {"utf-8": 1, "utf-16-le": 2, "utf-32-le": 4}

GREETING = "Welcome!"


class Instead:
    """What comes instead of what was recorded, if it is neither a status nor messages."""


SILENCE = Instead()  # nothing
EMPTY = Instead()  # a poll ends without messages
CLOSED = Instead()  # the connection, or the stream on it, ends
ELSEWHERE = Instead()  # what comes belongs to another step

# Why -> where (scenario, step) -> what comes instead: one of those above, a status, or messages, with an answer if one
# was asked for.
DEVIATIONS = {
    "the greeting comes with the session's id": {
        ("node--static-client", 11): [GREETING],
        ("sockettornadio--extra-resource", 2): [GREETING],
        ("sockettornadio--extra-resource", 11): [GREETING],
        ("sockettornadio--extra-resource", 14): [GREETING],
    },
    "WebSockets of RFC 6455 are known, and the old ones besides them": {
        ("node--websocket-rfc6455", 2): [GREETING],
        ("sockettornadio--websocket-rfc6455", 2): [GREETING],
        ("tornadio--websocket-rfc6455", 2): [GREETING],
        ("tornadio-t24--websocket-hixie76", 3): [GREETING],
        ("tornadio-t24--websocket-hixie76", 4): SILENCE,
        ("tornadio-t24--websocket-hixie76", 6): ["hello"],
        ("tornadio-t24--websocket-hixie76", 8): ["a", "\u00e9\U0001f600", '~j~{"k":"v"}'],
        ("tornadio-t24--websocket-hixie76", 10): ['~j~{"a":"b"}', "two"],
        ("tornadio-t24--websocket-hixie76", 12): SILENCE,
        ("tornadio-t24--websocket-hixie76", 14): ["\u00e9\U0001f600", "Z"],
        ("tornadio-t24--websocket-hixie76", 16): SILENCE,
        ("tornadio-t24--websocket-hixie76", 20): ["split"],
        ("tornadio-t24--websocket-hixie76-variants", 2): 101,
        ("tornadio-t24--websocket-hixie76-variants", 3): SILENCE,
        ("tornadio-t24--websocket-hixie76-variants", 5): [GREETING],
        ("tornadio-t24--websocket-hixie76-variants", 9): [GREETING],
        ("tornadio-t24--websocket-hixie76-variants", 10): SILENCE,
        ("tornadio-t24--websocket-hixie76-variants", 14): [GREETING],
        ("tornadio-t24--websocket-hixie76-variants", 15): SILENCE,
        ("tornadio-t24--websocket-hixie76-variants", 19): 400,
        ("tornadio-t24--websocket-hixie76-variants", 24): 400,
    },
    "the head of hixie-76 does not wait for the nonce": {
        ("sockettornadio--websocket-hixie76-variants", 2): 101,
        ("sockettornadio--websocket-hixie76-variants", 4): [GREETING],
    },
    "the name of the protocol may be written in lower case": {
        ("node--websocket-hixie76-variants", 8): [GREETING],
    },
    "a refused upgrade is answered": {
        ("node--websocket-hixie76-variants", 23): 400,
        ("sockettornadio--websocket-hixie75", 2): 426,
        ("sockettornadio--websocket-hixie76-variants", 16): 400,
        ("sockettornadio--websocket-hixie76-variants", 20): 400,
        ("sockettornadio--websocket-hixie76-variants", 23): 400,
        ("tornadio--websocket-hixie75", 2): 426,
        ("tornadio--websocket-hixie76-variants", 16): 400,
        ("tornadio--websocket-hixie76-variants", 20): 400,
        ("tornadio--websocket-hixie76-variants", 23): 400,
    },
    "hixie-76 needs an origin, and keys that are right": {
        ("node--websocket-hixie76-variants", 16): 400,
        ("node--websocket-hixie76-variants", 20): 400,
    },
    "the closing handshake is answered": {
        ("node--flashsocket-hixie76", 21): CLOSED,
        ("node--websocket-hixie76", 21): CLOSED,
    },
    "after bytes that are no frame the connection ends": {
        ("node--websocket-split-utf8", 13): CLOSED,
    },
    "a session that is not known is refused": {
        ("node--server-close-polling", 15): 401,
        ("node--server-close-polling", 18): 401,
        ("node--xhr-polling-bad", 2): 401,
        ("node--xhr-polling-bad", 5): 401,
        ("node-fast--polling-timeouts", 13): 401,
        ("sockettornadio--xhr-polling-bad", 2): 401,
        ("sockettornadio--xhr-polling-bad", 5): 401,
        ("tornadio--server-close-polling", 12): 401,
        ("tornadio--server-close-polling", 15): 401,
        ("tornadio--xhr-polling-bad", 2): 401,
        ("tornadio--xhr-polling-bad", 5): 401,
        ("tornadio-fast--polling-timeouts", 13): 401,
    },
    "the end of a session ends its poll": {
        ("node--server-close-polling", 12): EMPTY,
        ("tornadio--server-close-polling", 9): EMPTY,
    },
    "who does not answer heartbeats is disconnected": {
        ("node-fast--heartbeat-htmlfile", 4): CLOSED,
        ("node-fast--heartbeat-websocket", 5): CLOSED,
        ("node-fast--heartbeat-xhr-multipart", 4): CLOSED,
        ("tornadio-fast--heartbeat-htmlfile", 9): CLOSED,
        ("tornadio-fast--heartbeat-websocket", 11): CLOSED,
        ("tornadio-fast--heartbeat-websocket", 12): CLOSED,
        ("tornadio-fast--heartbeat-xhr-multipart", 9): CLOSED,
    },
    "a second stream takes over, and the first one ends": {
        ("node--htmlfile-basic", 22): CLOSED,
        ("node--xhr-multipart-basic", 22): CLOSED,
        ("sockettornadio--htmlfile-basic", 22): CLOSED,
        ("sockettornadio--xhr-multipart-basic", 22): CLOSED,
        ("tornadio--htmlfile-basic", 21): 200,
        ("tornadio--htmlfile-basic", 22): CLOSED,
        ("tornadio--xhr-multipart-basic", 21): 200,
        ("tornadio--xhr-multipart-basic", 22): CLOSED,
    },
    "a session outlives its stream, and the next one begins at once": {
        ("node--htmlfile-basic", 27): 200,
        ("node--xhr-multipart-basic", 27): 200,
        ("tornadio--htmlfile-basic", 27): 200,
        ("tornadio--xhr-multipart-basic", 27): 200,
    },
    "a second poll takes over, and the first one ends": {
        ("tornadio--cors", 9): SILENCE,
        ("tornadio--cors", 13): ["x"],
        ("tornadio--xhr-polling-bad", 164): SILENCE,
        ("tornadio--xhr-polling-bad", 165): EMPTY,
        ("tornadio--xhr-polling-bad", 169): ELSEWHERE,
        ("tornadio--xhr-polling-bad", 170): ["who"],
    },
    "jsonp-polling works": {
        ("tornadio--jsonp-polling", 2): [GREETING],
        ("tornadio-fast--polling-timeouts", 16): [GREETING],
    },
    "what is no number, or too large, is no index of a script": {
        ("node--jsonp-polling", 23): 400,
        ("sockettornadio--jsonp-polling", 23): 400,
        ("sockettornadio--jsonp-polling", 26): 400,
    },
    "line ends are those that were counted": {
        ("client-0.6.3--jsonp-newline", 8): ["a\nb"],
    },
    "messages may hold any character": {
        ("sockettornadio--jsonp-polling", 8): 200,
        ("sockettornadio--jsonp-polling", 11): ['say "hi" </script> \u2028 \u00e9\U0001f600'],
        ("sockettornadio--jsonp-polling", 17): ['~j~{"a":[1,2]}'],
        ("sockettornadio--length-unit", 8): 200,
        ("sockettornadio--length-unit", 11): ["\u00e9", "Z"],
        ("sockettornadio--length-unit", 23): 200,
        ("sockettornadio--length-unit", 26): ["\u4e2d", "Z"],
        ("sockettornadio--length-unit", 38): 200,
        ("sockettornadio--length-unit", 41): ["\U0001f600", "Z"],
        ("sockettornadio--length-unit", 53): 200,
        ("sockettornadio--length-unit", 56): ["\u00e9~"],
        ("sockettornadio--length-unit", 68): 200,
        ("sockettornadio--length-unit", 71): ["\u4e2d~m"],
        ("sockettornadio--length-unit", 83): 200,
        ("sockettornadio--length-unit", 86): ["\U0001f600~m"],
        ("sockettornadio--length-unit", 98): 200,
        ("sockettornadio--xhr-polling-bad", 215): ["~m~3~m~abc"],
    },
    "lengths are UTF-16 units": {
        ("sockettornadio--xhr-polling-bad", 50): ["to"],
        ("tornadio--flashsocket-hixie76", 13): ["\u00e9\U0001f600", "Z"],
        ("tornadio--length-unit", 35): ["\U0001f600", "Z"],
        ("tornadio--length-unit", 74): ["\U0001f600~m"],
        ("tornadio--websocket-hixie76", 13): ["\u00e9\U0001f600", "Z"],
    },
    "half of a surrogate pair is no message, and neither is what follows": {
        ("node--length-unit", 101): SILENCE,
        ("sockettornadio--length-unit", 101): SILENCE,
        ("tornadio--length-unit", 87): SILENCE,
        ("tornadio--length-unit", 90): SILENCE,
    },
    "of a broken payload what can be read is taken": {
        ("node--xhr-polling-bad", 53): SILENCE,
        ("node--xhr-polling-bad", 65): SILENCE,
        ("node--xhr-polling-bad", 77): SILENCE,
        ("sockettornadio--xhr-polling-bad", 62): SILENCE,
        ("sockettornadio--xhr-polling-bad", 77): SILENCE,
        ("sockettornadio--xhr-polling-bad", 92): SILENCE,
        ("tornadio--xhr-polling-bad", 44): 200,
        ("tornadio--xhr-polling-bad", 54): 200,
        ("tornadio--xhr-polling-bad", 64): 200,
    },
    "JSON that is none is dropped, and the session goes on": {
        ("node--xhr-polling-bad", 89): SILENCE,
        ("node--xhr-polling-bad", 101): ["1", "2"],
        ("sockettornadio--websocket-bad-json", 5): SILENCE,
        ("sockettornadio--websocket-bad-json", 7): ["still?"],
        ("sockettornadio--xhr-polling-bad", 107): SILENCE,
        ("sockettornadio--xhr-polling-bad", 122): ["1", "2"],
        ("tornadio--websocket-bad-json", 5): SILENCE,
        ("tornadio--websocket-bad-json", 7): ["still?"],
        ("tornadio--xhr-polling-bad", 74): 200,
        ("tornadio--xhr-polling-bad", 84): 200,
        ("tornadio--xhr-polling-bad", 85): ["1", "2"],
    },
    "a heartbeat does not hide what follows it": {
        ("node--xhr-polling-bad", 149): ["after"],
    },
    "OPTIONS and methods that are not allowed are answered": {
        ("node--cors", 18): 200,
        ("node--xhr-polling-bad", 206): 405,
    },
    "a form without its field is a bad request": {
        ("node--xhr-polling-bad", 110): 400,
        ("node--xhr-polling-bad", 122): 400,
        ("sockettornadio--xhr-polling-bad", 134): 400,
        ("sockettornadio--xhr-polling-bad", 149): 400,
        ("tornadio--xhr-polling-bad", 94): 400,
        ("tornadio--xhr-polling-bad", 104): 400,
    },
    "a body without a type may begin with data=": {
        ("sockettornadio--cors", 21): 200,
        ("sockettornadio--cors", 24): ["x", "y", "z"],
    },
    "the client's file is another one, HEAD is answered, and the bare path says that Socket.IO is here": {
        ("node--static-client", 2): 200,
        ("node--static-client", 5): 200,
        ("node--static-client", 8): 200,
    },
}

# Of every recording:
#
# - The answer to a POST is `ok` as text in UTF-8. Error pages are the server's own.
# - The origin is let in by its name, and with its cookies. A preflight is answered with 200 or 204.
# - SocketTornad.IO greets anew in every poll of a session. Polls that brought nothing else are not sent, nor are those
#   whose messages an earlier one brought.
# - TornadIO and SocketTornad.IO announce chunks and send none (htmlfile), and end their scripts otherwise; they write
#   the boundary, or the parts' type, otherwise (xhr-multipart). WebSockets of TornadIO have the session `no_session`.
# - A WebSocket's status text is any; its end is told and answered.

HIXIE = [f"{before}websocket-{what}" for before in ("", "sec-") for what in ("origin", "location", "protocol")]
STEP_KEYS = set("conn open port send expect expect_nothing_ms expect_close close wait_ms after_ms note error".split())
TRANSPORTS = "websocket|flashsocket|xhr-polling|xhr-multipart|htmlfile|jsonp-polling"


# ------------------------------------------------------------------ what it means
def frames_in(payload, codec):
    """The messages of a payload."""
    data, width = payload.encode(codec, "surrogatepass"), WIDTHS[codec]
    messages, at = [], 0
    while at < len(data):
        head = re.match(r"~m~(\d+)~m~", data[at:at + 32 * width].decode(codec, "replace"))
        if not head:
            raise Mismatch(f"a payload goes on with {brief(data[at:].decode(codec, 'replace'))}")
        at += width * len(head[0])
        end = at + width * int(head[1])
        if end > len(data):
            raise Mismatch(f"a message is shorter than {head[1]}, {brief(data[at:].decode(codec, 'replace'))}")
        messages.append(canonical(data[at:end].decode(codec)))
        at = end
    return messages


def canonical(message):
    """A message without what may be written in several ways."""
    if not message.startswith("~j~"):
        return message
    return "~j~" + json.dumps(json.loads(message[3:]), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


class Asked:
    """What a request asks for."""

    def __init__(self, request):
        self.request = request
        found = re.search(rf"/({TRANSPORTS})(?:/([^/]*))?((?:/[^/]*)*)$", request.path)
        self.transport, self.session, tail = found.groups() if found else (None, None, "")
        self.index = next((part for part in reversed(tail.split("/")) if part.isdigit()), None)
        self.preflight = request.method == "OPTIONS"
        self.upgrade = any(name == "upgrade" for name, _ in request.headers)
        got = self.transport and request.method == "GET"
        self.poll = bool(got) and self.transport in ("xhr-polling", "jsonp-polling")
        self.stream = bool(got) and self.transport in ("xhr-multipart", "htmlfile")
        self.opens = (self.poll or self.stream or (bool(got) and self.upgrade)) and not self.session


def streams(answer):
    return answer.status == 200 and answer.request is not None and Asked(answer.request).stream


class Meaning:
    """Items made of what comes on one connection: ("answer", Answer), ("digest", bytes), ("message", text), ("end",),
    ("close",), ("policy", meaning)."""

    def __init__(self, codec, recorded):
        self.codec = codec
        self.recorded = recorded
        self.bytes = b""  # of a stream, or of a policy
        self.begun = False
        self.transport = None

    def of(self, event):
        match event:
            case Fault():
                raise Mismatch(event.why)
            case Answer():
                asked = Asked(event.request) if event.request else None
                self.transport = asked.transport if asked else None
                items = [("answer", event)]
                if asked and asked.poll and event.status == 200:
                    jsonp = asked.transport == "jsonp-polling"
                    items += self.messages(self.script(event) if jsonp else event.body.decode())
                return items
            case Digest():
                return [("digest", event.data)]
            case Chunk() | Bytes():
                self.bytes += event.data
                if self.transport is None:
                    return self.policy()
                items = list(self.parts() if self.transport == "xhr-multipart" else self.scripts())
                if not self.recorded and self.bytes:
                    raise Mismatch(f"a chunk ends within something, {brief(self.bytes)}")
                return items
            case End():
                return [("end",)]
            case Frame(opcode=1):
                return self.messages(event.payload.decode())
            case Frame(opcode=8):
                return [("close",)]
        return [("event", event)]

    def messages(self, payload):
        return [("message", one) for one in frames_in(payload, self.codec)]

    def script(self, answer):
        text = answer.body.decode()
        match = re.fullmatch(r'io\.JSONP\[(\d+)\]\._\((".*")\);', text, re.S)
        if not match or (not self.recorded and re.search(r"[<\u2028\u2029]", text)):
            raise Mismatch(f"a script is {brief(text)}")
        if match[1] != Asked(answer.request).index:
            raise Mismatch(f"a script calls {match[1]}")
        return json.loads(match[2])

    def take(self, pattern):
        match = re.match(pattern, self.bytes, re.S)
        if match:
            self.bytes = self.bytes[match.end():]
        return match

    def scripts(self):
        if not self.begun and not self.take(rb"<html><body> {244,}"):
            raise Mismatch(f"the prelude is {brief(self.bytes)}")
        self.begun = True
        text = rb'("(?:[^"\\]|\\.)*")'
        call = rb"\.?_\(" + text + rb"\)?, ?document" if self.recorded else rb"\._\(" + text + rb", document"
        while match := self.take(rb"<script>parent\.s" + call + rb"\);</script>"):
            if not self.recorded and re.search("[<\u2028\u2029]", match[1].decode()):
                raise Mismatch(f"markup within a script: {brief(match[1])}")
            yield from self.messages(json.loads(match[1]))

    def parts(self):
        if not self.begun and not self.take(rb"--socketio\n"):
            raise Mismatch(f"the first part begins with {brief(self.bytes)}")
        self.begun = True
        head = rb"Content-Type: text/plain; charset=UTF-8" if not self.recorded else rb"Content-Type: [^\n]*"
        while match := self.take(head + rb"\n\n(.*?)\n--socketio\n"):
            yield from self.messages(match[1].decode())

    def policy(self):
        if not self.recorded and (match := re.match(rb"HTTP/1\.1 (\d+) .*\r\n\r\n", self.bytes, re.S)):
            return [("http", int(match[1]))]
        if not self.recorded and not self.bytes.endswith(b"\0"):
            return []
        return [("policy", policy(self.bytes))]


def digest(request, nonce):
    """How hixie-76 answers these keys and the eight bytes behind them."""
    fields = dict(request.headers)
    parts = []
    for name in ("sec-websocket-key1", "sec-websocket-key2"):
        number, blanks = int("".join(re.findall("[0-9]", fields[name]))), fields[name].count(" ")
        parts.append((number // blanks).to_bytes(4, "big"))
    return hashlib.md5(b"".join(parts) + nonce).digest()


# ------------------------------------------------------------------ the recording
@dataclass
class Step:
    """A step with what it means."""
    number: int
    conn: str | None
    given: dict
    kind: str  # wait, open, send, expect, nothing, closed, close, note
    data: bytes = b""  # to be sent
    asked: Asked | None = None  # what was asked on this connection last
    line: str | None = None  # the session: the connection that began it
    items: list = field(default_factory=list)
    messages: list = field(default_factory=list)  # of the application, without the session's id
    beats: int = 0
    begins: bool = False  # whether the session's id comes
    instead: object = None
    stale: bool = False  # an answer to a poll that brings nothing new
    total: int = 0  # messages of the session up to here

    @property
    def late(self):
        return LATE + self.given.get("after_ms", 0) / 1000


def steps_of(name, scenario):
    """The recording's steps, as they are to be replayed."""
    family = name.split("--")[0]
    codec = CODECS.get(family, OURS)
    if name == "client-0.6.3--websocket-rfc6455":
        codec = CODECS["tornadio"]
    instead = {number: what for places in DEVIATIONS.values() for (of, number), what in places.items() if of == name}
    parsers, meanings, lasts, lines, begun = {}, {}, {}, {}, set()
    totals, greeted = {}, set()
    steps = []
    for number, given in enumerate(scenario["steps"]):
        if unknown := given.keys() - STEP_KEYS:
            raise ValueError(f"step {number} has {unknown}")
        conn = given.get("conn")
        kinds = {"wait_ms": "wait", "send": "send", "expect": "expect", "expect_nothing_ms": "nothing",
                 "expect_close": "closed", "close": "close", "open": "open"}
        step = Step(number, conn, given, next((kind for key, kind in kinds.items() if key in given), "note"))
        steps.append(step)
        if step.kind == "open":
            parsers[conn], meanings[conn] = Parser(streams), Meaning(codec, True)
            if "port" in given:
                parsers[conn].upgraded = "other"
        if step.kind == "send":
            step.data = bytes_of(given["send"])
            if not parsers[conn].upgraded and (requests := requests_in(step.data)):
                parsers[conn].asked(requests)
                lasts[conn] = Asked(requests[-1])
        step.asked = lasts.get(conn)
        if step.asked:
            step.line = conn if step.asked.opens else lines.get(step.asked.session)
        if step.kind == "expect":
            data = bytes_of(given["expect"])
            if family.startswith(("tornadio", "sockettornadio")) and b"Content-Type: text/html" in data:
                if step.asked and step.asked.stream:
                    data = data.replace(b"Transfer-Encoding: chunked\r\n", b"")
            events = parsers[conn].feed(data)
            after = next((one for one in scenario["steps"][number + 1:] if one.get("conn") == conn), {})
            if not events and "expect_close" in after:
                events = parsers[conn].end()  # a body that is as long as the connection
            step.items = [item for event in events for item in meanings[conn].of(event)]
            if parsers[conn].input or not step.items:
                raise ValueError(f"step {number} of the recording ends within something")
        step.instead = instead.pop(number, None)
        texts = [item[1] for item in step.items if item[0] == "message"]
        if step.instead is not None and not isinstance(step.instead, list):
            texts = []
        if step.asked and step.asked.opens and conn not in begun and (texts or isinstance(step.instead, list)):
            begun.add(conn)
            step.begins = True
            if texts:
                lines[texts.pop(0)] = conn
        step.beats = sum(text.startswith("~h~") for text in texts)
        step.messages = [text for text in texts if not text.startswith("~h~")]
        if family == "sockettornadio" and GREETING in step.messages:
            if step.line in greeted:
                step.messages.remove(GREETING)
                step.stale = step.asked.poll and not step.messages
            greeted.add(step.line)
        if step.instead is not None:
            step.messages = [canonical(one) for one in step.instead] if isinstance(step.instead, list) else []
            step.beats, step.stale = 0, False
        totals[step.line] = step.total = totals.get(step.line, 0) + len(step.messages)
    if instead:
        raise ValueError(f"the table of deviations has no use for steps {sorted(instead)}")
    return steps


def bytes_of(part):
    return part["text"].encode() if "text" in part else base64.b64decode(part["base64"])


# ------------------------------------------------------------------ comparing answers
def wrong_with(answer, asked, recorded, status):
    """None, or what is wrong with this head and body. `recorded`: another one, or None; `status`: what it has to be."""
    if asked.preflight and {status, answer.status} <= {200, 204}:
        status = answer.status
    if answer.status != status:
        return f"{described(answer)} instead of {status}"
    for name in ("set-cookie", "location", "content-encoding"):
        if answer.header(name) is not None:
            return f"a header that was not recorded, {name}: {brief(answer.header(name))}"
    if status == 101:
        return wrong_with_upgrade(answer, asked, recorded)
    origin = dict(asked.request.headers).get("origin")
    if origin and not (asked.poll and asked.transport == "jsonp-polling"):
        allowed = [answer.header(f"access-control-allow-{name}") for name in ("origin", "credentials")]
        if allowed != [origin, "true"] and not asked.upgrade:
            return f"access-control-allow-origin and -credentials: {allowed}"
    elif not origin and answer.header("access-control-allow-origin"):
        return "headers of CORS without an origin"
    if asked.preflight:
        methods = {one.strip() for one in (answer.header("access-control-allow-methods") or "").split(",")}
        return None if {"GET", "POST"} <= methods else f"access-control-allow-methods: {methods}"
    if status == 401 and answer.body:
        return f"401 with {brief(answer.body)}"
    if status != 200:
        return None
    types = {"xhr-multipart": 'multipart/x-mixed-replace;boundary="socketio"', "htmlfile": "text/html; charset=UTF-8",
             "jsonp-polling": "text/javascript; charset=UTF-8"}
    wanted = types.get(asked.transport) if asked.poll or asked.stream else None
    if asked.transport and answer.header("content-type") != (wanted or "text/plain; charset=UTF-8"):
        return f"content-type: {answer.header('content-type')}"
    if asked.transport and answer.framing != ("chunked" if asked.stream else "content-length"):
        return f"framing {answer.framing}"
    if asked.transport and asked.request.method == "POST" and answer.body != b"ok":
        return f"body {brief(answer.body)}"
    return None


def wrong_with_upgrade(answer, asked, recorded):
    names = ["upgrade", "connection"]
    if recorded and recorded.status == 101:
        names += ["sec-websocket-accept", *HIXIE]
    fields = dict(asked.request.headers)
    for name in names:
        known = recorded and recorded.status == 101 and not name.endswith("protocol")
        wanted = (recorded.header(name) if known else fields.get(name)) or ""
        if name.endswith("location"):
            wanted = re.sub(r"(?<=[^:/])/.*", lambda _: asked.request.path, wanted)
        if wanted.lower() != (answer.header(name) or "").lower():
            return f"{name}: {answer.header(name)} instead of {wanted}"
    return None


# ------------------------------------------------------------------ replaying
class Line:
    """A session."""

    def __init__(self):
        self.id = None  # as the server has it
        self.wanted = []
        self.came = []
        self.beats = 0
        self.beats_wanted = 0
        self.poller = None  # the connection that polls now
        self.streamer = None  # the one with the stream

    def check(self):
        for at, (one, other) in enumerate(zip(self.wanted, self.came)):
            if one != other:
                self.came[at] = one  # once is enough
                raise Mismatch(f"{brief(other)} instead of {brief(one)}")


class Live:
    """A connection to the server."""

    def __init__(self, address, policy=False):
        self.conn = Conn(address, streams)
        if policy:
            self.conn.parser.upgraded = "other"
        self.meaning = Meaning(OURS, False)
        self.line = None
        self.asked = None
        self.begins = False  # the next message is the session's id
        self.answers = deque()  # that have come and were not expected yet
        self.others = deque()  # digest, end, close, policy: the same
        self.nonce = b""
        self.over = False  # nothing more is asked of it
        self.sent = time.monotonic()  # when its last request was
        self.due = 0.0  # how long what has come since then took when it was recorded

    @property
    def ended(self):
        return self.conn.parser.ended


class Replay:
    def __init__(self, name, scenario, asked):
        self.steps = steps_of(name, scenario)
        self.asked = asked
        self.mount = MOUNTS[name.split("--")[0]]
        self.lives = {}
        self.extra = []  # connections for polls that were not recorded
        self.lines = {}
        self.ids = dict(self.recorded_ids())  # session -> its recorded id
        self.unsent = set()  # steps that bring nothing new
        self.wrong = []

    def recorded_ids(self):
        for step in self.steps:
            if step.begins and (texts := [item[1] for item in step.items if item[0] == "message"]):
                yield step.line, texts[0]

    def all(self):
        try:
            for step in self.steps:
                try:
                    self.one(step)
                except Mismatch as why:
                    live = self.lives.get(step.conn)
                    what = f" ({step.conn}, {live.conn.last})" if live and live.conn.last else ""
                    self.wrong.append(f"step {step.number}{what}: {why}")
                    if len(self.wrong) > 3:
                        break
            if not self.wrong:
                self.nothing_left()
        finally:
            for live in [*self.lives.values(), *self.extra]:
                live.conn.close()
        if self.wrong:
            more = f"; and {len(self.wrong) - 3} more" if len(self.wrong) > 3 else ""
            raise Mismatch("; ".join(self.wrong[:3]) + more)

    def nothing_left(self):
        """All that has come was expected."""
        try:
            self.pump(lambda: False, QUIET)
        except Mismatch as why:
            self.wrong.append(f"at the end: {why}")
        for line in self.lines.values():
            if len(line.came) > len(line.wanted):
                self.wrong.append(f"messages that were not recorded: {brief(' '.join(line.came[len(line.wanted):]))}")
        for name, live in self.lives.items():
            for answer in live.answers:
                if not (live.line and live.line.poller is not live and answer.status == 200 and is_empty(answer)):
                    self.wrong.append(f"not recorded ({name}, {answer.request}): {described(answer)}")
            replaced = live.line and live.line.streamer is not live and live.asked.stream
            if live.others and not live.over and not (replaced and list(live.others) == [("end",)]):
                self.wrong.append(f"not recorded ({name}): {' '.join(other[0] for other in live.others)}")

    def one(self, step):
        match step.kind:
            case "wait":
                time.sleep(step.given["wait_ms"] / 1000)
            case "open":
                self.open(step)
            case "send":
                self.send(step)
            case "expect" | "nothing" | "closed":
                if step.number not in self.unsent:
                    self.expect(step)
                if step.line in self.lines and step.number in self.unsent:
                    self.lines[step.line].wanted += step.messages
                    self.lines[step.line].check()
            case "close":
                if live := self.lives.get(step.conn):
                    live.conn.close()
                    live.over = live.conn.parser.ended = True
                    time.sleep(0.05)  # until the server has seen it

    def open(self, step):
        if step.given.get("port") == "flash-policy":
            if self.asked.flash_policy is None:
                raise Skipped("it is not said where the policy of Flash is")
            self.lives[step.conn] = Live(self.asked.flash_policy, policy=True)

    def send(self, step):
        live = self.lives.get(step.conn)
        if live is None:
            live = self.lives[step.conn] = Live(self.asked.address)
        data = step.data
        for line, value in self.ids.items():
            if value.encode() in data and (known := self.lines.get(line)) and known.id:
                data = data.replace(value.encode(), known.id.encode())
        data = re.sub(rb"\A([A-Z]+) /socket\.io", rb"\1 " + self.mount.encode() + b"/socket.io", data)
        if live.over or live.ended:
            return
        requests = [] if live.conn.parser.upgraded else requests_in(data)
        if requests:
            if self.is_stale(step):
                return
            live.sent, live.due = time.monotonic(), 0.0
            live.asked = Asked(requests[-1])
            if step.line:
                live.line = self.lines.setdefault(step.line, Line())
            live.begins = live.asked.opens
            if live.asked.poll and live.line:
                live.line.poller = live
            if live.asked.stream and live.line:
                live.line.streamer = live
        elif len(live.nonce) < 8:
            live.nonce += data
        live.conn.send(data)

    def is_stale(self, step):
        """Whether all that this poll brought has come already: it would be held."""
        answer = next((one for one in self.after(step) if one.kind in ("expect", "nothing", "closed")), None)
        line = self.lines.get(step.line)
        if not answer or answer.kind != "expect" or not line or not step.asked.poll or step.asked.opens:
            return False
        if not answer.stale and (not answer.messages or len(line.came) < answer.total):
            return False
        self.unsent.add(answer.number)
        return True

    def after(self, step):
        """Later steps on the same connection."""
        return [one for one in self.steps[step.number + 1:] if one.conn == step.conn]

    # ---- what comes
    def pump(self, enough, seconds):
        """Takes what comes on any connection until `enough()` or for so many seconds."""
        until = time.monotonic() + seconds
        while not enough():
            lives = [live for live in [*self.lives.values(), *self.extra] if not live.ended]
            left = until - time.monotonic()
            if left <= 0 or not lives:
                time.sleep(max(0, left) if not lives and not enough() and seconds <= QUIET else 0)
                return
            ready = select.select([live.conn.socket for live in lives], [], [], left)[0]
            for live in lives:
                if live.conn.socket in ready:
                    for event in live.conn.more(0) or []:
                        for item in live.meaning.of(event):
                            self.take(live, item)

    def take(self, live, item):
        line = live.line
        match item:
            case ("answer", answer):
                live.answers.append(answer)
            case ("message", text) if live.begins:
                live.begins = False
                if line.id is not None:
                    raise Mismatch(f"a second session id, {brief(text)}")
                line.id = text
                if not re.fullmatch(r"[0-9A-Za-z]{20,}", text):
                    raise Mismatch(f"session id {brief(text)}")
            case ("message", text) if beat := re.fullmatch(r"~h~(\d+)", text):
                line.beats += 1
                if int(beat[1]) != line.beats:
                    raise Mismatch(f"heartbeat {beat[1]} instead of {line.beats}")
            case ("message", text):
                line.came.append(text)
                line.check()
            case ("digest", data):
                wanted = digest(live.asked.request, live.nonce)
                if data != wanted:
                    raise Mismatch(f"digest {data.hex()} instead of {wanted.hex()}")
                live.others.append(item)
            case ("event", event):
                raise Mismatch(f"{described(event)}, which was not recorded")
            case _:
                live.others.append(item)

    # ---- what is to come
    def expect(self, step):
        live, instead = self.lives[step.conn], step.instead
        if live.over or instead is ELSEWHERE:
            return
        if step.kind == "nothing" and instead is None or instead is SILENCE:
            self.silence(live, step.given.get("expect_nothing_ms", QUIET * 1000) / 1000)
            return
        if step.kind == "closed" and instead is None or instead is CLOSED:
            self.end(live, step)
            return
        if live.line:
            live.line.wanted += step.messages
            live.line.beats_wanted += step.beats
            live.line.check()
        self.pump(lambda: self.missing(live, step) is None, step.late)
        tries = 0
        while self.lacks(live) and live.asked.poll and live.answers and tries < 3:
            tries += 1
            self.another_poll(live)
        if why := self.missing(live, step):
            raise Mismatch(why)
        # From the request on: either side may be late in between.
        live.due += step.given.get("after_ms", 0) / 1000
        took = time.monotonic() - live.sent
        if took < live.due * 0.75 and instead is None:
            raise Mismatch(f"came after {took:.2f} s, not {live.due:.2f}")
        self.compare(live, step)

    def lacks(self, live):
        return live.line is not None and len(live.line.came) < len(live.line.wanted)

    def missing(self, live, step):
        """None, or what has not come yet."""
        line = live.line
        if step.begins and line.id is None:
            return self.seen(live, "no session id")
        if self.lacks(live):
            return self.seen(live, f"no {brief(line.wanted[len(line.came)])}")
        if line and line.beats < line.beats_wanted:
            return self.seen(live, f"no heartbeat {line.beats_wanted}")
        if self.answer_of(live, step) and not live.answers:
            return self.seen(live, "no answer")
        for item in self.others_of(live, step):
            if not any(other[0] == item[0] for other in live.others):
                return self.seen(live, f"no {item[0]}")
        return None

    def seen(self, live, what):
        came = [described(one) for one in live.answers] + [one[0] for one in live.others]
        came += ["the end of the connection"] * live.ended
        return f"{what}; {', '.join(came) or 'nothing'} came"

    def answer_of(self, live, step):
        """What answer there has to be: the recorded one, or None, and its status. None: no answer."""
        recorded = next((item[1] for item in step.items if item[0] == "answer"), None)
        if isinstance(step.instead, int):
            return (recorded, step.instead) if live.asked else None
        if step.instead is EMPTY:
            return recorded, 200
        if isinstance(step.instead, list):
            if live.asked is not None and live.asked.upgrade:
                return None if live.conn.parser.upgraded and not live.answers else (recorded, 101)
            if recorded or (live.asked and live.asked.poll):
                return recorded, 200
            return None
        return (recorded, recorded.status) if recorded else None

    def others_of(self, live, step):
        if isinstance(step.instead, int) and not live.asked:
            return [("http", step.instead)]
        if step.instead is not None:
            proves = step.begins and live.asked.upgrade and "sec-websocket-key1" in dict(live.asked.request.headers)
            return [("digest", digest(live.asked.request, live.nonce))] if proves else []
        return [item for item in step.items if item[0] not in ("answer", "message")]

    def compare(self, live, step):
        if wanted := self.answer_of(live, step):
            recorded, status = wanted
            answer = live.answers.popleft()
            if why := wrong_with(answer, Asked(answer.request), recorded, status):
                raise Mismatch(why)
            empty = step.instead is EMPTY or (step.instead is None and status == 200 and is_empty(recorded))
            if live.asked.poll and empty and not is_empty(answer):
                raise Mismatch(f"{described(answer)} instead of an empty one")
            if status >= 400 and step.kind == "closed":
                live.over = True
        for item in self.others_of(live, step):
            other = next(other for other in live.others if other[0] == item[0])
            live.others.remove(other)
            if other != item:
                raise Mismatch(f"{other} instead of {item}")
            if item == ("close",) and not any(one.kind == "send" for one in self.after(step)):
                live.conn.answer_close([Frame(8, b"")])

    def another_poll(self, live):
        """What a poll did not bring, the next one may."""
        extra = Live(self.asked.address)
        self.extra.append(extra)
        extra.asked, extra.line = live.asked, live.line
        extra.line.poller = extra
        target = live.asked.request.target
        extra.conn.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.pump(lambda: extra.answers, 1.0)

    # ---- silence and ends
    def silence(self, live, seconds):
        def something():
            line = live.line
            ahead = line is not None and len(line.came) > len(line.wanted)
            return ahead or live.answers or live.others or (live.ended and live.conn.parser.upgraded != "other")

        self.pump(something, seconds)
        if something():
            came = live.line.came[len(live.line.wanted):] if live.line else []
            if live.line:
                live.line.wanted += came
            what = self.seen(live, f"{brief(' '.join(came))} instead of silence" if came else "no silence")
            live.answers.clear()
            live.others.clear()
            raise Mismatch(what)

    def end(self, live, step):
        """The connection ends, after a closing frame or a stream's end if it is of the kind that has one."""
        late = step.late + step.given.get("expect_nothing_ms", 0) / 1000
        self.pump(lambda: live.ended or ("close",) in live.others or ("end",) in live.others, late)
        if ("close",) in live.others:
            live.conn.answer_close([Frame(8, b"")])
            self.pump(lambda: live.ended, late)
        if ("end",) in live.others and live.asked.stream:
            live.over = True
        elif not live.ended:
            raise Mismatch(self.seen(live, "the server did not close the connection"))
        if live.answers:
            raise Mismatch(f"{described(live.answers.popleft())} before the end")
        live.over = True


def is_empty(answer):
    """Whether a poll's answer brings no messages."""
    return not answer.body or re.fullmatch(rb'io\.JSONP\[\d+\]\._\(""\);', answer.body) is not None


def main():
    asked = options(__doc__, Path(__file__).resolve().parents[1] / "data" / "socketio-0.6")
    there = sorted(path.stem for path in asked.data.glob("[!_]*.json"))
    if missing := set(asked.names) - set(there):
        sys.exit(f"there is no scenario {', '.join(sorted(missing))} in {asked.data}")

    def one(name):
        Replay(name, json.loads((asked.data / f"{name}.json").read_text(encoding="utf-8")), asked).all()

    return 1 if run(asked.names or there, one) or not there else 0


if __name__ == "__main__":
    sys.exit(main())
