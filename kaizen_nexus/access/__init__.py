"""Who may do what: callers, API keys, tokens, and the policy over them."""
