"""The store: commit, hash chain, migrations, retention and history."""
