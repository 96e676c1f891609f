"""Choose a deployment, call the provider, retry, fall back, stream."""
