"""What several networks are made of; the networks themselves are in `throughtime.tasks`."""
