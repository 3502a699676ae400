"""Raw sockets against the testbed: WebSockets of hixie-76 and hixie-75, xhr-multipart, the policy of Flash.

    python3 old_drafts.py TESTBED [FLASH-POLICY] [CHECK...]        (the first two HOST:PORT)

The policy is asked for at the testbed's own port, and at one that has nothing else to say if that is given.
"""
import hashlib
import random
import re
import secrets
import select
import socket
import struct
import sys
import time

from replay import Mismatch, Skipped, brief, policy, run

CHECKS = {}
TESTBED = POLICY = None
LATE = 10.0  # what has not come by then will not come
QUIET = 0.15  # and what has not come by then will not come either, where nothing should

MOUNT = "/tornadio/socket.io"
MOUNT_75 = "/node06/socket.io"
ORIGIN = "http://example.com"
HOST = "example.com:8080"

# Of the draft, and two more: both keys, the nonce, and the digest.
EXAMPLES = [
    ("4 @1  46546xW%0l 1 5", "12998 5 Y3 1  .P00", b"^n:ds[4U", b"8jKS'y:G*Co,Wxa-"),
    ("18x 6]8vM;54 *(5:  {   U1]8  z [  8", "1_ tx7X d  <  nw  334J702) 7]o}` 0", b"Tm[K T2u", b"fQJ,fN/4F4!~K~MH"),
    ("3703 :70 ~d367 )", "4 +93 K8@2  7 0", b"ABCDEFGH", bytes.fromhex("fb7cbfff88fda5447ba837bc90c31032")),
]
KEY1, KEY2, NONCE, DIGEST = EXAMPLES[0]


def check(name):
    def register(function):
        CHECKS[name] = function
        return function
    return register


def same(came, wanted, what="came"):
    def shown(value):
        return brief(value) if isinstance(value, (bytes, str)) else str(value)

    if came != wanted:
        raise Mismatch(f"{what}: {shown(came)} instead of {shown(wanted)}")


# ------------------------------------------------------------------ a connection
class Raw:
    def __init__(self, address=None):
        self.socket = socket.create_connection(address or TESTBED, timeout=LATE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def slowly(self, data):
        """Each byte in a segment of its own, as far as that can be had."""
        for at in range(len(data)):
            self.send(data[at:at + 1])
            time.sleep(0.001)
        return self

    def _more(self, what):
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            raise Mismatch(f"no {what} within {LATE:.0f} s, only {brief(self.input)}") from None
        except ConnectionError:
            data = b""
        self.input += data
        return data

    def take(self, count):
        while len(self.input) < count:
            if not self._more(f"{count} bytes"):
                raise Mismatch(f"the end after {brief(self.input)}, where {count} bytes should be")
        data, self.input = self.input[:count], self.input[count:]
        return data

    def until(self, end):
        while end not in self.input:
            if not self._more(repr(end)):
                raise Mismatch(f"the end after {brief(self.input)}, before {end!r}")
        data, _, self.input = self.input.partition(end)
        return data

    def head(self):
        """The lines of an answer's head."""
        return self.until(b"\r\n\r\n").decode().split("\r\n")

    def status(self):
        return int(self.head()[0].split()[1])

    def rest(self):
        """All until the end."""
        while self._more("end"):
            pass
        data, self.input = self.input, b""
        return data

    def ends(self):
        same(self.rest(), b"", "before the end")

    def silent(self, seconds=QUIET):
        if self.input or select.select([self.socket], [], [], seconds)[0]:
            data = self.input or self.socket.recv(1 << 16)
            raise Mismatch(f"{brief(data) if data else 'the end'} instead of silence")
        return self

    # ---- the old drafts
    def hear(self, text=None):
        """A text, in its frame; heartbeats may come before it."""
        came = "2::"
        while re.fullmatch(r"2::|~m~\d+~m~~h~\d+", came):
            same(self.take(1), b"\0", "a frame's first byte")
            came = self.until(b"\xff").decode()
        if text is not None:
            same(came, text, "a text")
        return came

    def say(self, text):
        return self.send(frame(text))


def frame(text):
    return b"\0" + text.encode() + b"\xff"


def message(text):
    """As Socket.IO 0.6 has it."""
    return f"~m~{len(text.encode('utf-16-le')) // 2}~m~{text}"


def upgrade(path, key1=KEY1, key2=KEY2, *, origin=ORIGIN, method="GET", version="HTTP/1.1", more=()):
    """The head of a request of hixie-76, or hixie-75 without keys."""
    lines = [f"{method} {path} {version}", "Upgrade: WebSocket", "Connection: Upgrade", f"Host: {HOST}"]
    lines += [f"Origin: {origin}"] if origin else []
    lines += [f"Sec-WebSocket-Key1: {key1}"] if key1 is not None else []
    lines += [f"Sec-WebSocket-Key2: {key2}"] if key2 is not None else []
    return "\r\n".join([*lines, *more, "", ""]).encode()


def sockjs():
    return f"/echo/000/{secrets.token_hex(8)}/websocket"


def greeted(raw):
    """What a session of Socket.IO 0.6 begins with; its id."""
    came = raw.hear()
    match = re.fullmatch(r"~m~(\d+)~m~([0-9A-Za-z]{20,})(~m~8~m~Welcome!)?", came)
    if not match or int(match[1]) != len(match[2]):
        raise Mismatch(f"a session begins with {brief(came)}")
    if not match[3]:
        raw.hear("~m~8~m~Welcome!")
    return match[2]


def opened(path=f"{MOUNT}/websocket"):
    raw = Raw().send(upgrade(path) + NONCE)
    same(raw.head()[0], "HTTP/1.1 101 WebSocket Protocol Handshake")
    same(raw.take(16), DIGEST)
    greeted(raw)
    return raw


def alive():
    """The server still serves."""
    with opened() as raw:
        raw.say(message("alive")).hear(message("alive"))


# ------------------------------------------------------------------ hixie-76, the handshake
@check("hixie-76: examples, in several places")
def examples():
    for key1, key2, nonce, wanted in EXAMPLES:
        for path in (f"{MOUNT}/websocket", f"{MOUNT}/flashsocket", f"{MOUNT}/websocket/", sockjs()):
            with Raw() as raw:
                raw.send(upgrade(path, key1, key2) + nonce)
                same(sorted(raw.head()), sorted([
                    "HTTP/1.1 101 WebSocket Protocol Handshake", "Upgrade: WebSocket", "Connection: Upgrade",
                    f"Sec-WebSocket-Origin: {ORIGIN}", f"Sec-WebSocket-Location: ws://{HOST}{path}"]), path)
                same(raw.take(16), wanted, path)
                raw.hear("o") if path.startswith("/echo") else greeted(raw)


@check("hixie-76: the head comes before the nonce, and nothing else")
def head_first():
    for path in (f"{MOUNT}/websocket", sockjs()):
        with Raw() as raw:
            raw.send(upgrade(path))
            raw.head()
            raw.silent()
            for at in range(7):
                raw.send(NONCE[at:at + 1]).silent(0.03)
            raw.send(NONCE[7:])
            same(raw.take(16), DIGEST)


@check("hixie-76: all of it byte by byte")
def byte_by_byte():
    for path in (f"{MOUNT}/websocket", sockjs()):
        with Raw() as raw:
            raw.slowly(upgrade(path) + NONCE)
            raw.head()
            same(raw.take(16), DIGEST)
            if path.startswith("/echo"):
                raw.hear("o")
                raw.slowly(frame('["\u00e9"]')).hear('a["\u00e9"]')
            else:
                greeted(raw)
                raw.slowly(frame(message("\u00e9\U0001f600"))).hear(message("\u00e9\U0001f600"))
            raw.slowly(b"\xff\0")
            same(raw.take(2), b"\xff\0")
            raw.ends()


@check("hixie-76: frames directly behind the nonce")
def frames_behind():
    data = upgrade(f"{MOUNT}/websocket") + NONCE + frame(message("one")) + frame(message("two"))
    head = data.index(b"\r\n\r\n") + 4
    for cut in (0, head - 1, head, head + 1, head + 7, head + 8, head + 9, head + 12, len(data) - 1):
        with Raw() as raw:
            raw.send(data[:cut])
            time.sleep(0.03 if cut else 0)
            raw.send(data[cut:])
            raw.head()
            same(raw.take(16), DIGEST, f"cut after {cut}")
            greeted(raw)
            raw.hear(message("one"))
            raw.hear(message("two"))


@check("hixie-76: keys by chance")
def random_keys():
    seed = int(time.time())
    chance = random.Random(seed)

    def key():
        blanks = chance.randint(1, 12)
        number = chance.randint(0, (2**32 - 1) // blanks)
        letters = list(str(number * blanks))
        for _ in range(chance.randint(1, 12)):
            letter = chr(chance.choice([*range(0x21, 0x30), *range(0x3A, 0x7F)]))
            letters.insert(chance.randint(0, len(letters)), letter)
        for _ in range(blanks):
            letters.insert(chance.randint(1, len(letters) - 1), " ")
        return number, "".join(letters)

    for _ in range(100):
        (one, key1), (two, key2) = key(), key()
        nonce = bytes(chance.choice([0, 10, 13, 255, chance.randint(0, 255)]) for _ in range(8))
        with Raw() as raw:
            raw.send(upgrade(f"{MOUNT}/websocket", key1, key2) + nonce)
            raw.head()
            wanted = hashlib.md5(struct.pack(">II", one, two) + nonce).digest()
            same(raw.take(16), wanted, f"{key1!r}, {key2!r}, {nonce!r}, seed {seed}")


@check("hixie-76: what is asked for comes back in the head")
def asked_for():
    path = f"{MOUNT}/websocket?a=b&c"
    with Raw() as raw:
        raw.send(upgrade(path, origin="null", more=["Sec-WebSocket-Protocol: sample"]) + NONCE)
        lines = raw.head()
        for line in ("Sec-WebSocket-Origin: null", f"Sec-WebSocket-Location: ws://{HOST}{path}",
                     "Sec-WebSocket-Protocol: sample"):
            if line not in lines:
                raise Mismatch(f"no {line} in {lines}")
        same(raw.take(16), DIGEST)


@check("hixie-76: what is refused")
def refused():
    path = f"{MOUNT}/websocket"
    for name, head, status in [
        ("key without blanks", upgrade(path, "18xnoblanks"), 400),
        ("key without digits", upgrade(path, KEY1, "no digits"), 400),
        ("key that leaves a remainder", upgrade(path, "1 2 3"), 400),
        ("key with too large a number", upgrade(path, KEY1, "4294967296 "), 400),
        ("key with too many digits", upgrade(path, KEY1, "1 1111111111111111111111111"), 400),
        ("first key twice", upgrade(path, more=[f"Sec-WebSocket-Key1: {KEY1}"]), 400),
        ("first key alone", upgrade(path, KEY1, None), 400),
        ("second key alone", upgrade(path, None, KEY2), 400),
        ("no origin", upgrade(path, origin=None), 400),
        ("a body", upgrade(path, more=["Content-Length: 8"]), 400),
        ("HTTP/1.0", upgrade(path, version="HTTP/1.0"), 400),
    ]:
        with Raw() as raw:
            raw.send(head + NONCE)
            same(raw.status(), status, name)
            raw.rest()
    alive()


@check("hixie-76: the client leaves before the nonce")
def leaves_early():
    head = upgrade(f"{MOUNT}/websocket")
    for part in (head, head + NONCE[:1], head + NONCE[:7], head + NONCE):
        with Raw() as raw:
            raw.send(part)
            raw.head()
        with Raw() as raw:
            raw.send(part)
            raw.socket.shutdown(socket.SHUT_WR)
            raw.rest()
    alive()


# ------------------------------------------------------------------ hixie-76, frames
@check("hixie-76: frames in pieces, together, and empty")
def pieces():
    data = frame(message("\u00e9")) + frame("") + frame(message("\U0001f600") + message("two"))
    for cut in range(1, len(data)):
        with opened() as raw:
            raw.send(data[:cut])
            time.sleep(0.01)
            raw.send(data[cut:])
            came = raw.hear(message("\u00e9")) and raw.hear()
            if came != message("\U0001f600") + message("two"):
                same(came, message("\U0001f600"), f"cut after {cut}")
                raw.hear(message("two"))


@check("hixie-76: a long message")
def long_message():
    text = "0123456789abcde\u00e9" * (1 << 15)
    with opened() as raw:
        raw.say(message(text)).hear(message(text))


@check("hixie-76: a message that is too long")
def too_long():
    with opened() as raw:
        try:
            raw.send(b"\0" + b"x" * (3 << 20))
        except ConnectionError:
            pass
        raw.ends()
    alive()


@check("hixie-76: many messages")
def many_messages():
    with opened() as raw:
        raw.send(b"".join(frame(message(str(at))) for at in range(2000)))
        came = ""
        wanted = "".join(message(str(at)) for at in range(2000))
        while len(came) < len(wanted):
            came += raw.hear()
        same(came, wanted)


@check("hixie-76: the closing handshake, from either side")
def closing():
    with opened() as raw:
        raw.send(frame(message("last")) + b"\xff\0")
        raw.hear(message("last"))
        same(raw.take(2), b"\xff\0")
        raw.ends()
    with opened() as raw:
        raw.say(message("bye"))
        same(raw.take(2), b"\xff\0")
        raw.silent()  # it waits for ours
        raw.send(b"\xff\0").ends()
    with opened() as raw:
        raw.say(message("bye"))
        same(raw.take(2), b"\xff\0")
        raw.send(frame(message("too late")) + b"\xff\0").ends()


@check("hixie-76: what is no frame ends the connection")
def no_frames():
    for name, data in [
        ("another type", b"X"),
        ("a type of the draft that no client sends", b"\x01text\xff"),
        ("a length", b"\x80\x05hello"),
        ("a closing frame with a length", b"\xff\x05hello"),
        ("not UTF-8", b"\0\xc3(\xff"),
        ("a cut character", b"\0\xe4\xb8\xff"),
        ("half of a surrogate pair", b"\0\xed\xa0\x80\xff"),
    ]:
        with opened() as raw:
            raw.send(frame(message("before")) + data)
            raw.hear(message("before"))
            if (came := raw.rest()) not in (b"", b"\xff\0"):
                raise Mismatch(f"{name}: {brief(came)} before the end")
    alive()


@check("hixie-76: under Socket.IO 0.9 and SockJS")
def others():
    with Raw() as raw:
        raw.send(b"GET /socket.io/1/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        length = re.search(r"(?i)content-length: (\d+)", "\n".join(raw.head()))
        session = raw.take(int(length[1])).decode().split(":")[0]
    with Raw() as raw:
        raw.send(upgrade(f"/socket.io/1/websocket/{session}") + NONCE)
        raw.head()
        same(raw.take(16), DIGEST)
        raw.hear("1::")
        raw.say("3:::hello").hear("3:::hello")
        raw.send(b"\xff\0")
        same(raw.take(2), b"\xff\0")
        raw.ends()
    with Raw() as raw:
        raw.send(upgrade("/close/000/" + secrets.token_hex(8) + "/websocket") + NONCE)
        raw.head()
        same(raw.take(16), DIGEST)
        came = raw.hear()
        same(raw.hear() if came == "o" else came, 'c[3000,"Go away!"]')
        same(raw.take(2), b"\xff\0")
        raw.send(b"\xff\0").ends()


@check("hixie-76: data in the path")
def data_in_path():
    with opened("/chat/123/websocket") as raw:
        raw.say(message("what?")).hear(message('~j~{"room":"123","text":"/123"}'))
    for path in ("/chat/websocket", "/chat/abc/websocket", "/chat/123/4/websocket"):
        with Raw() as raw:
            raw.send(upgrade(path) + NONCE)
            same(raw.status(), 404, path)


# ------------------------------------------------------------------ hixie-75
@check("hixie-75: where it is on")
def hixie75():
    path = f"{MOUNT_75}/websocket"
    with Raw() as raw:
        raw.send(upgrade(path, None, None) + frame(message("at once")))
        same(sorted(raw.head()), sorted([
            "HTTP/1.1 101 Web Socket Protocol Handshake", "Upgrade: WebSocket", "Connection: Upgrade",
            f"WebSocket-Origin: {ORIGIN}", f"WebSocket-Location: ws://{HOST}{path}"]))
        greeted(raw)
        raw.hear(message("at once"))
        raw.slowly(frame(message("\u00e9\U0001f600"))).hear(message("\u00e9\U0001f600"))
        raw.say(message("bye")).ends()
    with Raw() as raw:
        raw.send(upgrade(path, None, None, more=["WebSocket-Protocol: sample"]))
        if "WebSocket-Protocol: sample" not in raw.head():
            raise Mismatch("the protocol does not come back")


@check("hixie-75: where it is off")
def hixie75_off():
    for path in (f"{MOUNT}/websocket", "/socket.io/websocket", sockjs(), "/ws"):
        with Raw() as raw:
            raw.send(upgrade(path, None, None))
            status = raw.status()
            if not 400 <= status < 500:
                raise Mismatch(f"{path}: status {status}")
            raw.rest()


@check("hixie-75: one key is not none")
def one_key():
    for keys in ((KEY1, None), (None, KEY2)):
        with Raw() as raw:
            raw.send(upgrade(f"{MOUNT_75}/websocket", *keys) + NONCE)
            same(raw.status(), 400)


# ------------------------------------------------------------------ xhr-multipart
def get(path, *more, version="HTTP/1.1"):
    return "\r\n".join([f"GET {path} {version}", "Host: localhost", *more, "", ""]).encode()


PART = b"Content-Type: text/plain; charset=UTF-8\n\n%s\n--socketio\n"


def chunk(raw):
    """The next one that is no heartbeat."""
    while True:
        data = raw.take(int(raw.until(b"\r\n"), 16))
        same(raw.take(2), b"\r\n")
        if not re.fullmatch(PART % rb"~m~\d+~m~~h~\d+", data):
            return data


def part(text):
    return PART % text.encode()


def stream(version="HTTP/1.1"):
    raw = Raw().send(get(f"{MOUNT}/xhr-multipart/", version=version))
    lines = raw.head()
    same(lines[0], "HTTP/1.1 200 OK")
    if 'Content-Type: multipart/x-mixed-replace;boundary="socketio"' not in lines:
        raise Mismatch(f"the head is {lines}")
    return raw, lines


def first_part(raw):
    """The first part of a stream, which the boundary comes before, in a chunk of its own or not."""
    came = chunk(raw)
    same(came[:11], b"--socketio\n", "what a stream begins with")
    return came[11:] or chunk(raw)


def session_of(part):
    match = re.fullmatch(PART % rb"~m~(\d+)~m~([0-9a-zA-Z]{20,})~m~8~m~Welcome!", part)
    if not match or int(match[1]) != len(match[2]):
        raise Mismatch(f"the first part is {brief(part)}")
    return match[2].decode()


def post(session, text):
    body = ("data=" + "".join(f"%{byte:02X}" for byte in text.encode())).encode()
    with Raw() as raw:
        raw.send(f"POST {MOUNT}/xhr-multipart/{session}/send HTTP/1.1\r\nHost: localhost\r\n"
                 f"Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
                 f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        status = raw.status()
        return status, raw.rest()


@check("xhr-multipart: every part is a chunk")
def multipart():
    raw, _ = stream()
    with raw:
        session = session_of(first_part(raw))
        for text in ("hello", "\u00e9\U0001f600", "two\nlines", "</script>", '~j~{"a":[1,2]}', "x" * 100_000):
            same(post(session, message(text)), (200, b"ok"))
            same(chunk(raw), part(message(text)), "a part")
        same(post(session, message("one") + message("two")), (200, b"ok"))
        same(chunk(raw), part(message("one") + message("two")), "a part")
        raw.silent()


@check("xhr-multipart: HTTP/1.0")
def multipart10():
    raw, lines = stream("HTTP/1.0")
    with raw:
        if any(line.lower().startswith("transfer-encoding") for line in lines):
            raise Mismatch(f"the head is {lines}")
        same(raw.take(11), b"--socketio\n")
        session = session_of(raw.until(b"--socketio\n") + b"--socketio\n")
        same(post(session, message("hello")), (200, b"ok"))
        same(raw.take(len(part(message("hello")))), part(message("hello")))
        same(post(session, message("bye")), (200, b"ok"))
        raw.ends()


@check("xhr-multipart: the server ends it")
def multipart_end():
    raw, _ = stream()
    with raw:
        session = session_of(first_part(raw))
        same(post(session, message("bye")), (200, b"ok"))
        same(chunk(raw), b"", "the last chunk")
        same(post(session, message("x")), (401, b""))


@check("xhr-multipart: a second stream takes over")
def multipart_second():
    first, _ = stream()
    with first, Raw() as second:
        session = session_of(first_part(first))
        second.send(get(f"{MOUNT}/xhr-multipart/{session}"))
        same(second.status(), 200)
        same(chunk(first), b"", "the last chunk")
        same(post(session, message("hello")), (200, b"ok"))
        same(first_part(second), part(message("hello")))


@check("xhr-multipart: what waited comes with the next stream")
def multipart_waits():
    first, _ = stream()
    with first:
        session = session_of(first_part(first))
    time.sleep(0.1)  # until the server has seen it
    same(post(session, message("hello")), (200, b"ok"))
    with Raw() as second:
        second.send(get(f"{MOUNT}/xhr-multipart/{session}"))
        same(second.status(), 200)
        same(first_part(second), part(message("hello")))


# ------------------------------------------------------------------ the policy of Flash
QUESTION = b"<policy-file-request/>"
ALL = ("cross-domain-policy", [], [("allow-access-from", [("domain", "*"), ("to-ports", "*")], [])])


def answered(raw):
    came = raw.rest()
    if not came.endswith(b"\0") or policy(came) != ALL:
        raise Mismatch(f"the policy is {brief(came)}")


def places():
    return [TESTBED] + [POLICY] * (POLICY is not None)


@check("policy: asked for, with the NUL, without it, with more")
def policy_asked():
    for address in places():
        for question in (QUESTION + b"\0", QUESTION, QUESTION + b"\0more", QUESTION + b"\r\n"):
            with Raw(address) as raw:
                raw.send(question)
                answered(raw)


@check("policy: byte by byte")
def policy_slowly():
    for address in places():
        with Raw(address) as raw:
            for at in range(len(QUESTION) - 1):
                raw.send(QUESTION[at:at + 1]).silent(0.005)
            raw.send(QUESTION[-1:])
            answered(raw)


@check("policy: many at once")
def policy_many():
    for address in places():
        raws = [Raw(address) for _ in range(20)]
        for at, raw in enumerate(raws):
            raw.send(QUESTION[:at])
        for at, raw in enumerate(raws):
            raw.send(QUESTION[at:])
        for raw in reversed(raws):
            with raw:
                answered(raw)


@check("policy: other beginnings at the port of HTTP")
def policy_http():
    for beginning in (b"<", b"<html>", b"<policy-file-request>\0", b"<Policy-File-Request/>\0"):
        with Raw() as raw:
            raw.send(beginning + b"\r\n\r\n")
            same(raw.status(), 400, repr(beginning))
            raw.rest()
    with Raw() as raw:
        raw.send(get("/hello", "Connection: close"))
        same(raw.status(), 200)
        same(raw.rest(), b"hello")


@check("policy: not in the midst of HTTP")
def policy_later():
    with Raw() as raw:
        raw.send(get("/hello"))
        same(raw.status(), 200)
        same(raw.take(5), b"hello")
        raw.send(QUESTION + b"\0\r\n\r\n")
        same(raw.status(), 400)
        raw.rest()


@check("policy: nothing else at its own port")
def policy_others():
    if POLICY is None:
        raise Skipped("it is not said where the policy of Flash is")
    for question in (get("/hello"), upgrade("/ws") + NONCE, b"hello", b"\0\r\n\r\n", b"<policy-file-request>\0"):
        with Raw(POLICY) as raw:
            raw.send(question)
            raw.ends()


def main():
    global TESTBED, POLICY
    arguments = sys.argv[1:]
    addresses = []
    while arguments and re.fullmatch(r"[^ ]+:\d+", arguments[0]) and len(addresses) < 2:
        host, _, port = arguments.pop(0).rpartition(":")
        addresses.append((host, int(port)))
    if not addresses or set(arguments) - CHECKS.keys():
        sys.exit(__doc__)
    TESTBED, POLICY = addresses[0], addresses[1] if len(addresses) > 1 else None
    return 1 if run(arguments or list(CHECKS), lambda name: CHECKS[name]()) else 0


if __name__ == "__main__":
    sys.exit(main())
