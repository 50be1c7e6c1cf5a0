#!/usr/bin/env python3
"""make dist gives the archive that PGXN takes: one commit, the same bytes every time.

    test/distribution/archive_test.py

In a clone, so that the working tree is left alone; PG_CONFIG chooses the PostgreSQL whose PGXS is used. Outside git
there is nothing to make an archive of: skipped. Last line: N passed, N failed.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile

from report import report

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def git(*arguments, directory=ROOT):
    """Output of git."""
    return subprocess.run(("git", "-c", "safe.directory=*", "-C", directory) + arguments, check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def in_git():
    """Is the project the top of a git tree with a commit?"""
    try:
        return os.path.samefile(git("rev-parse", "--show-toplevel").strip(), ROOT) and bool(git("rev-parse", "HEAD"))
    except (OSError, subprocess.CalledProcessError):
        return False


def make_dist(directory, **environment):
    """The archive made in a directory: its name and its bytes."""
    subprocess.run(["make", "-s", "-C", directory, "PG_CONFIG=" + os.environ.get("PG_CONFIG", "pg_config"), "dist"],
                   check=True, env={**os.environ, **environment}, stdout=subprocess.PIPE)
    names = [name for name in os.listdir(directory) if name.endswith(".zip")]
    assert len(names) == 1, names
    with open(os.path.join(directory, names[0]), "rb") as file:
        return names[0], file.read()


def results(directory):
    """What, whether it is so."""
    clone = os.path.join(directory, "clone")
    git("clone", "-q", "--no-hardlinks", ROOT, clone)
    meta = json.loads(git("show", "HEAD:META.json"))
    name, archive = make_dist(clone, TZ="Europe/Paris")
    yield "the archive's name", name == f"{meta['name']}-{meta['version']}.zip"

    top = f"{meta['name']}-{meta['version']}/"
    with zipfile.ZipFile(os.path.join(clone, name)) as file:
        files = {info.filename: file.read(info) for info in file.infolist() if not info.is_dir()}
    yield "one directory, named as the archive", all(path.startswith(top) for path in files)
    tracked = {line.split("\t")[1]: line.split("\t")[0].split()[2]
               for line in git("ls-tree", "-r", "-z", "HEAD").split("\0") if line}
    yield "every file of the commit, no other", {path[len(top):] for path in files} == set(tracked)
    yield "as it is there", all(
        hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == tracked.get(path[len(top):])
        for path, content in files.items())
    yield "META.json at its top", json.loads(files[top + "META.json"]) == meta
    yield "with the files that it names", all(top + provided[member] in files for provided in meta["provides"].values()
                                              for member in ("file", "docfile"))

    # what lies about, or is changed and not committed, is not in it
    with open(os.path.join(clone, "META.json"), "ab") as file:
        file.write(b"\n")
    with open(os.path.join(clone, "src", "secret.c"), "wb") as file:
        file.write(b"/* not committed */\n")
    os.unlink(os.path.join(clone, name))
    yield "the same bytes again, from a tree with changes", make_dist(clone, TZ="Asia/Tokyo") == (name, archive)


def main():
    """Run all, print the failures and the counts."""
    if not in_git():
        print("archive: skipped, this is no git tree")
        print("0 passed, 0 failed")
        return False
    with tempfile.TemporaryDirectory(prefix="apigouv_archive.") as directory:
        return report(results(directory))


if __name__ == "__main__":
    sys.exit(main())
