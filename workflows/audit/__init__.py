"""Questions of an auditor, each one command; what they read is an index beside MLflow."""
