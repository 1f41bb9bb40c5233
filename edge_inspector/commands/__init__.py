"""The commands, one thin function each: what is asked is read here, what was found is printed here."""
