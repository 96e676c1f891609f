"""What every meshgate service shares. Imports contracts, never a service."""
