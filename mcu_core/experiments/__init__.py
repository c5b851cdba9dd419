"""The papers' tables and figures: what they are made of, measured once, kept, and drawn."""
