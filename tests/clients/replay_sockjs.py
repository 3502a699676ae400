"""The recorded dialogues of SockJS, replayed against a server.

    python3 replay_sockjs.py ADDRESS [--data FOLDER] [SCENARIO...]        (HOST:PORT)

All of tests/data/sockjs, or the scenarios named. `_schema.json` there says what the server must offer and what is
compared. Session ids get a suffix that differs from run to run, so that one server may be
asked any number of times.
"""
import base64
import json
import re
import secrets
import sys
import time
from pathlib import Path

from replay import (LATE, QUIET, Answer, Bytes, Chunk, Conn, Fault, Frame, Mismatch, Parser, Skipped, brief, described,
                    headers_differ, joined, options, requests_in, run)

# Steps where another answer is as good: a status, or a function from the recorded bytes to other ones.
ALSO = {
    # HEAD may be answered like GET.
    ("greeting", 7): 200,
    # An id may be too long.
    ("quirks", 11): 404,
    # A session that is closing may refuse messages.
    ("xhr_close", 7): 404,
    # Nothing that could be markup goes into a script as it is.
    ("jsonp", 20): lambda data: data.replace(b"</script>", rb"\u003c/script>").replace(b"24\r\n", b"29\r\n"),
    # A message is taken whatever its content type (step 13).
    ("xhr_send_errors", 33): lambda data: data.replace(b'a["a"', b'a["x","a"').replace(b"\r\n31\r\n", b"\r\n35\r\n"),
    # Half a surrogate pair is no character; in its place stands U+FFFD.
    ("xhr_unicode", 9): lambda data: data.replace(rb"\ud800 lone \udc00", rb"\ufffd lone \ufffd"),
}

# Scenarios of an endpoint that a server may leave out: they are skipped if the first answer is 404.
MAY_BE_MISSING = {"chunking_test"}

STREAMS = {"xhr_streaming", "eventsource", "htmlfile", "chunking_test"}
TRANSPORTS = "websocket|xhr|xhr_send|xhr_streaming|eventsource|htmlfile|jsonp|jsonp_send"
HEARTBEATS = (b"h\n", b"data: h\r\n\r\n", b'<script>\np("h");\n</script>\r\n')
STEP_KEYS = set("conn send expect response frames eof expect_nothing_ms wait_ms close optional note".split())
# What recordings say varies from run to run, all of it dealt with below.
VARIES = {"number of heartbeat frames", "timing", "^Expires: .*$", "script src", '"entropy":[0-9]+'}


def streams(answer):
    """Is this an answer in which every frame has a chunk of its own?"""
    return answer.status == 200 and answer.request is not None and answer.request.path.split("/")[-1] in STREAMS


def bytes_of(part):
    return part["text"].encode() if "text" in part else base64.b64decode(part["base64"])


# ------------------------------------------------------------------ comparing
class Comparer:
    def __init__(self, scenario):
        for one in scenario["vary"]:
            if one["match"] not in VARIES and not one["match"].startswith("If-None-Match: "):
                raise ValueError(f"nothing is known of the variable {one['match']}")
        self.free_heartbeats = "fast_echo" in scenario["endpoint"]

    def differ(self, recorded, came):
        """None, or the first difference between two lists of events."""
        recorded, came = joined(recorded), joined(came)
        if self.free_heartbeats:
            beats = [one for one in recorded if heartbeat(one)]
            if beats and not any(heartbeat(one) for one in came):
                return f"no heartbeat, {described(beats[0])}"
            recorded = [one for one in recorded if not heartbeat(one)]
            came = [one for one in came if not heartbeat(one)]
        recorded, came = arrays_merged(recorded), arrays_merged(came)
        for at in range(max(len(recorded), len(came))):
            one = recorded[at] if at < len(recorded) else None
            other = came[at] if at < len(came) else None
            if why := differs(one, other):
                return why
        return None


def heartbeat(event):
    match event:
        case Chunk() | Bytes():
            return event.data in HEARTBEATS
        case Frame():
            return event.opcode == 1 and event.payload == b"h"
    return False


def arrays_merged(events):
    """WebSocket frames with messages that follow each other, as one: how many messages go into a frame is free."""
    out = []
    for event in events:
        if mergeable(event) and out and mergeable(out[-1]):
            out[-1] = Frame(1, out[-1].payload[:-1] + b"," + event.payload[2:])
        else:
            out.append(event)
    return out


def mergeable(event):
    return event.opcode == 1 and re.fullmatch(rb"a\[.*\]", event.payload, re.S) if isinstance(event, Frame) else False


def differs(recorded, came):
    """None, or how these two events differ."""
    if not isinstance(recorded, Answer) or not isinstance(came, Answer):
        return None if recorded == came else f"{described(came)} instead of {described(recorded)}"
    if recorded.status != came.status:
        return f"{described(came)} instead of {described(recorded)}"
    status = recorded.status
    wanted = Answer(status, [one for one in recorded.headers if needed(one, recorded)], recorded.framing, None)

    def unasked(name):
        if recorded.header(name) is not None:
            return False
        if name == "content-type":
            return status not in (400, 500)  # the reference server's errors have none
        return name.startswith("access-control-") or name in (
            "set-cookie", "cache-control", "last-modified", "allow", "location", "content-encoding")

    if why := headers_differ(wanted, came, lists=("allow", "access-control-allow-methods"), unasked=unasked):
        return why
    if status in (400, 404):
        return None  # free text
    if recorded.body is None or came.body is None:  # the head of a stream
        return None if recorded.framing == came.framing else f"framing {came.framing} instead of {recorded.framing}"
    one, other = plain(recorded.body), plain(came.body)
    return None if one == other else f"body {brief(other)} instead of {brief(one)}"


def needed(header, answer):
    name, value = header
    if name == "cache-control" and answer.status >= 400 and "public" in value:
        return False  # nobody has to let an error be kept
    return not (name == "content-type" and answer.status == 400)


def plain(body):
    """A body without what is different in every run."""
    if match := re.search(rb'"entropy":(\d+)', body):
        if int(match[1]) < 1 << 32:
            body = body.replace(match[0], b'"entropy":N')
    return re.sub(rb'<script src="(?:/|http)[^"<>]*">', b'<script src="URL">', body)


# ------------------------------------------------------------------ replaying
class Silence(Mismatch):
    """The server did not answer."""


class Replay:
    def __init__(self, scenario, address):
        self.name = scenario["name"]
        self.steps = scenario["steps"]
        self.address = address
        self.comparer = Comparer(scenario)
        self.conns = {}
        self.recorded = {}  # what was recorded on each connection, as a parser sees it
        self.etags = {}  # recorded -> as this server has it
        self.ids = fresh_ids(self.steps)
        self.wrong = []

    def all(self):
        try:
            for number, step in enumerate(self.steps):
                if unknown := step.keys() - STEP_KEYS:
                    raise ValueError(f"step {number} has {unknown}")
                try:
                    self.one(number, step)
                except Mismatch as why:
                    conn = self.conns.get(step.get("conn"))
                    what = f" ({step['conn']}, {conn.last})" if conn and conn.last else ""
                    self.wrong.append(f"step {number}{what}: {why}")
                    if conn is None or not step["conn"].startswith("r") or isinstance(why, Silence):
                        break  # what follows depends on it, or would take long
        finally:
            for conn in self.conns.values():
                conn.close()
        if self.wrong:
            more = f"; and {len(self.wrong) - 3} more" if len(self.wrong) > 3 else ""
            raise Mismatch("; ".join(self.wrong[:3]) + more)

    def one(self, number, step):
        if "wait_ms" in step:
            time.sleep(step["wait_ms"] / 1000)
        if "send" in step:
            self.send(step["conn"], bytes_of(step["send"]))
        if "expect" in step:
            self.expect(number, step)
        if "expect_nothing_ms" in step:
            if came := self.conns[step["conn"]].silence(step["expect_nothing_ms"] / 1000):
                raise Mismatch(f"{described(came[0])} instead of silence")
        if step.get("close"):
            self.conns[step["conn"]].close()
            time.sleep(0.05)  # until the server has seen it

    def send(self, name, data):
        for old, new in {**self.ids, **self.etags}.items():
            data = data.replace(old, new)
        if name not in self.conns:
            self.conns[name] = Conn(self.address, streams)
            self.recorded[name] = Parser(streams)
        conn = self.conns[name]
        if not self.recorded[name].upgraded:
            self.recorded[name].asked(requests_in(data))
        conn.send(data)

    def expect(self, number, step):
        name = step["conn"]
        conn, parser = self.conns[name], self.recorded[name]
        data = bytes_of(step["expect"])
        for old, new in self.ids.items():
            data = data.replace(old, new)
        eof = step.get("eof", False)
        also = ALSO.get((self.name, number))
        others = []
        if callable(also):
            twin = Parser(streams)
            twin.asked(parser.requests)
            others = twin.feed(also(data))
        wanted = parser.feed(data) + (parser.end() if eof else [])
        if faults := [one for one in wanted if isinstance(one, Fault)]:
            raise ValueError(f"step {number} of the recording: {faults[0].why}")
        if parser.input or (data and not wanted):
            raise ValueError(f"step {number} of the recording ends within something")

        def good(came):
            if self.comparer.differ(wanted, came) is None or (others and self.comparer.differ(others, came) is None):
                return True
            return isinstance(also, int) and len(came) == 1 and isinstance(came[0], Answer) and came[0].status == also

        if step.get("optional"):
            conn.read(bool, eof, late=0.5)
        elif not wanted and not eof:
            if came := conn.silence(QUIET):
                raise Mismatch(f"{described(came[0])} instead of silence")
        else:
            came = conn.read(good, eof and conn.parser.upgraded != "hixie")
            if eof and not conn.parser.ended and good(came):
                conn.answer_close(came)
                came += conn.read(good, eof)
            if not good(came):
                if not came and not conn.parser.ended and not conn.parser.input:
                    what = described(wanted[0]) if wanted else "the end"
                    raise Silence(f"nothing came within {LATE:.0f} s, instead of {what}")
                if self.name in MAY_BE_MISSING and number == 1 and getattr(came[0], "status", 0) == 404:
                    raise Skipped("the server does not offer it")
                why = self.comparer.differ(wanted, came)
                if conn.parser.input:
                    why += f"; and the beginning of something, {brief(bytes(conn.parser.input))}"
                raise Mismatch(why)
            self.check_end(conn, came, eof)
            self.learn_etags(wanted, came)
        if re.fullmatch(r"r\d+", name):
            conn.close()

    def check_end(self, conn, came, eof):
        """Did the server close where it should, and only there?"""
        last = next((one for one in reversed(came) if isinstance(one, Answer)), None)
        if eof and not conn.parser.ended:
            # An older client may have its connection kept, if it asks for that and is told so.
            keeps = ("connection", "keep-alive") in [(name.lower(), value.lower()) for name, value in conn.last.headers]
            kept = last is not None and (last.header("connection") or "").lower() == "keep-alive"
            if conn.last.version == "HTTP/1.0" and keeps and kept:
                return
            raise Mismatch("the server did not close the connection")
        if not eof and conn.parser.ended and last and last.framing != "upgraded":
            if "close" not in (last.header("connection") or "").lower():
                raise Mismatch("the server closed the connection")

    def learn_etags(self, wanted, came):
        for one, other in zip(wanted, came):
            if isinstance(one, Answer) and isinstance(other, Answer) and one.header("etag") and other.header("etag"):
                self.etags[one.header("etag").encode()] = other.header("etag").encode()


def fresh_ids(steps):
    """Parts of paths with session ids, and the same with ids of our own."""
    suffix = f"-{secrets.token_hex(4)}"
    ids = {}
    for step in steps:
        for request in requests_in(bytes_of(step["send"])) if "send" in step else []:
            if match := re.fullmatch(rf"/[^/]+(/[^/.]+/)([^/.]+)(/(?:{TRANSPORTS})/?)", request.path):
                ids["".join(match.groups()).encode()] = f"{match[1]}{match[2]}{suffix}{match[3]}".encode()
    return ids


def main():
    asked = options(__doc__, Path(__file__).resolve().parents[1] / "data" / "sockjs")
    there = sorted(path.stem for path in asked.data.glob("[!_]*.json"))
    if missing := set(asked.names) - set(there):
        sys.exit(f"there is no scenario {', '.join(sorted(missing))} in {asked.data}")

    def one(name):
        scenario = json.loads((asked.data / f"{name}.json").read_text(encoding="utf-8"))
        Replay(scenario, asked.address).all()

    return 1 if run(asked.names or there, one) or not there else 0


if __name__ == "__main__":
    sys.exit(main())
