SELECT 1; -- Written by its owner.
