"""A small HTTP/1.1 server over raw asyncio, for the local API server.

Raw, because the tests need what a web framework hides: to close, cut, stall or
spoil a reply at a chosen byte, to know which connection a request came by, and
to wait without spending a thread.  Requests have a Content-Length body or none.

An application is one function, Request -> Response, that returns at once; the
server waits `response.delay_ms` before it sends.  `response.on_end` is called
once, when the reply is sent or its client has left.

The server's `gate`, when it has one, dates requests: those that it gives a
moment (`request.arrived`) wait for it before the application sees them, even if
their client leaves meanwhile.  The others of that moment do not wait.
"""

import asyncio
import json
import socket
import struct
import sys
import time
import urllib.parse
import zlib

MAX_HEAD = 64 * 1024
MAX_BODY = 16 * 1024 * 1024
GZIP_IN_THREAD = 256 * 1024

REASONS = {
    100: "Continue", 200: "OK", 201: "Created", 204: "No Content", 301: "Moved Permanently", 302: "Found",
    307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 409: "Conflict", 410: "Gone", 413: "Content Too Large",
    415: "Unsupported Media Type", 422: "Unprocessable Content", 429: "Too Many Requests",
    451: "Unavailable For Legal Reasons", 500: "Internal Server Error", 501: "Not Implemented",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}


def dumps(value):
    """JSON as the APIs write it: compact, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Request:
    """One request; `headers` has lower-case names, the last of a repeated one wins."""

    __slots__ = ("method", "target", "path", "raw_query", "headers", "body", "connection", "keep_alive", "address",
                 "arrived", "_query", "language")

    def __init__(self, method, target, headers, body, connection, keep_alive, address):
        self.method = method
        self.target = target
        raw_path, _, self.raw_query = target.partition("?")
        self.path = urllib.parse.unquote(raw_path)
        self.headers = headers
        self.body = body
        self.connection = connection
        self.keep_alive = keep_alive
        self.address = address
        self.arrived = None
        self._query = None

    @property
    def query(self):
        """Name to list of values, in order; empty values kept."""
        if self._query is None:
            self._query = urllib.parse.parse_qs(self.raw_query, keep_blank_values=True)
        return self._query

    def last(self, name, default=None):
        """The last value of a parameter that takes one."""
        values = self.query.get(name)
        return values[-1] if values else default

    def header(self, name, default=""):
        return self.headers.get(name, default)

    @property
    def host(self):
        return self.headers.get("host", "127.0.0.1")


class Response:
    """What to send.  `action` spoils it (see FAULT_ACTIONS in control.py)."""

    __slots__ = ("status", "headers", "body", "delay_ms", "gzip", "action", "action_bytes", "on_end")

    def __init__(self, status=200, body=b"", content_type=None, headers=None):
        self.status = status
        self.headers = list(headers or [])
        if content_type is not None:
            self.headers.insert(0, ("Content-Type", content_type))
        self.body = body
        self.delay_ms = 0
        self.gzip = False
        self.action = None
        self.action_bytes = 0
        self.on_end = []

    def has_header(self, name):
        return any(key.lower() == name for key, _ in self.headers)


def gzip_bytes(body, level=1):
    packer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


LAST_DATA_RECV = 52                # where struct tcp_info has tcpi_last_data_recv, in ms


class StampedSocket(socket.socket):
    """A socket that knows when the kernel received the bytes that were read last: this process may read them late."""

    SO_TIMESTAMPNS = 35            # Linux; SCM_TIMESTAMPNS is the same number

    stamp = None                   # wall clock, seconds; None where the kernel does not tell

    def accept(self):
        number, address = self._accept()
        return StampedSocket(self.family, self.type, self.proto, fileno=number), address

    def recv(self, size, flags=0):
        data, told, _, _ = self.recvmsg(size, 64, flags)
        self.stamp = None
        for level, kind, value in told:
            if level == socket.SOL_SOCKET and kind == self.SO_TIMESTAMPNS and len(value) >= 16:
                seconds, nanoseconds = struct.unpack("qq", value[:16])
                self.stamp = seconds + nanoseconds / 1e9
        return data

    def received_at(self):
        """The moment, by the monotonic clock.

        The stamp is of the wall clock, which may be set meanwhile: where it says another age than the kernel's own
        count (to a few ms), that one is right. All is read again when this process had to wait in between.
        """
        for _ in range(10):
            now = time.monotonic()
            age = time.time() - self.stamp if self.stamp is not None else None
            counted = struct.unpack_from("I", self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104),
                                         LAST_DATA_RECV)[0] / 1000
            if time.monotonic() - now < 0.001:
                break
        return now - (counted if age is None or abs(age - counted) > 0.012 else max(0, age))


class Connection(asyncio.Protocol):
    """One client connection: requests are answered one after the other."""

    def __init__(self, server):
        self.server = server
        self.number = 0
        self.transport = None
        self.address = None
        self.buffer = b""
        self.socket = None         # a StampedSocket, unless asyncio hides it
        self.read_at = 0.0         # when the first bytes of the buffer came
        self.busy = False
        self.response = None
        self.timer = None
        self.can_write = None
        self.task = None

    def connection_made(self, transport):
        self.transport = transport
        self.address = (transport.get_extra_info("peername") or ("",))[0]
        inner = getattr(transport.get_extra_info("socket"), "_sock", None)
        self.socket = inner if isinstance(inner, StampedSocket) else None
        self.server.connections.add(self)
        self.can_write = asyncio.Event()
        self.can_write.set()

    def connection_lost(self, exc):
        self.server.connections.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        if self.task is not None:
            self.task.cancel()
        self.can_write.set()
        self.end()

    def pause_writing(self):
        self.can_write.clear()

    def resume_writing(self):
        self.can_write.set()

    def data_received(self, data):
        if not self.buffer:
            self.read_at = self.socket.received_at() if self.socket is not None else time.monotonic()
        self.buffer += data
        if not self.busy:
            self.next()

    def next(self):
        """Take the next whole request out of the buffer, if there is one."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > MAX_HEAD:
                self.refuse(400)
            return
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        try:
            method, target, version = lines[0].split(" ")
        except ValueError:
            self.refuse(400)
            return
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY or "transfer-encoding" in headers:
            self.refuse(413 if length.isdigit() else 400)
            return
        total = end + 4 + int(length)
        if len(self.buffer) < total:
            if headers.get("expect", "").lower() == "100-continue" and len(self.buffer) == end + 4:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        body = self.buffer[end + 4:total]
        self.buffer = self.buffer[total:]
        self.busy = True
        if self.number == 0:
            self.server.last_number += 1
            self.number = self.server.last_number
        keep = headers.get("connection", "").lower() != "close" and version == "HTTP/1.1"
        request = Request(method, target, headers, body, self.number, keep, self.address)
        if self.server.gate is not None:
            request.arrived = self.server.gate(request, self.read_at)
        if request.arrived is None:
            self.serve(request)
        else:
            asyncio.get_running_loop().call_at(request.arrived, self.serve, request)

    def serve(self, request):
        """Ask the application, and send its reply when its delay is over."""
        try:
            response = self.server.application(request)
        except Exception as error:  # the tests must see a bug of the stub as such
            import traceback
            traceback.print_exc()
            response = Response(599, f"stub bug: {error!r}".encode(), "text/plain")
        self.response = response
        if self.transport.is_closing():
            self.end()
            return
        if response.action == "stall":
            return
        if response.delay_ms > 0:
            self.timer = asyncio.get_running_loop().call_later(response.delay_ms / 1000, self.start, request, response)
        else:
            self.start(request, response)

    def start(self, request, response):
        """The delay is over: compress, spoil or send."""
        self.timer = None
        if self.transport.is_closing():
            return
        if response.action is not None:
            self.spoil(request, response)
        elif response.gzip and len(response.body) > GZIP_IN_THREAD:
            self.task = asyncio.ensure_future(self.send_packed(request, response))
        else:
            if response.gzip:
                response.body = gzip_bytes(response.body)
            self.send(request, response)

    async def send_packed(self, request, response):
        loop = asyncio.get_running_loop()
        response.body = await loop.run_in_executor(None, gzip_bytes, response.body)
        self.task = None
        self.send(request, response)

    def head(self, request, response, length):
        lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}"]
        for name, value in response.headers:
            lines.append(f"{name}: {value}")
        if response.gzip:
            lines.append("Content-Encoding: gzip")
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif response.status != 204:
            lines.append(f"Content-Length: {length}")
        if not request.keep_alive:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")

    def send(self, request, response):
        head = self.head(request, response, len(response.body))
        if request.method == "HEAD" or response.status == 204:
            self.transport.write(head)
        elif len(response.body) < 65536:
            self.transport.write(head + response.body)
        else:
            self.transport.write(head)
            self.transport.write(response.body)
        self.done(request.keep_alive)

    def done(self, keep_alive):
        self.end()
        if not keep_alive:
            self.transport.close()
            return
        self.busy = False
        if self.buffer:
            self.next()

    def end(self):
        """Tell, once, that this reply is over."""
        response, self.response = self.response, None
        if response is not None:
            for call in response.on_end:
                call()

    def refuse(self, status):
        self.transport.write(f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        self.transport.close()

    def spoil(self, request, response):
        """Send the reply wrongly, as `response.action` says."""
        action = response.action
        if action == "close":
            self.end()
            self.transport.close()
        elif action == "reset":
            self.end()
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif action in ("cut", "stall_body"):
            half = response.body[:max(1, len(response.body) // 2)]
            self.transport.write(self.head(request, response, max(2, len(response.body))) + half)
            if action == "cut":
                self.end()
                self.transport.close()
        elif action == "garbage":
            response.body = b'{"\xff\xfe garbage <<<' + bytes(range(1, 32)) + b"]]]"
            self.send(request, response)
        elif action == "bad_gzip":
            packed = gzip_bytes(response.body or b"{}")
            response.gzip = True
            response.body = packed[:10] + bytes(255 - byte for byte in packed[10:])
            self.send(request, response)
        elif action == "short_gzip":
            packed = gzip_bytes(response.body or b"{}")
            response.gzip = True
            response.body = packed[:len(packed) // 2]
            self.send(request, response)
        elif action == "cut_chunks":
            half = response.body[:max(1, len(response.body) // 2)]
            self.transport.write(self.head(request, response, None) + b"%x\r\n%s\r\n" % (len(half), half))
            self.end()
            self.transport.close()
        elif action in ("giant", "giant_gzip"):
            self.task = asyncio.ensure_future(self.send_giant(request, response, action == "giant_gzip"))
        else:
            raise ValueError(action)

    async def send_giant(self, request, response, packed):
        """A body of `action_bytes` bytes (before compression), made as it goes."""
        block = b" " * 65536
        left = response.action_bytes
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        response.gzip = packed
        self.transport.write(self.head(request, response, None))
        pieces = [b"["]
        while left > 0 and not self.transport.is_closing():
            pieces.append(block)
            left -= len(block)
            if left <= 0:
                pieces.append(b"]")
            data = b"".join(pieces)
            pieces = []
            if packed:
                data = packer.compress(data) + (packer.flush() if left <= 0 else b"")
            if data:
                self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))
            await self.can_write.wait()
            await asyncio.sleep(0)
        if not self.transport.is_closing():
            self.transport.write(b"0\r\n\r\n")
            self.task = None
            self.done(request.keep_alive)


class Server:
    """Listens on loopback; numbers the connections in the order of their first request."""

    def __init__(self, application):
        self.application = application
        self.gate = None
        self.connections = set()
        self.last_number = 0
        self.socket_server = None

    async def listen(self, port):
        loop = asyncio.get_running_loop()
        listener = StampedSocket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            listener.setsockopt(socket.SOL_SOCKET, StampedSocket.SO_TIMESTAMPNS, 1)
        listener.bind(("127.0.0.1", port))
        self.socket_server = await loop.create_server(lambda: Connection(self), sock=listener, backlog=1024)
        return self.socket_server.sockets[0].getsockname()[1]

    def drop_stalled(self):
        """End the replies that never would: used by a reset."""
        for connection in list(self.connections):
            if connection.response is not None and connection.response.action in ("stall", "stall_body"):
                connection.transport.abort()
