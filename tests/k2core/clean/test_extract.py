"""A page's main text: what of it is kept, what is left out, and how formulas and code come out."""

import pytest

from k2core.clean.extract import extract_text

SENTENCE = (
    "The bees of the northern hills dance for each other, so that all of them find the flowers"
)
PROSE = [
    f"{SENTENCE} of valley number {number}, and they come back in the evening."
    for number in range(8)
]
ARTICLE = "".join(f"<p>{text}</p>" for text in PROSE)
MENU = (
    '<div class="menu"><ul><li><a href="/">Home</a></li><li><a href="/x">News</a></li></ul></div>'
)
FOOT = '<div class="footer">Copyright 2024. All rights reserved. <a href="/p">Privacy</a></div>'


def extract(inside: str, after: str = FOOT) -> str:
    return extract_text(
        f"<html><body>{MENU}<div class='content'>{inside}</div>{after}</body></html>"
    )


@pytest.mark.parametrize(
    "page",
    [
        ARTICLE,
        f"<form action='/'>{ARTICLE}</form>",
        f"<main></main><article>{ARTICLE}</article>",
        "".join(f"<article><p>{text}</p></article>" for text in PROSE),
        f"<article><header><h1>On bees</h1></header>{ARTICLE}</article>",
    ],
    ids=["plain", "form", "empty main", "several articles", "header"],
)
def test_the_text_is_kept_and_the_furniture_left_out(page: str) -> None:
    text = extract(page)
    assert [line for line in text.split("\n\n") if line in PROSE] == PROSE
    assert not {"Home", "News", "Privacy"}.intersection(text.split())
    assert text.startswith("On bees") == ("On bees" in page)


@pytest.mark.parametrize(
    ("inside", "shown"),
    [
        ("<pre>if x:\n    y = 1\n\n    z</pre>", "\n\nif x:\n    y = 1\n\n    z\n\n"),
        ("<h2>Their <b>dance</b></h2>", "\n\nTheir dance\n\n"),
        (f"<p>{SENTENCE}, some 10<sup>5</sup> of them, H<sub>2</sub>O.</p>", "10^5 of them, H_2O"),
        (f"<p>{SENTENCE}, 10<sup>15</sup> of them.</p>", "10^{15} of them"),
        (f"<p>{SENTENCE}.<sup><a href='#1'>1</a></sup></p>", "flowers.1"),
        (f"<p>{SENTENCE}: <script type='math/tex'>x=\\frac12</script>.</p>", "$x=\\frac12$."),
        (
            f"<p>{SENTENCE}: <math><semantics><mi>x</mi><annotation encoding='application/x-tex'>"
            "x^2</annotation></semantics></math>.</p>",
            "flowers: $x^2$.",
        ),
        (
            f"<p>{SENTENCE}: <span class='katex'><span class='katex-mathml'><math><mi>x</mi>"
            "<annotation encoding='application/x-tex'>x</annotation></math></span>"
            "<span class='katex-html'>x</span></span>.</p>",
            "flowers: $x$.",
        ),
        (f"<p>{SENTENCE}.<br>{SENTENCE}.</p>", f"{SENTENCE}.\n{SENTENCE}."),
        (f"<ul><li>{SENTENCE}.</li><li>{SENTENCE}.</li></ul>", f"- {SENTENCE}.\n- {SENTENCE}."),
        (f"<p><b>{SENTENCE}</b> \n <i>at dusk</i>.</p>", f"\n\n{SENTENCE} at dusk."),
        (f"<p> \n<img src='x'> \n{SENTENCE}<wbr>, <img>two.</p>", f"\n\n{SENTENCE}, two."),
        ("<pre>x:  <b>y</b>\n    <i>z</i> </pre>", "\n\nx:  y\n    z\n\n"),
        (f"<p>{SENTENCE}<a href='/x'> <b>too</b> </a>.</p>", f"{SENTENCE} too ."),
    ],
)
def test_forms_of_text_are_kept(inside: str, shown: str) -> None:
    middle = len(ARTICLE) // len(PROSE) * 4
    assert shown in extract(ARTICLE[:middle] + inside + ARTICLE[middle:])


@pytest.mark.parametrize(
    "hidden",
    ["style='display: none'", "hidden", "aria-hidden='true'", "style='visibility:hidden'"],
)
def test_hidden_text_is_left_out(hidden: str) -> None:
    assert "secret" not in extract(f"{ARTICLE}<p {hidden}>{SENTENCE} secret.</p>{ARTICLE}")


@pytest.mark.parametrize(
    "page",
    ["", "<body><script>alert(1)</script></body>", "<pre><br></pre>", "<p><br></p>", "<li><br><li>",
     "<p> \n</p>", "<a><br></a>", "<table><tr><td></td></tr></table>", "<p>\0</p>"],
)  # fmt: skip
def test_a_page_without_text_is_empty(page: str) -> None:
    assert extract_text(page).strip("\ufffd") == ""
    assert PROSE[0] in extract(page + ARTICLE)
