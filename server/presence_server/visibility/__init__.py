"""Who may see whom, where somebody outside has to be asked."""
