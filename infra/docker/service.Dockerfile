# An image a service, from the repository's root:
#   docker build -f infra/docker/service.Dockerfile --build-arg SERVICE=inventory -t waybill/inventory .
# With `--target operator`: what prepares a stack (certificates, provisioning, every service's migrations).

FROM ghcr.io/astral-sh/uv:0.13.8 AS uv

FROM python:3.11-slim-bookworm AS locked
# hadolint ignore=DL3008 # whichever `strip` the base's Debian has: no image contains it
RUN apt-get update -q && apt-get install -y -q --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY requirements-services.lock ./
# The wheels bring 58 MB of symbols for a debugger.
RUN uv venv --quiet && uv pip install --quiet --require-hashes -r requirements-services.lock \
 && find .venv -name "*.so" -exec strip --strip-unneeded {} + \
 && echo /app/src > .venv/lib/python3.11/site-packages/waybill.pth

FROM locked AS locked-operator
COPY requirements-operator.lock ./
RUN uv pip install --quiet --require-hashes -r requirements-operator.lock

# Nothing is written at run time: bytecode is made here, and the root may be read-only.
FROM python:3.11-slim-bookworm AS runtime
ENV PATH=/app/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --uid 10000 --user-group --no-create-home --shell /usr/sbin/nologin waybill
WORKDIR /app

FROM runtime AS operator
COPY --from=locked-operator /app/.venv .venv
COPY shared/contracts/src shared/exactly_once/src shared/chassis/src \
     services/checkout/src services/inventory/src services/accounting/src services/fulfillment/src \
     services/payment_gateway/src services/letters/src infra/waybill/src src/
RUN python -m compileall -q src
USER 10000:10000
ENTRYPOINT ["python", "-m", "waybill.compose.prepare"]

FROM runtime AS service
COPY --from=locked /app/.venv .venv
COPY infra/docker/serve.py infra/docker/healthy.py ./
ARG SERVICE
COPY shared/contracts/src shared/exactly_once/src shared/chassis/src services/${SERVICE}/src src/
RUN python -m compileall -q src
USER 10000:10000
ENV WAYBILL_SERVICE=${SERVICE} WAYBILL_HTTP_HOST=0.0.0.0 WAYBILL_HTTP_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=6 CMD ["python", "-IS", "healthy.py"]
ENTRYPOINT ["python", "serve.py"]
