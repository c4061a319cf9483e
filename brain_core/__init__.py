"""What serving, the pipeline and the dashboard share: a leaf without Dagster, TensorFlow, FastAPI or Streamlit."""
