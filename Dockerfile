# sp_search for one machine, and for the head and the workers of a cluster alike.
#   CPU   docker build -t sp_search .
#   GPU   docker build -t sp_search:gpu --build-arg TORCH_INDEX=https://pypi.org/simple .
#   run   docker run --init --shm-size 1g -v "$PWD:/work" sp_search sp-search run /work/study.yaml --output /work/run
# The GPU build of torch brings CUDA; the host has the driver and the NVIDIA container toolkit. There is no entry point,
# as `ray up` and KubeRay bring their own commands. No secret is needed to build, and none may be given as a build
# argument: tokens come at run time, as RAY_AUTH_TOKEN_PATH or a mounted secret.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/venv
WORKDIR /build
COPY constraints.txt constraints-cluster.txt ./
RUN /opt/venv/bin/pip install --index-url "${TORCH_INDEX}" 'torch>=2.13,<2.14'
RUN /opt/venv/bin/pip install --no-deps --requirement constraints.txt --requirement constraints-cluster.txt
COPY . .
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation .

FROM ${BASE}
# What `ray up` needs inside a container: the head reaches its workers by ssh, and files come by rsync.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client rsync \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 1000 ray && useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash ray
COPY --from=build /opt/venv /opt/venv
COPY --chown=1000:1000 studies /home/ray/studies
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0 \
    MLFLOW_DISABLE_TELEMETRY=true
USER 1000:1000
WORKDIR /home/ray
RUN sp-search validate studies/quickstart.yaml
CMD ["sp-search", "--help"]
