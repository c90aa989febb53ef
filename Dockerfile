# Kairos as one image for every process; docker-compose.yml says which command each service runs.
# Built from uv.lock, so that what runs is what was tested.
FROM python:3.11-slim-bookworm AS build
RUN pip install --no-cache-dir "uv>=0.9,<1"
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
# The packages first: they change less often than the code.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --no-install-project
COPY README.md LICENSE NOTICE ./
COPY engine engine
COPY channels channels
COPY workers workers
RUN uv sync --locked --no-dev --no-editable

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home kairos
COPY --from=build /build/.venv /build/.venv
COPY --from=build /build/LICENSE /build/NOTICE /usr/share/doc/kairos/
ENV PATH="/build/.venv/bin:$PATH" PYTHONUNBUFFERED=1 PYTHONUTF8=1
USER kairos
WORKDIR /project
ENTRYPOINT ["kairos"]
CMD ["--help"]
