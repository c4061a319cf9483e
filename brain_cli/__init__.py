"""The `brain` command and the embedded platform: the composition root."""
