"""What bounds the service: requests a client makes, time a request has, bytes it brings, places it may take."""
