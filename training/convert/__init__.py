"""Bags to datasets of clips, and films to bags; what ``avsol convert`` does."""
