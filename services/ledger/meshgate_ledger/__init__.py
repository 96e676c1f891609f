"""Who may call what, and money: keys, holds, entries. PostgreSQL decides."""
