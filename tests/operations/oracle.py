"""What the operations should give, computed by other people's code: pandas,
the csv and json modules, `cryptography`, libffx.

    oracle.py TASK < parameters, one JSON object that names files

Reads a job's inputs and its result. Prints nothing when the result is right; a
difference is an AssertionError with the number of the record, and exit code 1.
"""

import hashlib
import json
import sys

import aggregates
import masks
import signatures
import tokens


def same(task):
    def digest(path):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    assert digest(task["input"]) == digest(task["result"])


TASKS = {
    "aggregate": aggregates.aggregate,
    "ff1": tokens.ff1,
    "index": tokens.index,
    "join": aggregates.join,
    "keys": signatures.keys,
    "mask-csv": masks.mask_csv,
    "mask-ndjson": masks.mask_ndjson,
    "match": tokens.match,
    "same": same,
    "siv": tokens.siv,
    "verify": signatures.verify,
}

if __name__ == "__main__":
    TASKS[sys.argv[1]](json.load(sys.stdin))
