"""A session of psql that programs talk to: query() gives rows, SQLSTATE and message."""

import os
import selectors
import subprocess
import time

SEPARATOR = "\x1f"


class Ended(Exception):
    """The session has ended: the server closed it, or does not answer."""


class Session:
    """One connection, to whom the environment says, with settings of PGOPTIONS on top."""

    def __init__(self, user=None, options=""):
        environment = dict(os.environ, PGCLIENTENCODING="UTF8")
        if user:
            environment["PGUSER"] = user
        if options:
            environment["PGOPTIONS"] = options
        self.psql = subprocess.Popen(
            ["psql", "-X", "-A", "-t", "-q", "-F", SEPARATOR, "-v", "VERBOSITY=verbose", "-v", "SHOW_CONTEXT=never"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.number = 0
        self.parts = {self.psql.stdout: b"", self.psql.stderr: b""}
        self.ready = selectors.DefaultSelector()
        for pipe in self.parts:
            os.set_blocking(pipe.fileno(), False)
            self.ready.register(pipe, selectors.EVENT_READ)
        self.pid = int(self.query("SELECT pg_backend_pid();")[0][0][0])

    def query(self, sql, patience_s=60):
        """Rows (lists of texts), SQLSTATE (None without an error), message of the first error."""
        self.number += 1
        mark = f"-- answer {self.number} --\n"
        try:
            self.psql.stdin.write(f"{sql}\n\\echo '{mark.strip()}'\n\\warn '{mark.strip()}'\n".encode())
            self.psql.stdin.flush()
        except BrokenPipeError:
            raise Ended("psql is gone") from None
        out, err = (self._until(pipe, mark.encode(), time.monotonic() + patience_s)
                    for pipe in (self.psql.stdout, self.psql.stderr))
        if "server closed the connection" in err or "connection to server was lost" in err:
            raise Ended(err.strip())
        rows = [line.split(SEPARATOR) for line in out.split("\n")[:-1]]
        for line in err.split("\n"):
            level, _, rest = line.partition(":  ")
            if level in ("ERROR", "FATAL", "PANIC"):
                return rows, rest[:5], rest[7:]
        return rows, None, err.strip()

    def _until(self, pipe, mark, deadline):
        while mark not in self.parts[pipe]:
            if time.monotonic() > deadline:
                raise Ended("no answer")
            for key, _ in self.ready.select(0.5):
                piece = key.fileobj.read()
                if piece == b"":
                    # the end of one pipe: what the other says may tell why
                    self.ready.unregister(key.fileobj)
                    rest = b"".join(self.parts.values()) + (self.psql.stderr.read() or b"")
                    raise Ended(rest.decode(errors="replace").strip() or "psql has ended")
                self.parts[key.fileobj] += piece or b""
        text, _, self.parts[pipe] = self.parts[pipe].partition(mark)
        return text.decode(errors="replace")

    def end(self):
        """Quit, and wait for it."""
        try:
            self.psql.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.psql.wait(20)
        except subprocess.TimeoutExpired:
            self.psql.kill()
            self.psql.wait()
        for pipe in self.parts:
            pipe.close()
        self.ready.close()
