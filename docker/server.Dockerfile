# The server: API, reconciler and migrations, without torch. Build from the repository's root:
#   docker build -f docker/server.Dockerfile -t trainyard-server .
FROM python:3.11.14-slim-trixie AS build

ENV UV_COMPILE_BYTECODE_TIMEOUT=900
WORKDIR /src
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/trainyard
COPY requirements.txt ./
RUN uv pip install --no-cache --python /opt/trainyard/bin/python --require-hashes --no-build --compile-bytecode -r requirements.txt
COPY pyproject.toml README.md LICENSE requirements-dev.txt ./
COPY alembic alembic
COPY app app
COPY worker worker
COPY sdk sdk
RUN uv pip install --no-cache --python /opt/trainyard/bin/python --no-deps --compile-bytecode --build-constraints requirements-dev.txt ./sdk .

FROM python:3.11.14-slim-trixie

# The worker's image has the same user: both write into one artifact volume, whose files are 0600.
RUN groupadd --gid 10001 trainyard \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/trainyard --shell /usr/sbin/nologin trainyard \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/trainyard /var/lib/trainyard-store
COPY --from=build /opt/trainyard /opt/trainyard

ENV PATH=/opt/trainyard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TRAINYARD_HOME=/var/lib/trainyard
USER 10001:10001
WORKDIR /var/lib/trainyard
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
ENTRYPOINT ["trainyard"]
CMD ["server", "--host", "0.0.0.0", "--behind-proxy"]
