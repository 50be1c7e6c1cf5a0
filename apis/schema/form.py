"""The one form of definition files: 118 columns, short members filled on a line.

Used by apis/schema/format and apis/schema/refresh.
"""
import json

WIDTH = 118


def flat(value):
    return json.dumps(value, ensure_ascii=False)


def parts_of(value, indent):
    """Members of an object or list, each as a text that may span lines."""
    if isinstance(value, dict):
        items = [(f"{flat(name)}: ", member) for name, member in value.items()]
    else:
        items = [("", member) for member in value]
    for place, (name, member) in enumerate(items):
        comma = "," if place < len(items) - 1 else ""
        yield written(member, indent, name, comma)


def written(value, indent=0, before="", after=""):
    """A value as text; the first line holds `before`, and stands after `indent` blanks that are not written."""
    line = before + flat(value) + after
    whole = not isinstance(value, (dict, list)) or not value
    if whole or indent + len(line) <= WIDTH and is_small(value):
        return line
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    margin = " " * (indent + 2)
    lines = [before + opening]
    filling = ""
    for text in parts_of(value, indent + 2):
        several = "\n" in text
        if filling and (several or len(margin) + len(filling) + 1 + len(text) > WIDTH):
            lines.append(margin + filling)
            filling = ""
        if several:
            lines.append(margin + text)
        else:
            filling = f"{filling} {text}" if filling else text
    if filling:
        lines.append(margin + filling)
    lines.append(" " * indent + closing + after)
    return "\n".join(lines)


def is_small(value):
    """Whether a value may stand on one line: no object in a list of objects, few members."""
    if isinstance(value, list):
        return all(not isinstance(member, (dict, list)) or is_small(member) for member in value) and \
            sum(isinstance(member, (dict, list)) for member in value) <= 3
    return all(not isinstance(member, (dict, list)) or is_small(member) for member in value.values())


def formatted(text):
    return written(json.loads(text)) + "\n"
