"""One reader per part of the configuration: nodes in, frozen values out."""
