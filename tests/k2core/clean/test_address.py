import hashlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.clean.address import check_addresses, find_address
from k2core.clean.blocklists import BlockListError, load_lists, read_domain, shorten
from k2core.clean.checks import first_failures
from k2core.store import Store
from schemas.clean import CleanConfig, DomainRules
from schemas.selection import BlockList, UrlRules
from tests.k2core.clean.corpora import document, prose, publish_raw, read_folder

LISTS = {
    "domains": "# comment\n\nBad.Example\nmünchen.example\nsub.fine.example\n",
    "addresses": "https://fine.example/page/\nfine.example/q?a=1\n",
    "banned_subwords": "foobann\n",
    "banned_words": "casino\n",
    "soft_words": "free\ncheap\nhot-deals\n",
}


def write_lists(folder: Path, **changed: str) -> UrlRules:
    rules = {}
    for name, text in (LISTS | changed).items():
        path = folder / f"{name}.txt"
        path.write_text(text, encoding="utf-8")
        rules[name] = (BlockList(path=str(path)),)
    return UrlRules.model_validate(rules)


def reason(address: str, rules: UrlRules) -> str | None:
    checks = check_addresses([f"crawl.warc.gz#{address}"], rules)
    number = int(first_failures(checks, 1)[0])
    return checks[number].reason if number >= 0 else None


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://bad.example/", "blocked_domain"),
        ("http://BAD.example:8080/x?y#z", "blocked_domain"),
        ("https://user:pw@bad.example", "blocked_domain"),
        ("https://a.b.bad.example/x", "blocked_subdomain"),
        ("https://münchen.example/", "blocked_domain"),
        ("https://xn--mnchen-3ya.example/", "blocked_domain"),
        ("https://notbad.example/", None),
        ("https://bad.example.org/", None),
        ("https://fine.example/", None),
        ("https://sub.fine.example", "blocked_domain"),
        ("http://fine.example/page", "blocked_address"),
        ("http://fine.example/page#part", "blocked_address"),
        ("http://fine.example/page/2", None),
        ("http://fine.example/q?a=1", "blocked_address"),
        ("http://fine.example/q?a=2", None),
        ("http://fine.example/the-Casino-page", "banned_word"),
        ("http://fine.example/casinos", None),
        ("http://foo.bann.example/", "banned_subword"),
        ("http://fine.example/xfooBANNx", "banned_subword"),
        ("http://fine.example/free", None),
        ("http://fine.example/free/free", None),
        ("http://fine.example/free-cheap", "soft_words"),
        ("http://[nonsense/free", None),
    ],
)
def test_each_level_of_the_filter(address: str, why: str | None, tmp_path: Path) -> None:
    assert reason(address, write_lists(tmp_path)) == why


def test_soft_words_at_the_edge(tmp_path: Path) -> None:
    rules = write_lists(tmp_path)
    checks = check_addresses(["http://fine.example/free-cheap"], rules)
    assert checks[-1].verdict(0) == ("url", "soft_words", 2, 1)
    allowed = rules.model_copy(update={"max_soft_words": 2})
    assert reason("http://fine.example/free-cheap", allowed) is None


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("crawl/a.warc.gz#http://a.example/#b", "http://a.example/#b"),
        ("https://a.example/x y", "https://a.example/x y"),
        ("pages/http.html", ""),
        ("rows.jsonl#17", ""),
        ("ast.py:parse", ""),
    ],
)
def test_the_address_is_in_the_path(path: str, address: str) -> None:
    assert find_address(path) == address


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("domains", "good.example\n0.0.0.0 ads.example\n", r"domains\.txt, line 2: .*no domain"),
        ("domains", "a.example\n\n#\nhttps://b.example/\n", r"domains\.txt, line 4: .*no domain"),
        ("domains", "a..example\n", r"domains\.txt, line 1: 'a..example' is no domain"),
        ("addresses", "https:///page\n", r"addresses\.txt, line 1: .*no address"),
        ("addresses", "a.example/ b\n", r"addresses\.txt, line 1: .*no address"),
        ("banned_words", "fine\n--\n", r"banned_words\.txt, line 2: '--' is no word"),
    ],
)
def test_a_bad_line_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BlockListError, match=message):
        load_lists(write_lists(tmp_path, **{name: text}))


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    rules = write_lists(tmp_path)
    (tmp_path / "domains.txt").write_bytes(b"a.example\nb\xff.example\n")
    with pytest.raises(BlockListError, match=r"domains\.txt, line 2 is no UTF-8"):
        load_lists(rules)
    gone = UrlRules(domains=(BlockList(path=str(tmp_path / "gone.txt")),))
    with pytest.raises(BlockListError, match=r"gone\.txt cannot be read"):
        load_lists(gone)
    missing = UrlRules(domains=(BlockList(path="package://no_such_package/list.txt"),))
    with pytest.raises(BlockListError, match="pip install --no-deps no_such_package"):
        load_lists(missing)


def test_a_list_is_pinned_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("bad.example\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pinned = UrlRules(domains=(BlockList(path=str(path), sha256=digest),))
    assert load_lists(pinned).domains == {"bad.example"}
    other = UrlRules(domains=(BlockList(path=str(path), sha256="0" * 64),))
    with pytest.raises(BlockListError, match=f"has SHA-256 {digest}, not 0000"):
        load_lists(other)


def test_a_package_brings_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "brings_lists" / "assets"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise ImportError('data only')\n")
    (folder / "words.txt").write_text("casino\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    rules = UrlRules(banned_words=(BlockList(path="package://brings_lists/assets/words.txt"),))
    assert load_lists(rules).words == {"casino"}


@given(st.text(max_size=60))
def test_any_text_has_a_short_form_that_stays(text: str) -> None:
    assert shorten(shorten(text)) == shorten(text)
    assert read_domain(read_domain(text)) == read_domain(text)
    assert find_address(text) in text


def test_a_blocked_page_is_a_reject_with_its_rule(tmp_path: Path) -> None:
    rows = [
        document(f"c.warc.gz#https://{host}/{number}", prose(number), "web")
        for number, host in enumerate(["a.example", "x.bad.example", "b.example"])
    ]
    store = Store(tmp_path / "store")
    raw = publish_raw(store, rows, 10)
    from k2core.clean import clean_documents

    free = DomainRules(language=False, quality=None, repetition=None)
    config = CleanConfig(urls=write_lists(tmp_path), web=free)
    draft = clean_documents(config, [], raw, store.workspace("clean"))
    assert [row["path"] for row in read_folder(draft.folder / "rejects")] == [rows[1]["path"]]
    decision = read_folder(draft.folder / "decisions")[1]
    fields = ("rule", "reason", "rule_version", "measured", "threshold")
    assert [decision[field] for field in fields] == ["url", "blocked_subdomain", "1", 1, 0]
