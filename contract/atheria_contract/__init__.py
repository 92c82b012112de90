"""The only code that Atheria's halves share: wire formats (OIP, demand reports, a server's configuration) and names."""
