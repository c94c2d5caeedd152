"""The same suites through promptfoo: a second runner that asks the same code, so that neither has to be believed alone."""
