"""What deceiving costs: the same search for honest and for deceiving programs, and the ratio of what it finds."""
