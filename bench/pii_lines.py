"""Lines with personal data and secrets, and lines that only look so: 2,000 of them, labelled.

    python -m bench.pii_lines > FILE.jsonl

Every value is drawn: check digits are made right by the standards' own arithmetic (ISO 13616,
Luhn), and no line is anybody's. A line has its text and the spans `[begin, end, kind]` of what
should go. Half of the lines hold nothing: versions, section numbers, hashes, git addresses, file
names, numbers whose check digits are wrong. The set is its generator and seed: as a file it would
set off whoever scans repositories for keys.
"""

import json
import random
from collections.abc import Callable
from typing import NamedTuple

NUM_LINES = 2000
_SEED = 20261128
_NAMES = (
    "jane.doe", "max_weber", "p.okafor", "li.wei", "sofia+news", "tomas", "ana-lucia", "info",
    "sales", "k.tanaka",
)  # fmt: skip
_HOSTS = (
    "gmail.com", "web.de", "mail.company.co.uk", "uni-koeln.de", "orange.fr", "notexample.com",
    "corp.io", "cs.tokyo.ac.jp", "posteo.net", "startup.dev",
)  # fmt: skip
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_HEX = "0123456789abcdef"


class Span(NamedTuple):
    """Characters of a text that are personal."""

    begin: int
    end: int
    kind: str


class Line(NamedTuple):
    """A text and what of it is personal."""

    text: str
    spans: list[Span]


def make_lines(num: int = NUM_LINES, seed: int = _SEED) -> list[Line]:
    """Half with a value in a sentence about it, half with what only looks like one."""
    rng = random.Random(seed)
    kinds = sorted(_VALUES)
    lines = []
    for number in range(num // 2):
        kind = kinds[number % len(kinds)]
        before, after = rng.choice(_FRAMES[kind])
        value = rng.choice(_VALUES[kind])(rng)
        lines.append(
            Line(f"{before}{value}{after}", [Span(len(before), len(before + value), kind)])
        )
    lines += [Line(rng.choice(_NOTHING)(rng), []) for _ in range(num - len(lines))]
    rng.shuffle(lines)
    return lines


def _signs(rng: random.Random, alphabet: str, num: int) -> str:
    return "".join(rng.choices(alphabet, k=num))


def _digits(rng: random.Random, num: int) -> str:
    return str(rng.randint(1, 9)) + _signs(rng, "0123456789", num - 1)


def _email(rng: random.Random) -> str:
    return f"{rng.choice(_NAMES)}@{rng.choice(_HOSTS)}"


def _ipv4(rng: random.Random) -> str:
    first = rng.choice((8, 34, 51, 81, 93, 104, 142, 185, 217))
    return f"{first}.{rng.randint(1, 254)}.{rng.randint(1, 254)}.{rng.randint(1, 254)}"


def _ipv6(rng: random.Random) -> str:
    parts = [_signs(rng, _HEX[1:], 1) + _signs(rng, _HEX, 3) for _ in range(5)]
    network = rng.choice(("2a02", "2001:4860", "2606:4700", "2a00:1450"))
    return f"{network}:{':'.join(parts[: rng.randint(1, 3)])}::{parts[4]}"


def _ipv6_whole(rng: random.Random) -> str:
    parts = [_signs(rng, _HEX[1:], 1) + _signs(rng, _HEX, 3) for _ in range(7)]
    return f"2a02:{':'.join(parts)}"


def _luhn(body: str) -> str:
    doubled = [int(d) * (2 - at % 2) for at, d in enumerate(reversed(body))]
    total = sum(each - 9 * (each > 9) for each in doubled)
    return body + str(-total % 10)


def _card(rng: random.Random) -> str:
    issuer = rng.choice(("4111", "4539", "5105", "5412", "2223", "6011"))
    return _grouped(_luhn(issuer + _digits(rng, 11)), rng)


def _grouped(number: str, rng: random.Random) -> str:
    between = rng.choice((" ", "-"))
    return between.join(number[at : at + 4] for at in range(0, 16, 4))


def _card_whole(rng: random.Random) -> str:
    return _card(rng).replace(" ", "").replace("-", "")


def _amex(rng: random.Random) -> str:
    number = _luhn(rng.choice(("34", "37")) + _digits(rng, 12))
    return f"{number[:4]} {number[4:10]} {number[10:]}"


def _iban(rng: random.Random) -> str:
    country, body = rng.choice(
        (
            ("DE", _digits(rng, 18)), ("FR", _digits(rng, 20) + "M" + _digits(rng, 2)),
            ("GB", "WEST" + _digits(rng, 14)), ("NL", "ABNA" + _digits(rng, 10)),
            ("ES", _digits(rng, 20)), ("CH", _digits(rng, 17)),
        )
    )  # fmt: skip
    number = int("".join(str(int(sign, 36)) for sign in f"{body}{country}00"))
    whole = f"{country}{98 - number % 97:02d}{body}"
    if rng.random() < 0.5:
        return whole
    return " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def _ssn(rng: random.Random) -> str:
    return f"{rng.randint(1, 665):03d}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}"


def _phone_abroad(rng: random.Random) -> str:
    return rng.choice(
        (
            f"+49 {rng.choice(('30', '221', '89'))} {_digits(rng, 7)}",
            f"+44 20 {_digits(rng, 4)} {_digits(rng, 4)}",
            f"+33 {rng.choice('12345')} " + " ".join(_digits(rng, 2) for _ in range(4)),
            f"+1 {rng.choice(('212', '415', '617'))} {rng.randint(200, 999)} {_digits(rng, 4)}",
            f"+81-3-{_digits(rng, 4)}-{_digits(rng, 4)}",
        )
    )


def _phone_dotted(rng: random.Random) -> str:
    area, office = rng.choice(("212", "415", "617", "303")), rng.randint(200, 999)
    return rng.choice(
        (
            f"{area}.{office}.{_digits(rng, 4)}", f"1-{area}-{office}-{_digits(rng, 4)}",
            f"0049 30 {_digits(rng, 7)}", f"+49 (0)30 {_digits(rng, 7)}",
        )
    )  # fmt: skip


def _phone_us(rng: random.Random) -> str:
    area, office = rng.choice(("212", "415", "617", "303")), rng.randint(200, 999)
    return rng.choice(
        (f"({area}) {office}-{_digits(rng, 4)}", f"{area}-{office}-{_digits(rng, 4)}")
    )


def _phone_national(rng: random.Random) -> str:
    return rng.choice(
        (
            f"030 {_digits(rng, 7)}", f"0221/{_digits(rng, 6)}",
            f"020 {rng.randint(7000, 8999)} {_digits(rng, 4)}",
            "01 " + " ".join(_digits(rng, 2) for _ in range(4)),
        )
    )  # fmt: skip


def _key(rng: random.Random) -> str:
    return rng.choice(
        (
            "AKIA" + _signs(rng, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
            "ghp_" + _signs(rng, _LETTERS, 36), "glpat-" + _signs(rng, _LETTERS, 20),
            "hf_" + _signs(rng, _LETTERS, 34), "npm_" + _signs(rng, _LETTERS, 36),
            "sk_live_" + _signs(rng, _LETTERS, 24), "AIza" + _signs(rng, _LETTERS, 35),
            "xoxb-" + _digits(rng, 12) + "-" + _signs(rng, _LETTERS, 24),
            "aws_secret_access_key = " + _signs(rng, _LETTERS + "/+", 40),
            f"https://hooks.slack.com/services/T{_signs(rng, _LETTERS[:26], 8)}"
            f"/B{_signs(rng, _LETTERS[:26], 8)}/{_signs(rng, _LETTERS, 24)}",
            "GOCSPX-" + _signs(rng, _LETTERS, 28), "sk-ant-api03-" + _signs(rng, _LETTERS, 60),
            f"eyJ{_signs(rng, _LETTERS, 33)}.eyJ{_signs(rng, _LETTERS, 60)}"
            f".{_signs(rng, _LETTERS, 43)}",
        )
    )  # fmt: skip


Draw = Callable[[random.Random], str]
_VALUES: dict[str, list[Draw]] = {
    "email": [_email],
    "ip": [_ipv4, _ipv4, _ipv6, _ipv6_whole],
    "card": [_card, _card_whole, _amex],
    "iban": [_iban],
    "ssn": [_ssn],
    "phone": [_phone_abroad, _phone_us, _phone_national, _phone_dotted],
    "key": [_key],
}
_FRAMES: dict[str, list[tuple[str, str]]] = {
    "email": [
        ("Please write to ", " if the parcel has not come."), ("From: ", ""),
        ("The author (", ") has answered all questions."), ("Contact <", "> for the slides."),
        ("cc ", ", who knows the place."),
    ],
    "ip": [
        ("Failed password for root from ", " port 52144 ssh2"), ("The server at ", " is down."),
        ("We saw 4,000 requests by ", " in an hour."), ("client=", ", status=200"),
        ("It came from ", " (port 443) at noon."),
        ("Her address then was ", "."), ("The host (", ") did not answer."),
    ],
    "card": [
        ("The card number is ", "."), ("Charged to Visa ", " on Monday."),
        ("Please debit my credit card ", ", valid until 09/29."), ("card: ", " (Mastercard)"),
        ("He read it out: ", ", and hung up."),
    ],
    "iban": [
        ("Transfer it to ", " by Monday."), ("IBAN: ", ""), ("The rent goes to account ", "."),
        ("Bankverbindung ", ", Sparkasse"), ("My new account is ", ", please note it."),
    ],
    "ssn": [
        ("SSN: ", ""), ("Her social security number is ", "."),
        ("Employee Smith, ", ", hired 2019"),
        ("The form asks for it; he wrote ", " in the box."),
    ],
    "phone": [
        ("Call ", " after six."), ("Tel. ", ""), ("Phone: ", " (office)"), ("Fax ", ""),
        ("You can reach me by phone: ", "."),
        ("My number is ", ", day and night."), ("Mobile: ", ", also WhatsApp"),
    ],
    "key": [
        ("export TOKEN=", ""), ("Authorization: Bearer ", ""), ('api_key = "', '"'),
        ("the old key (", ") was revoked"), ("https://deploy:", "@registry.corp.io/v2"),
    ],
}  # fmt: skip


def _version(rng: random.Random) -> str:
    number = ".".join(str(rng.randint(0, 30)) for _ in range(4))
    return rng.choice(
        (
            f"See section {number}, which tells how disks are parted.",
            f"Version {number} mends a fault of the installer.", f"{number} Guided Partitioning",
            f"Chrome/{rng.randint(60, 130)}.0.{rng.randint(1000, 6000)}.7 was used.",
            f"libfoo (= {number}) is needed by libbar.", f"Upgrade to release {number} first.",
        )
    )  # fmt: skip


def _address_of_no_one(rng: random.Random) -> str:
    return rng.choice(
        (
            f"git clone git@github.com:team/repo{rng.randint(1, 99)}.git",
            f"Write to someone{rng.randint(1, 99)}@example.com in the form.",
            f"The picture logo{rng.randint(1, 9)}@2x.png is twice as large.",
            f"Install it with npm i react@{rng.randint(10, 19)}.{rng.randint(0, 9)}.0 today.",
            f"@Override public int size() {{ return {rng.randint(1, 99)}; }}",
            f"Follow @news{rng.randint(1, 99)} and @weather for more.",
        )
    )


def _network_of_no_one(rng: random.Random) -> str:
    return rng.choice(
        (
            f"The router is at 192.168.{rng.randint(0, 9)}.1 inside the house.",
            f"It listens at 127.0.0.1:{rng.randint(1024, 9999)} only.",
            f"Use 10.0.{rng.randint(0, 99)}.0/24 for the office.",
            f"fe80::{_signs(rng, _HEX[1:], 4)} is link-local.",
            f"std::vector<int>::iterator it{rng.randint(1, 9)} = v.begin();",
            f"The time is {rng.randint(10, 23)}:{rng.randint(10, 59)}:{rng.randint(10, 59)} there.",
        )
    )


def _wrong_check(rng: random.Random) -> str:
    card = list(_card(rng))
    card[-1] = str((int(card[-1]) + rng.randint(1, 9)) % 10)
    iban = f"DE{rng.randint(10, 98)}{'12345678901234567'}{rng.randint(0, 9)}"
    return rng.choice(
        (
            f"Serial number {''.join(card)} is printed on its back.",
            f"Part {iban[:2]}00 {iban[4:8]} {iban[8:12]} fits the older pump.",
            f"Order {_digits(rng, 13)} was sent on {rng.randint(1, 28)} May.",
            f"ISBN 978-{rng.randint(0, 9)}-{_digits(rng, 3)}-{_digits(rng, 5)}-{rng.randint(0, 9)}",
            f"The galaxy has {_digits(rng, 12)} stars or so.",
        )
    )


def _number(rng: random.Random) -> str:
    year = rng.randint(1500, 2020)
    return rng.choice(
        (
            f"He lived from {year} to {year + 61} in Vienna.",
            f"On {year}-{rng.randint(10, 12)}-{rng.randint(10, 28)} it rained.",
            f"pi is 3.14159{_digits(rng, 9)}, about.", f"commit {_signs(rng, _HEX, 40)}",
            f"Dial 123-456-7890 is a joke in the manual {rng.randint(1, 99)}.",
            f"Room 555-{rng.randint(10, 99)} is on the left, as is hall {rng.randint(100, 999)}.",
            f"At {rng.uniform(-80, 80):.6f}, {rng.uniform(-170, 170):.6f} stands a tower.",
            f"{rng.randint(1, 99)} + {rng.randint(100, 999)} - {rng.randint(1000, 9999)} = x",
            f"The budget was {rng.randint(1, 99)},{rng.randint(100, 999)},{rng.randint(100, 999)}.",
            f"uuid {_signs(rng, _HEX, 8)}-{_signs(rng, _HEX, 4)}-4{_signs(rng, _HEX, 3)}"
            f"-a{_signs(rng, _HEX, 3)}-{_signs(rng, _HEX, 12)}",
            f"tokens of sk-learn and hf_{rng.choice(('model', 'hub', 'data'))} are no keys",
        )
    )  # fmt: skip


_NOTHING: list[Draw] = [_version, _address_of_no_one, _network_of_no_one, _wrong_check, _number]


def main() -> None:
    """Print the set."""
    for line in make_lines():
        print(json.dumps(line._asdict(), ensure_ascii=False))


if __name__ == "__main__":
    main()
