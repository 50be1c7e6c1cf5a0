#!/usr/bin/env python3
"""Print server option `limits` so that no limit of an API slows anybody here: generous_limits.py API

Its limits are those of the definition; nothing is printed when there are none. The local API server has such limits
with --limit-factor.
"""

import json
import pathlib
import sys

APIS = pathlib.Path(__file__).resolve().parents[2] / "apis"


def main():
    definition = json.loads((APIS / f"{sys.argv[1]}.json").read_text(encoding="utf-8"))
    print(", ".join(f"{name}=10000/1s" for name in definition.get("limits", {}) if name != "note"), end="")


if __name__ == "__main__":
    main()
