"""Find the medicines that a message names, misspelt or taken down by ear: "lansaprazole", "lat an o prost"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from orchestrator.errors import OrchestratorError
from orchestrator.service.slot import Slot

MEDICINES = Path(__file__).with_name("medicines.txt")
_WORD = re.compile(r"[^\W_]+(?:-[^\W\d_]+)*", re.UNICODE)
_MOST_WORDS = 4  # pieces that a transcript breaks one name into
_LEAST_LETTERS = 7  # a shorter word is too near to everyday ones to be taken for a misspelt name
_LEAST_LETTERS_PIECES = 9
_A_PIECE = 4  # letters; of longer words alone a name is seldom made
_EVERYDAY = frozenset({"vitamin", "vitamins", "vitamina", "vitaminas", "medicine", "medicines", "medicina", "medicinas", "medication"})
_BINDING_WORDS = """
    the and or for you was that with this have has not but are can had his her from they just been would your will what when it's is my i"""
_BINDING = frozenset(_BINDING_WORDS.split())
_REMEMBERED = 8_192  # words: customers use the same ones again and again
_ALIKE, _ALIKE_PIECES = 0.84, 0.77  # share of letters in place (1 - OSA distance / length); chosen on dev and calibration


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Names of medicines, folded (small letters, no accents), each with the name it stands for."""

    names: dict[str, str]
    joined: dict[str, str]  # as names, without spaces and hyphens
    by_beginning: dict[str, list[str]]  # the names of one word that may be misspelt, by their first two letters, which seldom are
    first_words: frozenset[str]  # of the names of several words

    def exact(self, phrase: str) -> str | None:
        """Return the medicine of this very name; a plural counts."""
        return self.names.get(phrase) or (self.names.get(phrase[:-1]) if phrase.endswith("s") else None)

    def alike(self, word: str, least: float) -> str | None:
        """Return the medicine whose name is nearest to a word, where it is near enough."""
        from rapidfuzz.distance import OSA
        from rapidfuzz.process import extractOne

        some = self.by_beginning.get(word[:2])
        found = extractOne(word, some, scorer=OSA.normalized_similarity, score_cutoff=least) if some else None
        return self.joined[found[0]] if found else None


def find_medicines(text: str) -> Iterator[Slot]:
    """Yield the medicines named in a text in order; the value is the generic name where it is known."""
    lexicon = packaged_lexicon()
    words = [(_folded(match.group()), *match.span()) for match in _WORD.finditer(text)]
    known = [_of_word(word, lexicon) for word, _, _ in words]
    index = 0
    while index < len(words):
        count, name = 1, known[index]
        some = [words[index][0]]
        broken = not name and _may_be_a_piece(some[0])  # whether all words so far may be the pieces of one name
        several = some[0] in lexicon.first_words
        for last in range(index + 1, min(index + _MOST_WORDS, len(words))):
            word = words[last][0]
            broken = broken and not known[last] and _may_be_a_piece(word)
            if not (several or broken) or text[words[last - 1][2] : words[last][1]] not in {" ", "-"}:
                break
            some.append(word)
            found = lexicon.exact(" ".join(some)) if several else None
            if not found and broken:
                found = _of_pieces(some, lexicon)
            if found:
                count, name = len(some), found
                break
        if name:
            start, end = words[index][1], words[index + count - 1][2]
            yield Slot(name="medicine", value=name, text=text[start:end], start=start, end=end)
        index += count


@cache
def packaged_lexicon() -> Lexicon:
    """Return the lexicon of ``medicines.txt``; raise ``OrchestratorError`` naming the line that is none."""
    return read_lexicon(MEDICINES)


def read_lexicon(path: Path) -> Lexicon:
    """Read a lexicon: a name a line, ``brand = generic`` for a brand, ``#`` for remarks. Raises ``OrchestratorError``."""
    names: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        name, _, generic = (part.strip() for part in written.partition("="))
        if not name or ("=" in written and not generic) or _folded(name) in names:
            raise OrchestratorError(f"{path}:{number}: {line!r} is no name, no `brand = generic`, or given twice")
        names[_folded(name)] = generic or name
    joined = {re.sub(r"[ -]", "", name): value for name, value in names.items()}
    by_beginning: dict[str, list[str]] = {}
    for name in (written.replace("-", "") for written in names):
        if " " not in name and len(name) >= _LEAST_LETTERS:
            by_beginning.setdefault(name[:2], []).append(name)
    return Lexicon(names, joined, by_beginning, frozenset(name.split()[0] for name in names if " " in name))


@lru_cache(maxsize=_REMEMBERED)
def _of_word(word: str, lexicon: Lexicon) -> str | None:
    near = len(word) >= _LEAST_LETTERS and word.isalpha() and word not in _EVERYDAY
    return lexicon.exact(word) or (lexicon.alike(word, _ALIKE) if near else None)


def _may_be_a_piece(word: str) -> bool:
    """Say whether a word may be a piece of a name: letters, and none that holds a sentence together."""
    return word.isalpha() and word not in _BINDING


def _of_pieces(words: list[str], lexicon: Lexicon) -> str | None:
    """Return the medicine that some words, each of which may be a piece, are the pieces of; one of them is short."""
    joined = "".join(words)
    if len(joined) < _LEAST_LETTERS:
        return None
    if name := lexicon.joined.get(joined):
        return name
    near = len(joined) >= _LEAST_LETTERS_PIECES and min(map(len, words)) <= _A_PIECE
    return lexicon.alike(joined, _ALIKE_PIECES) if near else None


def _folded(text: str) -> str:
    return (
        text.lower() if text.isascii() else "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
    )
