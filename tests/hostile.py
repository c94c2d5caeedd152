"""Text that would like to break out of the Markdown it stands in, and a reader of Markdown to see whether it does."""

from hypothesis import example
from hypothesis import strategies as st
from markdown_it import MarkdownIt

# GitHub's Markdown is CommonMark with tables and strikethrough; HTML is rendered in both.
GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = st.text(st.one_of(st.sampled_from("`|@<>[]()!*_~#&\\$:\n\t -=+.{}\"'\u202e\u200b\u2028\x00abw"), st.characters(codec="utf-8")))
NASTY = (
    "`a``b```c",
    "``` \n```\n# title",
    "a | b\n--- | ---",
    "@everyone #1 ![x](http://e.vil/p.png) <img src=x onerror=alert(1)> </details>",
    "\\`",
    "`",
    "www.evil.example ~~x~~ *y* $z$",
    "<!-- contact-centre-gate -->",
    "&lt;b&gt;",
    "\u202ereversed",
)


def nasty(test):
    for text in NASTY:
        test = example(text)(test)
    return test
