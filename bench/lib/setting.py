"""The setting of the benchmarks: an upstream (nginx), a PostgreSQL cluster on a Unix socket, a scratch directory.

All of it is temporary: Setting is a context manager that removes what it has made. Root starts the cluster as user
postgres.
"""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
CONF = ("listen_addresses=", "fsync=off", "full_page_writes=off", "max_parallel_workers_per_gather=0", "jit=off",
        "autovacuum=off", "ssl=on")     # as Debian's clusters have it


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def bindir():
    """Where the server's programs are: $PG_BINDIR, else what pg_config says."""
    given = os.environ.get("PG_BINDIR")
    if given:
        return given
    return subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip()


class Setting:
    """directory, env: what the contenders' scripts find in their environment."""

    def __init__(self, delay_ms=50):
        self.delay_ms = delay_ms
        self.bindir = bindir()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="apigouv_bench."))
        self.nginx = None
        self.started = False
        self.http, self.https = free_port(), free_port()
        self.env = dict(
            os.environ, BENCH_HERE=str(HERE), BENCH_TMP=str(self.directory), BENCH_PAGES="100", BENCH_PAGE_SIZE="500",
            BENCH_URL=f"http://127.0.0.1:{self.http}", BENCH_URL_TLS=f"https://127.0.0.1:{self.https}",
            BENCH_CA=str(self.directory / "tls/ca.pem"), BENCH_APIS=str(self.directory / "apis"),
            PG_BINDIR=self.bindir, PGHOST=str(self.directory / "socket"),
            PGPORT="5432", PGUSER="postgres", PGDATABASE="postgres", PGOPTIONS="-c client_min_messages=warning")

    def __enter__(self):
        try:
            self.directory.chmod(0o755)
            self.copy_definitions()
            self.make_pages()
            self.make_certificates()
            self.start_upstream()
            self.start_cluster()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.started:
            self.as_server(f"{self.bindir}/pg_ctl", "-D", self.directory / "data", "-m", "immediate", "-s", "stop")
        if self.nginx:
            self.nginx.terminate()
            self.nginx.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, *command, **options):
        return subprocess.run([str(c) for c in command], check=True, env=self.env, stdin=subprocess.DEVNULL, **options)

    def as_server(self, *command, env=()):
        command = [*(["env", *env] if env else []), *command]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        return self.run(*command, cwd="/", stdout=subprocess.DEVNULL)

    def copy_definitions(self):
        """Those of the benchmarks' own server, and two real ones, in one directory that the server can read."""
        shutil.copytree(HERE / "apis", self.directory / "apis")
        real = HERE.parent / "apis"
        for name in ("marche_inclusion", "entreprise", "shared"):
            shutil.copytree(real / name, self.directory / "apis" / name)
            if name != "shared":
                shutil.copy(real / f"{name}.json", self.directory / "apis")

    # -- the upstream -------------------------------------------------------

    def make_pages(self):
        pages = self.directory / "upstream/pages"
        pages.mkdir(parents=True)
        (self.directory / "upstream/tmp").mkdir()
        python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3"
        self.run(python, HERE / "lib/gen_pages.py", pages, self.env["BENCH_URL"], self.env["BENCH_PAGES"],
                 self.env["BENCH_PAGE_SIZE"], stdout=subprocess.DEVNULL)
        self.megabytes = int((pages / "bytes.txt").read_text()) / 1e6

    def make_certificates(self):
        """An authority of our own, and a certificate for 127.0.0.1 that it signs."""
        tls = self.directory / "tls"
        tls.mkdir()
        (tls / "san").write_text("subjectAltName = IP:127.0.0.1\n")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        quiet = {"stderr": subprocess.DEVNULL}
        self.run("openssl", "req", "-x509", *curve, "-subj", "/CN=bench authority", "-days", "2", "-keyout",
                 tls / "ca.key", "-out", tls / "ca.pem", **quiet)
        self.run("openssl", "req", *curve, "-subj", "/CN=127.0.0.1", "-keyout", tls / "key.pem", "-out",
                 tls / "csr.pem", **quiet)
        self.run("openssl", "x509", "-req", "-in", tls / "csr.pem", "-CA", tls / "ca.pem", "-CAkey", tls / "ca.key",
                 "-CAcreateserial", "-days", "2", "-extfile", tls / "san", "-out", tls / "cert.pem", **quiet)
        (tls / "ca.pem").chmod(0o644)

    def start_upstream(self):
        directory = self.directory / "upstream"
        words = {"@DIR@": str(directory), "@TLS@": str(self.directory / "tls"), "@DELAY@": str(self.delay_ms),
                 "@PORT@": str(self.http), "@PORT_TLS@": str(self.https)}
        for name in ("nginx.conf", "lookup.js"):
            text = (HERE / f"lib/{name}.in").read_text()
            for word, value in words.items():
                text = text.replace(word, value)
            (directory / name).write_text(text)
        log = directory / "start.log"
        with log.open("w") as output:
            self.nginx = subprocess.Popen(["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf")],
                                          stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        until = time.monotonic() + 10
        while subprocess.run(["curl", "-fs", "-o", "/dev/null", self.env["BENCH_URL"] + "/api/siae/"],
                             check=False).returncode:
            if self.nginx.poll() is not None or time.monotonic() > until:
                raise SystemExit("the upstream did not start: " + log.read_text())
            time.sleep(0.05)

    # -- the cluster --------------------------------------------------------

    def start_cluster(self):
        for name in ("data", "socket", "py"):
            (self.directory / name).mkdir()
            if os.geteuid() == 0:
                shutil.chown(self.directory / name, "postgres")
        shutil.copy(HERE / "lib/rest_fdw.py", self.directory / "py")
        data = self.directory / "data"
        self.as_server(f"{self.bindir}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                       "--locale=C.UTF-8", "-N")
        for kind, name in (("cert.pem", "server.crt"), ("key.pem", "server.key")):
            shutil.copy(self.directory / "tls" / kind, data / name)
            (data / name).chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(data / name, "postgres")
        self.control_cluster("start")
        self.started = True
        sirets = (self.directory / "upstream/pages/sirets.txt").read_text().split()
        for n in (200, 2000):
            self.sql(f"CREATE TABLE lookups_{n} (siret text PRIMARY KEY);\n"
                     f"COPY lookups_{n} FROM STDIN;\n" + "\n".join(sirets[:n]) + f"\n\\.\nANALYZE lookups_{n};")

    def control_cluster(self, action, *conf):
        """Start or restart it, with settings that count more than those of CONF."""
        data = self.directory / "data"
        options = " ".join(f'-c "{o}"' for o in (*CONF, *conf, f"unix_socket_directories={self.env['PGHOST']}"))
        python = f"PYTHONPATH={self.directory / 'py'}:{os.environ.get('MULTICORN_PYTHONPATH', '')}"
        self.as_server(f"{self.bindir}/pg_ctl", "-D", data, "-l", data / "log", "-w", *(("-m", "fast") if action == "restart" else ()),
                       "-o", options, action,
                       env=(python,))

    def sql(self, text):
        """Output of a psql script, which must not fail."""
        done = subprocess.run([f"{self.bindir}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], input=text,
                              text=True, capture_output=True, env=self.env, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout

    def has_extension(self, name):
        return self.sql(f"SELECT count(*) FROM pg_available_extensions WHERE name = '{name}'").strip() == "1"
