# ruff: noqa: RUF001 - signs that look alike are the matter here
"""Words as spaCy's English tokeniser counts them, which FineWeb's thresholds were set with.

A piece of text between spaces gives up its outer signs, then is cut at inner ones; contractions
are two words. Rules and order follow spacy.io/usage/linguistic-features#how-tokenizer-works. Of
words in English prose and documentation 99.9 % are the same; signs that look like a face when they
meet at a word's end, `f():`, stay apart here.
"""

import itertools
import re
import unicodedata

_QUOTES = "'\"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_SIGNS = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_LOWER, _UPPER, _ALPHA = "a-zß-öø-ÿ", "A-ZÀ-ÖØ-Þ", r"[^\W\d_]"
_CURRENCY = r"[$£€¥฿₽﷼₴₠-₿]"
_UNITS = (
    "km²|km³|km|m²|m³|m|dm²|dm³|dm|cm²|cm³|cm|mm²|mm³|mm|ha|µm|nm|yd|in|ft|kg|g|mg|µg|t|lb|oz|m/s|"
    "km/h|mph|hPa|Pa|mbar|mb|MB|kb|KB|gb|GB|tb|TB|T|G|M|K|%"
)
_ICON = (
    r"[\u00a6\u00a9\u00ae\u00b0\u2100-\u2101\u2190-\u23ff\u2460-\u27bf\u2900-\u2bff"
    r"\U0001f000-\U0001faff]"
)
_OUTER = rf"\.\.+|[{re.escape(_SIGNS + _QUOTES)}]|{_ICON}|[—–]"
_PREFIX = re.compile(rf"(?:[§%=]|\+(?![0-9])|(?:US|C|A)\$|{_CURRENCY}|{_OUTER})")
_SUFFIX = re.compile(
    rf"(?:{_OUTER}|['’][sS]|(?<=[0-9])\+|(?<=°[FfCcKk])\.|(?<=[0-9])(?:{_CURRENCY}|{_UNITS})"
    rf"|(?<=[0-9{_LOWER}%²\-+{re.escape(_SIGNS + _QUOTES)}])\.|(?<=[{_UPPER}][{_UPPER}])\.)$"
)
_INFIX = re.compile(
    rf"\.\.+|…|{_ICON}|(?<=[0-9])[+\-*^](?=[0-9-])"
    rf"|(?<=[{_LOWER}{re.escape(_QUOTES)}])\.(?=[{_UPPER}{re.escape(_QUOTES)}])"
    rf"|(?<={_ALPHA}),(?={_ALPHA})|(?<=[^\W_])(?:---|--|——|[-–—~])(?={_ALPHA})"
    rf"|(?<=[^\W_])[:<>=/](?={_ALPHA})"
)
_CUTS = re.compile(r"[-+*^,~:<>=/]|\.[.A-Z'\"`]")
"""One of them is in all that `_INFIX` finds in ASCII."""
_SCHEME = re.compile(r"[a-z0-9.+-]{2,}://")
_HOST = re.compile(r"[A-Za-z0-9\u00a1-\uffff_.-]+")
_LABEL = re.compile(
    r"(?:[A-Za-z0-9\u00a1-\uffff][A-Za-z0-9\u00a1-\uffff_-]{0,62})?[A-Za-z0-9\u00a1-\uffff]"
)
_TOP_LEVEL = re.compile(r"[a-z\u00a1-\uffff]{2,63}")
_AFTER_HOST = re.compile(r"(?::\d{2,5})?(?:[/?#]\S*)?")
_MOST_SIGNS = 2000
"""Signs that a piece gives up at its ends: bounds the work on a megabyte of them."""
_MOST_CUT = 100_000
"""Characters without a space from which a piece is no language: it is not cut within."""
_WINDOW = 8
"""Characters that a rule for a piece's end looks at, but for a run of full stops."""
_ONE_SIGN = frozenset(',;:)"!?')
_GENITIVES = frozenset({"'s", "'S", "’s", "’S"})
_SIMPLE = re.compile(r"([A-Za-z](?:[A-Za-z_]*[A-Za-z])?[0-9]*)([,;:)\"!?]|(?<=[a-z0-9])\.)?")
"""Most of them, names of programs too."""
_AROUND = re.escape('…,:;!?()[]{}<>_#*&"”“`')
_ENCLOSED = re.compile(
    rf"([{_AROUND}]*)([A-Za-zÀ-ÖØ-öø-ÿ].+[A-Za-z0-9À-ÖØ-öø-ÿ])"
    rf"((?:[{_AROUND}]|(?<=[0-9a-zß-öø-ÿ{_AROUND}])\.(?!\.))*)"
)
"""Most others: outer signs, each a word, around three characters and more, which is no face."""
_MOST_ENCLOSED = 100
_HYPHENED, _HYPHEN = re.compile("[A-Za-z]+(?:-[A-Za-z]+)+"), re.compile("(-)")
_ENDING = re.compile(r"['’][sS]$|[0-9][^0-9]{1,5}$")
"""What a letter at the end may go with: `'s`, `12km`."""


def split_piece(piece: str) -> list[str]:
    """The words of a piece of text that holds no space."""
    if piece in CONTRACTIONS:
        return list(CONTRACTIONS[piece])
    if piece.isalpha() or (piece.isascii() and piece.isdigit()):
        return [piece]
    first, last = piece[:-1], piece[-1:]
    if last in _ONE_SIGN and first not in CONTRACTIONS:
        if first.isalpha() or (first.isascii() and first.isdigit()):
            return [first, last]
    elif last == "." and first[-1:] > "\u00ff" and first.isalpha():
        return [piece]  # full stops are looked for after Latin letters
    elif piece[-2:] in _GENITIVES and piece[:-2].isalpha() and piece[:-2] not in CONTRACTIONS:
        return [piece[:-2], piece[-2:]]
    if simple := _SIMPLE.fullmatch(piece):
        word, sign = simple.groups()
        if word not in CONTRACTIONS:
            return [word, sign] if sign else [word]
    if len(piece) <= _MOST_ENCLOSED and (enclosed := _ENCLOSED.fullmatch(piece)):
        before, core, after = enclosed.groups()
        if f"{core}." not in CONTRACTIONS:
            if _HYPHENED.fullmatch(core) and core not in CONTRACTIONS:
                return [*before, *_HYPHEN.split(core), *after]
            bound = "$" in core[:3] or _ENDING.search(core, max(0, len(core) - 6))
            return [*before, *(_split_signs(core) if bound else _split_core(core)), *after]
    return _split_signs(piece)


def _split_signs(piece: str) -> list[str]:
    """Sign by sign from both ends, as long as what is left is no word of its own."""
    before: list[str] = []
    after: list[str] = []
    start, end = 0, len(piece)
    for _ in range(_MOST_SIGNS):
        if start >= end or _is_contraction(piece, start, end):
            break
        prefix = _PREFIX.match(piece, start, end)
        inner = prefix.end() if prefix else start
        before += [piece[start:inner]] if prefix else []
        if _is_contraction(piece, inner, end):
            start = inner
            break
        outer = _find_suffix(piece, start, inner, end)
        after += [piece[outer:end]] if outer < end else []
        if (inner, outer) == (start, end):
            break
        start, end = inner, outer
    return [*before, *_split_core(piece[start:end]), *reversed(after)]


def _is_contraction(piece: str, start: int, end: int) -> bool:
    return end - start <= _LONGEST and piece[start:end] in CONTRACTIONS


def _find_suffix(piece: str, first: int, start: int, end: int) -> int:
    """Where the signs at the end begin; they may depend on what stands from `first` on."""
    if piece.endswith("..", start, end):
        return start + len(piece[start:end].rstrip("."))
    shown = max(first, end - _WINDOW)
    found = _SUFFIX.search(piece[shown:end], max(0, start - shown))
    return shown + found.start() if found else end


def _split_core(piece: str) -> list[str]:
    if not piece or len(piece) > _MOST_CUT:
        return [piece] if piece else []
    if piece in CONTRACTIONS:
        return list(CONTRACTIONS[piece])
    if piece.isascii() and not _CUTS.search(piece):
        return [piece]
    if "." in piece and is_address(piece):
        return [piece]
    words, start = [], 0
    for match in _INFIX.finditer(piece):
        if match.start() > start:
            words.append(piece[start : match.start()])
        words.append(match[0])
        start = match.end()
    return [*words, piece[start:]] if start < len(piece) else words


def is_address(piece: str) -> bool:
    """Whether it is an address of the web or of mail, e.g. `https://me@host.org:80/path`.

    The host may follow a scheme or any @. What a host is made of holds no sign that may follow it,
    so each is looked at once.
    """
    scheme = _SCHEME.match(piece)
    begins = {0, scheme.end() if scheme else 0}
    begins |= {found.end() for found in re.finditer("(?<=.)@", piece)}
    return any(_is_host(piece, begin) for begin in sorted(begins))


def _is_host(piece: str, begin: int) -> bool:
    host = _HOST.match(piece, begin)
    if host is None or not _AFTER_HOST.fullmatch(piece, host.end()):
        return False
    *labels, top = host[0].split(".")
    return bool(labels and _TOP_LEVEL.fullmatch(top)) and all(map(_LABEL.fullmatch, labels))


def is_punctuation(word: str) -> bool:
    """Whether all its characters are of Unicode's class P."""
    return all(unicodedata.category(character)[0] == "P" for character in word)


def _contract() -> dict[str, tuple[str, ...]]:
    """Written forms that are several words, or one in spite of their signs."""
    found: dict[str, tuple[str, ...]] = {}

    def add(heads: str, tails: str) -> None:
        for head, tail in itertools.product(heads.split(), tails.split()):
            for start in (head, head.title()):
                for rest in (tail, tail.replace("'", "’"), tail.replace("'", "")):
                    found[start + rest.replace("+", "")] = (start, *rest.split("+"))

    add("i you he she it we they", "'ll 'll+'ve 'd 'd+'ve")
    add("i", "'m 'm+a")
    add("i you we they", "'ve")
    add("you we they", "'re")
    add("he she it who what when where why how there that this", "'s")
    wh = "who what when where why how there that this"
    add(f"{wh} these those", "'ll 'll+'ve 'd 'd+'ve")
    add("who what when where why how there these those", "'re 've")
    modal = "could might must should would"
    add(f"ca do does did had may need ought sha wo {modal}", "n't n't+'ve")
    add(modal, "'ve")
    add("ai are is was were have has dare", "n't")
    add("let", "'s")
    add("not", "'ve")
    for word in ["cannot:can not", "gonna:gon na", "gotta:got ta"]:
        form, parts = word.split(":")
        found[form] = tuple(parts.split())
        found[form.title()] = tuple(parts.capitalize().split())
    for word in ["ill", "its", "hell", "shell", "shed", "were", "well", "whore", "lets"]:
        found.pop(word, None)
        found.pop(word.title(), None)
    found |= {f"{hour}{half}": (str(hour), half) for hour in range(1, 13) for half in _HALVES}
    return found | {word: (word,) for word in _WHOLE.split()}


_HALVES = ("a.m.", "p.m.", "am", "pm")
_WHOLE = (
    "'s 'S ’s ’S and/or w/o 're 'Cause 'cause 'cos 'll 'nuff 'em ol' doin' goin' nothin' somethin' "
    "Adm. Bros. Co. Corp. D.C. Dr. E.g. Gen. Gov. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. "
    "Ph.D. Prof. Rep. Rev. Sen. St. a.m. co. e.g. i.e. I.e. p.m. v.s. vs. Mt. Ak. Ala. Apr. Ariz. "
    "Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. Kan. "
    "Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. "
    "Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. "
    ":) :( :-) :-( ;) ;-) :D :P :p :/ :| :o :0 :3 <3 </3 ^_^ >:( (: ): -_- O.o o_o XD xD 8) =) =( "
    "): [: '' (; [; (= [= =] =/ =| =3 :] :> :* :x :X :O 0.0 0_0 o.0 o.o v.v <33 -__- "
    "\\n \\t C++ c++"
)
_WHOLE_LETTERS = " ".join(f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyzäöü")
CONTRACTIONS = _contract() | {word: (word,) for word in _WHOLE_LETTERS.split()}
"""A written form -> its words."""
_LONGEST = max(map(len, CONTRACTIONS))
