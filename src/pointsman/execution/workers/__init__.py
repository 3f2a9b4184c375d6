"""Which workers there are and what each has in hand: for people. Who is dead is the queue's to say."""
