"""Contenders of the list scan (a/) and of the look-ups (b/): scripts that are run in turn, round after round."""
import re
import statistics
import subprocess
import sys
import time

SKIPPED = 77
NAMES = {
    "10-curl": "curl, bytes thrown away", "12-libcurl-jansson": "libcurl + jansson, no database",
    "13-libcurl-simdjson": "libcurl + simdjson, no database", "14-libcurl-cjson": "libcurl + cJSON, no database",
    "20-pgsql_http-jsonb_to_recordset": "pgsql-http, jsonb_to_recordset",
    "21-pgsql_http-json_to_recordset": "pgsql-http, json_to_recordset",
    "22-pgsql_http-jsonb_array_elements": "pgsql-http, jsonb_array_elements",
    "24-stored-pages-jsonb": "pgsql-http's SQL on pages in files, no request",
    "30-multicorn2-urllib3": "multicorn2, urllib3", "31-multicorn2-requests": "multicorn2, requests",
    "40-shell-curl-jq-copy": "curl, jq, COPY", "90-apigouv_fdw": "**apigouv_fdw**",
    "10-xargs-curl-16": "xargs -P 16 curl", "11-curl-parallel-16": "curl --parallel, 16",
    "12-curl-parallel-16-http2": "curl --parallel, 16, HTTP/2", "20-pgsql_http-lateral": "pgsql-http, lateral join",
    "91-apigouv_fdw-array": "apigouv_fdw, `= ANY (ARRAY(SELECT ...))`",
    "92-apigouv_fdw-http2": "**apigouv_fdw, HTTP/2**"}


class Contest:
    """One load: times[name] are seconds of the whole process, statement[name] those of its statement where it tells."""

    def __init__(self, setting, folder, mode="", **env):
        self.setting, self.folder, self.mode = setting, folder, mode
        self.env = dict(setting.env, **env)
        self.times, self.statement, self.answers, self.skipped = {}, {}, {}, []

    def script(self, path, what):
        begun = time.monotonic()
        done = subprocess.run([str(path), what, self.mode], env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        return time.monotonic() - begun, done

    def run(self, rounds, only=""):
        """Rounds of all contenders that can take part; one more, not counted, warms up."""
        here = self.env["BENCH_HERE"]
        names = [p.stem for p in sorted(self.setting_path(here).glob("*.sh")) if only in p.name]
        names = [name for name in names if self.takes_part(name, "setup")]
        for i in range(rounds + 1):
            for name in list(names):
                if not self.takes_part(name, "run", count=i > 0):
                    names.remove(name)
        return self

    def setting_path(self, here):
        return type(self.setting.directory)(here) / self.folder

    def takes_part(self, name, what, count=False):
        seconds, done = self.script(self.setting_path(self.env["BENCH_HERE"]) / f"{name}.sh", what)
        if done.returncode == SKIPPED:
            self.skipped.append(name)
            return False
        if done.returncode:
            print(f"failed: {name}: {done.stderr.strip()[:300]}", file=sys.stderr)
            self.times.pop(name, None)
            self.skipped.append(name)
            return False
        if what == "run":
            self.note(name, seconds, done.stdout, count)
        return True

    def note(self, name, seconds, output, count):
        told = re.findall(r"^Time: ([0-9.]+) ms.*\n?", output, re.M)
        self.answers[name] = re.sub(r"^Time: .*\n?", "", output, flags=re.M).strip().replace("\n", " ")
        if count:
            self.times.setdefault(name, []).append(seconds)
            if told:
                self.statement.setdefault(name, []).append(float(told[-1]) / 1000)

    def median(self, name):
        """Seconds, or None: it did not take part."""
        return statistics.median(self.times[name]) if name in self.times else None

    def statement_median(self, name):
        return statistics.median(self.statement[name]) if name in self.statement else None

    def best(self, prefix):
        """The shortest median of the contenders whose names begin so, or None."""
        return min((self.median(n) for n in self.times if n.startswith(prefix)), default=None)
