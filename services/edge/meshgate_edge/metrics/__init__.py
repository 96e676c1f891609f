"""What is told of calls in numbers."""
