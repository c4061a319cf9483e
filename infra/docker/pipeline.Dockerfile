# Dagster (web server, daemon, code location) and the MLflow server; compose and Kubernetes name the command.
FROM python:3.11-slim-bookworm AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir --root-user-action=ignore "uv==0.13.9"
WORKDIR /app
COPY pyproject.toml uv.lock ./
# Of the project itself only the name, the version and the command: the packages are copied below.
RUN touch README.md LICENSE && uv sync --locked --no-dev --no-cache --extra pipeline

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin brain \
    && install --directory --owner=brain --group=brain /data
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
ENV BRAIN_HOME=/data DAGSTER_HOME=/opt/dagster
ENV MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true
ENV GIT_PYTHON_REFRESH=quiet
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY brain_core brain_core
COPY brain_cli brain_cli
COPY brain_assets brain_assets
COPY infra/docker/dagster /opt/dagster
# The image carries what the assets import, and nothing of the API or the pages.
RUN BRAIN_HOME=/tmp/guard python -c "import brain_assets.definitions, tensorflow, evidently, mlflow" \
    && python -c "import importlib.util as u; others = [n for n in ('streamlit', 'serving', 'dashboard') if u.find_spec(n)]; assert not others, others" \
    && rm -rf /tmp/guard
USER 10001:10001
EXPOSE 3000 4000 5000
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s CMD ["dagster", "api", "grpc-health-check", "--port", "4000"]
CMD ["dagster", "code-server", "start", "--host", "0.0.0.0", "--port", "4000", "--module-name", "brain_assets.definitions"]
