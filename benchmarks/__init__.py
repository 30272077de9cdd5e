"""What te-apps costs, measured against the same work in C in the same run: `python -m benchmarks`."""
