# sp_search on CPU. Ray's own image gives Python, a non-root user and the cluster's entry points; for GPUs use its -gpu tag
# and leave TORCH_INDEX empty.
FROM rayproject/ray:2.60.0-py311-cpu

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0 \
    MLFLOW_DISABLE_TELEMETRY=true \
    PIP_NO_CACHE_DIR=1

WORKDIR /home/ray/sp_search
COPY --chown=ray:users constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install --upgrade pip \
    && pip install ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} 'torch>=2.13,<2.14' \
    && pip install --no-deps --requirement constraints.txt
COPY --chown=ray:users sp_search sp_search
COPY --chown=ray:users studies studies
COPY --chown=ray:users schema schema
RUN pip install --no-deps --no-build-isolation .

ENTRYPOINT ["sp-search"]
CMD ["--help"]
