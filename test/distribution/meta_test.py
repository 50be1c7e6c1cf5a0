#!/usr/bin/env python3
"""META.json follows the PGXN Meta Spec 1.0.0, and says what the other files say.

    test/distribution/meta_test.py

The rules of the specification are tried on META.json and on copies of it that break one rule each. Then versions, files
and licence are compared with the control file, the scripts, the changelogs and LICENSE. Last line: N passed, N failed.
"""

import copy
import glob
import json
import os
import re
import sys

from report import report

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

SEMVER = (r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
          r"(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?"
          r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?")
RANGE = rf"((==|!=|<=?|>=?)\s*)?({SEMVER}|0)(,\s*((==|!=|<=?|>=?)\s*)?{SEMVER})*"
LICENSES = """agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1 gpl_2 gpl_3
    lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib open_source
    restricted unrestricted unknown""".split()


# ---- the specification: each rule says what is wrong with a value, or nothing ----

def text(value):
    """A string with something in it."""
    return [] if isinstance(value, str) and value.strip() else ["is no text"]


def pattern(expression, what):
    """A string of a form."""
    def check(value):
        return [] if isinstance(value, str) and re.fullmatch(expression, value) else [f"is no {what}"]
    return check


TERM = pattern(r"[^/\\\s\x00-\x1f\x7f]{2,}", "term")
VERSION = pattern(SEMVER, "semantic version")
PATH = pattern(r"(?!/)(?!(.*/)?\.\.(/|$))[^\\]+", "relative Unix path")
URL = pattern(r"https?://\S+", "URL")
TAG = pattern(r"[^/\\\x00-\x1f\x7f]{2,255}", "tag")


def one_of(*values):
    """One of some strings."""
    return lambda value: [] if isinstance(value, str) and value in values else ["is none of " + ", ".join(values)]


def version_range(value):
    """Versions that will do; 0 is any."""
    return [] if value == 0 and not isinstance(value, bool) else pattern(RANGE, "range of versions")(value)


def either(*rules):
    """What one of the rules lets pass; else what the last says."""
    def check(value):
        wrong = []
        for rule in rules:
            wrong = rule(value)
            if not wrong:
                break
        return wrong
    return check


def many(rule):
    """A list of one or more."""
    def check(value):
        if not isinstance(value, list) or not value:
            return ["is no list with elements"]
        return [f"[{i}] {wrong}" for i, item in enumerate(value) for wrong in rule(item)]
    return check


def named(name_rule, rule):
    """An object whose members have any names of a form, and values of another."""
    def check(value):
        if not isinstance(value, dict) or not value:
            return ["is no object with members"]
        return ([f'"{name}" {wrong}' for name in value for wrong in name_rule(name)]
                + [f"{name}: {wrong}" for name, item in value.items() for wrong in rule(item)])
    return check


def record(required, **others):
    """An object with these members; a member may always be called x_ and something."""
    def check(value):
        if not isinstance(value, dict):
            return ["is no object"]
        rules = {**required, **others}
        wrong = [f"has no {name}" for name in required if name not in value]
        for name, item in value.items():
            if name in rules:
                wrong += [f"{name}: {what}" for what in rules[name](item)]
            elif not re.match("[xX]_.", name):
                wrong.append(f'has a member "{name}"')
        return wrong
    return check


NEEDS = named(TERM, version_range)
PHASE = record({}, requires=NEEDS, recommends=NEEDS, suggests=NEEDS, conflicts=NEEDS)
META = record(
    {"name": TERM, "version": VERSION, "abstract": text, "maintainer": either(text, many(text)),
     "license": either(one_of(*LICENSES), many(one_of(*LICENSES)), named(text, URL)),
     "provides": named(TERM, record({"file": PATH, "version": VERSION}, abstract=text, docfile=PATH)),
     "meta-spec": record({"version": one_of("1.0.0")}, url=URL)},
    description=text, generated_by=text, tags=many(TAG), release_status=one_of("stable", "testing", "unstable"),
    no_index=record({}, file=many(PATH), directory=many(PATH)),
    prereqs=record({}, configure=PHASE, build=PHASE, test=PHASE, runtime=PHASE, develop=PHASE),
    resources=record({}, homepage=URL, bugtracker=record({}, web=URL, mailto=text),
                     repository=record({}, url=text, web=URL, type=text)))


# ---- the checks ----

def read(path):
    """A file of the project."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def breaches(meta):
    """Copies of a good META.json with one thing wrong: what, the copy."""
    def broken(what, change):
        wrong = copy.deepcopy(meta)
        change(wrong)
        return what, wrong

    extension = next(iter(meta["provides"]))
    for name in ("name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"):
        yield broken(f"no {name}", lambda wrong, name=name: wrong.pop(name))
    for name in ("file", "version"):
        yield broken(f"provides without {name}", lambda wrong, name=name: wrong["provides"][extension].pop(name))
    for name, value in (("version", "1.1"), ("version", "1.01.0"), ("name", "a/b"), ("name", "two words"),
                        ("license", "PostgreSQL"), ("license", []), ("provides", {}), ("abstract", ""), ("tags", []),
                        ("tags", ["a/b"]), ("release_status", "beta"), ("meta-spec", {"version": "2.0.0"}),
                        ("maintainer", []), ("Version", "1.0.0"),
                        ("prereqs", {"runtime": {"needs": {"PostgreSQL": 0}}}),
                        ("prereqs", {"runtime": {"requires": {"PostgreSQL": "15"}}})):
        yield broken(f"{name} = {value!r}", lambda wrong, name=name, value=value: wrong.update({name: value}))
    for value in ("/sql/x.sql", "../x.sql", "sql\\x.sql"):
        yield broken(f"file {value}", lambda wrong, value=value: wrong["provides"][extension].update({"file": value}))


def update_paths(scripts):
    """The versions that the scripts install, those that they update to, and from which."""
    installs, updates = set(), {}
    for script in scripts:
        versions = os.path.basename(script)[:-len(".sql")].split("--")[1:]
        if len(versions) == 1:
            installs.add(versions[0])
        else:
            updates.setdefault(versions[0], set()).add(versions[1])
    return installs, updates


def reaches(updates, start, end):
    """Is there a way from a version to another?"""
    seen, todo = set(), [start]
    while todo:
        version = todo.pop()
        if version not in seen:
            seen.add(version)
            todo += updates.get(version, ())
    return end in seen


def consistent(meta):
    """What META.json and the other files should agree on: what, whether they do."""
    control = dict(re.findall(r"^(\w+) *= *'?(.*?)'?$", read("apigouv_fdw.control"), re.M))
    version = meta["version"]
    provided = meta["provides"]["apigouv_fdw"]
    scripts = [os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(ROOT, "sql", "apigouv_fdw--*.sql"))]
    installs, updates = update_paths(scripts)
    default = control["default_version"]

    yield "the distribution is called as the extension", meta["name"] == "apigouv_fdw"
    yield "its version is the control file's, with a third number", version.rsplit(".", 1)[0] == default
    yield "and that of the extension provided", provided["version"] == version
    yield "its comment is the control file's", meta["abstract"] == provided["abstract"] == control["comment"]
    yield "the file provided is an install script", provided["file"] in scripts and provided["file"].count("--") == 1
    yield "the documentation exists", os.path.isfile(os.path.join(ROOT, provided["docfile"]))
    yield "the licence is LICENSE's", (meta["license"] == "postgresql"
                                       and read("LICENSE").startswith("The PostgreSQL License\n"))
    yield "CHANGELOG.md begins with that version", re.search(r"^## (\S+)", read("CHANGELOG.md"), re.M)[1] == version
    yield "debian/changelog too", re.match(r"apigouv-fdw \(([^)-]*)(-\S+)?\)", read("debian/changelog"))[1] == version
    yield "the default version can be installed", any(reaches(updates, first, default) for first in installs)
    for first in sorted(installs | set(updates)):
        yield f"{first} can be updated to it", reaches(updates, first, default)
    copyright_text = re.sub(r"^ \.?", "", read("debian/copyright"), flags=re.M).split("License: PostgreSQL\n")[-1]
    terms = read("LICENSE").split("\n\n", 2)[2]
    yield "debian/copyright holds the text of LICENSE", copyright_text.strip() == terms.strip()


def main():
    """Run all, print the failures and the counts."""
    meta = json.loads(read("META.json"))
    wrong = META(meta)
    results = [("META.json follows the specification" + "".join("\n    " + what for what in wrong), not wrong)]
    results += [(f"refused: {what}", bool(META(broken))) for what, broken in breaches(meta)]
    results += list(consistent(meta))
    return report(results)


if __name__ == "__main__":
    sys.exit(main())
