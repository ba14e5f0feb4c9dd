"""aggregate and join-count, by pandas; numbers are Decimals throughout."""

import decimal
from decimal import Decimal

import pandas

from records import documents, normalised, rows, text

decimal.getcontext().prec = 100
BILLIONTH = Decimal("1e-9")


def number(value):
    """A value's number, to nine digits behind the point; None of none."""
    return rounded(Decimal(value)) if value else None


def rounded(value):
    return value.quantize(BILLIONTH, decimal.ROUND_HALF_EVEN)


def written(value):
    """A number as a result shows it."""
    return "0" if value == 0 else format(value.normalize(), "f")


def csv_frame(path):
    return pandas.read_csv(path, dtype=str, keep_default_na=False, na_filter=False)


def ndjson_frame(path, columns):
    """Columns by the path to them, with None for what is not there."""

    def at(value, steps):
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return text(value)

    steps = [column.strip("/").split("/") for column in columns]
    values = ([at(document, one) for one in steps] for document in documents(path))
    return pandas.DataFrame(values, columns=columns, dtype=object)


def frame(path, form, columns):
    return csv_frame(path)[columns] if form == "csv" else ndjson_frame(path, columns)


class Spec:
    """An aggregate as the task has it."""

    def __init__(self, task):
        self.by = task["group_by"]
        self.compute = sorted(task["compute"].items())
        self.fields = sorted({field for _, (_, field) in self.compute if field})
        self.enough = task["enough"] if task["enough"] > 1 else 0
        self.where = task["where"]
        numeric = {field for field, test, _ in self.where if test in ("at_least", "below")}
        self.numeric = sorted(numeric | set(self.fields))
        texts = [field for field, _, _ in self.where if field not in self.numeric]
        self.columns = list(dict.fromkeys(self.by + self.numeric + texts))

    def filtered(self, data):
        for field, test, bound in self.where:
            values = data[field]
            if test == "one_of":
                data = data[values.isin(bound)]
            elif test == "not":
                data = data[values.notna() & (values != bound)]
            elif test == "at_least":
                data = data[[value is not None and value >= Decimal(bound) for value in values]]
            else:
                assert test == "below"
                data = data[[value is not None and value < Decimal(bound) for value in values]]
        return data

    def result(self, data, member=None):
        """The rows of the result behind the header; None is an empty cell."""
        data = data.copy()
        for field in self.numeric:
            data[field] = pandas.Series(
                [number(value) for value in data[field]], index=data.index, dtype=object
            )
        data = self.filtered(data)
        if self.by:
            data["group"] = list(zip(*(data[field].fillna("") for field in self.by), strict=True))
        shown, hidden = [], data
        if self.by:
            groups = data.groupby("group", sort=False)
            crowd = groups.size() if member is None else groups[member].nunique()
            large = crowd[crowd >= self.enough].index
            hidden = data[~data["group"].isin(large)]
            cells = self.cells(data[data["group"].isin(large)], member)
            order = sorted(large, key=lambda key: [part.encode() for part in key])
            shown = [[False, *(part or None for part in key), *cells[key]] for key in order]
        elif self.crowd(data, member) >= self.enough:
            shown, hidden = [[False, *self.row(data, member)]], data.iloc[:0]
        if len(hidden) > 0 or not (shown or self.by):
            enough = self.crowd(hidden, member) >= self.enough
            row = self.row(hidden, member) if enough else [None] * len(self.compute)
            shown.append([True, *(None for _ in self.by), *row])
        return shown

    def crowd(self, data, member):
        return len(data) if member is None else data[member].nunique()

    def cells(self, data, member):
        """The computed cells by the group's key: all groups at once."""
        sizes = data.groupby("group", sort=False).size()
        of = {}
        for field in self.fields:
            there = data[data[field].notna()].groupby("group", sort=False)
            numbers = there[field].agg(["count", "sum", "min", "max"])
            crowd = there.size() if member is None else there[member].nunique()
            rows = zip(crowd, *(numbers[name] for name in numbers), strict=True)
            of[field] = dict(zip(numbers.index, rows, strict=True))
        none = (0, 0, Decimal(0), None, None)
        return {
            key: [
                str(size) if what == "count" else self.cell(what, of[field].get(key, none))
                for _, (what, field) in self.compute
            ]
            for key, size in sizes.items()
        }

    def row(self, data, member):
        """The computed cells over all of the data."""
        row = []
        for _, (what, field) in self.compute:
            if what == "count":
                row.append(str(len(data)))
                continue
            there = data[data[field].notna()]
            values = there[field]
            numbers = (sum(values, Decimal(0)), values.min(), values.max())
            row.append(self.cell(what, (self.crowd(there, member), len(values), *numbers)))
        return row

    def cell(self, what, numbers):
        crowd, count, total, least, most = numbers
        if crowd < self.enough:
            return None
        if what == "sum":
            return written(total)
        if count == 0:
            return None
        return written({"mean": rounded(total / count), "min": least, "max": most}[what])

    def header(self):
        return ["suppressed", *self.by, *(name for name, _ in self.compute)]


def check(result, form, header, expected):
    if form == "csv":
        found = list(rows(result))
        lines = [["" if cell is None else cell for cell in row] for row in expected]
        expected = [header] + [["true" if row[0] else "false", *row[1:]] for row in lines]
    else:
        read = list(documents(result))
        assert all(list(row) == header for row in read)
        found = [[cell if cell in (None, True, False) else str(cell) for cell in row.values()] for row in read]
    assert len(found) == len(expected), f"{len(found)} rows, not {len(expected)}"
    for row, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one == other, f"row {row}: {one} is not {other}"
    return expected


def aggregate(task):
    spec = Spec(task)
    data = frame(task["input"], task["format"], spec.columns)
    assert len(data) == task["count"]
    expected = check(task["result"], task["format"], spec.header(), spec.result(data))
    assert len(expected) >= task["at_least_rows"], expected


def join(task):
    steps = task["normalise"]

    def key(value):
        return None if value is None else normalised(value, steps) or None

    def keyed(data, column):
        keys = [key(value) for value in data[column]]
        data["member"] = pandas.Series(keys, index=data.index, dtype=object)
        return data[data["member"].notna()]

    left = frame(task["left"], task["left_format"], [task["left_on"]])
    spec = Spec(task["aggregate"])
    columns = list(dict.fromkeys([task["right_on"], *spec.columns]))
    right = frame(task["right"], task["right_format"], columns)
    assert len(left) == len(right) == task["count"]
    left = keyed(left, task["left_on"])[["member"]].drop_duplicates()
    common = keyed(right, task["right_on"]).merge(left, on="member", how="inner")
    count = common["member"].nunique()
    assert count > 1000, "the tables have too little in common"
    form = task["right_format"]
    check(task["result"], form, ["suppressed", "count"], [[False, str(count)]])
    check(task["aggregated"], form, spec.header(), spec.result(common, "member"))
