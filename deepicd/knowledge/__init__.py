"""What is known of a code: descriptions, guideline sections, and the rubric of a judge."""
