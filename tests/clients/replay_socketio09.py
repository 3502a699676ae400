"""The recorded dialogues of Socket.IO 0.7 to 0.9, replayed against a server.

    python3 replay_socketio09.py ADDRESS [--data FOLDER] [--flash-policy ADDRESS] [SCENARIO...]        (HOST:PORT)

All of tests/data/socketio-0.9, or the scenarios named; those about the policy of Flash need to know where that is. What
comes is compared by its meaning: answers by status, type and what their bodies say; packets by type, id, endpoint and
data, in order for each endpoint of a session, whichever transport or poll brings them. An acknowledgement may come
before or after the packets that its handler sends, and a sign of life (2:: or 8::) whenever it likes. Where the server
deliberately does something else, a table below says what, and why.
"""
import base64
import json
import re
import sys
import time
from collections import deque
from pathlib import Path

from replay import (LATE, QUIET, Answer, Bytes, Chunk, Conn, End, Fault, Frame, Mismatch, Parser, Skipped, brief,
                    described, options, policy, requests_in, run)

# Which mount is like the server that was recorded: the first part of a scenario's name.
MOUNTS = {
    "client-0.9.17": "/node",
    "node": "/node",
    "node-auth": "/node-auth",
    "node-fast": "/node-fast",
    "node-noheartbeat": "/node-noheartbeat",
    "node-origins": "/node-origins",
    "tornadio2": "/tornadio2",
    "tornadio2-check": "/tornadio2-check",
    "tornadio2-fast": "/tornadio2-fast",
}


class Silence:
    """Nothing comes."""


SILENCE = Silence()


def named_stats(packets):
    """The numbers of the statistics are their own; some names are TornadIO2's."""
    match = re.fullmatch(r"6:::8\+(\[.*\])", " ".join(packets))
    names = {"max_sessions", "active_sessions", "max_connections", "active_connections"}
    return match is not None and names <= json.loads(match[1])[0].keys()


WELCOME = '5::/chat:{"name":"welcome","args":[{"room":"chat"}]}'
WELCOME_B = '5::/chat:{"name":"welcome","args":[{"a":"b","room":"chat"}]}'
WELCOME_NULL = '5::/chat:{"name":"welcome","args":[{"a":null,"room":"chat"}]}'

# Why -> where (scenario, step) -> what comes instead: SILENCE, a status, packets, or a function that says whether
# packets are right. Of an answer that was recorded, packets take the place of its own.
DEVIATIONS = {
    "a broken packet is dropped and counted, the session goes on": {
        ("node--bad-input", 77): SILENCE,
        ("node--bad-input", 101): SILENCE,
        ("tornadio2--bad-input", 17): SILENCE,
        ("tornadio2--bad-input", 29): SILENCE,
        ("tornadio2--bad-input", 77): SILENCE,
        ("tornadio2--bad-input", 89): SILENCE,
        ("tornadio2--bad-input", 101): SILENCE,
        ("tornadio2--bad-input", 113): SILENCE,
        ("tornadio2--bad-input", 137): SILENCE,
        ("tornadio2--bad-input", 149): SILENCE,
    },
    "of a broken payload what can be read is taken, or nothing": {
        ("tornadio2--bad-input", 182): 200,
        ("tornadio2--bad-input", 194): 200,
        ("tornadio2--length-unit", 56): 200,
        ("tornadio2--length-unit", 59): ["3:::\u4e2d\ufffd4"],
    },
    "a body that is not UTF-8 is refused": {
        ("node--bad-input", 230): 400,
        ("node--bad-input", 233): SILENCE,
        ("tornadio2--bad-input", 230): 400,
    },
    "a message without data is an empty one": {
        ("tornadio2--bad-input", 65): ["3:::"],
    },
    "wrong arguments close the connection": {
        ("node--bad-input", 221): ["0::"],
    },
    "a POST to a session that is not known is refused": {
        ("node--bad-input", 5): 401,
    },
    "a second poll takes over, and the first one ends": {
        ("node--bad-input", 240): ["8::"],
        ("tornadio2--bad-input", 236): SILENCE,
        ("tornadio2--bad-input", 239): SILENCE,
        ("tornadio2--bad-input", 240): ["8::"],
        ("tornadio2--bad-input", 245): ["3:::who gets it"],
    },
    "OPTIONS is answered, and makes no session": {
        ("node--cors", 14): 200,
        ("node--handshake", 41): 200,
    },
    "a body without a type may begin with data=": {
        ("node--cors", 20): ["3:::root:xdr"],
    },
    "an endpoint's query is no part of its name, but its own": {
        ("node--endpoints", 11): ["1::/chat", WELCOME],
        ("tornadio2--endpoints", 11): ["1::/chat", WELCOME_B],
    },
    "who connects to an endpoint again gets an echo, and no more": {
        ("node--endpoints", 15): SILENCE,
        ("node--endpoints", 21): ["1::/chat", "3::/chat:chat:hi"],
        ("tornadio2--endpoints", 17): ["1::/chat"],
    },
    "a refusal says so": {
        ("tornadio2--endpoints", 35): ["7::/private:2"],
        ("tornadio2--handshake", 38): 403,
    },
    "who leaves an endpoint gets an echo": {
        ("node--endpoints", 65): ["0::/chat"],
        ("node--websocket-rfc6455", 19): ["0::/chat"],
    },
    "another version of the protocol is not available now": {
        ("node--handshake", 26): 503,
    },
    "a handshake may be a POST, and do without the last slash": {
        ("tornadio2--handshake", 5): 200,
        ("tornadio2--handshake", 20): 200,
    },
    "the bare path says that Socket.IO is here": {
        ("tornadio2--handshake", 29): 200,
        ("tornadio2--handshake", 32): 200,
    },
    "what is no number is no index of a script": {
        ("tornadio2--handshake", 35): 200,
        ("tornadio2--jsonp-polling", 35): ["3:::x"],
    },
    "a form without its field is a bad request": {
        ("tornadio2--jsonp-polling", 50): 400,
    },
    "lengths are UTF-16 units": {
        ("tornadio2--length-unit", 35): ["3:::\U0001f600", "3:::"],
        ("tornadio2--length-unit", 71): ["3:::\U0001f600\ufffd4"],
        ("tornadio2--xhr-polling-basic", 66): ["3:::one", "3:::\u00e9\U0001f600", "3:::two"],
    },
    "half of a surrogate pair is never left over": {
        ("node--length-unit", 83): ["3:::root:\U0001f600", "3:::root:"],
        ("tornadio2--length-unit", 83): ["3:::\U0001f600", "3:::"],
    },
    "one file is served, without versions and builds of one's own": {
        ("node--static", 5): 404,
        ("node--static", 8): 404,
        ("node--static", 11): 404,
        ("node--static", 14): 404,
    },
    "there is no such transport": {
        ("node--unknown-transport", 5): 404,
        ("node--unknown-transport", 8): 404,
    },
    "an event that is to be acknowledged has id+, which clients want": {
        ("node--xhr-polling-basic", 84): ['5:2+::{"name":"question","args":["x"]}'],
        ("tornadio2--xhr-polling-basic", 72): ['5:1+::{"name":"question","args":["x"]}'],
        ("tornadio2--events-acks", 25): ['5:1+::{"name":"question","args":["x"]}', "6:::10"],
    },
    "an acknowledgement without data has no plus": {
        ("tornadio2--xhr-polling-basic", 24): ["3:::data ack", "6:::2"],
        ("tornadio2--events-acks", 29): ["3:::x", "6:::11"],
    },
    "an argument may be called name": {
        ("tornadio2--emit-name-kwarg", 7): ['5:::{"name":"thanks","args":[{"name":"Joes"}]}', '6:::4+["Joes"]'],
    },
    "the numbers are of the server, and not all of TornadIO2's": {
        ("tornadio2--events-acks", 21): named_stats,
    },
    "a session that was never used ends like others": {
        ("node-fast--handshake-unused", 6): ["7:::1+0"],
    },
    "heartbeats are counted, and the end is told": {
        ("node-fast--heartbeat-websocket", 7): ["0::"],
    },
    "of heartbeats without an answer the last is not sent any more": {
        ("tornadio2-fast--heartbeat-websocket", 8): ["0::"],
    },
    "a session outlives its WebSocket": {
        ("node-fast--websocket-reopen", 10): [],
        ("node-fast--websocket-reopen", 11): SILENCE,
    },
    "a WebSocket to a session that is not known is told": {
        ("tornadio2--websocket-unknown-session", 2): ["7:::1+0"],
    },
    "a refused upgrade is answered": {
        ("node-origins--origins", 23): 403,
        ("tornadio2--websocket-hixie75", 5): 426,
    },
    "who does not ask for the policy of Flash does not get it": {
        ("node--flash-policy", 6): SILENCE,
        ("node--flash-policy", 7): SILENCE,
    },
}

# Of every recording:
#
# - The body of an answer to a POST is `1`; TornadIO2's is empty.
# - Error pages of TornadIO2 are its own. Of the texts of the Node server, those of the handshake are kept.
# - `Access-Control-Allow-Methods` comes only where it is asked for, TornadIO2 sends it always; whether a script (jsonp)
#   has headers of CORS makes no difference.
# - `X-XSS-Protection` means nothing any more.
# - A WebSocket ends with a close frame, which the Node server leaves out, whatever its code.
# - A script's type is `text/javascript` or `application/javascript`.
# - A policy of Flash ends with a NUL, which the Node server leaves out.
# - The prelude of htmlfile may be any length from 256 bytes on.

HIXIE = [f"{before}websocket-{what}" for before in ("", "sec-") for what in ("origin", "location", "protocol")]
BEATS = ("2::", "8::")
STEP_KEYS = set("conn open port send expect expect_nothing_ms expect_close close wait_ms after_ms note".split())


# ------------------------------------------------------------------ what it means
def packets_in(payload):
    """The packets of a payload; lengths count UTF-16 units."""
    if not payload.startswith("\ufffd"):
        return [canonical(payload)] if payload else []
    units = payload.encode("utf-16-le", "surrogatepass")
    packets, at = [], 0
    while at < len(units):
        match = re.match(r"\ufffd(\d+)\ufffd", units[at:at + 64].decode("utf-16-le", "replace"))
        if not match:
            raise Mismatch(f"a payload goes on with {brief(units[at:].decode('utf-16-le', 'replace'))}")
        at += 2 * len(match[0])
        end = at + 2 * int(match[1])
        if end > len(units):
            raise Mismatch(f"a packet is shorter than {match[1]}, {brief(units[at:].decode('utf-16-le', 'replace'))}")
        packets.append(canonical(units[at:end].decode("utf-16-le", "surrogatepass")))
        at = end
    return packets


def canonical(packet):
    """A packet without what may be written in several ways."""
    match = re.fullmatch(r"([0-9]):([0-9]*)(\+?):([^:]*)(?::(.*))?", packet, re.S)
    if not match:
        return packet
    kind, number, plus, endpoint, data = match[1], match[2], match[3], match[4], match[5] or ""
    try:
        if kind == "4":
            data = compact(json.loads(data))
        elif kind == "5":
            event = json.loads(data)
            data = compact({"name": event["name"], "args": event.get("args", [])})
        elif kind == "6" and (ack := re.fullmatch(r"(\d+)\+(.+)", data, re.S)):
            data = f"{ack[1]}+{compact(json.loads(ack[2]))}"
    except (ValueError, KeyError, TypeError):
        pass
    return f"{kind}:{number}{plus}:{endpoint}" + (f":{data}" if data else "")


def compact(value):
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def line(packet):
    """What a packet keeps its order with."""
    parts = packet.split(":", 3)
    return (parts[2] if len(parts) > 2 else "", parts[0] == "6")


def in_lines(packets):
    lines = {}
    for packet in packets:
        lines.setdefault(line(packet), []).append(packet)
    return lines


class Kind:
    """What a request asks for; without one it is the policy of Flash."""

    def __init__(self, request):
        if request is None:
            self.name, self.session = "policy", None
            return
        path, _, query = request.target.partition("?")
        parts = path.split("/socket.io", 1)[-1].strip("/").split("/")
        fields = dict(part.partition("=")[::2] for part in query.split("&"))
        self.session = parts[2] if len(parts) > 2 else None
        transport = parts[1] if len(parts) > 2 else None
        if request.method == "OPTIONS":
            self.name = "preflight"
        elif parts == ["1"]:
            self.name = "handshake"
        elif self.session is None:
            self.name = "other"
        elif "disconnect" in fields:
            self.name = "disconnect"
        elif request.method == "POST":
            self.name = "post"
        elif transport in ("websocket", "flashsocket"):
            self.name = "websocket"
        elif transport == "htmlfile":
            self.name = "htmlfile"
        else:
            self.name = "poll"


def script(body):
    """A body, and what it says if it is a script that calls io.j: (index, text)."""
    text = body.decode("utf-8")
    match = re.fullmatch(r'io\.j\[(.*?)\]\((new Error\()?(".*")(?(2)\))\);', text, re.S)
    if not match:
        return None, text
    if re.search(r"<|[\u2028\u2029]", match[3]) and match[1].isdigit():
        return (match[1], bool(match[2]), "unescaped"), json.loads(match[3])
    return (match[1], bool(match[2]), ""), json.loads(match[3])


class Meaning:
    """Items made of events: ("answer", Answer), ("packet", text), ("end",), ("close",), ("event", what else there is)."""

    def __init__(self, recorded):
        self.recorded = recorded
        self.prelude = True
        self.bytes = b""  # of a policy

    def of(self, events):
        items = []
        for event in events:
            items += self._one(event)
        return items

    def _one(self, event):
        match event:
            case Fault():
                raise Mismatch(event.why)
            case Answer():
                items = [("answer", event)]
                if event.request and Kind(event.request).name == "poll" and event.status == 200 and event.body:
                    items += [("packet", one) for one in self._payload(event.body)]
                return items
            case Chunk():
                text = event.data.decode("utf-8")
                if self.prelude:
                    self.prelude = False
                    head = "<html><body><script>var _ = function (msg) { parent.s._(msg, document); };</script>"
                    if text.rstrip(" ") != head or len(text) < 256:
                        raise Mismatch(f"the prelude is {brief(text)}")
                    return []
                match_ = re.fullmatch(r"<script>_\((\".*\")\);</script>", text, re.S)
                if not match_:
                    raise Mismatch(f"a chunk is {brief(text)}")
                if not self.recorded and re.search(r"<|[\u2028\u2029]", match_[1]):
                    raise Mismatch(f"markup within a script: {brief(match_[1])}")
                return [("packet", one) for one in packets_in(json.loads(match_[1]))]
            case End():
                return [("end",)]
            case Frame(opcode=1):
                return [("packet", canonical(event.payload.decode("utf-8")))]
            case Frame(opcode=8):
                return [("close",)]
            case Bytes():
                self.bytes += event.data
                if not self.recorded and not self.bytes.endswith(b"\0"):
                    return []
                return [("event", policy(self.bytes))]
        return [("event", event)]

    def _payload(self, body):
        index, text = script(body)
        if not self.recorded and index and index[2]:
            raise Mismatch(f"markup within a script: {brief(body)}")
        try:
            return packets_in(text)
        except Mismatch:
            if self.recorded:
                return [f"unreadable {text}"]  # of a server that miscounts; a deviation says what is right
            raise


# ------------------------------------------------------------------ comparing answers
def answers_differ(recorded, came, status=None, instead=False):
    """None, or how these two heads and bodies differ; packets apart. `status`: what comes instead; `instead`: its
    packets are others, too."""
    if (status or recorded.status) != came.status:
        return f"{described(came)} instead of {status or described(recorded)}"
    kind = Kind(came.request).name if came.request else "other"
    if why := headers_differ(recorded, came, kind, status):
        return why
    if status or came.body is None:
        return None
    node = "TornadoServer" not in (recorded.header("server") or "")
    if came.status >= 400:
        texts = recorded.body, came.body
        return f"body {brief(came.body)} instead of {brief(recorded.body)}" if node and texts[0] != texts[1] else None
    if kind == "handshake":
        (index, one), (other_index, other) = script(recorded.body), script(came.body)
        if index != other_index:
            return f"{brief(came.body)} instead of {brief(recorded.body)}"
        if one.split(":")[1:] != other.split(":")[1:]:
            return f"handshake {brief(other)} instead of {brief(one)}"
        if ":" in other and not re.fullmatch(r"[-_0-9A-Za-z]{20,}", other.split(":")[0]):
            return f"session id {brief(other)}"
        return None
    if kind == "poll":
        one, other = script(recorded.body)[0], script(came.body)[0]
        if (one is None) != (other is None) or (other and not other[0].isdigit()) or (other and not instead and one[0] != other[0]):
            return f"{brief(came.body)} instead of {brief(recorded.body)}"
        return None
    wanted = b"1" if kind == "post" else recorded.body
    return None if wanted == came.body else f"body {brief(came.body)} instead of {brief(wanted)}"


def headers_differ(recorded, came, kind, status):
    if came.status == 101:
        path = came.request.path if came.request else ""
        for name in ("upgrade", "sec-websocket-accept", *HIXIE):
            wanted = recorded.header(name) or ""
            if name.endswith("location"):
                wanted = re.sub(r"(?<=[^:/])/.*", lambda _: path, wanted)
            if wanted.lower() != (came.header(name) or "").lower():
                return f"{name}: {came.header(name)} instead of {recorded.header(name)}"
        return None
    if came.status < 400 and not status and (one := recorded.header("content-type")):
        wanted, _, _ = one.partition(";")
        got, _, charset = (came.header("content-type") or "").partition(";")
        if kind == "preflight":
            pass
        elif wanted.lower().replace("application/j", "text/j") != got.lower().replace("application/j", "text/j"):
            return f"content-type {brief(got)} instead of {brief(wanted)}"
        elif charset and charset.strip().lower() != "charset=utf-8":
            return f"content-type with {brief(charset)}"
    asked = dict(came.request.headers).get("origin") if came.request else None
    is_script = "javascript" in (came.header("content-type") or "")
    for name in ("access-control-allow-origin", "access-control-allow-credentials"):
        one, other = recorded.header(name), came.header(name)
        if one != other and not is_script and not (status and other is None):
            if not (one is None and asked and other in (asked, "true")):
                return f"{name}: {other} instead of {one}"
    if kind == "preflight":
        methods = {one.strip() for one in (came.header("access-control-allow-methods") or "").split(",")}
        if not {"GET", "POST"} <= methods:
            return f"access-control-allow-methods: {came.header('access-control-allow-methods')}"
    for name in ("set-cookie", "location", "content-encoding"):
        if came.header(name) is not None:
            return f"a header that was not recorded, {name}: {brief(came.header(name))}"
    return None


# ------------------------------------------------------------------ replaying
def streams(answer):
    return answer.status == 200 and answer.request is not None and Kind(answer.request).name == "htmlfile"


class Live:
    """A connection, and the same as it was recorded."""

    def __init__(self, address, policy=False):
        self.conn = Conn(address, streams)
        self.recorded = Parser(streams)
        if policy:
            self.conn.parser.upgraded = self.recorded.upgraded = "other"
        self.meaning = Meaning(False)
        self.recorded_meaning = Meaning(True)
        self.items = []  # that have come and were not expected yet
        self.ended = False
        self.session = None  # as the server has it
        self.kind = Kind(None)
        self.poll = None  # the bytes of the last one
        self.instead = False  # whether a deviation is awaited
        self.owes = False  # what its poll was to bring came by another one, and it is still held


class Replay:
    def __init__(self, name, scenario, address, flash_policy):
        self.name = name
        self.steps = scenario["steps"]
        self.address = address
        self.flash_policy = flash_policy
        self.mount = MOUNTS[name.split("--")[0]]
        self.lives = {}
        self.ids = {}  # recorded -> as this server has them
        self.ahead = {}  # session -> packets that have come and were not expected yet
        self.extra = []  # connections for polls that were not recorded
        self.instead = {}
        for why, places in DEVIATIONS.items():
            for (scenario_name, number), what in places.items():
                if scenario_name == name:
                    self.instead[number] = what
        self.used = set()
        self.last = time.monotonic()
        self.wrong = []

    def all(self):
        try:
            for number, step in enumerate(self.steps):
                if unknown := step.keys() - STEP_KEYS:
                    raise ValueError(f"step {number} has {unknown}")
                try:
                    self.one(number, step)
                except Mismatch as why:
                    live = self.lives.get(step.get("conn"))
                    what = f" ({step['conn']}, {live.conn.last})" if live and live.conn.last else ""
                    self.wrong.append(f"step {number}{what}: {why}")
                    if len(self.wrong) > 3:
                        break
            left = [one for packets in self.ahead.values() for one in packets]
            left += [item[1] for live in self.lives.values() for item in live.items if item[0] == "packet" and item[1] not in BEATS]
            if left and not self.wrong:
                self.wrong.append(f"packets that were not recorded: {brief(' '.join(left))}")
            if unused := set(self.instead) - self.used:
                self.wrong.append(f"what the table of deviations says of {sorted(unused)} has no use")
        finally:
            for live in self.lives.values():
                live.conn.close()
            for conn in self.extra:
                conn.close()
        if self.wrong:
            more = f"; and {len(self.wrong) - 3} more" if len(self.wrong) > 3 else ""
            raise Mismatch("; ".join(self.wrong[:3]) + more)

    def one(self, number, step):
        if "wait_ms" in step:
            time.sleep(step["wait_ms"] / 1000)
        if step.get("port") == "flash-policy":
            if self.flash_policy is None:
                raise Skipped("it is not said where the policy of Flash is")
            self.lives[step["conn"]] = Live(self.flash_policy, policy=True)
        if "send" in step:
            self.send(step["conn"], bytes_of(step["send"]))
        if "expect" in step:
            self.expect(number, step)
        if "expect_nothing_ms" in step:
            self.expect_nothing(number, step)
        if "expect_close" in step:
            self.expect_close(number, step)
        if step.get("close") and not any(later.get("conn") == step["conn"] and "expect" in later for later in self.steps[number:]):
            if live := self.lives.get(step["conn"]):
                live.conn.close()
                live.ended = True
                time.sleep(0.05)  # until the server has seen it
        if not step.get("note") or len(step) > 1:
            self.last = time.monotonic()

    def send(self, name, data):
        for old, new in self.ids.items():
            data = data.replace(old, new)
        data = re.sub(rb"\A([A-Z]+) /socket\.io", rb"\1 " + self.mount.encode() + b"/socket.io", data)
        live = self.lives.get(name)
        if live is None:
            live = self.lives[name] = Live(self.address)
        if live.ended:
            return
        if not live.conn.parser.upgraded and (requests := requests_in(data)):
            live.recorded.asked(requests)
            live.kind = Kind(requests[-1])
            live.session = live.kind.session
            if live.kind.name == "poll":
                live.poll = data
                if live.owes:
                    return  # the one that is held will do
        live.conn.send(data)

    # ---- what is to come
    def wanted(self, number, live, step):
        events = live.recorded.feed(bytes_of(step["expect"]))
        if faults := [one for one in events if isinstance(one, Fault)]:
            if live.recorded.upgraded:  # the Node server's pong
                live.recorded = Parser(streams)
                live.recorded.upgraded = "websocket"
                return [("event", Frame(10, b""))]
            raise ValueError(f"the recording: {faults[0].why}")
        if live.recorded.input or not events:
            raise ValueError(f"step {number} of the recording ends within something")
        return live.recorded_meaning.of(events)

    def expect(self, number, step):
        live = self.lives[step["conn"]]
        wanted = self.wanted(number, live, step)
        instead = self.what_instead(number)
        late = LATE + step.get("after_ms", 0) / 1000
        status = None
        if instead is SILENCE:
            self.silence(live, QUIET)
            return
        live.instead = instead is not None
        if isinstance(instead, int):
            status = instead
            wanted = [item for item in wanted if item[0] == "answer"] or [("answer", Answer(instead, [], "none", None, b""))]
        elif callable(instead):
            wanted = [("right", instead)]
        elif instead is not None:
            packets = [("packet", canonical(one)) for one in instead]
            gone = ("packet",) if "0::" in instead else ("packet", "close")
            wanted = [item for item in wanted if item[0] not in gone]
            at = 1 if wanted and wanted[0][0] == "answer" else 0
            wanted[at:at] = packets
        begun = time.monotonic()
        tries = 0
        while True:
            why = self.unlike(wanted, live, status)
            if why is None:
                break
            if live.kind.name == "poll" and live.conn.parser.settled and tries < 3 and status is None and self.lacks(wanted, live):
                # The rest may come with the next poll.
                tries += 1
                live.items += self.another_poll(live)
                continue
            events = live.conn.read(lambda events: self.unlike(wanted, live, status, events) is None, late=max(0, late - (time.monotonic() - begun)))
            live.items += live.meaning.of(events)
            if self.unlike(wanted, live, status) is None:
                break
            if events and time.monotonic() - begun < late and (not live.conn.parser.settled or self.lacks(wanted, live)):
                continue
            why = self.unlike(wanted, live, status)
            if why is None:
                break
            nothing = "nothing came, " if not live.items else ""
            live.items = [item for item in live.items if item[0] == "packet" and item[1] not in BEATS]
            raise Mismatch(nothing + why)
        # A heartbeat may be due at any time.
        beats = ("packet", "2::") in wanted
        if not beats and (least := step.get("after_ms", 0) / 1000) >= 0.5 and (took := time.monotonic() - self.last) < least / 2:
            raise Mismatch(f"came after {took:.2f} s, not {least:.2f}")
        self.take(wanted, live)

    def lacks(self, wanted, live):
        """Whether packets have not come yet."""
        ours = in_lines(self.came(live))
        lines = in_lines(item[1] for item in wanted if item[0] == "packet")
        return any(len(ours.get(key, [])) < len(packets) for key, packets in lines.items())

    def came(self, live, items=None):
        items = live.items if items is None else items
        return self.ahead.get(live.session, []) + [item[1] for item in items if item[0] == "packet"]

    def unlike(self, wanted, live, status, events=()):
        """None, or why what has come is not what is wanted."""
        items = list(live.items)
        if events:
            before = live.meaning.prelude, live.meaning.bytes
            items += live.meaning.of(events)
            live.meaning.prelude, live.meaning.bytes = before
        answers = deque(item[1] for item in items if item[0] == "answer")
        others = deque(item for item in items if item[0] not in ("answer", "packet"))
        came = self.came(live, items)
        packets = [item[1] for item in wanted if item[0] == "packet"]
        beats = [one for one in packets if one in BEATS]
        ours = in_lines(one for one in came if one not in BEATS)
        for key, line_ in in_lines(one for one in packets if one not in BEATS).items():
            got = ours.get(key, [])[:len(line_)]
            if got != line_:
                return f"{brief(' '.join(got)) if got else 'nothing'} instead of {brief(' '.join(line_))}"
        if len([one for one in came if one in BEATS]) < min(1, len(beats)):
            return f"no {beats[0]}"
        for item in wanted:
            if item[0] == "answer":
                if not answers:
                    if live.kind and live.kind.name == "poll" and packets and len(packets) > len(beats) and not status and not any(i[0] == "packet" for i in items):
                        continue  # all of it came by other polls, and this one is held
                    return f"no answer, {described(item[1])}"
                if why := answers_differ(item[1], answers.popleft(), status, live.instead):
                    return why
            elif item[0] == "right":
                if not item[1](came):
                    return f"{brief(' '.join(came)) if came else 'nothing'}, which is not right"
            elif item[0] == "close":
                if not any(other[0] == "close" for other in others):
                    return "no close frame"
            elif item[0] == "end":
                if not others or others[0][0] != "end":
                    return "the stream does not end"
                others.popleft()
            elif item[0] == "event":
                if not others or not same_event(item[1], others[0]):
                    return f"{described(others[0][1]) if others and len(others[0]) > 1 else 'nothing'} instead of {described(item[1])}"
                others.popleft()
        return None

    def take(self, wanted, live):
        """Removes what was wanted from what has come; the rest is kept for later steps."""
        answers = [item[1] for item in live.items if item[0] == "answer"]
        recorded = [item[1] for item in wanted if item[0] == "answer"]
        live.owes = bool(recorded) and not answers
        for one, other in zip(recorded, answers):
            if one.body and other.body and Kind(other.request).name == "handshake":
                old, new = script(one.body)[1].split(":")[0], script(other.body)[1].split(":")[0]
                if one.status == 200 and ":" in script(one.body)[1]:
                    self.ids[old.encode()] = new.encode()
        left = [one for one in self.came(live) if one not in BEATS]
        for item in wanted:
            if item[0] == "packet" and item[1] not in BEATS:
                left.remove(item[1])
            elif item[0] == "right":
                left = []
        if live.session is not None:
            self.ahead[live.session] = left
        wanted_kinds = {item[0] for item in wanted}
        live.items = [item for item in live.items if item[0] == "close" and "close" not in wanted_kinds]

    def another_poll(self, live):
        conn = Conn(self.address, streams)
        self.extra.append(conn)
        conn.send(live.poll)
        return Meaning(False).of(conn.read(bool, late=1.0))

    def what_instead(self, number):
        if number in self.instead:
            self.used.add(number)
            return self.instead[number]
        return None

    # ---- silence and ends
    def silence(self, live, seconds):
        items = live.items + live.meaning.of(live.conn.silence(seconds))
        live.items = []
        came = [item for item in items if not (live.kind.name != "poll" and item[0] == "packet" and item[1] in BEATS)]
        came = [item for item in came if item[0] != "close"]
        if came:
            self.ahead.setdefault(live.session, []).extend(
                item[1] for item in came if item[0] == "packet" and item[1] not in BEATS)
            what = " ".join(item[1] if item[0] == "packet" else described(item[1]) if len(item) > 1 else item[0] for item in came)
            raise Mismatch(f"{brief(what)} instead of silence")

    def expect_nothing(self, number, step):
        live = self.lives[step["conn"]]
        instead = self.what_instead(number)
        if instead is None:
            self.silence(live, step["expect_nothing_ms"] / 1000)
        else:
            self.expect_instead(live, instead)

    def expect_instead(self, live, instead):
        """Something where nothing was recorded."""
        live.instead = True
        head = Answer(instead if isinstance(instead, int) else 200, [("content-type", "text/plain")], "none", None, b"")
        wanted = [] if live.conn.parser.upgraded else [("answer", head)]
        status = instead if isinstance(instead, int) else None
        if status is None:
            wanted += [("packet", canonical(one)) for one in instead]
        live.items += live.meaning.of(live.conn.read(lambda events: self.unlike(wanted, live, status, events) is None))
        if why := self.unlike(wanted, live, status):
            raise Mismatch(why)
        self.take(wanted, live)

    def expect_close(self, number, step):
        live = self.lives[step["conn"]]
        instead = self.what_instead(number)
        if isinstance(instead, int):
            self.expect_instead(live, instead)
            live.ended = True
            return
        if instead is SILENCE:
            self.silence(live, QUIET)
            return
        if live.ended or live.recorded.ended:
            return
        if not live.conn.parser.upgraded and any("close" in other and other.get("conn") == step["conn"] for other in self.steps):
            return  # by the client
        late = LATE + step.get("after_ms", 0) / 1000
        enough = lambda events: any(isinstance(one, Frame) and one.opcode == 8 for one in events)
        if not any(item[0] == "close" for item in live.items):
            live.items += live.meaning.of(live.conn.read(enough, late=late))
        if any(item[0] == "close" for item in live.items) and not live.conn.parser.ended:
            live.conn.answer_close([Frame(8, b"")])
            live.items += live.meaning.of(live.conn.read(lambda events: False, eof=True))
        if not live.conn.parser.ended:
            raise Mismatch("the server did not close the connection")
        live.ended = True
        packets = [item[1] for item in live.items if item[0] == "packet" and item[1] not in BEATS]
        live.items = []
        if packets != [canonical(one) for one in instead or []]:
            raise Mismatch(f"{brief(' '.join(packets)) if packets else 'nothing'} before the end")


def same_event(recorded, other):
    """Of pongs the Node server's is broken: what it has to be is what was asked."""
    event = other[1] if len(other) > 1 else None
    if isinstance(recorded, Frame) and isinstance(event, Frame):
        return recorded.opcode == event.opcode and (event.payload == recorded.payload or recorded.payload == b"")
    return recorded == event


def bytes_of(part):
    return part["text"].encode() if "text" in part else base64.b64decode(part["base64"])


def main():
    asked = options(__doc__, Path(__file__).resolve().parents[1] / "data" / "socketio-0.9")
    there = sorted(path.stem for path in asked.data.glob("[!_]*.json"))
    if missing := set(asked.names) - set(there):
        sys.exit(f"there is no scenario {', '.join(sorted(missing))} in {asked.data}")

    def one(name):
        scenario = json.loads((asked.data / f"{name}.json").read_text(encoding="utf-8"))
        Replay(name, scenario, asked.address, asked.flash_policy).all()

    return 1 if run(asked.names or there, one) or not there else 0


if __name__ == "__main__":
    sys.exit(main())
