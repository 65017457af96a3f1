"""What Kubernetes is told of a worker: plain data out of its declaration and settings. Read `manifests.py` first."""
