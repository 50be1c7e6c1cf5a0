"""A connection to PostgreSQL over its socket, for test programs: simple queries, what an error says, the rows."""

import os
import socket
import struct

GONE = ("57P01", "57P02", "57P03")  # what a server that stops or starts says


class Lost(Exception):
    """The connection is no more, or could not be made."""


class Link:
    """Simple queries; `row` is the last row, `rows` all of those of the last query, as lists of texts and None."""

    def __init__(self, directory, database, user="postgres", name="quota", port="5432"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.data = b""
        self.pid = None
        self.row, self.rows = None, []
        self.said = ""             # what a lost connection has said last
        try:
            self.socket.connect(os.path.join(directory, f".s.PGSQL.{port}"))
            words = f"user\0{user}\0database\0{database}\0application_name\0{name}\0\0".encode()
            self.socket.sendall(struct.pack("!ii", 8 + len(words), 196608) + words)
        except OSError as error:
            self.close()
            raise Lost(str(error)) from error
        failure = self.until_ready()
        if failure is not None:
            self.close()
            raise Lost(failure[1])

    def close(self):
        self.socket.close()

    def take(self, size):
        while len(self.data) < size:
            try:
                piece = self.socket.recv(65536)
            except OSError as error:
                raise Lost(str(error)) from error
            if not piece:
                raise Lost("end of connection")
            self.data += piece
        piece, self.data = self.data[:size], self.data[size:]
        return piece

    def until_ready(self):
        """Read until the server waits for a query; the error as (SQLSTATE, message), or None."""
        failure = None
        while True:
            head = self.take(5)
            body = self.take(struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] == b"Z":
                return failure
            if head[:1] == b"K":
                self.pid = struct.unpack("!i", body[:4])[0]
            elif head[:1] == b"D":
                self.row = values_of(body)
                self.rows.append(self.row)
            elif head[:1] == b"E":
                fields = {field[:1]: field[1:].decode("utf-8", "replace") for field in body.split(b"\0") if field}
                failure = (fields[b"C"], fields[b"M"])
                if fields[b"S"] in ("FATAL", "PANIC"):
                    if failure[0] not in GONE:
                        return failure
                    self.said = failure[0]
                    raise Lost(failure[1])

    def query(self, sql):
        words = sql.encode() + b"\0"
        self.rows = []
        try:
            self.socket.sendall(b"Q" + struct.pack("!i", 4 + len(words)) + words)
        except OSError as error:
            raise Lost(str(error)) from error
        return self.until_ready()


def values_of(body):
    """The texts of a row's message."""
    row, body = [], body[2:]
    while body:
        size = struct.unpack("!i", body[:4])[0]
        row.append(body[4:4 + size].decode() if size >= 0 else None)
        body = body[4 + max(0, size):]
    return row


def execute(link, sql):
    failure = link.query(sql)
    if failure is not None:
        raise RuntimeError(f"{failure[0]}: {failure[1]}\n{sql}")
