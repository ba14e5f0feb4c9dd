"""mask: every rule, as docs/manifest.md and RFC 8259 have it."""

import math
from decimal import Decimal

from records import DROP, RUN, compare, documents, edit, rows, text


def keep(value):
    return value


def drop(_):
    return DROP


def redact(_):
    return "***"


def reads(nothing):
    """A rule that reads a text or number; of others it leaves nothing."""

    def with_nothing(rule):
        def masked(value):
            if value is None or isinstance(value, bool):
                return nothing
            return rule(text(value))

        return masked

    return with_nothing


@reads("****")
def last4(value):
    return "****" + (value[-4:] if len(value) >= 8 else "")


@reads("****")
def first6last4(value):
    return value[:6] + "******" + value[-4:] if len(value) >= 13 else "****"


@reads("***")
def initials(value):
    return "".join(f"{word[0]}." for word in RUN.split(value) if word)


@reads("***")
def email(value):
    local, _, domain = value.partition("@")
    shown = local and domain and all(c.isalnum() or c in ".-" for c in domain)
    return f"***@{domain}" if shown else "***"


@reads("***")
def year_of_date(value):
    return value[:4]


@reads("***")
def tens(value):
    low = math.floor(Decimal(value) / 10) * 10
    return f"{low}{' to ' if low < 0 else '-'}{low + 9}"


def mask_csv(task):
    rules = {
        "id": keep,
        "name": initials,
        "email": email,
        "pan": first6last4,
        "handle": last4,
        "born": year_of_date,
        "balance": redact,
        "age": tens,
        "code": drop,
    }
    source = rows(task["input"])
    columns = next(source)
    kept = [column for column in columns if column != "code"]

    def expected():
        yield kept
        for row in source:
            named = zip(columns, row, strict=True)
            # Columns without a rule are kept.
            edited = (rules.get(column, keep)(value) for column, value in named)
            yield [value for value in edited if value is not DROP]

    compare(rows(task["result"]), expected(), task["count"] + 1)


def mask_ndjson(task):
    rules = {
        "id": keep,
        "name": initials,
        "contact": {"email": email},
        "cards": {"*": {"pan": first6last4}},
        "born": year_of_date,
        "age": tens,
        "balance": redact,
        "handle": last4,
        "code": drop,
        "note": keep,
    }
    expected = (edit(document, rules) for document in documents(task["input"]))
    compare(documents(task["result"]), expected, task["count"])
