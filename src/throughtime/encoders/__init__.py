"""What stands before and behind a recurrence: features of its inputs, one vector from its outputs."""
