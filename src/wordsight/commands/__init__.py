"""One function per command: composes the layers below, knows nothing of the command line."""
