"""The money of a call: held, raised, worked out, posted; also while the ledger is away."""
