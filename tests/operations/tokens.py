"""tokenize, detokenize, index and match: AES-SIV and HKDF of `cryptography`,
HMAC of Python, FF1 of libffx."""

import base64
import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from ffx import FF1

from records import array, compare, documents, edit, normalised, rows, text

ALPHABETS = {
    "pan": "0123456789",
    "code": "abcdefghijklmnopqrstuvwxyz",
    "handle": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "hex": "0123456789abcdef",
}
SEPARATORS = "- ./"


def derived(task, label, length):
    secret = bytes.fromhex(task["secret"])
    return HKDF(SHA256(), length=length, salt=None, info=label).derive(secret)


def string(value):
    return len(value).to_bytes(8, "big") + value


def keep(value):
    return value


def siv(task):
    cipher = AESSIV(derived(task, b"strongroom token siv v1", 64))
    tenant = task["tenant"].encode()

    def token_of(field):
        strings = [field.encode(), tenant]

        def token(value):
            if value is None or value == "":
                return value
            sealed = cipher.encrypt(text(value).encode(), strings)
            return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

        return token

    tokens = {
        "id": keep,
        "name": token_of("/name"),
        "contact": {"email": token_of("email")},
        "cards": {"*": {"pan": token_of("/cards/*/pan")}},
    }
    texts = {"id": keep, "name": text, "contact": {"email": text}, "cards": {"*": {"pan": text}}}
    source = documents(task["input"])
    results = zip(documents(task["tokens"]), documents(task["values"]), strict=True)
    compare(results, ((edit(one, tokens), edit(one, texts)) for one in source), task["count"])


def ff1(task):
    published()
    key = derived(task, b"strongroom token ff1 v1", 32)
    sources = [rows(task[name]) for name in ("input", "tokens", "values")]
    header, *others = map(next, sources)
    assert all(header == other for other in others)
    # An explicit bound of libffx for each, and the tweak of its column.
    ciphers = [(FF1(key, alphabet=ALPHABETS[column]), tweak(task, column)) for column in header]
    count, changed = 0, 0
    for number, (values, tokens, back) in enumerate(zip(*sources, strict=True)):
        assert values == back, f"record {number}: {back!r} is not {values!r}"
        for column, value, token in zip(header, values, tokens, strict=True):
            assert like(value, ALPHABETS[column]) == like(token, ALPHABETS[column])
            changed += value != token
        if number % task["one_in"] == 0:
            for (cipher, bound), value, token in zip(ciphers, values, tokens, strict=True):
                assert encrypted(cipher, bound, value) == token, f"record {number}: {token!r}"
        count += 1
    assert count == task["count"]
    assert changed > 3 * count


def tweak(task, column):
    return string(column.encode()) + string(task["tenant"].encode())


def like(value, alphabet):
    """The form of a value: what a token has to have in common with it."""
    assert all(c in alphabet or c in SEPARATORS for c in value), value
    return [c if c in SEPARATORS else "" for c in value]


def encrypted(cipher, bound, value):
    if not value:
        return value
    token = iter(cipher.encrypt("".join(c for c in value if c not in SEPARATORS), tweak=bound))
    return "".join(c if c in SEPARATORS else next(token) for c in value)


def published():
    """libffx against the samples that NIST published for SP 800-38G."""
    key = "2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94"
    samples = [
        (16, 10, "", "0123456789", "2433477484"),
        (16, 10, "39383736353433323130", "0123456789", "6124200773"),
        (16, 36, "3737373770717273373737", "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
        (24, 10, "", "0123456789", "2830668132"),
        (24, 10, "39383736353433323130", "0123456789", "2496655549"),
        (24, 36, "3737373770717273373737", "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
        (32, 10, "", "0123456789", "6657667009"),
        (32, 10, "39383736353433323130", "0123456789", "1001623463"),
        (32, 36, "3737373770717273373737", "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
    ]
    for length, radix, bound, value, token in samples:
        cipher = FF1(bytes.fromhex(key)[:length], radix=radix)
        assert cipher.encrypt(value, tweak=bytes.fromhex(bound)) == token


def indexer(task, field, steps, length):
    """The blind index of a text; None when nothing is left of it."""
    label = b"strongroom index v1"
    names = hmac.new(derived(task, label, 32), digestmod="sha256")
    for name in (label, field.encode(), task["tenant"].encode()):
        names.update(string(name))

    def index(value):
        value = normalised(value, steps)
        if not value:
            return None
        mac = names.copy()
        mac.update(string(value.encode()))
        return mac.digest()[:length].hex()

    return index


def index(task):
    def rule(field, steps, length):
        indexed = indexer(task, field, steps, length)
        return lambda value: value if value is None else indexed(text(value)) or ""

    rules = {
        "id": keep,
        "name": rule("/name", ["collapse-spaces", "trim", "lowercase"], 32),
        "cards": {"*": {"pan": rule("pan", ["digits"], 16)}},
    }
    expected = (edit(document, rules) for document in array(task["input"]))
    compare(array(task["result"]), expected, task["count"])


def match(task):
    source = rows(task["input"])
    column = next(source).index(task["column"])
    values = [row[column] for row in source]
    assert len(values) == task["count"]
    known = set(values)
    for value, answer in task["answers"]:
        assert answer == ("1" if value in known else "0"), f"{value!r}: {answer}"
    steps = ["collapse-spaces", "trim", "lowercase"]
    indexed = indexer(task, task["column"], steps, 32)
    known = {normalised(value, steps) for value in known} - {""}
    for value, index, answer in task["indexed"]:
        assert index == indexed(value), f"{value!r}: {index}"
        assert answer == ("1" if normalised(value, steps) in known else "0"), f"{value!r}: {answer}"
