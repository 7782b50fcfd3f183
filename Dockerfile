# One image for the API and every worker: `docker build --tag reelwork .`. How it is run: docs/deployment.md.
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY infra/image/build-requirements.txt infra/image/requirements.txt infra/image/
RUN python -m venv /opt/reelwork \
    && /opt/reelwork/bin/pip install --require-hashes --only-binary :all: -r infra/image/requirements.txt
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: -r infra/image/build-requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/reelwork/bin/pip install --no-deps --no-index /wheel/*.whl \
    && /opt/reelwork/bin/python -m compileall -q /opt/reelwork/lib

# Weights that the image brings; with none, mount a folder of them at /models.
FROM build AS models
ARG MODELS="efficientdet-lite0 efficientnet-lite0 fastdepth u2netp"
RUN mkdir /models \
    && for model in ${MODELS}; do REELWORK_MODELS_DIR=/models /opt/reelwork/bin/reelwork models pull "${model}" || exit 1; done

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Reelwork" \
      org.opencontainers.image.description="Media jobs that fan out over many workers and complete each stage exactly once." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 reelwork \
    && useradd --uid 10001 --gid reelwork --no-create-home --home-dir /tmp --shell /usr/sbin/nologin reelwork \
    && install --directory --owner reelwork --group reelwork /data
COPY --from=build /opt/reelwork /opt/reelwork
COPY --from=models /models /models
ENV PATH=/opt/reelwork/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    REELWORK_DATA_DIR=/data \
    REELWORK_METRICS_HOST=0.0.0.0 \
    REELWORK_METRICS_PORT=8000 \
    REELWORK_MODELS_DIR=/models
USER 10001:10001
WORKDIR /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["reelwork"]
CMD ["serve", "--host", "0.0.0.0"]
