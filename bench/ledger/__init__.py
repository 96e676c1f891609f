"""The ledger alone: reserve + settle pairs per second, what they cost, and whether limits are exact."""
