"""`bench.warc`'s side of ours: from the bytes of archives to a decision a page."""

from pathlib import Path

from bench.warc import clean_archives, describe, write_archives

TEXT = """The harbour lies where the river meets the sea, and in winter the boats stay on land.
In spring the whole village comes to help, because nobody can lift a hull alone. Some of them bring
ropes, others have a cart with them, and the children carry what is left.

An old man who was born in the house by the quay told me how it had been. They had no engine then,
so he learned to read the wind before he went to school. He said that the water never forgives a
hurry, which his father used to repeat at supper.

Today a bridge leads to the island, yet most people still take the ferry. It is slower, and it costs
more than it should. But you see the seals on the sandbank, and nobody asks you to be anywhere."""


def _page(text: str) -> str:
    paragraphs = "".join(f"<p>{each}</p>" for each in text.split("\n\n"))
    return f"<html><body><article>{paragraphs}</article></body></html>"


def test_each_page_of_an_archive_is_decided(tmp_path: Path) -> None:
    german = "Der Hund läuft über die Wiese und sucht den Ball, den das Kind geworfen hat. " * 12
    pages = {
        "https://a.example.org/": _page(TEXT),
        "https://b.example.org/": _page(german),
        "https://c.example.org/": _page("This is a page that says too little to be a text."),
    }
    write_archives(pages, tmp_path / "crawl")
    found = clean_archives(tmp_path / "crawl", tmp_path / "store")
    assert found.reasons == {
        "https://a.example.org/": "",
        "https://b.example.org/": "language/not_en",
        "https://c.example.org/": "gopher_quality/too_few_words",
    }
    lines = describe(found, set(pages))
    assert lines[0] == "ours: of 3 pages 1 kept, 2 dropped with a reason, 0 without one"
    assert found.ingest < found.busy
