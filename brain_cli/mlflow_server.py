"""The MLflow server in one process.

`mlflow server` prepares the database and then starts a second process that loads everything again; this prepares the
database and serves, in half the time and memory. Everything else is told by the environment, as MLflow tells its
workers (`mlflow.server.constants`).
"""

import sys


def serve(host: str, port: int) -> None:
    """Make or check MLflow's tables, then answer requests until the process is asked to end."""
    import uvicorn
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores()
    uvicorn.run("mlflow.server.fastapi_app:app", host=host, port=port, log_level="warning")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
