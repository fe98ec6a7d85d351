"""Who may do what: API keys, tokens, and the policy over them."""
