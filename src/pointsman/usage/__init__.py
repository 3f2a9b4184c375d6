"""What every model call spent: token_usage, its details, cost and reports."""
