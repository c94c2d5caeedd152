"""What happens after classification: one workflow per category, each a frozen dataclass one can call."""
