"""How alike are two messages: cosines of character and of word TF-IDF, over all pairs in pieces. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

# A pair is a near-duplicate where either cosine reaches its limit; datasets/README.md says why these.
VIEWS: dict[str, dict[str, Any]] = {
    "characters": {"analyzer": "char_wb", "ngram_range": (3, 5)},
    "words": {"analyzer": "word", "ngram_range": (1, 1), "token_pattern": r"(?u)\b\w+\b"},
}
LIMITS = {"characters": 0.80, "words": 0.80}
PIECE = 256  # rows compared at once; bounds the memory


class Pair(NamedTuple):
    """Two texts by their positions, with the cosine in one of the views."""

    first: int
    second: int
    view: str
    cosine: float


def near_duplicates(texts: Sequence[str], *, since: int = 0, advance: Callable[[], None] = lambda: None) -> Iterator[Pair]:
    """Yield pairs ``first < second`` at or above a view's limit, each pair once, in order of ``second``.

    Only pairs whose second text is at ``since`` or later are looked at: those that new texts are part of. ``advance`` is
    called after every ``PIECE`` of them.
    """
    views = {name: _vectors(texts, name) for name in VIEWS}
    for start in range(since, len(texts), PIECE):
        found: dict[tuple[int, int], Pair] = {}
        for name, matrix in views.items():
            for pair in _at_least(matrix, start, name):
                found.setdefault((pair.second, pair.first), pair)
        yield from (found[key] for key in sorted(found))
        advance()


def nearest_pair(texts: Sequence[str], groups: Sequence[str], view: str) -> Pair | None:
    """Return the most alike pair of texts of different groups in one view; None where there is no such pair."""
    matrix = _vectors(texts, view)
    group = np.array(groups)
    best: Pair | None = None
    for start in range(0, len(texts), PIECE):
        cosines = (matrix[start : start + PIECE] @ matrix.T).toarray()
        cosines[group[start : start + PIECE, None] == group[None, :]] = -1.0
        row, column = np.unravel_index(cosines.argmax(), cosines.shape)
        cosine = float(cosines[row, column])
        if cosine >= 0 and (best is None or cosine > best.cosine):
            first, second = sorted((start + int(row), int(column)))
            best = Pair(first, second, view, cosine)
    return best


def _vectors(texts: Sequence[str], view: str) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        return TfidfVectorizer(**VIEWS[view], dtype=np.float32).fit_transform(texts)
    except ValueError:  # nothing but punctuation: no term at all, so nothing is alike
        from scipy.sparse import csr_matrix

        return csr_matrix((len(texts), 1), dtype=np.float32)


def _at_least(matrix: Any, start: int, view: str) -> Iterator[Pair]:
    piece: Any = (matrix[start : start + PIECE] @ matrix.T).tocoo()
    near = piece.data >= LIMITS[view] - 1e-6
    for row, column, cosine in zip(piece.row[near], piece.col[near], piece.data[near], strict=True):
        if column < start + row:
            yield Pair(int(column), start + int(row), view, min(float(cosine), 1.0))
