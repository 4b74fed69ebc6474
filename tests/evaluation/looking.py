"""What tests look at in a figure and in a page."""

import io
from html.parser import HTMLParser

import matplotlib.text
import numpy as np
from PIL import Image

VOID = {"meta", "img", "br", "link", "input", "hr"}


def texts(figure):
    """All words of a figure."""
    return " | ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def draws(figure):
    """Draw at low resolution; a figure that cannot be laid out warns or raises."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return np.asarray(Image.open(buffer).convert("L")).std() > 0


class Checker(HTMLParser):
    """Notes unbalanced tags, addresses outside the page, and all visible text."""

    def __init__(self):
        super().__init__()
        self.open, self.problems, self.addresses, self.words, self.ids = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [values[name] for name in ("src", "href") if name in values]
        self.ids += [values["id"]] if "id" in values else []
        if tag in ("script", "link", "iframe"):
            self.problems.append(f"<{tag}>")
        if tag == "img" and not values.get("alt"):
            self.problems.append("img without alt")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> does not close what is open")

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def check(html):
    """The page's ids, addresses and words, if its tags are balanced and it runs no code."""
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.problems == [] and checker.open == []
    return checker


def words_of(html):
    """All visible words of a well-formed page, one space between."""
    return " ".join(" ".join(check(html).words).split())
