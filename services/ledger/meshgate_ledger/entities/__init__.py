"""Management of who calls and who pays: entities, team members and keys, and the limits they carry."""
