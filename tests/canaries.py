"""Personal data made up to be looked for afterwards: each value once, each valid by the checks of its kind."""

import random
from dataclasses import dataclass

from stdnum import luhn
from stdnum.gb import nhs


@dataclass(frozen=True)
class Canary:
    """``said`` is how a customer says it; ``mark`` is what betrays it, in whatever encoding: letters and digits alone.

    ``personal`` says that the redaction finds it: what has no form to be found by (a sentence) may be stored, but not logged.
    """

    said: str
    mark: str
    personal: bool = True


def make_canaries(count, seed=7):
    """So many canaries, equally many of each kind."""
    made = random.Random(seed)
    kinds = (_mail, _phone, _card, _nhs, _order, _sentence)
    return [kinds[number % len(kinds)](made) for number in range(count)]


def _letters(made, length=14):
    return "".join(made.choices("bcdfghjkmnpqrstvwxz", k=length))


def _digits(made, length):
    return "".join(made.choices("0123456789", k=length))


def _mail(made):
    name = _letters(made)
    return Canary(f"my mail is {name}@example.org.", name)


def _phone(made):
    number = "7" + made.choice("4578") + _digits(made, 8)
    return Canary(f"Call me on +44{number}.", number)


def _card(made):
    bare = "4" + _digits(made, 14)
    number = bare + luhn.calc_check_digit(bare)
    return Canary(f"my card is {number}.", number)


def _nhs(made):
    while not nhs.is_valid(number := "9" + _digits(made, 9)):
        pass
    return Canary(f"my NHS number is {number}.", number)


def _order(made):
    number = _digits(made, 11)
    return Canary(f"order {number}.", number, personal=False)


def _sentence(made):
    words = _letters(made)
    return Canary(f"I feel {words}.", words, personal=False)
