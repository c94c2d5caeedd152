"""Say where in a message something is negated or only supposed, by cues that are data (``red_flags.yaml``, ``context``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator

from orchestrator.safety_phrases import Lexicon
from orchestrator.safety_positions import Positions
from orchestrator.safety_text import Words
from orchestrator.schema import Record

# Words parted by blanks: in a YAML list a bare "no" or "on" would be a truth value.
Listed = Annotated[tuple[str, ...], BeforeValidator(lambda text: tuple(text.split()) if isinstance(text, str) else text)]


class Cues(Record):
    """What opens a stretch of words that tells of nothing that happened, and what ends it.

    The stretch is the ``scope`` words after a cue. It ends with the sentence, at a word of ``until``, and at one of
    ``after_pause`` that follows a comma. A cue followed by a word of ``unless`` opens none ("not sure", "no wonder").
    """

    cues: Listed
    unless: Listed
    until: Listed
    after_pause: Listed
    scope: int


class Context(NamedTuple):
    """One kind of cue, compiled: numbers of elements in the lexicon."""

    cues: int
    unless: int
    until: int
    after_pause: int
    scope: int

    @classmethod
    def compile(cls, cues: Cues, lexicon: Lexicon) -> Context:
        """Take the words of the cues into the lexicon."""
        cue, unless, until, after_pause = map(lexicon.element, (cues.cues, cues.unless, cues.until, cues.after_pause))
        return cls(cue, unless, until, after_pause, cues.scope)

    def read(self, message: Words, at: Positions) -> tuple[int, int]:
        """Return two masks: the cues themselves, and the words in the scope of one."""
        cues = at.ends_of(self.cues)
        if not cues:
            return 0, 0
        cues &= ~(at.starts_of(self.unless) >> 1)
        stops = message.breaks | at.starts_of(self.until) | (at.starts_of(self.after_pause) & message.pauses)
        covered, reached = 0, cues  # a cue does not cover itself: "not breathing" is a phrase
        for _ in range(self.scope):
            reached = (reached << 1) & ~stops
            covered |= reached
        return cues, covered


def read_contexts(contexts: Sequence[Context], message: Words, at: Positions) -> tuple[int, int]:
    """Return the cues of all kinds, and the words in the scope of any."""
    all_cues = all_covered = 0
    for context in contexts:
        cues, covered = context.read(message, at)
        all_cues, all_covered = all_cues | cues, all_covered | covered
    return all_cues, all_covered
