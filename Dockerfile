# syntax=docker/dockerfile:1
# The API, the pipelines and the command line in one image: what runs is chosen by the command.
# It runs as nobody in particular (10001), writes to /data only (and /tmp), and holds no secret: they come by the environment.

FROM python:3.11-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/gateledger
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
WORKDIR /src
# What we need changes more seldom than what we wrote.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-dev --no-install-project
COPY api/ api/
COPY warehouse/ warehouse/
COPY pipelines/ pipelines/
COPY pricing_configs/ pricing_configs/
COPY dagster_home/dagster.yaml dagster_home/
RUN uv sync --locked --no-dev --no-editable

FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 10001 gateledger \
 && useradd --system --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin gateledger \
 && install -d -o 10001 -g 10001 -m 0750 /data
COPY --from=build /opt/gateledger /opt/gateledger
ENV PATH=/opt/gateledger/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATELEDGER_HOME=/data
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8790 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8790/health/ready', timeout=4)"]
ENTRYPOINT ["gateledger"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8790"]
