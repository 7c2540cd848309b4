"""The pages before and around all others: home, sign-in, set-up and sign-out."""
