"""What every script of this folder is: a verb of `actionrec` for `ray job submit -- python jobs/VERB.py OPTIONS`.

A job's working directory is a copy of the checkout in which nothing is installed but what the project depends on.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from actionrec import cli


def run(*verb: str) -> None:
    """The verb, with the options that the script was given; ends the process with the verb's exit code."""
    sys.argv[1:1] = verb
    cli.main()
