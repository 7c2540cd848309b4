# The worker: one Celery process per GPU slot, and the trainers that it starts. The base image has
# no CUDA on purpose: torch's wheels bring their own, and the driver comes from the host (see
# docs/decisions/0004-worker-image.md). Build from the repository's root:
#   docker build -f docker/worker.Dockerfile -t trainyard-worker .
FROM python:3.11.14-slim-trixie AS build

ENV UV_COMPILE_BYTECODE_TIMEOUT=900
WORKDIR /src
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/trainyard
COPY requirements-worker.txt ./
RUN uv pip install --no-cache --python /opt/trainyard/bin/python --require-hashes --no-build --compile-bytecode -r requirements-worker.txt
COPY pyproject.toml README.md LICENSE requirements-dev.txt ./
COPY alembic alembic
COPY app app
COPY worker worker
COPY sdk sdk
RUN uv pip install --no-cache --python /opt/trainyard/bin/python --no-deps --compile-bytecode --build-constraints requirements-dev.txt ./sdk .

FROM python:3.11.14-slim-trixie

# The server's image has the same user: both write into one artifact volume, whose files are 0600.
RUN groupadd --gid 10001 trainyard \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/trainyard --shell /usr/sbin/nologin trainyard \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/trainyard /var/lib/trainyard-store
COPY --from=build /opt/trainyard /opt/trainyard
COPY --chmod=0555 docker/worker-health /usr/local/bin/worker-health

# The NVIDIA container runtime mounts the driver libraries and nvidia-smi from the host.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/opt/trainyard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TRAINYARD_HOME=/var/lib/trainyard
USER 10001:10001
WORKDIR /var/lib/trainyard
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["worker-health"]
ENTRYPOINT ["trainyard"]
CMD ["worker", "--slots", "0"]
