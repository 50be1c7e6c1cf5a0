"""What a page of the documents is made of: its examples with the marks above them, headings, links.

A fenced block in a language is an example; the block without a language that follows it at once, with nothing but an
empty line between, is its output. Without a language, or in one that nothing here can run, it says that it is not run.
Marks are comments of Markdown, each alone on its line before an example:

    <!-- run by FILE -->             FILE runs this example and those that follow ("run by test/doc/examples" ends that)
    <!-- not run: WHY -->            nobody runs the next example
    <!-- no example -->              the next block is a drawing, or the like
    <!-- before: SQL -->             run before the next example
    <!-- $1: COMMAND -->             what the command prints stands for the parameter $1 of the next example
    <!-- in a new database: SQL -->  this example and those that follow run in a database of their own, after the SQL
"""

import pathlib
import re
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNNER = "test/doc/examples"
# A page in French: the one in English whose translation it is.
TRANSLATIONS = {"README.fr.md": "README.md", "doc/tutoriel.md": "doc/tutorial.md"}
LANGUAGES = ("sql", "sh", "json", "ini")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
MARK = re.compile(r"^ *<!-- (?P<name>[\w$ ]+?)(?:: (?P<value>.*?)| (?P<file>(?:test|sql)/\S+))? -->$", re.M)
NAMES = ("run by", "not run", "no example", "before", "$1", "in a new database")


class Example:
    """One example: where it is, its language, its text, the output that is shown (None: none), what to do with it."""

    def __init__(self, page, line, match):
        self.page, self.line = page, line
        self.language = match["language"]
        self.text = textwrap.dedent(match["text"]) if match["indent"] else match["text"]
        self.shown = None
        self.runner = RUNNER
        self.marks = {}

    @property
    def where(self):
        """Page and line, as in a message."""
        return f"{self.page}:{self.line}"


def pages():
    """The pages with examples, by their paths from the project's folder."""
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT, ROOT / "doc") for path in sorted(path.glob("*.md"))]
    return [page for page in found if page != "CHANGELOG.md"]


def read(page):
    """The text of a page, without the part that is made from apis/."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return text.split("<!-- tables: written by test/doc/tables")[0]


def examples(page, text=None):
    """The examples of a page in order. ValueError: a mark or a block that says nothing."""
    text = read(page) if text is None else text
    found, marks, runner, end = [], {}, RUNNER, 0
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        between = text[end:match.start()]
        for mark in MARK.finditer(between):
            name = mark["name"]
            if name == "run by":
                runner = mark["file"]
            elif name in NAMES:
                marks[name] = mark["value"]
            else:
                raise ValueError(f"{page}:{line}: no such mark: {name}")
        end = match.end()
        if not match["language"] and not {"no example", "not run"} & set(marks):
            if not found or found[-1].shown is not None or between.strip() or found[-1].language not in ("sql", "sh"):
                raise ValueError(f"{page}:{line}: neither an example nor the output of one")
            found[-1].shown = textwrap.dedent(match["text"])
            continue
        if "no example" not in marks:
            if match["language"] not in LANGUAGES and "not run" not in marks:
                raise ValueError(f"{page}:{line}: language {match['language']}")
            example = Example(page, line, match)
            example.marks, example.runner = marks, runner
            found.append(example)
        marks = {}
    return found
