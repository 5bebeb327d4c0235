# The gateway as an image: installed in one stage, run as a user without rights in another.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/venv
COPY requirements/run.txt requirements/run.txt
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md ./
COPY app app
COPY migrations migrations
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /state --create-home gateway
COPY --from=build /opt/venv /opt/venv
USER 10001
WORKDIR /state
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SEGMENT_GATEWAY_HOST=0.0.0.0 \
    SEGMENT_GATEWAY_PORT=8080 \
    SEGMENT_GATEWAY_STATE_DIR=/state
EXPOSE 8080
VOLUME /state
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["segment-gateway"]
CMD ["serve"]
