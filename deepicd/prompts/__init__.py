"""Prompts as Jinja2 templates: what teacher, student and judge are asked, in our words or in a user's."""
