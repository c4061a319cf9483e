# The pages.
FROM python:3.11-slim-bookworm AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir --root-user-action=ignore "uv==0.13.9"
WORKDIR /app
COPY pyproject.toml uv.lock ./
# Of the project itself only the name, the version and the command: the packages are copied below.
RUN touch README.md LICENSE && uv sync --locked --no-dev --no-cache --extra dashboard

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin brain \
    && install --directory --owner=brain --group=brain /data
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
ENV BRAIN_HOME=/data
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY brain_core brain_core
COPY brain_cli brain_cli
COPY dashboard dashboard
# The image carries what the pages import, and nothing of the pipeline or the API.
RUN python -c "import dashboard.queries, dashboard.views, brain_cli.main, streamlit, duckdb" \
    && python -c "import importlib.util as u; heavy = [n for n in ('tensorflow', 'dagster', 'mlflow', 'evidently') if u.find_spec(n)]; assert not heavy, heavy"
USER 10001:10001
EXPOSE 8501
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
ENTRYPOINT ["brain"]
CMD ["dashboard", "--address", "0.0.0.0"]
