"""Numbers of things in words, and names cut to a length."""


def counted(number: int, thing: str, things: str = "") -> str:
    """So many of a thing: 1 trial, 1,200 trials. `things`: its plural, where that does not end in s alone."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def short(text: str, most: int = 28) -> str:
    """A name of at most `most` characters: what is too long loses its middle, for names of a kind begin alike."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
