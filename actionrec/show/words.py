"""Numbers of things, lengths of time and sizes in words, and names cut to a length."""

BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def counted(number: int, thing: str, things: str = "") -> str:
    """So many of a thing: 1 trial, 1,200 trials. `things`: its plural, where that does not end in s alone."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def duration(seconds: float) -> str:
    """In the unit in which it is at least 1, and at most seconds: 0.25 s, 38 s, 1.5 min, 27 h."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size * (1 - 0.5 / 60):  # 59.7 s are not said as 60 s
            return f"{_short(max(1.0, seconds / size))} {unit}"
    return f"{_short(seconds)} s"


def size(count: float) -> str:
    """So many bytes, likewise: 1.3 GB, 284 MB, 4.7 kB."""
    for unit, one in BYTES:
        if count >= one * (1 - 0.5 / 1000):
            return f"{_short(max(1.0, count / one))} {unit}"
    return f"{count:.0f} bytes"


def rate(per_s: float, things: str) -> str:
    """12 videos/s; where it is less than one a second, how long one takes: 12 s an epoch."""
    if per_s >= 1:
        return f"{_short(per_s)} {things}/s"
    thing = things.removesuffix("s")
    return f"{duration(1 / per_s)} {'an' if thing[0] in 'aeiou' else 'a'} {thing}"


def _short(number: float) -> str:
    """Two digits below ten, whole numbers above."""
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"


def short(text: str, most: int = 28) -> str:
    """A name of at most `most` characters: what is too long loses its middle, for names of a kind begin alike."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
