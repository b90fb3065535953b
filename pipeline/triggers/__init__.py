"""What says that there may be something new to run: webhooks, polls, schedules, and what a commit says against it."""
