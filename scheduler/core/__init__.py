"""The pure heart: nouns, policies and the one judge. No IO, no clock reads, no logging; imports the standard library only."""
