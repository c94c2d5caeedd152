"""What the service workflow is made of: intents, slots, tickets, and the port to the order system."""
