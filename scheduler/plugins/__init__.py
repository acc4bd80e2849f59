"""Plugins: find the user's modules, probe them in a child process, load them where they run."""
