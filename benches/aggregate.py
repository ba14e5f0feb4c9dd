"""The same aggregates as `benches/aggregate.rs`, in the clear, by DuckDB and Polars.

    python3 -m venv venv && venv/bin/pip install duckdb polars
    venv/bin/python3 benches/aggregate.py FILE

FILE is the CSV file that `cargo bench --bench aggregate` names. Both have two
threads and read the file from the page cache; a run is the median of five. Peak
memory is that of a process of its own.

Types are given, so that neither spends time on guessing them: `DECIMAL(18,2)` for
amounts, which is exact as ours are, and once more `DOUBLE`, which is what a
careless reader computes with; Polars has `Float64` only, as its decimals are slow.
Neither reads columns that the query does not name.
"""

import os
import statistics
import subprocess
import sys
import time

JOBS = {
    "1 column, 2 numbers": (
        ["country"],
        [("people", "count", None), ("total", "sum", "amount"), ("average", "mean", "amount")],
    ),
    "2 columns, 3 numbers": (
        ["country", "plan"],
        [
            ("people", "count", None),
            ("total", "sum", "amount"),
            ("most", "max", "fee"),
            ("average", "mean", "balance"),
        ],
    ),
}
COLUMNS = {
    "id": "BIGINT",
    "email": "VARCHAR",
    "country": "VARCHAR",
    "plan": "VARCHAR",
    "amount": "MONEY",
    "fee": "MONEY",
    "balance": "MONEY",
}
THREADS = 2
RUNS = 5


def duckdb_run(path, job, money):
    import duckdb

    group_by, compute = JOBS[job]
    columns = {name: kind.replace("MONEY", money) for name, kind in COLUMNS.items()}
    sql = {"count": "count(*)", "sum": "sum({})", "max": "max({})", "mean": "avg({})"}
    numbers = [f"{sql[how].format(field)} AS {name}" for name, how, field in compute]
    keys = ", ".join(group_by)
    connection = duckdb.connect(config={"threads": THREADS})
    connection.execute(
        f"SELECT {keys}, {', '.join(numbers)} FROM read_csv($path, header=true, "
        f"auto_detect=false, delim=',', quote='\"', escape='\"', columns={columns}) "
        f"GROUP BY {keys} ORDER BY {keys}",
        {"path": path},
    ).fetchall()


def polars_run(path, job):
    import polars as pl

    group_by, compute = JOBS[job]
    kinds = {"BIGINT": pl.Int64, "VARCHAR": pl.String, "MONEY": pl.Float64}
    column = {
        "count": lambda _: pl.len(),
        "sum": lambda field: pl.col(field).sum(),
        "max": lambda field: pl.col(field).max(),
        "mean": lambda field: pl.col(field).mean(),
    }
    numbers = [column[how](field).alias(name) for name, how, field in compute]
    frame = pl.scan_csv(path, schema={name: kinds[kind] for name, kind in COLUMNS.items()})
    frame.group_by(group_by).agg(numbers).sort(group_by).collect(engine="streaming")


READERS = {
    "duckdb DECIMAL": lambda path, job: duckdb_run(path, job, "DECIMAL(18,2)"),
    "duckdb DOUBLE": lambda path, job: duckdb_run(path, job, "DOUBLE"),
    "polars Float64": polars_run,
}


def processor_time():
    times = os.times()
    return times.user + times.system


def measure(path, reader, job):
    """Runs it in this process and prints what it took."""
    run = READERS[reader]
    run(path, job)
    took = []
    for _ in range(RUNS):
        started, used = time.perf_counter(), processor_time()
        run(path, job)
        took.append((time.perf_counter() - started, processor_time() - used))
    wall = statistics.median(wall for wall, _ in took)
    used = statistics.median(used for _, used in took)
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    rate = os.path.getsize(path) / wall / 1e9
    print(
        f"  {job:<20} {reader:<15} {wall:6.3f} s  {rate:5.2f} GB/s"
        f"  {used:6.3f} s of processor time  peak {peak >> 10} MiB"
    )


def main():
    path, *one = sys.argv[1:]
    if one:
        measure(path, *one)
        return
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass
    environment = dict(os.environ, POLARS_MAX_THREADS=str(THREADS))
    for job in JOBS:
        for reader in READERS:
            command = [sys.executable, __file__, path, reader, job]
            subprocess.run(command, env=environment, check=True)


main()
