"""Records of a file, and what they have in common for all operations."""

import csv
import json
import re

# Unicode's property White_Space. Python's own isspace() has more.
WHITE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
RUN = re.compile(f"[{WHITE}]+")

DROP = object()


class Number(str):
    """A JSON number as it is written: a float would not keep it."""

    def __eq__(self, other):
        return type(other) is Number and str.__eq__(self, other)

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


def rows(path):
    """Rows of a CSV file as lists, the header row first."""
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8", newline="") as file:
        yield from csv.reader(file, strict=True)


def documents(path):
    """Documents of an NDJSON file."""
    decode = json.JSONDecoder(parse_int=Number, parse_float=Number).decode
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            yield decode(line)


def array(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file, parse_int=Number, parse_float=Number)


def text(value):
    """The text of a value; None where there is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def edit(value, rules):
    """A document in which rules, a tree of functions, were applied: what is not
    in the tree is left out."""
    if callable(rules):
        return rules(value)
    if isinstance(value, dict):
        edited = ((name, edit(inner, rules[name])) for name, inner in value.items() if name in rules)
        return {name: inner for name, inner in edited if inner is not DROP}
    if isinstance(value, list):
        edited = (edit(inner, rules["*"]) for inner in value)
        return [inner for inner in edited if inner is not DROP]
    return DROP


def normalised(value, steps):
    for step in steps:
        if step == "trim":
            value = value.strip(WHITE)
        elif step == "lowercase":
            value = "".join(c.lower() for c in value)
        elif step == "digits":
            value = "".join(c for c in value if c in "0123456789")
        else:
            assert step == "collapse-spaces"
            value = RUN.sub(" ", value)
    return value


def compare(results, expected, count):
    """Whether two series are the same, and have so many members."""
    found = 0
    for found, (result, value) in enumerate(zip(results, expected, strict=True), 1):
        assert result == value, f"record {found}: {result!r} is not {value!r}"
    assert found == count, f"{found} records, not {count}"
