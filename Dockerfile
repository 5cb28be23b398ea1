# The image that rayjob.yaml runs: the lock, hash by hash, and this checkout. The CUDA libraries come with torch.
#   docker build --tag REGISTRY/actionrec:0.1.0 . && docker push REGISTRY/actionrec:0.1.0
FROM python:3.11-slim

# Ray's start wants wget for KubeRay's probes; OpenCV wants the two libraries.
RUN apt-get update && apt-get install --yes --no-install-recommends wget libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 ray
COPY requirements.lock /tmp/requirements.lock
RUN pip install --no-cache-dir --require-hashes --requirement /tmp/requirements.lock
COPY --chown=ray actionrec /home/ray/actionrec/actionrec
COPY --chown=ray jobs /home/ray/actionrec/jobs
USER ray
WORKDIR /home/ray/actionrec
ENV RAY_USAGE_STATS_ENABLED=0 PYTHONPATH=/home/ray/actionrec
