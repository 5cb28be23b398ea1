"""`actionrec plan` as a script: what `ray job submit -- python jobs/plan.py` runs. Takes the same options."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a job's working directory is not installed

from actionrec.cli import main

if __name__ == "__main__":
    main(["plan", *sys.argv[1:]])
