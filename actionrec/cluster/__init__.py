"""Ray as this project uses it. Ray reads these settings when it is imported, which is after this."""

import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # or whatever asks Ray for something after a session starts another Ray
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Tune would take Ctrl-C for the end of its trials, and go on
