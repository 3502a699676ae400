"""What all replayers of recorded dialogues share: connections, answers, frames, and how they are compared.

A recording is a list of steps on named TCP connections: bytes to send, and bytes that a reference server answered.
Both what was recorded and what comes now go through the same `Parser`, one for each connection, which makes events of
them; a replayer compares lists of events and so never sees how bytes fell into packets or which framing was chosen.

    parser = Parser(streams)
    parser.asked(requests_in(sent))          what the answers are answers to
    events = parser.feed(bytes)              or parser.end() when the peer has closed

Not here: what a protocol family leaves free; the steps of its schema (replay_*.py).
"""
import json
import re
import select
import socket
import sys
import time
import xml.etree.ElementTree
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

# Silence after which a recording took it that all had come, and what we wait for what should not come.
QUIET = 0.12
# No recorded byte came later than this after the one before it; what is not here by then will not come.
LATE = 4.0

# Headers whose presence and value are the server's business, within HTTP.
FREE_HEADERS = frozenset(
    "date connection keep-alive transfer-encoding content-length expires etag vary server".split())

# Of RFC 6455.
OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


class Mismatch(Exception):
    """What came is not what was recorded; the text says where."""


# ------------------------------------------------------------------ events
@dataclass(frozen=True)
class Request:
    method: str
    target: str
    version: str
    headers: tuple = ()

    @property
    def path(self):
        return self.target.split("?")[0]

    def __str__(self):
        return f"{self.method} {brief(self.target)}"


@dataclass
class Answer:
    """A head, and with it the whole body. Of a stream, the head alone: `Chunk` or `Bytes` follow, and `End`."""
    status: int
    headers: list  # of (lower-case name, value)
    framing: str  # chunked, content-length, until-close, none, upgraded
    request: Request | None
    body: bytes | None = None

    def header(self, name):
        return ", ".join(value for key, value in self.headers if key == name) or None


@dataclass
class Chunk:
    """One chunk of a stream."""
    data: bytes


@dataclass
class Bytes:
    """What came of a stream without chunks, or on an upgraded connection that does not speak RFC 6455."""
    data: bytes


@dataclass
class End:
    """The end of a stream."""


@dataclass
class Frame:
    """A frame of RFC 6455, or of the drafts hixie-75 and hixie-76, which have only texts and, the latter, an end."""
    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


@dataclass
class Digest:
    """What hixie-76 answers to the keys and the nonce."""
    data: bytes


@dataclass
class Fault:
    """A breach of HTTP or a WebSocket's protocol."""
    why: str


# ------------------------------------------------------------------ parsing
class Cut(Exception):
    """The bytes ended within something."""


class Parser:
    """Makes events of the bytes that a server sends on one connection.

    `streams(answer)` says of a head whether its body is to be given out piece by piece, as it comes. Set `upgraded` to
    "other" for a connection that is not HTTP at all, such as one that asks for the policy of Flash.
    """

    def __init__(self, streams=lambda answer: False):
        self.streams = streams
        self.input = bytearray()
        self.requests = deque()  # those not answered yet
        self.upgraded = False  # or "websocket", "hixie", or "other": bytes without a form known here
        self.between = True  # between two answers or frames
        self.ended = False
        self._events = []
        self._run = self._all()
        next(self._run)

    def asked(self, requests):
        self.requests.extend(requests)

    def feed(self, data):
        """Events that are whole now."""
        if self.ended:
            raise ValueError("bytes after the end")
        self.input += data
        return self._go()

    def end(self):
        """Events that the end of the connection completes."""
        self.ended = True
        return self._go()

    @property
    def settled(self):
        """Nothing more may come unless something is sent."""
        return self.ended or (self.between and not self.requests and not self.upgraded)

    def _go(self):
        if self._run is not None:
            try:
                next(self._run)
            except StopIteration:
                self._run = None
            except Cut:
                self._run = None
                rest = f", after {brief(bytes(self.input))}" if self.input else ""
                self._events.append(Fault(f"the connection ended before all had come{rest}"))
            except (ValueError, UnicodeDecodeError) as error:
                self._run = None
                self._events.append(Fault(f"{error}: {brief(bytes(self.input))}"))
        events, self._events = self._events, []
        return events

    # Each of these is a generator that yields when it needs more input.
    def _all(self):
        while True:
            self.between = True
            while not self.input:
                if self.ended:
                    return
                yield
            self.between = False
            if not self.upgraded:
                yield from self._answer()
            elif self.upgraded == "websocket":
                yield from self._frame()
            elif self.upgraded == "hixie":
                yield from self._hixie_frame()
            else:
                self._events.append(Bytes(bytes(self.input)))
                self.input.clear()

    def _take(self, count):
        while len(self.input) < count:
            if self.ended:
                raise Cut
            yield
        data = bytes(self.input[:count])
        del self.input[:count]
        return data

    def _until(self, end):
        while (at := self.input.find(end)) < 0:
            if self.ended:
                raise Cut
            yield
        data = bytes(self.input[:at])
        del self.input[: at + len(end)]
        return data

    def _answer(self):
        lines = (yield from self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] (\d{3})(?: .*)?", lines[0])
        if not match:
            raise ValueError(f"not a status line: {brief(lines[0])}")
        status = int(match[1])
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not re.fullmatch(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+", name):
                raise ValueError(f"not a header: {brief(line)}")
            headers.append((name.lower(), value.strip(" \t")))
        answer = Answer(status, headers, "none", self.requests[0] if self.requests else None)
        if 100 <= status < 200 and status != 101:
            return
        if self.requests:
            self.requests.popleft()
        length, coding = answer.header("content-length"), answer.header("transfer-encoding")
        if length is not None and coding is not None:
            raise ValueError("both Content-Length and Transfer-Encoding")
        if status < 200 or status == 204:
            if length is not None or coding is not None:
                raise ValueError(f"{'Content-Length' if length else 'Transfer-Encoding'} with status {status}")
        if coding is not None and answer.request and answer.request.version == "HTTP/1.0":
            raise ValueError("Transfer-Encoding in answer to HTTP/1.0")
        if status == 101:
            answer.framing = "upgraded"
            answer.body = b""
            self._events.append(answer)
            if answer.header("sec-websocket-accept"):
                self.upgraded = "websocket"
            elif answer.header("sec-websocket-location"):
                self.upgraded = "hixie"
                data = yield from self._take(16)  # by then the events before it are gone
                self._events.append(Digest(data))
            else:
                self.upgraded = "hixie" if answer.header("websocket-location") else "other"
        elif status in (204, 304) or (answer.request and answer.request.method == "HEAD"):
            answer.body = b""
            self._events.append(answer)
        elif coding is not None:
            if coding.lower() != "chunked":
                raise ValueError(f"Transfer-Encoding {brief(coding)}")
            answer.framing = "chunked"
            yield from self._body(answer, self._chunks())
        elif length is not None:
            if not re.fullmatch(r"\d+", length):
                raise ValueError(f"Content-Length {brief(length)}")
            answer.framing = "content-length"
            yield from self._body(answer, self._counted(int(length)))
        else:
            answer.framing = "until-close"
            yield from self._body(answer, self._rest())

    def _body(self, answer, pieces):
        """`pieces` yields None for more input and otherwise a piece of the body."""
        if self.streams(answer):
            self._events.append(answer)
            kind = Chunk if answer.framing == "chunked" else Bytes
            for piece in pieces:
                if piece is None:
                    yield
                else:
                    self._events.append(kind(piece))
            self._events.append(End())
        else:
            answer.body = b""
            for piece in pieces:
                if piece is None:
                    yield
                else:
                    answer.body += piece
            self._events.append(answer)

    def _chunks(self):
        while True:
            size = (yield from self._until(b"\r\n")).split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size):
                raise ValueError(f"chunk size {brief(size)}")
            if int(size, 16) == 0:
                break
            piece = yield from self._take(int(size, 16))
            if (yield from self._take(2)) != b"\r\n":
                raise ValueError("a chunk is longer than its size")
            yield piece
        while (yield from self._until(b"\r\n")):
            pass  # trailers

    def _counted(self, length):
        while length:
            while not self.input:
                if self.ended:
                    raise Cut
                yield
            piece = yield from self._take(min(length, len(self.input)))
            length -= len(piece)
            yield piece

    def _rest(self):
        while True:
            while not self.input:
                if self.ended:
                    return
                yield
            yield (yield from self._take(len(self.input)))

    def _frame(self):
        first, second = yield from self._take(2)
        if second & 0x80:
            raise ValueError("a masked frame from the server")
        length = second
        if length == 126:
            length = int.from_bytes((yield from self._take(2)), "big")
        elif length == 127:
            length = int.from_bytes((yield from self._take(8)), "big")
        payload = yield from self._take(length)
        self._events.append(Frame(first & 0x0F, payload, bool(first & 0x80), first >> 4 & 7))

    def _hixie_frame(self):
        first = yield from self._take(1)
        if first == b"\0":
            text = yield from self._until(b"\xff")
            self._events.append(Frame(1, text))
        elif first == b"\xff":
            length = yield from self._take(1)
            if length != b"\0":
                raise ValueError(f"a closing frame with {brief(length)}")
            self._events.append(Frame(8, b""))
        else:
            raise ValueError(f"a frame begins with {first.hex()}")


def requests_in(data):
    """The requests in `data`, which is what a client sent at once; none if it does not begin with one."""
    requests = []
    while match := re.match(rb"([A-Z]+) (\S+) (HTTP/1\.[01])\r\n((?:[^\r\n]+\r\n)*)\r\n", data):
        lines = match[4].decode("latin-1").splitlines()
        headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        requests.append(Request(match[1].decode(), match[2].decode("latin-1"), match[3].decode(), headers))
        rest = data[match.end():]
        fields = dict(headers)
        if fields.get("transfer-encoding", "").lower() == "chunked":
            end = rest.find(b"0\r\n\r\n")
            data = rest[end + 5:] if end >= 0 else b""
        else:
            length = fields.get("content-length", "")
            data = rest[int(length) if length.isdigit() else 0:]
    return requests


# ------------------------------------------------------------------ connections
class Conn:
    """A TCP connection to the server under test."""

    def __init__(self, address, streams=lambda answer: False):
        self.socket = socket.create_connection(address, timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = Parser(streams)
        self.last = None  # the request sent last
        self.left = False  # whether a closing frame was sent

    def send(self, data):
        if not self.parser.upgraded:
            requests = requests_in(data)
            self.parser.asked(requests)
            self.last = requests[-1] if requests else self.last
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Mismatch(f"the server had closed the connection before it was sent {brief(data)}") from error
        self.left |= data[:1] == (b"\xff" if self.parser.upgraded == "hixie" else b"\x88") and bool(self.parser.upgraded)

    def answer_close(self, events):
        """Answers a closing frame among `events` as every client does, unless the client sent one first."""
        if any(isinstance(one, Frame) and one.opcode == 8 for one in events):
            if not self.left and not self.parser.ended:
                self.send(b"\xff\0" if self.parser.upgraded == "hixie" else b"\x88\x80\0\0\0\0")

    def read(self, enough, eof=False, late=LATE, quiet=QUIET):
        """Events that come until `enough(events)` holds and then no more come for `quiet` seconds.

        With `eof`: until the server has closed. Comes back early, too, when nothing more can come, or nothing has
        come for `late` seconds: who calls must look again whether it is enough.
        """
        events = []
        while True:
            good = enough(events)
            if self.parser.ended or (not eof and self.parser.settled and (good or events)):
                return events
            more = self.more(quiet if good and not eof else late)
            if more is None:
                return events
            events += more

    def silence(self, seconds):
        """Events that come within `seconds`; there should be none."""
        events = []
        until = time.monotonic() + seconds
        while not self.parser.ended and (left := until - time.monotonic()) > 0:
            events += self.more(left) or []
        return events

    def more(self, seconds):
        """Events of the next bytes, or of the end. None: nothing came."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        return self.parser.feed(data) if data else self.parser.end()

    def close(self):
        self.socket.close()


# ------------------------------------------------------------------ comparing
def joined(events):
    """The same with neighbouring `Bytes` made one."""
    out = []
    for event in events:
        if isinstance(event, Bytes) and out and isinstance(out[-1], Bytes):
            out[-1] = Bytes(out[-1].data + event.data)
        else:
            out.append(event)
    return out


def headers_differ(recorded, came, free=FREE_HEADERS, lists=(), unasked=lambda name: False):
    """None, or what is wrong with the headers of `came`.

    Names are compared without regard to case, values without regard to blanks. Every recorded header but the free ones
    must have come. Of those in `lists` the members must be among those that came. Others may have come too, except
    those for which `unasked(name)` holds.
    """
    def table(answer):
        names = {}
        for name, value in answer.headers:
            names.setdefault(name, []).append(re.sub(r"\s", "", value))
        return names

    wanted, got = table(recorded), table(came)
    for name, values in wanted.items():
        if name in free:
            continue
        if name not in got:
            return f"no header {name}: {brief(','.join(values))}"
        if name in lists:
            if not set(",".join(values).split(",")) <= set(",".join(got[name]).split(",")):
                return f"{name}: {brief(','.join(got[name]))} instead of {brief(','.join(values))}"
        elif sorted(values) != sorted(got[name]):
            return f"{name}: {brief('; '.join(got[name]))} instead of {brief('; '.join(values))}"
    for name in got:
        if name not in wanted and name not in free and unasked(name):
            return f"a header that was not recorded, {name}: {brief(','.join(got[name]))}"
    return None


def brief(data, most=70):
    """`data` as one short line."""
    if isinstance(data, (bytes, bytearray)):
        data = bytes(data).decode("utf-8", "backslashreplace")
    data = re.sub(r"(.)\1{15,}", lambda match: f"{match[1]}(x{len(match[0])})", data, flags=re.S)
    if len(data) > most:
        data = f"{data[:most - 15]}...{data[-12:]}"
    return json.dumps(data, ensure_ascii=False)


def policy(data):
    """The meaning of a policy of Flash, without the NUL behind it; None: it has not come as a whole."""
    def meaning(element):
        return element.tag, sorted(element.attrib.items()), [meaning(one) for one in element]

    try:
        return meaning(xml.etree.ElementTree.fromstring(data.rstrip(b"\0\r\n ").decode()))
    except xml.etree.ElementTree.ParseError:
        return None


def described(event):
    """An event as a few words."""
    match event:
        case None:
            return "nothing"
        case Answer():
            return f"status {event.status}" + (f" with {brief(event.body)}" if event.body else "")
        case Chunk():
            return f"chunk {brief(event.data)}"
        case Bytes():
            return brief(event.data)
        case End():
            return "the end of the body"
        case Digest():
            return f"digest {event.data.hex()}"
        case Fault():
            return event.why
        case Frame():
            kind, payload = OPCODES.get(event.opcode, event.opcode), event.payload
            if event.opcode == 8 and len(payload) >= 2:
                kind, payload = f"close {int.from_bytes(payload[:2], 'big')}", payload[2:]
            odd = ("" if event.fin else " without fin") + (f" rsv {event.rsv}" if event.rsv else "")
            return f"frame {kind} {brief(payload)}{odd}"
    return str(event)


# ------------------------------------------------------------------ running
class Skipped(Exception):
    """The scenario says nothing about this server; the text says why."""


@dataclass
class Options:
    address: tuple
    data: Path
    names: list = field(default_factory=list)
    flash_policy: tuple | None = None  # where the policy of Flash is


def options(usage, data):
    """The command line: ADDRESS [--data FOLDER] [--flash-policy ADDRESS] [SCENARIO...]."""
    arguments = sys.argv[1:]

    def taken(name):
        if name not in arguments[:-1]:
            return None
        at = arguments.index(name)
        value = arguments[at + 1]
        del arguments[at:at + 2]
        return value

    def address(text):
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit():
            sys.exit(usage)
        return host, int(port)

    data = Path(taken("--data") or data)
    policy = taken("--flash-policy")
    policy = address(policy) if policy else None
    return Options(address(arguments[0] if arguments else ""), data, arguments[1:], policy)


def run(names, one, skipped=None):
    """Runs `one(name)` for all names at once, prints a line for each, and answers how many failed.

    `skipped` is a dict from those that are left out to the reason.
    """
    skipped = skipped or {}

    def safely(name):
        if name in skipped:
            return "skip", skipped[name]
        try:
            one(name)
            return "ok", ""
        except Skipped as why:
            return "skip", str(why)
        except Mismatch as why:
            return "not ok", str(why)
        except Exception as error:  # whatever it is, the others must run
            return "not ok", f"{type(error).__name__}: {error}"

    count = {"ok": 0, "not ok": 0, "skip": 0}
    with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        for name, (verdict, why) in zip(names, pool.map(safely, names)):
            count[verdict] += 1
            print(f"{verdict} {name}{': ' if why else ''}{' '.join(why.split())}", flush=True)
    print(f"{count['ok']} passed, {count['not ok']} failed, {count['skip']} skipped")
    return count["not ok"]
