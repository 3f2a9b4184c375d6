"""The queue of messages that say that somebody has something to do; `execution_jobs` and `runs` are the truth."""
