"""meshgate up, check, doctor: the mesh on one machine."""
