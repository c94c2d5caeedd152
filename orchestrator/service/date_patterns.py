"""Where a date may stand in a text. Only these places are given to the parser, which is slow and finds dates everywhere."""

from __future__ import annotations

from orchestrator.service.caseless import Caseless

LANGUAGES = ("en", "es")

_FULL = r"mondays?|tuesdays?|wednesdays?|thursdays?|fridays?|saturdays?|sundays?|we[nd]n?[ed]*sday|thurday|teusday|satday|satarday"
_SHORT = r"tues?|weds?|thurs?|thu|fri|mon|wed|sat|sun"  # words of their own too: only beside a word that goes with a day
_GOES_WITH_A_DAY = (
    r"(?:on|by|this|next|last|since|until|till|til|for|from|to|come|every|ready|said|sed|or|before|and(?!\s+(?:sat|sun))|cos|it'?s|its"
    r"|->|>|-|/)"
)
_WHICH = r"(?:(?:this|next|last|the following|following|this coming|coming)\s+)"
_PART = r"(?:\s+(?:morning|afternoon|evening|night|nite))?"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?"
    r"|dec(?:ember)?)"
)
_MONTH_FULL = "(?:january|february|march|april|may|june|july|august|september|october|november|december)"
_ORDINAL = r"\d{1,2}\s?(?:st|nd|rd|th)"
_SAID_ORDINAL = (
    r"(?:first|second|third|(?:twenty|thirty)[ -](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|fourth|fifth|sixth"
    r"|seventh|eighth"
    r"|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth)"
)
_NOT_A_DAY = (  # what the number of an ordinal counts when it is no day
    r"(?!\s+(?:tub|tube|box|time|one|bottle|floor|st\b|street|ave|avenue|day|days|week|month|year|class|party|person|call|hour|hand|dose|pack|parcel"
    r"|order|lot|round|class|opinion|try|attempt|grade|form|morning in|morning your|in the queue|birthday|anniversary|copy|half"
    r"|quarter|shot|jab))"
)
_COUNT = r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|a couple of|couple of|few|a few)"
_UNIT = r"(?:minutes?|mins?|hours?|hrs?|days?|weeks?|wks?|months?|mths?|years?)"

_ENGLISH = (
    rf"(?:{_WHICH}|the\s+)?(?:{_FULL})(?:\s+(?:the\s+)?(?:{_ORDINAL}))?(?:\s+{_MONTH}\b)?(?:\s+week\b)?{_PART}",
    rf"{_WHICH}(?:{_SHORT}){_PART}",
    r"(?:tues|weds|thurs)",
    r"(?:(?<=[a-z] )|(?<=\d ))(?<!the )(?:fri|mon|wed|sun)(?=[.,?!]|\s*$|\s+(?:at \d|pls|please|plz))",
    rf"{_GOES_WITH_A_DAY}\s*\b(?P<short>{_SHORT})\b(?!\s+(?:cream|lotion|block|hat|on|in|at home|there|the|nav)\b)(?![-'\u2019])",
    rf"(?:the\s+)?(?:{_ORDINAL}|{_SAID_ORDINAL})\s+(?:of\s+)?{_MONTH}\b(?:,?\s+\d{{4}})?",
    rf"\d{{1,2}}\s+(?:of\s+)?{_MONTH}\b(?:,?\s+\d{{4}})?",
    rf"{_MONTH}\.?\s+(?:the\s+)?(?:{_ORDINAL}|\d{{1,2}}(?![\d:.]))(?:,?\s+\d{{4}})?",
    rf"(?:the\s+){_ORDINAL}\b{_NOT_A_DAY}",
    rf"(?:(?<=by )|(?<=on )|(?<=or )|(?<=from )|(?<=until )|(?<=before )){_ORDINAL}\b{_NOT_A_DAY}",
    rf"(?:the\s+)(?!first|second|third){_SAID_ORDINAL}\b(?:\s+of\s+the\s+month)?{_NOT_A_DAY}",
    r"(?<=or )the\s+\d{1,2}(?=[,.?!]|\s|$)",
    rf"{_MONTH_FULL}\s+(?:to|-|until|till|through)\s+{_MONTH_FULL}",
    rf"(?<=\bthe ){_MONTH_FULL}(?=\s+(?:invoice|bill|statement|payment|order|delivery))",
    r"(?:the\s+)(?:first|1st)\s+of\s+(?:the|next)\s+month|(?:the\s+)?end\s+of\s+(?:the|this|next)\s+(?:month|week|year)",
    r"(?:last|yesterday)\s+(?:night|nite)|today|tonight|tonite|tomorrow|tomoz|tmrw|tmr|2moro|yesterday|(?:this|tomorrow|yesterday)\s+(?:morning|afternoon|evening)",
    rf"in\s+{_COUNT}\s+{_UNIT}(?:['\u2019]?s?\s+time)?\b|{_COUNT}\s+{_UNIT}\s+(?:ago|back|from (?:now|today))\b",
    r"(?:this|next|the following|following)\s+(?:week(?:end)?|wk|month)|the\s+(?:week|day|month)\s+after|week\s+after(?:\s+next)?",
    r"the\s+weekend",
    r"(?<![\w/.-])(?:(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])|(?:1[3-9]|2\d|3[01])/(?:0?[1-9]|1[0-2]))(?:/(?:20)?\d\d)?(?![\w/-])",
    r"(?<![\w-])\d{4}-\d{2}-\d{2}(?![\w-])|(?<![\w.])\d{1,2}[.-]\d{1,2}[.-]\d{4}(?![\w.])",
    r"(?:(?<=by )|(?<=before )|(?<=until )|(?<=till )|(?<=through )|(?<=after ))(?:christmas|new year|thanksgiving|easter)",
)
_DAY_ES = r"(?:lunes|martes|mi[eé]rcoles|jueves|viernes|s[aá]bado|domingo)"
_MONTH_ES = r"(?:enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|setiembre|octubre|noviembre|diciembre)"
_COUNT_ES = r"(?:\d{1,3}|una?|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|quince)"
_SPANISH = (
    (
        rf"(?:(?:el|pr[oó]ximo|este)\s+){{0,2}}{_DAY_ES}(?:\s+(?:que\s+viene|pr[oó]ximo|pasado))?(?:\s+\d{{1,2}}\b(?!:))?"
        rf"(?:\s+de\s+{_MONTH_ES})?(?:\s+(?:en|por)\s+la\s+(?:tarde|ma[nñ]ana|noche))?"
    ),
    rf"(?:el\s+|d[ií]a\s+){{0,2}}\d{{1,2}}\s+de\s+{_MONTH_ES}(?:\s+(?:de|del)\s+\d{{4}})?",
    r"el\s+d[ií]a\s+\d{1,2}\b(?!:)|el\s+\d{1,2}(?=\s+(?:para|por|a\s+las|no|or|o|de\s+este)\b|[,.?!]|$)",
    r"hoy|ayer|anteayer|pasado\s+ma[nñ]ana|(?<!la )ma[nñ]ana(?:\s+por\s+la\s+(?:ma[nñ]ana|tarde))?",
    rf"(?:en|dentro de)\s+{_COUNT_ES}\s+(?:d[ií]as?|semanas?|mes(?:es)?)|hace\s+(?:como\s+)?{_COUNT_ES}\s+(?:d[ií]as?|semanas?|mes(?:es)?)",
    r"la\s+(?:pr[oó]xima\s+semana|semana\s+(?:que\s+viene|pr[oó]xima|pasada))|el\s+mes\s+(?:que\s+viene|pr[oó]ximo|pasado)",
)


def _places(patterns: tuple[str, ...]) -> Caseless:
    return Caseless("|".join(rf"(?<![\w-])(?:{pattern})(?!\w)" for pattern in patterns))


DATES = {"en": _places(_ENGLISH), "es": _places(_SPANISH)}

_HOUR_SAID = "(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_MINUTE_SAID = "(?:fifteen|thirty|forty[ -]five|ten|twenty)"
A_TIME = Caseless(
    r"(?<![\w.:/£$€,-])(?:\d{1,2}(?:[:.][0-5]\d)?\s?(?:am|pm|a\.m\.|p\.m\.)(?!\w)|(?:[01]?\d|2[0-3]):[0-5]\d(?![\w:])"
    r"|(?<=\bat )(?:1?\d[.][0-5]\d|1?\d)(?![\w:.%]|\s?(?:mg|%|years))"
    rf"|half (?:past )?{_HOUR_SAID}\b|quarter (?:past|to) {_HOUR_SAID}\b"
    rf"|{_HOUR_SAID} (?:o'?clock|a m|p m|pm)\b|(?<=\bat ){_HOUR_SAID}(?: {_MINUTE_SAID})?\b"
    rf"|(?:any ?time )?\b(?:after|around|by like|by about) (?:1[0-2]|[1-9]|{_HOUR_SAID})(?![\w:.%/-]|,\d"
    r"| (?:mg|%|weeks?|days?|mins?|minutes|hours?|months?"
    r"|years?|goes|times?|nights?|tries|attempts|calls|of|tablets?|more|other|hundred|thousand)\b)"
    r"|1?\d[.][0-5]\d(?= ?(?:ish|mon|tue|wed|thu|fri|sat|sun|o'?clock))"
    rf"|(?<=\bat )(?:1[0-2]|[1-9]|{_HOUR_SAID}) in the (?:morning|afternoon|evening)"
    r"|noon\b|midday\b|mediod[ií]a\b|a las (?:\d{1,2}(?::\d{2})?|una|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce)\b)",
)
