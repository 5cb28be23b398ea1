"""What is trained, on which batches, on Ray Train."""

import actionrec.cluster  # noqa: F401 - Ray's settings, which must stand before one of these modules imports it
