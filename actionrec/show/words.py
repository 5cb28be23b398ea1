"""Numbers of things in words."""


def counted(number: int, thing: str, things: str = "") -> str:
    """So many of a thing: 1 trial, 1,200 trials. `things`: its plural, where that does not end in s alone."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"
